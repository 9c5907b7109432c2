"""Contrast of sites to their surroundings, such that white noise has the variance 1."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy

from napari_lowdose.imaging.local_contrast import SURROUNDINGS, contrast_reach, site_sigma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.inspection.residual import Residual

SPIKE = 5.5  # standard deviations of a single pixel that sticks out
BESIDE = 4.0  # standard deviations of its neighbours, at most
MOST_SPIKES = 1e-3  # fraction of the pixels; more of them are structure


class NoiseContrast(NamedTuple):
    """Contrast of the residual and of the raw image, in standard deviations of that of noise.

    Attributes
    ----------
    removed, raw : (Y, X) float32 array
    """

    removed: NDArray[np.floating]
    raw: NDArray[np.floating]

    @classmethod
    def of(cls, residual: Residual, width: int, spikes: NDArray[np.intp]) -> NoiseContrast:
        """Filter a residual.

        Parameters
        ----------
        residual : Residual
        width : int
            PSF width whose structures stand out most, pixels.
        spikes : (k, 2) array
            Pixels (y, x) to leave out.
        """
        images = []
        for image in (residual.normalised, residual.raw):
            if len(spikes):
                image = image.copy()
                image[tuple(spikes.T)] = 0
            images.append(_filtered(image, width) / np.float32(impulse(width).deviation))
        return cls(*images)


class Impulse(NamedTuple):
    """Properties of the contrast of white noise of variance 1.

    Attributes
    ----------
    deviation : float
        Its standard deviation.
    correlated : float
        Sum of its squared autocorrelation, pixels.
    """

    deviation: float
    correlated: float


@lru_cache(maxsize=8)
def impulse(width: int) -> Impulse:
    """Return the properties of the contrast of white noise at a PSF width."""
    n = 4 * contrast_reach(width) + 1
    pulse = np.zeros((n, n), np.float64)
    pulse[n // 2, n // 2] = 1
    response = _filtered(pulse, width)
    correlation = scipy.fft.ifft2(np.abs(scipy.fft.fft2(response)) ** 2).real
    variance = float(correlation[0, 0])
    return Impulse(float(np.sqrt(variance)), float(np.sum(correlation**2)) / variance**2)


def spikes(normalised: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the pixels (k, 2) that stick out of the noise and of all pixels around them.

    Parameters
    ----------
    normalised : (Y, X) float32 array
        Residual in standard deviations of the noise.

    Examples
    --------
    >>> image = np.zeros((9, 9), np.float32)
    >>> image[2, 3] = 8
    >>> spikes(image).tolist()
    [[2, 3]]
    """
    at = np.argwhere(np.abs(normalised) > SPIKE)
    if not len(at) or len(at) > MOST_SPIKES * normalised.size + 1:
        return np.empty((0, 2), np.intp)
    padded = np.pad(normalised, 1)
    around = [
        np.abs(padded[at[:, 0] + 1 + dy, at[:, 1] + 1 + dx])
        for dy, dx in itertools.product((-1, 0, 1), repeat=2)
        if (dy, dx) != (0, 0)
    ]
    return np.asarray(at[np.max(around, axis=0) < BESIDE])


def _filtered(image: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Return the contrast of sites to their surroundings; nothing is outside of the image."""
    sigma = site_sigma(width)
    site, around = (
        scipy.ndimage.gaussian_filter(image, s, mode="constant")
        for s in (sigma, SURROUNDINGS * sigma)
    )
    site -= around
    return np.asarray(site)
