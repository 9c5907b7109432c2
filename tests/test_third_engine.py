"""An engine outside the package works everywhere without further code.

It is one class, as CONTRIBUTING describes: what runs REUCID and Noise2Noise runs it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import median_filter
from typer.testing import CliRunner

from napari_lowdose import Run, Stream, denoise, denoise_to_zarr
from napari_lowdose.cli.app import build_app
from napari_lowdose.denoise import as_python
from napari_lowdose.engine import Engine, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result


@dataclass(frozen=True)
class Median(Engine):
    """Median filter.

    Parameters
    ----------
    size : int
        Width of the window, pixels.
    """

    title = "Median"
    takes = "image"
    size: int = 3

    def frame_steps(self, *frames: Any) -> Iterator[Step]:
        image = median_filter(frames[0], self.size).astype(np.float32)
        yield Step(fraction=1.0, message="median", image=image)


MOVIE = np.random.default_rng(0).poisson(20, (3, 16, 16)).astype(np.uint16)
EXPECTED = np.stack([median_filter(frame, 5) for frame in MOVIE]).astype(np.float32)


def test_in_memory_step_by_step_and_with_a_record() -> None:
    run = Run(MOVIE, Median(size=5))
    steps = list(run)
    assert [step.index for step in steps] == [(0,), (1,), (2,)]
    assert steps[-1].message == "frame 3 of 3: median"
    np.testing.assert_array_equal(run.image, EXPECTED)
    assert run.record()["engine"] == "Median"
    assert run.record()["parameters"] == {"size": 5}


def test_lazily() -> None:
    da = pytest.importorskip("dask.array")
    clean = denoise(da.from_array(MOVIE, chunks=(1, 8, 16)), Median(size=5))
    assert isinstance(clean, da.Array)
    np.testing.assert_array_equal(clean, EXPECTED)


def test_into_zarr_and_resumed(tmp_path: Path) -> None:
    stream = Stream(MOVIE, Median(size=5), tmp_path / "out.zarr")
    for step in stream:
        if step.image is not None:
            break
    clean = denoise_to_zarr(MOVIE, Median(size=5), tmp_path / "out.zarr")
    np.testing.assert_array_equal(clean, EXPECTED)
    with pytest.raises(ValueError, match="another input, engine or parameter"):
        denoise_to_zarr(MOVIE, Median(size=3), tmp_path / "out.zarr")


def test_in_a_dock_widget(make_napari_viewer: Any, qtbot: Any) -> None:
    from napari_lowdose.widgets.engine_widget import EngineWidget

    viewer = make_napari_viewer()
    viewer.add_image(MOVIE[0], name="counts", scale=(0.2, 0.2))
    widget = EngineWidget(viewer, Median)
    viewer.window.add_dock_widget(widget, name="Median")
    widget.denoise()
    qtbot.waitUntil(lambda: widget._running is None, timeout=20_000)
    result = viewer.layers[-1]
    assert result.name == "counts Median"
    np.testing.assert_array_equal(result.data, median_filter(MOVIE[0], 3))
    np.testing.assert_array_equal(result.scale, (0.2, 0.2))


def run(*arguments: object) -> Result:
    app = build_app(median=Median, another=Median)  # with one command typer asks for no name
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "in.tif", MOVIE, photometric="minisblack")
    return tmp_path / "in.tif"


def test_help_comes_from_the_docstring() -> None:
    text = " ".join(run("median", "--help").stdout.split())
    assert "Median filter." in text
    assert "--size N Width of the window, pixels. [default: 3]" in text


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_movie(image: Path, name: str) -> None:
    from napari_lowdose.io.readers import read_image

    out = image.parent / name
    done = run("median", image, "-o", out, "--size", 5)
    assert (done.exit_code, done.stderr) == (0, "")
    np.testing.assert_array_equal(read_image(out).pixels, EXPECTED)


def test_script_imports_the_engine_from_its_module() -> None:
    script = as_python(Median(size=5))
    assert f"from {Median.__module__} import Median\n" in script
    assert "from napari_lowdose import denoise\n" in script
    assert "denoise(image, Median(size=5))" in script
