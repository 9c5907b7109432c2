"""Calibration against a noisy partner agrees with calibration against the truth."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.scenes import lattice
from napari_lowdose.noise2noise.evaluation.calibration import calibrate
from napari_lowdose.pairs.noise_model import simulate_pair

SCENE = 20 * lattice(2.0, 12.0, (128, 128)) + 5
OFFSET = 100.0


def outputs(seed: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Simulate a pair, and denoise it with a filter that loses gain and offset."""
    first, second = simulate_pair(SCENE, read_noise=2, offset=OFFSET, seed=seed)
    r1, r2 = (gaussian_filter(image, 1.0) / 7 - 3 for image in (first, second))
    return r1, r2, first, second


def regression(output: NDArray) -> tuple[float, float]:
    """Slope and intercept from the noise-free scene."""
    slope, intercept = np.polyfit(output.ravel().astype(float), SCENE.ravel() + OFFSET, 1)
    return float(slope), float(intercept)


@pytest.mark.parametrize("use", ["both", "first"])
def test_calibration_is_unbiased(use: str) -> None:
    excess = []
    for seed in range(60):
        r1, r2, first, second = outputs(seed)
        output = (r1 + r2) / 2 if use == "both" else r1
        slope, intercept = calibrate(r1, r2 if use == "both" else None, first, second)
        right, _ = regression(output)
        excess.append(slope / right - 1)
        # the level is kept, camera offset and all
        level = slope * output.mean() + intercept
        assert level == pytest.approx(SCENE.mean() + OFFSET, abs=0.15)
    error = np.std(excess) / np.sqrt(len(excess))
    assert abs(np.mean(excess)) < 3.5 * error
    assert error < 0.002  # a bias of 1 % would show


def test_calibration_against_its_own_exposure_is_biased() -> None:
    """The bias that the test above could detect is much larger than its tolerance."""
    r1, _, first, _ = outputs(0)
    slope, _ = calibrate(r1, None, first, first)
    assert slope > 1.1 * regression(r1)[0]


def test_shape_of_the_pixels_does_not_matter() -> None:
    r1, r2, first, second = outputs(1)
    flat = calibrate(r1.ravel(), r2.ravel(), first.ravel(), second.ravel())
    assert flat == pytest.approx(calibrate(r1, r2, first, second))


@pytest.mark.parametrize("level", [0.0, 3.0, 1e5])
def test_constant_output_becomes_the_mean(level: float) -> None:
    _, _, first, second = outputs(2)
    constant = np.full(first.shape, level, np.float32)
    slope, intercept = calibrate(constant, constant, first, second)
    assert slope == 0
    assert intercept == pytest.approx((first.mean() + second.mean()) / 2)


def test_anticorrelated_output_is_not_inverted() -> None:
    r1, r2, first, second = outputs(3)
    slope, intercept = calibrate(-r1, -r2, first, second)
    assert slope == 0
    assert intercept == pytest.approx(SCENE.mean() + OFFSET, abs=0.2)


def test_no_pixels() -> None:
    empty = np.empty((0, 8, 8))
    with pytest.raises(ValueError, match="no pixels"):
        calibrate(empty, empty, empty, empty)
