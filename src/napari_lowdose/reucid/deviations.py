"""Sites that deviate from their group of alike patches, such as vacancies and dopants.

A rare site is outvoted by the many regular ones of its group.  Whether it deviates is therefore
tested against the consensus, in which every patch is the mean of its group and the deviation is
still whole, not against the denoised image, in which half of it may be left.  Where it is
significant and has been weakened, the residual is put back as far as the pilot resolves it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.imaging.local_contrast import SURROUNDINGS, site_sigma

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

# Deviation from the consensus, in standard errors, from which on the residual is put back, and one
# at which all of it is: on features of the consensus, such as atoms, and on a flat background.
# Sites of 3.5 standard errors are lost above 2 on features.  On a background that is all noise, 2
# shows as specks.
ON_FEATURE, ON_BACKGROUND, RANGE = 2.0, 3.2, 1.0
# Contrast of the consensus to its surroundings, in standard errors, that is a background at most,
# and certainly has features.  Crystals at 9 dB have 0.8 to 2.4, empty background 0.2.
FLAT, FEATURE = 0.5, 1.0
# Missing share of a deviation in the denoised image, likewise
SLIGHT, MARKED = 0.1, 0.3


def restore_deviations(
    image: Image,
    denoised: Image,
    consensus: Image,
    variance: NDArray[np.floating],
    kernel: NDArray[np.floating],
    psf_width: int,
) -> Generator[float, None, tuple[Image, Image]]:
    r"""Put back what the groups of alike patches took from sites that deviate from them.

    .. math:: \hat x + M \, K * (z - \hat x)

    Parameters
    ----------
    image : (m, n) float32 array
        Stabilised image z.
    denoised, consensus : (m, n) float32 array
        From `project_alike`.
    variance : (m, n) array
        Noise variance of `image`; below 1 where there are few electrons.
    kernel : (2p - 1, 2p - 1) array
        Kernel K of the pilot.
    psf_width : int
        Pixels.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    restored : (m, n) float32 array
    mask : (m, n) float32 array
        M, from 0 to 1.
    """
    sigma = site_sigma(psf_width)
    mean = functools.partial(scipy.ndimage.gaussian_filter, sigma=sigma)
    found, kept = mean(image - consensus), mean(denoised - consensus)
    yield 0.2
    # The noise of a Gaussian mean: 1 / (2 sqrt(pi) sigma)
    error = np.sqrt(variance) / (2 * np.sqrt(np.pi) * sigma)
    contrast = np.abs(mean(consensus) - mean(consensus, sigma=SURROUNDINGS * sigma)) / error
    yield 0.4
    # Of the region: a faint site between bright ones is as likely to deviate as they are.
    contrast = np.sqrt(mean(contrast**2, sigma=SURROUNDINGS * sigma))
    yield 0.6
    threshold = ON_BACKGROUND + (ON_FEATURE - ON_BACKGROUND) * _ramp(contrast, FLAT, FEATURE)
    missing = 1 - kept / np.where(found == 0, 1, found)
    mask = _ramp(np.abs(found) / error, threshold, threshold + RANGE)
    mask = mask * _ramp(missing, SLIGHT, MARKED)
    mask = scipy.ndimage.maximum_filter(
        mask, footprint=scipy.ndimage.generate_binary_structure(2, 1)
    )
    mask = scipy.ndimage.gaussian_filter(mask, 1)
    yield 0.7
    oaconvolve = scipy.signal.oaconvolve  # its import takes longer than all of this
    yield 0.8
    margin = len(kernel) // 2
    residual = np.pad(image - denoised, margin, mode="symmetric")
    passed = oaconvolve(residual, kernel.astype(np.float32), mode="valid")
    yield 0.95
    return (denoised + mask * passed).astype(np.float32), mask.astype(np.float32)


def _ramp(values: NDArray[np.floating], low: Any, high: Any) -> NDArray[np.floating]:
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))
