"""An engine that asks for neighbouring frames gets them wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from napari_lowdose import Run, Stream, denoise, denoise_to_zarr
from napari_lowdose.engine import Engine, Step

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Slope(Engine):
    """Sum of distance times frame, over the frames up to `reach` before and after."""

    reach: int = 1

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        window = range(max(0, number - self.reach), min(n_frames, number + self.reach + 1))
        return [other for other in window if other != number]

    def frame_steps(self, frame: Any, neighbours: Any = None) -> Iterator[Step]:
        slope = sum(distance * other for distance, (other,) in (neighbours or {}).items())
        image = (frame + 100.0 * slope).astype(np.float32)
        yield Step(fraction=1.0, message="slope", image=image)


@dataclass(frozen=True)
class PairSlope(Slope):
    """The same for the difference of the two exposures of a pair."""

    takes = "pair"

    def frame_steps(self, *frames: Any, neighbours: Any = None) -> Iterator[Step]:
        others = {t: (first - second,) for t, (first, second) in (neighbours or {}).items()}
        yield from super().frame_steps(frames[0] - frames[1], others)


MOVIE = np.random.default_rng(0).integers(0, 100, (5, 4, 6)).astype(np.float64)


def expected(movie: np.ndarray, reach: int = 1) -> np.ndarray:
    """Return the result of `Slope` along the first axis."""
    result = movie.copy()
    for t in range(len(movie)):
        for other in range(max(0, t - reach), min(len(movie), t + reach + 1)):
            result[t] += 100.0 * (other - t) * movie[other]
    return result.astype(np.float32)


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
@pytest.mark.parametrize("shape", [(5, 4, 6), (5, 2, 2, 6)])
def test_neighbours_along_the_first_axis(tmp_path: Path, kind: str, shape: tuple) -> None:
    movie: Any = MOVIE.reshape(shape)
    wanted = expected(movie, reach=2)
    if kind == "dask":
        movie = da.from_array(movie, chunks=(3, *shape[1:-2], 2, 6))
    elif kind == "zarr":
        movie = zarr.create_array(tmp_path / "in.zarr", data=movie)
    np.testing.assert_array_equal(denoise(movie, Slope(2)), wanted)
    np.testing.assert_array_equal(denoise_to_zarr(movie, Slope(2), tmp_path / "out.zarr"), wanted)


def test_neighbours_of_a_pair_are_pairs() -> None:
    pair = MOVIE, MOVIE[::-1]
    wanted = expected(MOVIE - MOVIE[::-1])
    np.testing.assert_array_equal(denoise(pair, PairSlope()), wanted)
    lazy = tuple(da.from_array(each, chunks=(1, 4, 6)) for each in pair)
    np.testing.assert_array_equal(denoise(lazy, PairSlope()), wanted)


def test_a_single_image_has_none() -> None:
    np.testing.assert_array_equal(denoise(MOVIE[0], Slope()), MOVIE[0])


def test_on_a_cluster(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.admin.low-level-log-length": 0}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster),
    ):
        for number, movie in enumerate((MOVIE, da.from_array(MOVIE, chunks=(1, 4, 6)))):
            path = tmp_path / f"{number}.zarr"
            np.testing.assert_array_equal(denoise_to_zarr(movie, Slope(), path), expected(MOVIE))
        np.testing.assert_array_equal(denoise(movie, Slope()).compute(), expected(MOVIE))
    # The hashes from the cluster are those that a later run compares.
    assert list(Stream(MOVIE, Slope(), path))[-1].message == "all frames are finished already"


def test_a_frame_is_unchanged_only_if_its_neighbours_are(tmp_path: Path) -> None:
    stream = Stream(MOVIE, Slope(), tmp_path / "out.zarr")
    for step in stream:
        if step.index == (1,):
            break
    later = MOVIE.copy()
    later[3] += 1  # read by frame 2 and those after it, which are not written yet
    np.testing.assert_array_equal(
        denoise_to_zarr(later, Slope(), tmp_path / "out.zarr"), expected(later)
    )
    later[3] += 1  # now it is
    with pytest.raises(ValueError, match="another input, engine or parameter"):
        denoise_to_zarr(later, Slope(), tmp_path / "out.zarr")
    clean = denoise_to_zarr(later, Slope(), tmp_path / "out.zarr", overwrite=True)
    np.testing.assert_array_equal(clean, expected(later))


def test_a_lazy_frame_reads_its_neighbours_only() -> None:
    read = []

    def frame(block_id: tuple[int, ...]) -> np.ndarray:
        read.append(block_id[0])
        return MOVIE[block_id[0]][np.newaxis]

    movie = da.map_blocks(
        frame, chunks=((1,) * 5, (4,), (6,)), dtype=float, meta=np.empty((0, 0, 0))
    )
    clean = denoise(movie, Slope())
    assert read == []
    np.testing.assert_array_equal(clean[3].compute(scheduler="sync"), expected(MOVIE)[3])
    assert sorted(read) == [2, 3, 4]


def test_an_unreadable_neighbour_is_an_error_that_names_it() -> None:
    def frame(block_id: tuple[int, ...]) -> np.ndarray:
        if block_id[0] == 3:
            raise OSError("disk on fire")
        return MOVIE[block_id[0]][np.newaxis]

    movie = da.map_blocks(
        frame, chunks=((1,) * 5, (4,), (6,)), dtype=float, meta=np.empty((0, 0, 0))
    )
    run = Run(movie, Slope())
    with pytest.raises(ValueError, match=r"^frame 4 of 5: the input cannot be read \(disk on fire"):
        list(run)
    np.testing.assert_array_equal(run.image[:2], expected(MOVIE)[:2])


def test_a_long_lazy_movie_is_there_at_once() -> None:
    movie = da.zeros((2000, 4, 6), chunks=(1, 4, 6))
    clean = denoise(movie, Slope(2))
    assert len(clean[1000].__dask_optimize__(clean.dask, clean[1000].__dask_keys__())) < 20
