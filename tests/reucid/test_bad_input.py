"""Bad input ends in one clear sentence, or in a stated treatment; never in nonsense."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise

GOOD = np.random.default_rng(0).poisson(20, (40, 40)).astype(float)


def changed(**pixels: float) -> np.ndarray:
    image = GOOD.copy()
    for (name, value), position in zip(pixels.items(), [(3, 4), (5, 6)], strict=False):
        assert name
        image[position] = value
    return image


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (changed(a=np.nan), "1 of 1600 pixels are NaN or infinite"),
        (changed(a=np.inf, b=-np.inf), "2 of 1600 pixels are NaN or infinite"),
        (np.full((40, 40), 7), "constant (every pixel is 7)"),
        (GOOD[:6, :], "smaller than a patch of 7 x 7"),
        (np.zeros((40, 40, 3), np.uint8), "looks like RGB"),
        (GOOD > 20, "boolean"),
        (GOOD * 1j, "complex"),
        (np.zeros((0, 40)), "empty"),
        (GOOD[0], "at least two axes"),
        (np.array([["a", "b"]]), "not a number per pixel"),
    ],
)
def test_unsuitable_image(image: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        denoise(image, Reucid(patch_size=7))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"patch_size": 8}, "odd number of at least 3, for example 9"),
        ({"patch_size": 1}, "odd number of at least 3"),
        ({"patch_size": "huge"}, '"auto", "psf", "wide"'),
        ({"n_stacks": 0}, "n_stacks is 0"),
        ({"n_components": 0}, "n_components is 0"),
        ({"memory_limit": 0}, "memory_limit is 0"),
        ({"scan_noise": "yes"}, '"remove" or "keep"'),
        ({"keep": 0}, "keep is 0"),
        ({"keep": 26, "patch_size": 7}, "keep from 1 to 25 eigenpatches"),
        ({"keep": 76}, "keep from 1 to 75 eigenpatches"),
        ({"keep": []}, "keep is empty"),
        ({"keep": [0, 1], "n_stacks": 5}, "set n_stacks=1"),
        ({"keep": [[0], [1]], "n_stacks": 5}, "set n_stacks=2"),
    ],
)
def test_unsuitable_parameter(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Reucid(**parameters)


def test_index_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="indices from 0 to 24"):
        denoise(GOOD, Reucid(patch_size=7, keep=[0, 25]))


def test_patch_larger_than_the_image() -> None:
    with pytest.raises(ValueError, match="smaller than a patch of 41 x 41"):
        denoise(GOOD, Reucid(patch_size=41))


def test_memory_limit_below_one_row_of_patches() -> None:
    with pytest.raises(ValueError, match="too small for one row of 7 x 7 patches"):
        denoise(GOOD, Reucid(patch_size=7, memory_limit=1000))


def test_saturated_pixels_are_said() -> None:
    image = GOOD.copy()
    image[10:15, 10:15] = 255
    with pytest.warns(UserWarning, match=r"1.6% of the pixels are at the maximum, 255"):
        denoise(image.astype(np.uint8), Reucid(patch_size=7))


def test_a_dead_row_is_said_and_denoised_as_data() -> None:
    image = GOOD.copy()
    image[12] = 0
    with pytest.warns(UserWarning, match=r"1 row of the image \(the first is row 12\)"):
        clean = denoise(image, Reucid(patch_size=7))
    assert np.isfinite(clean).all()


def test_negative_values_are_data() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean = denoise(GOOD - 100, Reucid(patch_size=7, keep=4))
    np.testing.assert_allclose(clean, denoise(GOOD, Reucid(patch_size=7, keep=4)) - 100, atol=1e-3)


def test_the_smallest_image_that_fits() -> None:
    clean = denoise(GOOD[:7, :7], Reucid(patch_size=7))
    assert clean.shape == (7, 7)
    assert np.isfinite(clean).all()
