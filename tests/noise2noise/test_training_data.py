"""Training data are gain matched and normalised, and tiles are held out."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_lowdose.noise2noise import gain_matching
from napari_lowdose.noise2noise.evaluation import gain_interval
from napari_lowdose.noise2noise.training_data import held_out_side, training_pairs

SHAPE = (96, 128)


def stack(n: int = 3, gain: float = 0.6, offset: float = 100.0) -> tuple[NDArray, NDArray]:
    """Pairs with different scenes; the second exposure is darker by `gain`."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    scenes = [(40 + 10 * k) + 20 * np.sin(x / (4 + k)) * np.cos(y / 5) for k in range(n)]
    first = rng.poisson(scenes) + offset
    second = rng.poisson(gain * np.array(scenes)) + offset
    return first, second


def test_all_pairs_share_one_normalisation() -> None:
    first, second = stack()
    pairs = training_pairs(first, second, every=1, seed=0, normalisation=None)
    assert pairs.exposures.shape == (3, 2, *SHAPE)
    assert pairs.exposures.dtype == np.float32
    assert pairs.exposures.mean() == pytest.approx(0, abs=1e-4)
    variance = pairs.exposures.astype(float).var(axis=(0, 2, 3)).mean()
    assert variance == pytest.approx(1, rel=1e-4)
    # The first in its own units; the scenes keep their levels against each other
    back = pairs.exposures[:, 0] * pairs.scale + pairs.offset
    np.testing.assert_allclose(back, first, rtol=1e-5)


def test_second_exposure_is_in_the_units_of_the_first() -> None:
    pairs = training_pairs(*stack(), every=1, seed=0, normalisation=None)
    means = pairs.exposures.mean(axis=(2, 3))
    np.testing.assert_allclose(means[:, 0], means[:, 1], atol=0.05)
    assert pairs.match.gain == pytest.approx(0.6, rel=0.05)


def test_every_nth_pair() -> None:
    first, second = stack(5)
    pairs = training_pairs(first, second, every=2, seed=0, normalisation=None)
    assert len(pairs) == 3
    back = pairs.exposures[:, 0] * pairs.scale + pairs.offset
    np.testing.assert_allclose(back, first[::2], rtol=1e-5)
    assert len(training_pairs(first, second, every=99, seed=0, normalisation=None)) == 1


def test_leading_axes_are_pairs() -> None:
    first, second = (s.reshape(2, 2, *SHAPE) for s in stack(4))
    pairs = training_pairs(first, second, every=3, seed=0, normalisation=None)
    back = pairs.exposures[:, 0] * pairs.scale + pairs.offset
    np.testing.assert_allclose(back, [first[0, 0], first[1, 1]], rtol=1e-5)


def test_held_out_tiles_are_marked() -> None:
    pairs = training_pairs(*stack(), every=1, seed=0, normalisation=None)
    expected = np.ones((3, *SHAPE), bool)
    for pair, y, x in pairs.tiles:
        expected[pair, y : y + pairs.side, x : x + pairs.side] = False
    assert np.array_equal(pairs.seen, expected)
    assert 0.05 < np.mean(~pairs.seen) < 0.2
    other = training_pairs(*stack(), every=1, seed=1, normalisation=None)
    assert other.tiles != pairs.tiles


@pytest.mark.parametrize("shape", [(32, 32), (32, 500), (48, 40), (101, 67), (512, 512)])
def test_small_images_hold_out_small_tiles(shape: tuple[int, int]) -> None:
    side = held_out_side(shape)
    assert side % 8 == 0
    assert 8 <= side <= 32
    # At least sixteen to choose from, however small
    assert (shape[0] // side) * (shape[1] // side) >= 16


def test_continued_network_keeps_its_normalisation() -> None:
    first, second = stack()
    pairs = training_pairs(first, second, every=1, seed=0, normalisation=(7.0, 11.0))
    assert (pairs.offset, pairs.scale) == (7.0, 11.0)
    np.testing.assert_allclose(pairs.exposures[:, 0] * 11 + 7, first, rtol=1e-5)


def test_input_is_unchanged() -> None:
    first, second = (s.astype(np.float32) for s in stack(1))
    before = first.copy(), second.copy()
    training_pairs(first, second, every=1, seed=0, normalisation=None)
    assert np.array_equal(first, before[0])
    assert np.array_equal(second, before[1])


def test_long_movie_is_read_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is sufficient for one copy of the exposures in 32 bits."""

    class Lazy:
        """Stands for a movie on the disk."""

        def __init__(self, movie: NDArray) -> None:
            self.movie, self.shape, self.ndim = movie, movie.shape, movie.ndim
            self.dtype, self.read = movie.dtype, []

        def __getitem__(self, index: tuple) -> NDArray:
            self.read.append(index)
            return self.movie[index]

    for module in (gain_matching, gain_interval):  # what they read of a movie is limited
        monkeypatch.setattr(module, "_MAX_PIXELS", SHAPE[0] * SHAPE[1])
    distinct = 0.01 * np.arange(100)[:, None, None]
    first, second = (Lazy(np.tile(s, (20, 1, 1)) + distinct) for s in stack(5))
    tracemalloc.start()
    pairs = training_pairs(first, second, every=1, seed=0, normalisation=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(len(index) == 1 for index in first.read)
    held = pairs.exposures.nbytes + pairs.seen.nbytes
    assert peak < 1.5 * held
