"""Noise that is not white is named, and white noise is not."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from benchmarks.scenes import lattice
from napari_lowdose import Reucid, denoise

ENGINE = Reucid(patch_size=9)
RNG = np.random.default_rng


def counts(dose: float = 20, seed: int = 0, side: int = 160) -> np.ndarray:
    return RNG(seed).poisson(2 + dose * lattice(2.0, 12.0, (side, side))).astype(float)


def said(image: np.ndarray, scan_noise: str = "remove") -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoise(image, replace(ENGINE, scan_noise=scan_noise))  # type: ignore[arg-type]
    return " ".join(str(warning.message) for warning in caught)


@pytest.mark.parametrize("dose", [1, 5, 20, 200])
@pytest.mark.parametrize("seed", range(3))
def test_white_noise_is_no_reason_to_warn(dose: float, seed: int) -> None:
    text = said(counts(dose, seed))
    assert "share their noise" not in text and "columns differ" not in text


def test_a_scene_as_fine_as_the_pixels_is_no_noise() -> None:
    scene = gaussian_filter(RNG(1).normal(size=(160, 160)), 1.0)
    image = RNG(2).poisson(60 * (1 + 0.8 * scene / np.abs(scene).max()))
    assert "share their noise" not in said(image)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image: gaussian_filter(image, 0.6),
        lambda image: zoom(image, 1.5, order=1),
        lambda image: zoom(image, (1, 1.4), order=1),
        lambda image: zoom(image, (1.4, 1), order=3),
        lambda image: np.kron(image, np.ones((2, 2))),
    ],
    ids=["detector", "resampled", "stretched", "stretched down", "binned up"],
)
def test_noise_that_neighbours_share_is_said(spoil) -> None:
    text = said(spoil(counts()))
    assert "neighbouring pixels share their noise" in text
    assert "raise n_components" not in text


def test_column_noise_is_said_and_row_noise_is_removed() -> None:
    image, offsets = counts(), RNG(3).normal(0, 4, 160)
    text = said(image + offsets)
    assert "the columns differ in their offset" in text
    assert "scan_noise='columns'" in text
    assert said(image + offsets[:, np.newaxis]) == ""
    assert said(image + offsets, "columns") == ""
    assert "the rows differ in their offset" in said(image + offsets[:, np.newaxis], "columns")
