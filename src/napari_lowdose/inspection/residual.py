"""What a denoiser removed, in units of the noise: pixel by pixel, and at the scale of the PSF."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.engine import Step
from napari_lowdose.evidence import evidence, valid_pixels
from napari_lowdose.imaging.local_contrast import contrast_reach

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

FALSE_ALARMS = 0.003  # expected number of an image, of each test
LEAST_VARIANCE = 0.02  # of the mean one: where no electron is expected, the variance would be 0
ROWS = 512  # of a strip; a larger image needs too much memory as a whole


@dataclass(frozen=True, eq=False)
class Residual:
    """Raw image minus result, in units of the noise.

    Attributes
    ----------
    noise : PoissonGaussian
    psf_width : int
        Pixels.
    valid : (Y, X) bool array
        Pixels within the image area that are no outliers.
    normalised : (Y, X) float32 array
        Residual over the standard deviation of the noise, without the offsets of whole rows, which
        are scan noise; 0 where it is not valid.
    raw : (Y, X) float32 array
        Raw image without its mean over the same standard deviation.
    kurtosis : float
        Mean excess kurtosis of a pixel of noise: 1 over the number of electrons, if they are few.
    removed, unsupported : (Y, X) bool array
        Single places that differ significantly; see `Evidence`.
    """

    noise: PoissonGaussian
    psf_width: int
    valid: NDArray[np.bool_]
    normalised: NDArray[np.float32]
    raw: NDArray[np.float32]
    kurtosis: float
    removed: NDArray[np.bool_]
    unsupported: NDArray[np.bool_]


def residual_steps(
    raw: NDArray[Any], result: NDArray[Any], noise: PoissonGaussian, psf_width: int
) -> Generator[Step, None, Residual]:
    """Compare a raw image with its result, strip by strip.

    Parameters
    ----------
    raw, result : (Y, X) array
        Finite pixels, of the same shape.
    noise : PoissonGaussian
        Of the raw image.
    psf_width : int
        Pixels.

    Yields
    ------
    Step

    Returns
    -------
    Residual
    """
    shape = raw.shape
    threshold = float(scipy.stats.norm.isf(FALSE_ALARMS / 2 / raw.size))
    valid = np.zeros(shape, bool)
    normalised, before = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    removed, unsupported = np.zeros(shape, bool), np.zeros(shape, bool)
    typical = float(np.mean(noise.variance(result[:: max(1, shape[0] // 256)])))
    level = float(np.mean(raw, dtype=np.float64))
    kurtosis = 0.0
    margin = contrast_reach(psf_width) + psf_width
    for own, wide in _strips(shape[0], margin):
        inside = slice(own.start - wide.start, own.stop - wide.start)
        one, other = (np.asarray(image[wide], np.float64) for image in (raw, result))
        valid[own] = valid_pixels(raw[wide])[inside]
        deviation = np.sqrt(np.maximum(noise.variance(other[inside]), LEAST_VARIANCE * typical))
        electrons = noise.variance(other[inside]) - noise.read_noise**2
        kurtosis += float(np.sum(noise.gain**2 * electrons / deviation**4)) / raw.size
        difference = np.where(valid[own], (one - other)[inside], 0)
        n = np.maximum(valid[own].sum(axis=1, keepdims=True), 1)
        offsets = difference.sum(axis=1, keepdims=True) / n
        normalised[own] = np.where(valid[own], (difference - offsets) / deviation, 0)
        before[own] = np.where(valid[own], (one[inside] - level) / deviation, 0)
        if np.ptp(one) and np.ptp(other):
            found = evidence(one, other, noise, threshold=threshold, psf_width=psf_width)
            removed[own], unsupported[own] = found.removed[inside], found.unsupported[inside]
        yield Step(fraction=own.stop / shape[0], message="comparing with the noise")
    return Residual(noise, psf_width, valid, normalised, before, kurtosis, removed, unsupported)


def _strips(height: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows of each strip, and the same with a margin on both sides."""
    n = max(1, round(height / ROWS))
    ends = np.linspace(0, height, n + 1).astype(int).tolist()
    for start, stop in pairwise(ends):
        yield slice(start, stop), slice(max(0, start - margin), min(height, stop + margin))
