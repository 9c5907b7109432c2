"""A movie goes frame by frame into a zarr array; what is finished stays, whatever happens."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_lowdose import Noise2Noise, Noise2NoiseModel, Reucid, Stream, denoise, denoise_to_zarr
from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.samples import stem_pair
from tests.streaming.counting import Counting, numbered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clean.zarr"


def stopped_after(stream: Stream, n: int) -> None:
    """Run until the n-th frame is written."""
    for step in stream:
        n -= step.image is not None and not isinstance(step, TrainingStep)
        if n == 0:
            return


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_the_result_is_that_of_denoise(path: Path, kind: str) -> None:
    movie: Any = numbered(4)
    if kind == "dask":
        movie = da.from_array(movie, chunks=(3, 5, 3))
    elif kind == "zarr":
        movie = zarr.create_array(path.with_name("in.zarr"), data=movie)
    clean = denoise_to_zarr(movie, Counting(), path, scale=(1, 0.5, 0.5), axes="TYX")
    np.testing.assert_array_equal(clean[:], 2 * numbered(4))
    assert (clean.dtype, clean.chunks) == (np.float32, (1, 5, 6))
    assert clean.attrs["scale"] == [1, 0.5, 0.5] and clean.attrs["axes"] == "TYX"
    (record,) = clean.attrs["napari-lowdose"]["history"]
    assert record["finished"] and record["parameters"]["factor"] == 2
    assert record["input"]["shape"] == [4, 5, 6]
    assert sorted(each.name for each in path.iterdir()) == ["0", "zarr.json"]


@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 5, 6)])
def test_one_image_and_several_leading_axes(path: Path, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).normal(size=shape)
    clean = denoise_to_zarr(image, Counting(), path)
    assert clean.chunks == (1,) * (len(shape) - 2) + (5, 6)
    np.testing.assert_array_equal(clean[:], (2 * image).astype(np.float32))


def test_steps_tell_how_far_it_is_and_images_come_when_they_are_written(path: Path) -> None:
    stream = Stream(numbered(4), Counting(), path)
    written = []
    fractions = []
    for step in stream:
        fractions.append(step.fraction)
        if step.image is not None:
            np.testing.assert_array_equal(stream.image[step.index], step.image)
            written.append(step.index)
            assert step.seconds_left is not None
    assert written == [(0,), (1,), (2,), (3,)]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert stream.finished


def test_finished_frames_stay_and_are_not_made_again(path: Path) -> None:
    engine = Counting()
    stopped_after(Stream(numbered(5), engine, path), 3)
    assert engine.seen == [0, 1, 2]
    half = zarr.open_array(path / "0")
    np.testing.assert_array_equal(half[:3], 2 * numbered(5)[:3])
    assert np.isnan(half[3:]).all() and not half.attrs["napari-lowdose"]["finished"]

    stream = Stream(numbered(5), engine, path)
    steps = list(stream)
    assert engine.seen == [0, 1, 2, 3, 4]
    assert steps[0].fraction >= 3 / 5
    assert steps[0].message == "frame 4 of 5: half way"  # of the whole movie
    np.testing.assert_array_equal(stream.image[:], 2 * numbered(5))

    list(Stream(numbered(5), engine, path))  # all is there
    assert engine.seen == [0, 1, 2, 3, 4]


def test_an_error_names_the_frame_and_the_others_stay(path: Path) -> None:
    movie = numbered(4)
    movie[2, 1, 1] = np.nan
    with pytest.raises(ValueError, match=r"^frame 3 of 4: there is nothing to see"):
        denoise_to_zarr(movie, Counting(), path)
    with pytest.raises(ValueError, match=r"^frame 3 of 4: "):  # so also when it is resumed
        denoise_to_zarr(movie, Counting(), path)
    assert np.isnan(zarr.open_array(path / "0")[:, 0, 0]).tolist() == [False, False, True, True]


def test_where_nothing_was_reached_nothing_is_left(path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to see"):
        denoise_to_zarr(np.full((2, 4, 5), np.nan), Counting(), path)
    assert not path.exists()


@pytest.mark.parametrize("change", ["engine", "parameter", "input", "shape"])
def test_another_work_is_not_mixed_in(path: Path, change: str) -> None:
    stopped_after(Stream(numbered(3), Counting(), path), 1)
    movie, engine = numbered(3), Counting()
    if change == "engine":
        engine = Reucid()  # type: ignore[assignment]
    elif change == "parameter":
        engine = Counting(3.0)
    elif change == "input":
        movie[2, 3, 3] += 1
    else:
        movie = movie[:2]
    with pytest.raises(ValueError, match="begun with another input, engine or parameter"):
        denoise_to_zarr(movie, engine, path)
    assert zarr.open_array(path / "0")[0, 1, 1] == 2 * numbered(3)[0, 1, 1]
    if engine != Reucid():
        clean = denoise_to_zarr(movie, engine, path, overwrite=True)
        np.testing.assert_array_equal(clean[:], engine.factor * movie)


def test_what_else_is_there_is_not_replaced(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("precious")
    for overwrite, error in ((False, FileExistsError), (True, ValueError)):
        with pytest.raises(error):
            denoise_to_zarr(numbered(2), Counting(), path, overwrite=overwrite)
    assert (path / "thesis.txt").read_text() == "precious"
    movie = zarr.create_array(tmp_path / "in.zarr", data=numbered(2))
    with pytest.raises(ValueError, match="would replace the input"):
        denoise_to_zarr(movie, Counting(), tmp_path / "in.zarr", overwrite=True)
    np.testing.assert_array_equal(movie[:], numbered(2))


def test_without_resume_an_existing_result_stays(path: Path) -> None:
    denoise_to_zarr(numbered(2), Counting(), path)
    with pytest.raises(FileExistsError, match="overwrite"):
        denoise_to_zarr(numbered(2), Counting(), path, resume=False)


def test_a_half_written_line_does_not_count(path: Path) -> None:
    engine = Counting()
    stopped_after(Stream(numbered(15), engine, path), 12)
    log = path / "0" / "frame_hashes.txt"
    log.write_bytes(log.read_bytes()[:-1])  # a hash without its end
    clean = denoise_to_zarr(numbered(15), engine, path)
    assert engine.seen == [*range(12), *range(11, 15)]
    np.testing.assert_array_equal(clean[:], 2 * numbered(15))


KILLED = """
import sys, numpy as np
from napari_lowdose import Stream
from tests.streaming.counting import Counting, numbered
for step in Stream(numbered(40), Counting(), sys.argv[1]):
    if step.image is not None and step.index == (20,):
        print("twenty", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_process_costs_time_only(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, path],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"twenty\n"
        process.send_signal(signal.SIGKILL)
    engine = Counting()
    clean = denoise_to_zarr(numbered(40), engine, path)
    np.testing.assert_array_equal(clean[:], 2 * numbered(40))
    assert set(engine.seen).isdisjoint(range(20))


class Endless:
    """A movie that is computed frame by frame."""

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, n: int) -> None:
        self.shape = (n, 64, 64)

    def __getitem__(self, index: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng(index[0]).random(self.shape[1:], np.float32)


def test_no_python_memory_is_kept_per_frame(path: Path) -> None:
    """Nor NumPy arrays; `benchmarks/streaming.py` measures what Python does not count."""
    tracemalloc.start()
    try:
        for step in Stream(Endless(450), Counting(), path):
            if step.index == (200,) and step.image is not None:
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
        del step
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 250 < 1000  # bytes


# ------------------------------------------------------------------------ Noise2Noise


def test_a_network_is_trained_kept_and_not_trained_again(path: Path) -> None:
    first, second, _ = stem_pair()
    first, second = (np.stack([image[:96, :96], image[96:192, :96]]) for image in (first, second))
    engine = Noise2Noise(epochs=2, width=8, seed=1, fallback=False)
    stopped_after(Stream((first, second), engine, path), 1)
    model = Noise2NoiseModel.load(path / "network.safetensors")
    stream = Stream((first, second), engine, path)
    messages = [step.message for step in stream]
    assert not any("training" in message for message in messages)
    assert stream.record()["training"]["epochs"] == 2
    np.testing.assert_array_equal(stream.image[:], denoise((first, second), model))
    # A network like any other engine
    clean = denoise_to_zarr(first, model, path.with_name("applied.zarr"))
    np.testing.assert_array_equal(clean[:], denoise(first, model))


def test_a_refused_pair_leaves_nothing(path: Path) -> None:
    movie = np.random.default_rng(0).poisson(9, (2, 64, 64)).astype(np.float32)
    with pytest.raises(ValueError, match="same data"):
        denoise_to_zarr((movie, movie), Noise2Noise(epochs=1), path)
    assert not path.exists()


# ------------------------------------------------------------------------ a cluster


def test_with_a_client_open_frames_are_denoised_on_the_cluster(path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    engine = Counting()
    movie = numbered(12)
    movie[4] = 7  # constant
    lazy = da.from_array(movie, chunks=(1, 5, 6))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster),
    ):
        stopped_after(Stream(lazy, engine, path), 5)
        clean = denoise_to_zarr(lazy, engine, path)
        stored = zarr.create_array(path.with_name("in.zarr"), data=movie, chunks=(1, 5, 6))
        (path.with_name("in.zarr") / "c" / "2" / "0" / "0").write_bytes(b"?")
        with pytest.raises(ValueError, match=r"^frame 3 of 12: the input cannot be read"):
            denoise_to_zarr(da.from_zarr(stored), engine, path.with_name("damaged.zarr"))
    assert engine.seen == []  # nothing was done here
    expected = 2 * movie
    expected[4] = 7
    np.testing.assert_array_equal(clean[:], expected)


# ------------------------------------------------------------------------ napari


def test_napari_opens_it_lazily(path: Path) -> None:
    denoise_to_zarr(numbered(3), Counting(), path)
    import npe2

    npe2.PluginManager.instance().discover()
    (((data,), *_),) = npe2.read([str(path)], stack=False, plugin_name="napari")  # one resolution
    assert isinstance(data, da.Array)
    np.testing.assert_array_equal(data[1], 2 * numbered(3)[1])
