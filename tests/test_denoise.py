"""The one door: what a run keeps, tells and records, with an engine made of paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_lowdose import Noise2Noise, Reucid, Run, denoise, denoise_steps
from napari_lowdose.engine import Engine, Step, report, rescale_progress
from napari_lowdose.samples import stem_pair
from napari_lowdose.script import as_python

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Halving(Engine):
    """Halves an image, in two steps."""

    factor: float = 0.5

    def frame_steps(self, frame: np.ndarray) -> Iterator[Step]:
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


@pytest.mark.parametrize("shape", [(0, 4, 5), (0, 0), (5,)])
def test_an_image_without_pixels_or_rows_is_refused_whatever_the_engine(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"is empty|needs at least two axes"):
        denoise(np.zeros(shape), Halving())


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
    clean = denoise(movie, Halving())
    assert isinstance(clean, da.Array) and reads == []  # lazy in, lazy out
    np.testing.assert_array_equal(clean[1], frames[1] / 2)
    assert reads == [1]


@dataclass(frozen=True)
class Mean(Engine):
    """The mean of the two exposures of a pair."""

    takes = "pair"

    def frame_steps(self, first: np.ndarray, second: np.ndarray) -> Iterator[Step]:
        yield Step(fraction=1.0, message="done", image=(first + second).astype(np.float32) / 2)


def test_a_pair_is_a_tuple_of_two_arrays() -> None:
    first, second = np.full((2, 3, 4), 2), np.full((2, 3, 4), 6.0)
    first[:, 0], second[:, 0] = 1, 2
    run = Run((first, second), Mean())
    np.testing.assert_array_equal(run.image, first)  # what there is before it is begun
    for _ in run:
        pass
    np.testing.assert_array_equal(run.image, (first + second) / 2)
    assert run.record()["input"] == {
        "first": {"shape": [2, 3, 4], "dtype": "int64"},
        "second": {"shape": [2, 3, 4], "dtype": "float64"},
    }


@pytest.mark.parametrize(
    ("given", "engine", "says"),
    [
        (np.ones((4, 4)), Mean(), r"takes a pair, a tuple \(first, second\)"),
        ([np.ones((4, 4)), np.ones((4, 4))], Mean(), "this is one array"),
        (np.ones((2, 64, 64)), Noise2Noise(), r"\(first, second\)"),
        ((np.ones((4, 4)), np.ones((4, 4))), Reucid(), "Reucid takes one image.*Noise2Noise"),
        ((np.ones((4, 4)),) * 3, Mean(), "this tuple has 3"),
        ((np.ones((4, 4)), np.ones((4, 5))), Mean(), r"\(4, 4\) and \(4, 5\)"),
    ],
)
def test_one_image_is_no_pair_and_a_pair_no_image(given: Any, engine: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        denoise(given, engine)


def test_messages_and_errors_name_the_frame() -> None:
    fringes = 9 + 6 * np.cos(np.arange(40) / 2)
    movie = np.random.default_rng(0).poisson(fringes, (3, 40, 40)).astype(float)
    steps = list(denoise_steps(movie, Halving()))
    assert [step.message for step in steps[::2]] == [f"frame {k} of 3: half way" for k in (1, 2, 3)]
    movie[1, 3, 4] = np.nan
    with pytest.raises(ValueError, match=r"^frame 2 of 3: 1 of 1600 pixels"):
        denoise(movie, Reucid(patch_size=5))


# ------------------------------------------------------------------------ Noise2Noise


@pytest.fixture(scope="module")
def trained() -> Run:
    """Return a finished run of a network on a small pair of two frames."""
    first, second, _ = stem_pair()
    pair = tuple(np.stack([image[:96, :96], image[96:192, :96]]) for image in (first, second))
    run = Run(pair, Noise2Noise(epochs=3, seed=1, fallback=False))
    for _ in run:
        pass
    return run


def test_training_is_in_the_record_and_the_network_at_hand(trained: Run) -> None:
    assert trained.model is not None
    record = json.loads(json.dumps(trained.record()))
    assert record["engine"] == "Noise2Noise" and record["parameters"]["epochs"] == 3
    assert record["training"]["epochs"] == pytest.approx(3)
    assert "gain_db" in record["training"] and record["steps"] == []
    assert np.isfinite(trained.image).all()


def test_the_network_applied_to_its_pair_is_the_result(trained: Run) -> None:
    again = Run(trained.input, trained.model)
    for _ in again:
        pass
    np.testing.assert_array_equal(again.image, trained.image)
    record = json.loads(json.dumps(again.record()))
    assert record["engine"] == "Noise2NoiseModel" and record["training"]["n_steps"]
    assert "weights" not in record["parameters"]


def test_a_lazy_movie_through_a_network(trained: Run) -> None:
    da = pytest.importorskip("dask.array")
    first, second = trained.input
    lazy = [da.from_array(movie, chunks=(2, 96, 96)) for movie in (first, second)]
    clean = denoise(tuple(lazy), trained.model)
    assert isinstance(clean, da.Array) and clean.chunks[0] == (1, 1)
    np.testing.assert_array_equal(clean, trained.image)
    expected = denoise(first, trained.model)  # one exposure a frame
    np.testing.assert_array_equal(denoise(lazy[0], trained.model), expected)


def test_the_copied_script_trains_as_long_and_does_the_same(
    trained: Run, tmp_path: Any, monkeypatch: Any
) -> None:
    import tifffile

    for name, image in zip("ab", trained.input, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    monkeypatch.chdir(tmp_path)
    engine = replace(trained.engine, epochs=None, time_budget=1000)  # type: ignore[type-var]
    names: dict[str, Any] = {}
    exec(as_python(engine, ("a.tif", "b.tif"), trained=trained.model), names)
    np.testing.assert_array_equal(names["clean"], trained.image)


def test_the_copied_script_of_a_network(trained: Run) -> None:
    script = as_python(trained.model, "movie.tif", network="ws2.safetensors")
    assert "from napari_lowdose import Noise2NoiseModel, denoise\n" in script
    assert "denoise(image, Noise2NoiseModel.load('ws2.safetensors'))" in script
    more = Noise2Noise(shift=(0.25, -0.5), start=trained.model, epochs=2)
    script = as_python(more, ("a.tif", "b.tif"))
    assert "Noise2Noise(epochs=2, shift=(0.25, -0.5), start=Noise2NoiseModel.load(" in script


def test_a_continued_training_is_told_without_what_went_before(trained: Run) -> None:
    record = {**trained.model.record, "n_steps": 9, "epochs": 4.5}  # type: ignore[union-attr]
    after = replace(trained.model, record=record)  # type: ignore[type-var]
    before = replace(trained.model, record={"n_steps": 3})  # type: ignore[type-var]
    engine = Noise2Noise(time_budget=60, start=before).with_training_of(after)
    assert (engine.epochs, engine.time_budget, engine.preset) == (pytest.approx(3), None, "fast")
    no_better = Noise2Noise(start=after).with_training_of(after)
    assert no_better.epochs == pytest.approx(0.5)  # a single step


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
    outer = report(rescale_progress(stage(), 0.0, 0.5), 0.2, 0.8, "a part")  # type: ignore[arg-type]
    while True:
        try:
            steps.append(next(outer))
        except StopIteration as stop:
            assert stop.value == "result"
            break
    assert [step.fraction for step in steps] == pytest.approx([0.35, 0.5])


def test_other_formats_than_tiff_are_read_by_plugins() -> None:
    script = as_python(Reucid(), "map.dm4")
    assert "from napari_lowdose.io.readers import read_image\n" in script
    assert "image = read_image('map.dm4').pixels\n" in script
    assert "tifffile" not in script


def test_a_damaged_zarr_array_is_refused_with_the_frame_named(tmp_path: Path) -> None:
    import zarr

    movie = np.arange(3 * 8 * 8.0).reshape(3, 8, 8) + 1
    array = zarr.create_array(tmp_path / "in.zarr", data=movie, chunks=(1, 8, 8))
    np.testing.assert_array_equal(denoise(array, Halving()), movie / 2)
    (tmp_path / "in.zarr" / "c" / "1" / "0" / "0").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"frame 2 of 3: the zarr array is damaged"):
        denoise(array, Halving())
    (tmp_path / "in.zarr" / "c" / "1" / "0" / "0").unlink()
    with pytest.raises(ValueError, match=r"frame 2 of 3: the chunk c/1/0/0 .* is missing"):
        denoise(array, Halving())


def test_a_zarr_array_whose_rows_and_columns_come_first_is_refused() -> None:
    import zarr

    array = zarr.create_array({}, data=np.ones((8, 8, 3)), dimension_names=["y", "x", "t"])
    with pytest.raises(ValueError, match="has the axes YXT"):
        denoise(array, Halving())
