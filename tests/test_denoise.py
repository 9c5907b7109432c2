"""The one door: what a run keeps, tells and records, with an engine made of paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from napari_lowdose import Reucid, Run, denoise, denoise_steps
from napari_lowdose.denoise import as_python
from napari_lowdose.steps import Step, over_frames, report, within


@dataclass(frozen=True)
class Halving:
    """Halves an image, in two steps."""

    factor: float = 0.5

    def steps(self, image: Any) -> Iterator[Step]:
        yield from over_frames(image, self._frame)

    def _frame(self, frame: np.ndarray) -> Iterator[Step]:
        yield Step(fraction=0.5, message="half way")
        image = (frame * self.factor).astype(np.float32)
        yield Step(fraction=1.0, message="done", image=image)


def test_denoise_drains_the_steps() -> None:
    image = np.arange(12).reshape(3, 4)
    clean = denoise(image, Halving())
    assert clean.dtype == np.float32
    np.testing.assert_array_equal(clean, image / 2)


def test_a_list_of_lists_is_an_image_too() -> None:
    np.testing.assert_array_equal(denoise([[2, 4], [6, 8]], Halving()), [[1, 2], [3, 4]])


def test_to_stop_is_to_stop_iterating_and_what_was_reached_is_kept() -> None:
    movie = np.ones((3, 4, 5))
    movie[:, 1:] = 2
    run = Run(movie, Halving())
    for step in run:
        if step.index == (1,) and step.image is not None:
            break
    assert not run.finished
    assert not run.record()["finished"]
    np.testing.assert_array_equal(run.image[:, 0, 0], [0.5, 0.5, 1.0])  # the last shows the input


def test_frames_of_a_lazy_movie_are_read_one_at_a_time() -> None:
    dask = pytest.importorskip("dask")
    da = pytest.importorskip("dask.array")
    frames = np.arange(24.0).reshape(2, 3, 4)
    reads = []

    def read(number: int) -> np.ndarray:
        reads.append(number)
        return frames[number]

    movie = da.stack([da.from_delayed(dask.delayed(read)(n), (3, 4), float) for n in range(2)])
    steps = denoise_steps(movie, Halving())
    read_by_then = [(s.index, list(reads)) for s in steps if s.image is not None]
    assert read_by_then == [((0,), [0]), ((1,), [0, 1])]

    reads.clear()
    np.testing.assert_array_equal(denoise(movie, Halving()), frames / 2)
    assert reads == [0, 1]


def test_time_left_comes_from_the_pace() -> None:
    steps = list(Run(np.ones((4, 4)), Halving()))
    assert all(step.seconds_left is not None for step in steps)
    assert steps[-1].seconds_left == 0


def test_the_record_is_json_and_says_everything() -> None:
    image = np.random.default_rng(0).poisson(9, (30, 30)).astype(np.uint16)
    run = Run(image, Reucid(patch_size=5, n_stacks=2, seed=3))
    for _ in run:
        pass
    record = json.loads(json.dumps(run.record()))
    assert record["engine"] == "Reucid"
    assert record["parameters"]["seed"] == 3
    assert record["finished"] is True
    assert record["input"] == {"shape": [30, 30], "dtype": "uint16"}
    assert [step["stack"] for step in record["steps"]] == [0, 1]
    assert all(step["kept"] for step in record["steps"])
    assert {"napari-lowdose", "numpy", "python"} <= set(record["versions"])


def test_copied_script_runs_and_does_the_same(tmp_path: Any, monkeypatch: Any) -> None:
    import tifffile

    image = np.random.default_rng(0).poisson(9, (30, 30)).astype(np.uint16)
    engine = Reucid(patch_size=5, keep=[0, 2])
    tifffile.imwrite(tmp_path / "in.tif", image)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(as_python(engine, "in.tif"), names)
    np.testing.assert_array_equal(names["clean"], denoise(image, engine))


def test_parts_of_parts_have_fractions_of_the_whole() -> None:
    def stage() -> Iterator[float]:
        yield 0.5
        yield 1.0
        return "result"  # type: ignore[return-value]

    steps = []
    outer = report(within(stage(), 0.0, 0.5), 0.2, 0.8, "a part")  # type: ignore[arg-type]
    while True:
        try:
            steps.append(next(outer))
        except StopIteration as stop:
            assert stop.value == "result"
            break
    assert [step.fraction for step in steps] == pytest.approx([0.35, 0.5])


def test_other_formats_than_tiff_are_read_by_plugins() -> None:
    script = as_python(Reucid(), "map.dm4")
    assert "from napari_lowdose.imaging.readers import read_image\n" in script
    assert "image = read_image('map.dm4').pixels\n" in script
    assert "tifffile" not in script
