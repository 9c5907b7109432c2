"""An engine outside the package works on the command line without further code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import median_filter
from typer.testing import CliRunner

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


def run(*arguments: object) -> Result:
    app = build_app(median=Median, another=Median)  # with one command typer asks for no name
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).poisson(20, (3, 16, 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="minisblack")
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
    expected = [median_filter(frame, 5) for frame in tifffile.imread(image)]
    np.testing.assert_array_equal(read_image(out).pixels, expected)


def test_script_imports_the_engine_from_its_module() -> None:
    script = as_python(Median(size=5))
    assert f"from {Median.__module__} import Median\n" in script
    assert "from napari_lowdose import denoise\n" in script
    assert "denoise(image, Median(size=5))" in script
