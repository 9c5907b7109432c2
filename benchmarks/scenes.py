"""Scenes with a known PSF, composed of Gaussians."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Image = NDArray[np.float64]


def scattered(sigma: float, shape: tuple[int, int] = (256, 256), seed: int = 0) -> Image:
    """Return point sources at random positions, blurred by a Gaussian PSF; 0 to 1."""
    rng = np.random.default_rng(seed)
    points = np.zeros(shape)
    number = int(0.02 * points.size / sigma**2)
    points[rng.integers(0, shape[0], number), rng.integers(0, shape[1], number)] = 1
    spots = gaussian_filter(points, sigma)
    return spots / spots.max()


def lattice(
    sigma: float, pitch: float, shape: tuple[int, int] = (256, 256), turn: float = 0.1
) -> Image:
    """Return a square lattice of Gaussian spots, rotated by `turn` radians; 0 to 1."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    turned = np.cos(turn) * y - np.sin(turn) * x, np.sin(turn) * y + np.cos(turn) * x
    offsets = [(axis + pitch / 2) % pitch - pitch / 2 for axis in turned]
    return np.exp(-(offsets[0] ** 2 + offsets[1] ** 2) / (2 * sigma**2))


def background(shape: tuple[int, int], seed: int) -> Image:
    """Return a gradient with blobs as wide as a quarter of the image; 0 to 2."""
    blobs = gaussian_filter(np.random.default_rng(seed).normal(size=shape), shape[0] / 8)
    return (blobs - blobs.min()) / np.ptp(blobs) + np.linspace(0, 1, shape[1])
