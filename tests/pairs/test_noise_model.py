"""Simulated pairs, Eq. (1): light, noise, independence and error messages."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lowdose.pairs.noise_model import expected_photons, simulate_pair

STEPS = np.repeat([1.0, 2.0, 5.0], 40_000).reshape(3, 200, 200)  # three flat frames


@pytest.mark.parametrize(
    ("light", "brightest"), [({"photons": 32}, 60), ({"maximum": 60}, 60), ({}, 5)]
)
def test_mean_photons(light: dict[str, float], brightest: float) -> None:
    first, second = simulate_pair(STEPS, **light)
    for frame, level in zip((first + second) / 2, STEPS[:, 0, 0] / 5 * brightest, strict=True):
        assert frame.mean() == pytest.approx(level, abs=5 * np.sqrt(level / 80_000))


@pytest.mark.parametrize("noise", [{"gaussian_variance": 9.0}, {"read_noise": 3.0}])
def test_variance_is_photons_plus_gaussian_variance(
    noise: dict[str, float],
) -> None:
    first, _ = simulate_pair(STEPS, photons=8, **noise)
    expected = expected_photons(STEPS, photons=8)
    for frame, photons in zip(first, expected[:, 0, 0], strict=True):
        assert frame.var() == pytest.approx(photons + 9, rel=0.04)  # 5 sigma of 40,000 pixels


def test_noise_of_the_exposures_is_independent() -> None:
    first, second = simulate_pair(np.ones((400, 400)), photons=3, gaussian_variance=0.3)
    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert abs(correlation) < 5 / 400  # five standard deviations


def test_first_case_of_table_1() -> None:
    first, _ = simulate_pair(STEPS, maximum=3, gaussian_variance=0.3)
    assert first[2].mean() == pytest.approx(3, abs=0.05)
    assert first[2].var() == pytest.approx(3.3, rel=0.04)


def test_seed_determines_the_pair() -> None:
    pair = simulate_pair(STEPS, photons=5, read_noise=1, seed=3)
    again = simulate_pair(STEPS, photons=5, read_noise=1, seed=3)
    np.testing.assert_array_equal(pair, again)
    assert pair[0].shape == STEPS.shape
    assert pair[0].dtype == pair[1].dtype == np.float32
    assert (simulate_pair(STEPS, photons=5, read_noise=1, seed=4)[0] != pair[0]).any()


def test_uneven_splitting_preserves_light_and_adds_both_offsets() -> None:
    first, second = simulate_pair(np.ones((300, 300)), photons=50, ratio=0.6, offset=(100, 90))
    assert first.mean() == pytest.approx(160, abs=0.2)
    assert second.mean() == pytest.approx(130, abs=0.2)
    assert (first.var(), second.var()) == pytest.approx((60, 40), rel=0.03)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
def test_dtypes_of_the_truth(dtype: type) -> None:
    target = (np.indices((64, 64)).sum(0) % 2).astype(dtype)
    first, _ = simulate_pair(target, maximum=1000)
    assert (first[target == 0] == 0).all()
    assert first[target == 1].mean() == pytest.approx(1000, rel=0.01)


def test_truth_is_not_modified() -> None:
    truth = STEPS.copy()
    simulate_pair(truth, photons=5, offset=10)
    np.testing.assert_array_equal(truth, STEPS)


ONES = np.ones((8, 8))


@pytest.mark.parametrize(
    ("truth", "options", "message"),
    [
        (ONES - 2, {"photons": 5}, r"negative pixels \(minimum -1\)"),
        (ONES * np.nan, {"photons": 5}, "NaN"),
        (ONES * np.inf, {}, "infinite"),
        (ONES * 1j, {"photons": 5}, "complex"),
        (ONES[:0], {"photons": 5}, "empty"),
        (ONES * 0, {"photons": 5}, "zero everywhere"),
        (ONES, {"photons": 0}, "positive number, not 0"),
        (ONES, {"maximum": -3}, "positive number, not -3"),
        (ONES, {"photons": np.nan}, "positive number"),
        (ONES, {"photons": 5, "maximum": 5}, "not both"),
        (ONES, {"gaussian_variance": 1, "read_noise": 1}, "not both"),
        (ONES, {"gaussian_variance": -1}, "at least 0, not -1"),
        (ONES, {"read_noise": np.inf}, "at least 0"),
        (ONES, {"ratio": 60}, "between 0 and 1, not 60"),
        (ONES, {"ratio": "even"}, "between 0 and 1, not 'even'"),
        (ONES, {"photons": "few"}, "positive number, not 'few'"),
        (ONES, {"read_noise": "low"}, "at least 0, not 'low'"),
        (ONES, {"offset": np.nan}, "offset is a number, or one for each exposure"),
        (ONES, {"offset": (1, 2, 3)}, "offset is a number, or one for each exposure"),
        (ONES, {"seed": -1}, "seed must be a whole number"),
    ],
)
def test_error_messages(truth: np.ndarray, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_pair(truth, **options)
