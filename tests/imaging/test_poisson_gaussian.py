"""Poisson-Gaussian noise: variance, stabilisation and its exact unbiased inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

N = 40_000


def pixels(noise: PoissonGaussian, electrons: float, seed: int = 0) -> np.ndarray:
    """Draw pixels that all expect the same number of electrons."""
    rng = np.random.default_rng(seed)
    counts = noise.gain * rng.poisson(electrons, N)
    return counts + noise.offset + noise.read_noise * rng.standard_normal(N)


@pytest.mark.parametrize(("gain", "offset", "read"), [(1, 0, 0), (2, 100, 3), (0.5, 10, 2)])
@pytest.mark.parametrize("electrons", [5, 20, 200, 1e5])
def test_stabilised_noise_has_unit_variance(gain, offset, read, electrons) -> None:
    noise = PoissonGaussian(gain, offset, read)
    assert noise.stabilise(pixels(noise, electrons)).std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("gain", "offset", "read"), [(1, 0, 0.3), (2, 100, 3), (0, 5, 2), (3, 0, 60)]
)
@pytest.mark.parametrize("electrons", [0.05, 0.5, 2, 10, 99, 101, 1e4])
def test_inverse_is_unbiased_at_any_dose(gain, offset, read, electrons) -> None:
    noise = PoissonGaussian(gain, offset, read)
    image = pixels(noise, electrons)
    found = float(noise.unstabilise(noise.stabilise(image).mean(dtype=np.float64)))
    error = np.sqrt(noise.variance(image.mean()) / N)
    assert found == pytest.approx(gain * electrons + offset, abs=4 * float(error))


def test_formula_of_the_asymptotic_inverse_would_be_biased() -> None:
    noise = PoissonGaussian(1, 0, 0)
    mean = noise.stabilise(pixels(noise, 0.5)).mean(dtype=np.float64)
    assert abs((mean / 2) ** 2 - 0.375 - 0.5) > 0.1
    assert float(noise.unstabilise(mean)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("electrons", [0.02, 0.2, 1, 5, 50])
def test_variance_that_stabilisation_leaves(electrons) -> None:
    noise = PoissonGaussian(2, 10, 0.4)
    stabilised = noise.stabilise(pixels(noise, electrons))
    predicted = float(noise.stabilised_variance(stabilised.mean()))
    assert predicted == pytest.approx(stabilised.var(), rel=0.05)


@settings(max_examples=50, deadline=None)
@given(
    gain=st.floats(0.01, 100),
    offset=st.floats(-1e3, 1e3),
    read=st.floats(0.01, 100),
    level=st.floats(0, 1e4),
)
def test_inverse_rises_and_stays_near_the_level(gain, offset, read, level) -> None:
    noise = PoissonGaussian(gain, offset, read)
    values = np.linspace(-5, 50, 400)
    assert (np.diff(noise.unstabilise(values).astype(float)) >= -1e-3 * gain).all()
    bright = offset + gain * (1000 + level)
    back = float(noise.unstabilise(noise.stabilise(bright)))
    assert back == pytest.approx(bright, abs=float(np.sqrt(noise.variance(bright))))


def test_additive_noise() -> None:
    noise = PoissonGaussian(0, 5, 2)
    assert noise.variance([0, 100]).tolist() == [4, 4]
    np.testing.assert_allclose(noise.unstabilise(noise.stabilise([1.0, 7.0])), [1, 7])
    assert noise.stabilised_variance([0.0, 9.0]).tolist() == [1, 1]


@pytest.mark.parametrize(
    "values", [(-1, 0, 1), (1, 0, -1), (np.nan, 0, 1), (1, np.inf, 1), ("1", 0, 0)]
)
def test_impossible_noise(values) -> None:
    with pytest.raises(ValueError, match="must be zero or positive"):
        PoissonGaussian(*values)


def test_no_noise() -> None:
    with pytest.raises(ValueError, match="no noise"):
        PoissonGaussian(0, 3, 0)
