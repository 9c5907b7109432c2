"""Black, constant, repeated and dark frames of a movie are excluded from training."""

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_lowdose.noise2noise.training_data import TrainingPairs, training_pairs
from napari_lowdose.noise2noise.usable_pairs import UsablePairs, usable_pairs
from tests.noise2noise.known_pair import known_pair

N = 6


def movies() -> tuple[NDArray, NDArray]:
    pairs = [known_pair(64, seed=seed, offset=100) for seed in range(N)]
    return np.stack([pair.first for pair in pairs]), np.stack([pair.second for pair in pairs])


FIRST, SECOND = movies()


def restored(pairs: UsablePairs) -> NDArray:
    deviations, means = (each[..., None, None] for each in (pairs.deviations, pairs.means))
    return pairs.exposures * deviations + means


def trained_on(first: NDArray, second: NDArray) -> TrainingPairs:
    return training_pairs(first, second, every=1, seed=0, normalisation=None)


def test_each_frame_is_standardised() -> None:
    pairs = usable_pairs(FIRST, SECOND, every=1)
    assert len(pairs) == N
    assert not pairs.choice
    np.testing.assert_allclose(pairs.exposures.mean(axis=(2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(pairs.exposures.std(axis=(2, 3)), 1, rtol=1e-4)
    np.testing.assert_allclose(restored(pairs)[:, 0], FIRST, rtol=1e-5)


@pytest.mark.parametrize("level", [0, 100, 7.5])
@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_constant_frames_are_excluded(level: float, which: str) -> None:
    first, second = FIRST.copy(), SECOND.copy()
    for name, movie in (("first", first), ("second", second)):
        if which in (name, "both"):
            movie[[0, 4]] = level
    with pytest.warns(UserWarning, match=r"frames 1 and 5 of 6 \(black or constant in one"):
        pairs = trained_on(first, second)
    good = trained_on(FIRST[[1, 2, 3, 5]], SECOND[[1, 2, 3, 5]])
    np.testing.assert_array_equal(pairs.exposures, good.exposures)
    assert (pairs.offset, pairs.scale, pairs.match) == (good.offset, good.scale, good.match)


def test_dark_frames_with_read_noise_are_excluded() -> None:
    rng = np.random.default_rng(0)
    first, second = FIRST.copy(), SECOND.copy()
    first[0], second[0] = rng.normal(100, 1, (2, 64, 64))
    second[3] = rng.normal(100, 1, (64, 64))
    with pytest.warns(UserWarning, match=r"frames 1 and 4 of 6 \(dark in one exposure\)"):
        pairs = trained_on(first, second)
    assert len(pairs) == 4
    np.testing.assert_allclose(
        pairs.exposures[:, 0] * pairs.scale + pairs.offset, FIRST[[1, 2, 4, 5]], rtol=1e-4
    )


def test_dim_channel_is_not_dark() -> None:
    first, second = FIRST.copy(), SECOND.copy()
    rng = np.random.default_rng(0)
    first[3:], second[3:] = (
        rng.poisson(known_pair(64).truth / 10, (3, 64, 64)) for _ in ("first", "second")
    )
    assert len(trained_on(first, second)) == N


def test_repeated_frames_are_excluded() -> None:
    first, second = FIRST.copy(), SECOND.copy()
    first[2] = first[1]
    second[5] = second[0]
    pairs = usable_pairs(first, second, every=1)
    assert str(pairs.choice) == "frames 3 and 6 of 6 (the same as an earlier frame)"
    np.testing.assert_allclose(restored(pairs)[:, 0], FIRST[[0, 1, 3, 4]], rtol=1e-5)


def test_repeated_frame_in_pairs_of_consecutive_frames() -> None:
    movie = FIRST.copy()
    movie[3] = movie[2]
    pairs = usable_pairs(movie[:-1], movie[1:], every=1)
    assert str(pairs.choice) == "frames 3 and 4 of 5 (the same as an earlier frame)"
    movie[1] = movie[0]
    pairs = usable_pairs(movie[:-1], movie[1:], every=1)
    assert "frame 1 of 5 (the same in both exposures)" in str(pairs.choice)


def test_names_of_excluded_frames() -> None:
    first = np.concatenate([FIRST, np.zeros((14, 64, 64))])
    second = np.concatenate([SECOND, np.zeros((14, 64, 64))])
    pairs = usable_pairs(first, second, every=1)
    assert str(pairs.choice) == "14 of 20 frames (black or constant in one exposure)"


def test_no_usable_pair() -> None:
    with pytest.raises(ValueError, match=r"no pair to train on: frames 1 and 2 of 2 \(black"):
        trained_on(np.zeros((2, 64, 64)), SECOND[:2])


def test_outliers_are_replaced_and_excluded() -> None:
    first, second = FIRST.copy(), SECOND.copy()
    first[1, 20, 30] = 65535
    second[:, 40, 41] = 4095  # hot, fixed to the sensor
    first[:, 40, 41] = 4095
    with pytest.warns(UserWarning, match="13 outlier pixels were excluded from training"):
        pairs = trained_on(first, second)
    assert pairs.n_outliers == 13
    assert not pairs.seen[1, 20, 30]
    assert not pairs.seen[:, 40, 41].any()
    expected = trained_on(FIRST, SECOND)
    assert pairs.scale == pytest.approx(expected.scale, rel=0.01)
    assert pairs.offset == pytest.approx(expected.offset, rel=0.01)
    assert pairs.match.gain == pytest.approx(expected.match.gain, rel=0.01)
    assert np.abs(pairs.exposures).max() < 1.1 * np.abs(expected.exposures).max()


def test_info_bar_and_dead_border_are_excluded() -> None:
    first, second = (np.pad(each, ((0, 0), (8, 24), (0, 0))) for each in (FIRST, SECOND))
    for movie in (first, second):
        movie[:, 80:92, 4:60:3] = 255
    pairs, expected = trained_on(first, second), trained_on(FIRST, SECOND)
    np.testing.assert_array_equal(pairs.exposures, expected.exposures)
    assert pairs.tiles == expected.tiles


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e18, 1e30])
def test_units_do_not_matter(scale: float) -> None:
    pairs = trained_on(FIRST.astype(float) * scale, SECOND.astype(float) * scale)
    expected = trained_on(FIRST, SECOND)
    np.testing.assert_allclose(pairs.exposures, expected.exposures, atol=2e-4)
    assert pairs.match.gain == pytest.approx(expected.match.gain, rel=1e-4)
    assert pairs.scale == pytest.approx(expected.scale * scale, rel=1e-4)


# Frames of very different brightness


def channels(ratio: float, gains: tuple[float, float] = (1.0, 1.0)) -> tuple[NDArray, NDArray]:
    """Three frames of two channels, the first `ratio` times as bright, (T, C, Y, X)."""
    rng = np.random.default_rng(0)
    scene = known_pair(96).truth
    truth = np.broadcast_to(np.stack([ratio * scene, scene.T]), (3, 2, 96, 96))
    return rng.poisson(truth), rng.poisson(truth * np.array(gains)[:, None, None]) + 50


def test_each_channel_has_its_own_normalisation() -> None:
    pairs = trained_on(*channels(100))
    dim, bright = pairs.levels
    assert bright.contrast > 40 * dim.contrast
    assert pairs.level.tolist() == [1, 0] * 3
    np.testing.assert_allclose(pairs.exposures[:, 0].std(axis=(1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(pairs.exposures.mean(axis=(2, 3)), 0, atol=1e-4)
    held_out = {int(pairs.level[pair]) for pair, _, _ in pairs.tiles}
    assert held_out == {0, 1}


def test_each_channel_has_its_own_gain() -> None:
    pairs = trained_on(*channels(50, gains=(0.5, 0.8)))
    dim, bright = pairs.levels
    assert dim.gain == pytest.approx(0.8, rel=0.08)
    assert bright.gain == pytest.approx(0.5, rel=0.02)
    assert bright.offset == pytest.approx(50, abs=20)


def test_bleaching_movie_has_one_normalisation() -> None:
    rng = np.random.default_rng(0)
    scene = known_pair(64).truth
    light = np.linspace(1, 0.5, N)[:, None, None]
    assert not trained_on(rng.poisson(light * scene), rng.poisson(light * scene)).levels


def test_strongly_bleaching_movie_is_one_level() -> None:
    rng = np.random.default_rng(0)
    scene = 10 * known_pair(64).truth
    light = np.geomspace(1, 0.1, 12)[:, None, None]
    pairs = trained_on(rng.poisson(light * scene), rng.poisson(light * scene))
    assert len(pairs.levels) == 1


def test_channels_with_different_offsets() -> None:
    first, second = FIRST.copy(), SECOND.copy()
    first[::2] += 1000
    second[::2] += 1000
    pairs = trained_on(first, second)
    np.testing.assert_allclose(pairs.exposures.mean(axis=(2, 3)), 0, atol=1e-3)
