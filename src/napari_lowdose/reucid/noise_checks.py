"""Noise that is not what REUCID takes noise for: shared by neighbours, or by whole columns."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

PART = 512  # pixels: the middle of a larger image is enough
BLOCK = 32  # pixels
EVERYWHERE = 0.1  # quantile of the blocks: structure that was missed is only in some of them
SHARED = 0.12  # correlation of neighbours from which on it is said; white noise stays below 0.03
FINE = 8  # a column pattern counts from this part of the frequencies on: there is little scene
BESIDE = np.arange(4, 20)  # periods along the columns, of what is compared with their means
STRIPES = 5.0  # times the power, from which on the columns differ


def neighbours_share_noise(
    residual: NDArray[np.float32], eigenpatches: NDArray[np.float32]
) -> bool:
    """Return whether neighbouring pixels have noise in common, everywhere in the image.

    Parameters
    ----------
    residual : (m, n) float32 array
        What was taken away: the image less the result.
    eigenpatches : (k, p, p) float32 array
        The kept ones.  They take their part of white noise too, so that what is left of it is
        correlated; that is known, and does not count.
    """
    residual = _middle(residual)
    if min(residual.shape) <= 2 * BLOCK:
        return False
    p = eigenpatches.shape[-1]
    shape = (2 * p, 2 * p)
    taken = np.square(np.abs(scipy.fft.rfft2(eigenpatches, shape))).sum(axis=0) / p**2
    white = scipy.fft.irfft2(np.square(1 - taken), shape)
    shared = []
    for dy, dx in ((0, 1), (1, 0)):
        height, width = (n - 1 - (n - 1) % BLOCK for n in residual.shape)
        pixel = residual[:height, :width]
        neighbour = residual[dy : height + dy, dx : width + dx]
        power = (_blocks(pixel * pixel) + _blocks(neighbour * neighbour)) / 2
        correlation = _blocks(pixel * neighbour) / np.maximum(power, np.finfo(np.float32).tiny)
        shared.append(np.quantile(correlation, EVERYWHERE) - white[dy, dx] / white[0, 0])
    return bool(max(shared) > SHARED)


def warn_of_shared_noise() -> None:
    """Say that what neighbours share cannot be told from structure."""
    warnings.warn(
        "neighbouring pixels share their noise (is the image interpolated, resampled or "
        "smoothed?), which cannot be told from structure and stays: denoise the pixels as they "
        "were recorded.",
        UserWarning,
        stacklevel=3,
    )


def warn_of_column_noise(image: NDArray[np.float32]) -> None:
    """Warn if whole columns differ by chance; rows that do are scan noise, which is known.

    Parameters
    ----------
    image : (m, n) float32 array
    """
    image = _middle(image)
    height, width = image.shape
    if min(image.shape) < 2 * BESIDE[-1]:
        return
    angle = 2 * np.pi * BESIDE[:, np.newaxis] * np.arange(height) / height
    waves = np.concatenate([np.full((1, height), np.sqrt(0.5)), np.cos(angle), np.sin(angle)])
    profiles = np.asarray(waves, np.float32) @ image
    profiles -= profiles.mean(axis=1, keepdims=True)
    spectra = np.square(np.abs(scipy.fft.rfft(profiles * np.hanning(width), axis=1)))
    power = np.median(spectra[:, width // FINE :], axis=1)
    if power[0] > STRIPES * np.median(power[1:]):
        warnings.warn(
            "the columns differ in their offset (column noise of a camera?), which cannot be told "
            "from structure and stays: denoise the transposed image with scan_noise='remove'.",
            UserWarning,
            stacklevel=3,
        )


def _middle(image: NDArray[np.float32]) -> NDArray[np.float32]:
    y, x = (max(0, (n - PART) // 2) for n in image.shape)
    return image[y : y + PART, x : x + PART]


def _blocks(image: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = (n // BLOCK for n in image.shape)
    blocks = image.reshape(height, BLOCK, width, BLOCK)
    return blocks.mean(axis=(1, 3))
