"""The noise has the statistics that it claims."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.noise import (
    add_noise,
    blurred_noise,
    peak_electrons,
    scale_for_psnr,
    scan_noise,
    shot_noise,
)

SHAPE = (256, 300)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def truth() -> np.ndarray:
    """Return columns of atoms of two heights, as a fraction of the beam."""
    y, x = np.indices(SHAPE)
    lattice = (1 + np.cos(2 * np.pi * x / 15)) * (1 + np.cos(2 * np.pi * y / 20))
    return (0.002 + 0.01 * lattice * (1 + (x > 150))).astype(np.float32)


def test_dose_becomes_electrons_at_the_maximum(truth: np.ndarray) -> None:
    expected = 500 * 0.15**2 * float(truth.max())
    assert peak_electrons(truth, dose=500, pixel_size=0.15) == pytest.approx(expected, rel=1e-5)


def test_shot_noise_counts_whole_electrons_with_poisson_variance(
    rng: np.random.Generator, truth: np.ndarray
) -> None:
    peak, top = 5.0, float(truth.max())
    noisy = shot_noise(truth, rng, peak=peak)
    counts = noisy / top * peak
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)
    expected = truth / top * peak
    assert counts.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert ((counts - expected) ** 2).mean() == pytest.approx(expected.mean(), rel=0.03)


def test_gaussian_noise_is_a_share_of_the_maximum(
    rng: np.random.Generator, truth: np.ndarray
) -> None:
    noise = add_noise(truth, rng, peak=math.inf, gaussian=0.05) - truth
    assert noise.std() == pytest.approx(0.05 * truth.max(), rel=0.02)
    assert abs(noise.mean()) < 4 * noise.std() / math.sqrt(noise.size)


def test_row_noise_is_one_offset_per_row(rng: np.random.Generator) -> None:
    noise = scan_noise((4000, 5), rng, row=0.08)
    assert np.ptp(noise, axis=1).max() == 0
    offsets = noise[:, 0]
    assert offsets.std() == pytest.approx(0.08, rel=0.05)
    assert abs(np.corrcoef(offsets[1:], offsets[:-1])[0, 1]) < 0.06


def test_drift_is_one_over_f_along_the_scan(rng: np.random.Generator) -> None:
    drift = np.concatenate([scan_noise((64, 256), rng, drift=0.1).ravel() for _ in range(20)])
    assert drift.std() == pytest.approx(0.1, rel=0.02)
    power = (np.abs(np.fft.rfft(drift.reshape(20, -1))) ** 2).mean(0)
    frequency = np.arange(1, len(power) - 1)
    slope = np.polyfit(np.log(frequency), np.log(power[1:-1]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


def test_blurred_noise_is_shared_by_neighbours_in_both_directions(
    rng: np.random.Generator,
) -> None:
    noise = blurred_noise((512, 512), rng, sd=0.03, blur_sigma=1.5)
    assert noise.std() == pytest.approx(0.03, rel=0.02)
    expected = math.exp(-(2**2) / (4 * 1.5**2))  # of a Gaussian blur, two pixels apart
    for axis in (0, 1):
        shared = np.mean(noise * np.roll(noise, 2, axis)) / noise.var()
        assert shared == pytest.approx(expected, abs=0.03)


def test_the_kinds_add_up(rng: np.random.Generator, truth: np.ndarray) -> None:
    parts = {"gaussian": 0.05, "row": 0.08, "drift": 0.04, "blurred": 0.03}
    noise = (add_noise(truth, rng, peak=20, **parts) - truth) / truth.max()
    expected = sum(share**2 for share in parts.values()) + truth.mean() / truth.max() / 20
    assert (noise**2).mean() == pytest.approx(expected, rel=0.15)  # 256 rows: 9 % of row**2
    assert noise.dtype == np.float32


@pytest.mark.parametrize("target", [9, 13, 16, 22, 26, 35])
def test_the_wanted_psnr_is_met(rng: np.random.Generator, truth: np.ndarray, target: float) -> None:
    level = scale_for_psnr(truth, target)
    noisy = add_noise(truth, rng, peak=level.peak, gaussian=level.gaussian)
    error = np.mean((noisy - truth) ** 2, dtype=np.float64)
    assert 10 * math.log10(float(truth.max()) ** 2 / error) == pytest.approx(target, abs=0.15)
    assert level.gaussian == pytest.approx(0.05) or target > 23


def test_same_seed_same_noise(truth: np.ndarray) -> None:
    first, second = (
        add_noise(truth, np.random.default_rng(3), peak=4, row=0.1, blurred=0.02) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), np.array([[1.0, -0.1]])])
def test_a_truth_without_electrons_is_refused(rng: np.random.Generator, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        add_noise(wrong.astype(np.float32), rng, peak=5)
