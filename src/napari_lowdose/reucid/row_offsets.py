"""Random offsets of scan rows.

They are white noise along the profile of the image, the means of its rows, in which the scene has
slow variation and the peaks of a lattice.  What is left of them is found in the residual of a
pilot.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.engine import rescale_progress
from napari_lowdose.reucid.noise_estimate import pilot_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_lowdose.reucid.noise_estimate import Pilot
    from napari_lowdose.reucid.prepared import Prepared

ROUNDS = 2  # of pilots: that of an image with offsets keeps a part of them
MIN_SIGNIFICANCE = 2.0  # of the variance of the row means, in its standard errors
MIN_POWER = 2.0  # of the profile at high frequencies, relative to pixel noise
MAX_FALL = 2.5  # of its power between middle and high frequencies: scan noise is white
# Power of a frequency of the profile, relative to that of scan noise, from which on it may be the
# scene, and from which on it is.  That of white noise exceeds 4 once in 16 times.
MAYBE_SCENE, SCENE = 4.0, 8.0


def remove_row_offsets(
    prepared: Prepared,
) -> Generator[float, None, tuple[Prepared, Pilot | None]]:
    """Subtract the offsets of scan rows from a prepared frame.

    Parameters
    ----------
    prepared : Prepared

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    prepared : Prepared
        The same object if there is no scan noise.
    pilot : Pilot or None
        Its pilot, if the last one found no offsets.
    """
    prepared = _subtract(prepared, profile_offsets(prepared.image))
    for number in range(ROUNDS):
        begin, end = number / ROUNDS, (number + 1) / ROUNDS
        pilot = yield from rescale_progress(pilot_of(prepared.image), begin, end)
        offsets = row_offsets(prepared.image - pilot.image)
        if not offsets.any():
            return prepared, pilot
        prepared = _subtract(prepared, offsets)
    return prepared, None


def profile_offsets(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate the random offsets of rows from the means of the rows.

    Parameters
    ----------
    image : (m, n) float32 array

    Returns
    -------
    (m,) float32 array
        The white part of the profile; 0 without scan noise.
    """
    m = len(image)
    profile = image.mean(axis=1, dtype=np.float64)
    spectrum = scipy.fft.rfft(profile - profile.mean())
    power = np.square(np.abs(spectrum)) / m
    middle, high = (np.median(power[part]) for part in (slice(m // 8, m // 4), slice(m // 4, None)))
    white = high / np.log(2)  # the mean of exponentially distributed powers, from their median
    # Variance of the mean of independent pixels
    by_chance = np.median(np.var(np.diff(image, axis=1), axis=1)) / (2 * image.shape[1])
    if white < MIN_POWER * by_chance or middle > MAX_FALL * high:
        return np.zeros(m, np.float32)
    weight = np.clip((SCENE - power / white) / (SCENE - MAYBE_SCENE), 0, 1)
    weight *= 1 - by_chance / white
    return np.asarray(scipy.fft.irfft(spectrum * weight, m), np.float32)


def row_offsets(residual: NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate the random offsets of rows.

    Parameters
    ----------
    residual : (m, n) float32 array
        Image less its pilot.

    Returns
    -------
    (m,) float32 array
        Row means, shrunk by their reliability; 0 without scan noise.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    >>> bool(row_offsets(noise).any())
    False
    >>> noise[100] += 3
    >>> round(float(row_offsets(noise)[100]))
    3
    """
    means = residual.mean(axis=1)
    means -= means.mean()
    by_chance = residual.var() / residual.shape[1]  # variance of the mean of independent pixels
    excess = means.var() - by_chance
    if excess < MIN_SIGNIFICANCE * np.sqrt(2 / len(means)) * by_chance:
        return np.zeros_like(means)
    return np.asarray(means * (excess / (excess + by_chance)), np.float32)


def _subtract(prepared: Prepared, offsets: NDArray[np.float32]) -> Prepared:
    if not offsets.any():
        return prepared
    column = offsets[:, np.newaxis]
    return dataclasses.replace(
        prepared,
        image=prepared.image - column,
        mended=(prepared.mended - column * np.float32(prepared.scale)).astype(np.float32),
    )
