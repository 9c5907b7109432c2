"""The noise of an image from the image itself."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_lowdose import estimate_noise
from napari_lowdose.samples.nuclei import nuclei


def lattice(side: int = 256, electrons: float = 10, floor: float = 0.5) -> np.ndarray:
    y, x = np.indices((side, side))
    spots = np.exp(-((y % 20 - 10) ** 2 + (x % 22 - 11) ** 2) / 18)
    return electrons * (floor + spots)


def camera(electrons, *, gain=2.0, offset=0.0, read=3.0, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return gain * rng.poisson(electrons) + offset + read * rng.standard_normal(electrons.shape)


@pytest.mark.parametrize(
    ("scene", "electrons"), [("lattice", 3), ("lattice", 30), ("nuclei", 3), ("nuclei", 10)]
)
def test_gain_and_read_noise(scene, electrons) -> None:
    truth = lattice() if scene == "lattice" else nuclei((256, 256))
    truth = truth * (electrons / truth.mean())
    noise = estimate_noise(camera(truth), offset=0)
    assert noise.gain == pytest.approx(2, rel=0.1)
    # The variance at zero: the share of the read noise is small, and structure adds to it.
    assert noise.read_noise == pytest.approx(3, abs=1.2)
    assert noise.notes == ()


def test_pedestal_of_a_camera() -> None:
    image = camera(lattice(electrons=30, floor=0.1), offset=100)
    found = estimate_noise(image)
    assert found.gain == pytest.approx(2, rel=0.1)
    assert 98 <= found.offset <= 110
    assert estimate_noise(image, offset=100).read_noise == pytest.approx(3, rel=0.3)


def test_line_and_curve_agree() -> None:
    noise = estimate_noise(camera(lattice(electrons=30)))
    np.testing.assert_allclose(noise.variance(noise.levels), noise.variances, rtol=0.2)


def test_additive_noise() -> None:
    image = lattice() + np.random.default_rng(0).normal(0, 2, (256, 256))
    noise = estimate_noise(image)
    assert noise.gain == 0
    assert noise.read_noise == pytest.approx(2, rel=0.03)
    assert noise.notes == ()


@pytest.mark.parametrize("fault", ["hot pixels", "row noise", "saturation"])
def test_faults_do_not_count(fault) -> None:
    rng = np.random.default_rng(1)
    image = camera(lattice(electrons=40), seed=2)
    if fault == "hot pixels":
        image.flat[rng.choice(image.size, 30, replace=False)] = 5000
    elif fault == "row noise":
        image += rng.normal(0, 8, (256, 1))
    else:
        image = np.minimum(image, 110)
    noise = estimate_noise(image, offset=0)
    assert noise.gain == pytest.approx(2, rel=0.15)


def test_correlated_noise_is_recognised() -> None:
    image = gaussian_filter(camera(lattice(electrons=40)), 0.8)
    with pytest.warns(UserWarning, match="correlated between neighbouring pixels"):
        noise = estimate_noise(image)
    assert "correlated" in noise.notes[0]


def test_stretched_image_is_treated_as_additive() -> None:
    image = camera(lattice(electrons=200, floor=0.02), gain=1, read=0.5)
    stretched = np.maximum(image, 0) ** 3
    with pytest.warns(UserWarning, match="does not grow linearly"):
        noise = estimate_noise(stretched)
    assert noise.gain == 0


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 64, 64)), "select a frame"),
        (np.full((64, 64), np.nan), "NaN"),
        (np.ones((64, 64)), "constant"),
    ],
)
def test_bad_input(image, message) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_noise(image)
