"""A lazy movie is denoised frame by frame, in threads or on a cluster, with the same result."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

from napari_lowdose import Noise2Noise, Reucid, denoise
from napari_lowdose.engine import Engine, Step


@dataclass(frozen=True)
class Tenfold(Engine):
    """Ten times as bright; notes in a folder where it has arrived, and what it has done."""

    folder: str = ""
    die_once: bool = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self._note("arrived")

    def frame_steps(self, frame: np.ndarray) -> Iterator[Step]:
        marker = Path(self.folder, "died")
        if self.die_once and frame[0, 0] == 3 and not marker.exists():
            marker.touch()
            os._exit(1)
        self._note("denoised")
        yield Step(fraction=1.0, message="done", image=(10 * frame).astype(np.float32))

    def _note(self, what: str) -> None:
        if self.folder:
            with open(Path(self.folder, f"{what}_{os.getpid()}"), "a") as file:
                file.write(".")


def counted(folder: Path, what: str) -> list[int]:
    return [path.stat().st_size for path in folder.glob(f"{what}_*")]


def numbered(n: int, chunks: int = 1) -> Any:
    """Return a lazy movie whose frames begin with their number."""
    frames = np.broadcast_to(np.arange(12.0).reshape(3, 4), (n, 3, 4)).copy()
    frames[:, 0, 0] = range(n)
    return da.from_array(frames, chunks=(chunks, 2, 4))


def crystal(n: int) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    truth = 4 + 20 * np.sin(y / 3) ** 2 * np.sin(x / 3) ** 2
    return np.random.default_rng(0).poisson(truth, (n, 64, 64)).astype(np.uint16)


def test_whatever_the_chunks_a_frame_is_denoised_whole() -> None:
    movie = numbered(6, chunks=4)
    clean = denoise(movie, Tenfold())
    assert (clean.shape, clean.dtype, clean.chunksize) == ((6, 3, 4), np.float32, (1, 3, 4))
    np.testing.assert_array_equal(clean, 10 * movie)
    np.testing.assert_array_equal(clean[2:4, 1], 10 * movie[2:4, 1])


def test_several_leading_axes_and_none() -> None:
    movie = numbered(6).reshape(2, 3, 3, 4)
    np.testing.assert_array_equal(denoise(movie, Tenfold()), 10 * movie)
    frame = denoise(movie[0, 0], Tenfold())
    assert isinstance(frame, da.Array)
    np.testing.assert_array_equal(frame, 10 * movie[0, 0])


def test_a_pair_of_which_one_is_lazy() -> None:
    @dataclass(frozen=True)
    class Difference(Engine):
        takes = "pair"

        def frame_steps(self, first: np.ndarray, second: np.ndarray) -> Iterator[Step]:
            image = (first - second).astype(np.float32)
            yield Step(fraction=1.0, message="done", image=image)

    movie = numbered(3)
    clean = denoise((movie, np.ones(movie.shape)), Difference())
    assert isinstance(clean, da.Array)
    np.testing.assert_array_equal(clean, movie - 1)


def test_the_first_frame_decides_the_patch_size_for_all_tasks() -> None:
    movie = crystal(3)
    movie[1] = np.random.default_rng(1).poisson(9, (64, 64))  # alone it would have another
    engine = Reucid(seed=2)
    expected = denoise(movie, engine)
    clean = denoise(da.from_array(movie, chunks=(1, -1, -1)), engine)
    np.testing.assert_array_equal(clean[1], expected[1])
    np.testing.assert_array_equal(clean, expected)


def test_a_constant_first_frame_decides_nothing() -> None:
    movie = crystal(3)
    movie[0] = 7
    with pytest.warns(UserWarning, match="frame 1 of 3 is constant"):
        expected = denoise(movie, Reucid())
    with pytest.warns(UserWarning, match="frame 1 of 3 is constant"):
        clean = denoise(da.from_array(movie, chunks=(1, -1, -1)), Reucid()).compute()
    np.testing.assert_array_equal(clean, expected)


def test_an_error_names_the_frame() -> None:
    movie = crystal(3).astype(np.float32)
    movie[2, 0, 0] = np.nan
    clean = denoise(da.from_array(movie, chunks=(1, -1, -1)), Reucid(patch_size=7))
    assert clean[0].compute().shape == (64, 64)
    with pytest.raises(ValueError, match=r"^frame 3 of 3: 1 of 4096 pixels are NaN"):
        clean.compute()


def test_nothing_is_computed_before_it_is_asked_for(tmp_path: Path) -> None:
    clean = denoise(numbered(5), Tenfold(str(tmp_path)))
    assert counted(tmp_path, "denoised") == []
    clean[3].compute(scheduler="synchronous")
    assert counted(tmp_path, "denoised") == [1]


# ------------------------------------------------------------------------ a cluster


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Return the client of a cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.admin.low-level-log-length": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_on_a_cluster_the_engine_travels_once(client: Any, tmp_path: Path) -> None:
    movie = numbered(24)
    clean = denoise(movie, Tenfold(str(tmp_path)))
    np.testing.assert_array_equal(clean.compute(), 10 * np.asarray(movie))
    assert sum(counted(tmp_path, "denoised")) == 24
    # Once to the scheduler and once to each process, in whatever parcels
    assert sum(counted(tmp_path, "arrived")) <= 6


def test_reucid_and_errors_on_a_cluster(client: Any) -> None:
    movie = crystal(3)
    lazy = da.from_array(movie, chunks=(1, -1, -1))
    np.testing.assert_allclose(denoise(lazy, Reucid()), denoise(movie, Reucid()), rtol=1e-5)
    with pytest.raises(ValueError, match=r"^frame . of 3: the image of 6 x 6 pixels is too small"):
        denoise(lazy[:, :6, :6], Reucid(patch_size=5)).compute()


def test_a_killed_worker_costs_no_frame(client: Any, tmp_path: Path) -> None:
    movie = numbered(12)
    clean = denoise(movie, Tenfold(str(tmp_path), die_once=True)).compute()
    assert (tmp_path / "died").exists()
    np.testing.assert_array_equal(clean, 10 * np.asarray(movie))


def test_a_network_warns_of_a_movie_once_and_not_for_every_frame() -> None:
    movie = crystal(3)
    model = Noise2Noise(epochs=1, width=4).train(movie[0], movie[1])
    brighter = da.from_array(movie + 1000, chunks=(1, -1, -1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoise(brighter, model).compute(scheduler="synchronous")
    told = [str(warning.message) for warning in caught if "mean of" in str(warning.message)]
    assert len(told) == 1
