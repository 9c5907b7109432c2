"""Warnings of correlated noise: between neighbouring pixels, or along columns."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import scipy

from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

CROP = 512  # size of the central crop of a larger image, pixels
CORNERS, REFERENCE = 0.6, (0.40, 0.48)  # cycles per pixel; scenes have little power there
FINE_AXIS, OTHER_AXIS = 0.4, (0.2, 0.35)  # likewise, to compare rows with columns
MAX_POWER_RATIO = 0.6  # noise is correlated below this ratio of noise powers
MIN_SIGNIFICANCE = 4.0  # significance, in standard errors of that ratio
FINE = 8  # frequencies below 1 / FINE cycles per pixel are ignored: they contain the scene
REFERENCE_PERIODS = np.arange(4, 20)  # periods per column of the reference for the column means
MIN_COLUMN_POWER = 5.0  # minimum power of column noise, relative to the reference


CORRELATED_NOISE = (
    "neighbouring pixels share their noise (a resampled, smoothed or compressed image?), which "
    "looks like structure: denoise the pixels as they were recorded."
)
COLUMN_NOISE = {
    "columns": "the columns differ in their offset (column noise of a camera?), which looks like "
    "structure and is not removed: use scan_noise='columns'.",
    "rows": "the rows differ in their offset (scan noise?), which looks like structure and is not "
    "removed: use scan_noise='remove'.",
}


class NoiseChecks(NamedTuple):
    """Signs that the noise of an image is not independent from pixel to pixel.

    Attributes
    ----------
    columns_differ : bool
        The columns have random offsets.  Those between rows are scan noise.
    correlated : bool
        Neighbouring pixels share their noise.
    """

    columns_differ: bool
    correlated: bool

    def warn(self, name: Literal["columns", "rows"] = "columns") -> None:
        """Warn of both.

        Parameters
        ----------
        name : "columns" or "rows"
            Name of the columns of the image in the message: "rows" if it is transposed.
        """
        if self.columns_differ:
            warn(COLUMN_NOISE[name], stacklevel=3)
        if self.correlated:
            warn(CORRELATED_NOISE, stacklevel=3)


def check_noise(image: NDArray[np.float32]) -> NoiseChecks:
    """Check whether the noise of an image is independent from pixel to pixel.

    Parameters
    ----------
    image : (m, n) float32 array

    Returns
    -------
    NoiseChecks
    """
    return NoiseChecks(columns_differ(image), noise_is_correlated(image))


def noise_is_correlated(image: NDArray[np.float32]) -> bool:
    """Return whether the noise of neighbouring pixels is correlated.

    White noise has the same power at all frequencies.  In blurred, interpolated or resampled
    images it has less power in the corners of the spectrum, where there is no scene, or less
    along one axis than along the other.

    Parameters
    ----------
    image : (m, n) float32 array

    Returns
    -------
    bool

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)
    >>> noise_is_correlated(noise)
    False
    """
    image = _middle(image)
    windowed = image - image.mean()
    for axis, n in enumerate(image.shape):
        windowed *= np.expand_dims(np.hanning(n).astype(np.float32), 1 - axis)
    spectrum = scipy.fft.rfft2(windowed, overwrite_x=True).ravel()
    corners, beside, of_columns, of_rows = (
        _median_power(spectrum.take(part)) for part in _parts_of_spectrum(*image.shape)
    )
    return (
        _is_lower(corners, beside)
        or _is_lower(of_columns, of_rows)
        or _is_lower(of_rows, of_columns)
    )


@lru_cache(maxsize=4)  # computed once per movie
def _parts_of_spectrum(height: int, width: int) -> tuple[NDArray[np.intp], ...]:
    """Return the frequencies of the corners, beside them, and fine ones of columns and of rows."""
    down = np.abs(scipy.fft.fftfreq(height))[:, np.newaxis]
    along = scipy.fft.rfftfreq(width)[np.newaxis]
    radius = np.hypot(down, along)
    # Exclude the axes, which contain the offsets of rows and columns.
    beside = _between(radius, *REFERENCE) & (down > 0.05) & (along > 0.05)
    of_columns = (along > FINE_AXIS) & _between(down, *OTHER_AXIS)
    of_rows = (down > FINE_AXIS) & _between(along, *OTHER_AXIS)
    return tuple(np.flatnonzero(part) for part in (radius > CORNERS, beside, of_columns, of_rows))


def _between(frequency: NDArray[Any], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((frequency > low) & (frequency < high))


def _median_power(waves: NDArray[np.complex64]) -> tuple[int, float]:
    """Return the number of waves and their median power, which ignores lattice peaks."""
    power = waves.real**2 + waves.imag**2
    half = power.size // 2
    return power.size, float(np.partition(power, half)[half]) if power.size else 0.0


def _is_lower(here: tuple[int, float], there: tuple[int, float]) -> bool:
    """Return True if the median power of the frequencies here is significantly lower.

    Parameters
    ----------
    here, there : (int, float)
        Number of frequencies, and their median power.
    """
    n = min(here[0], there[0]) / 2  # the window correlates neighbours
    if n < 1:
        return False
    # Relative standard error of the median of exponentially distributed powers: 1.44 / sqrt(n)
    error = 1.44 * np.sqrt(2 / n)
    ratio = here[1] / max(there[1], float(np.finfo(np.float32).tiny))
    return bool(ratio < MAX_POWER_RATIO and np.log(max(ratio, 1e-30)) < -MIN_SIGNIFICANCE * error)


def columns_differ(image: NDArray[np.float32]) -> bool:
    """Return whether the columns have random offsets, such as those of a camera.

    Parameters
    ----------
    image : (m, n) float32 array

    Returns
    -------
    bool
    """
    image = _middle(image)
    height, width = image.shape
    if min(image.shape) < 2 * REFERENCE_PERIODS[-1]:
        return False
    # Compare the column means with other slow waves along the columns, which contain similar
    # parts of the scene but no column noise.
    profiles = _waves(height) @ image
    profiles -= profiles.mean(axis=1, keepdims=True)
    spectra = np.square(np.abs(scipy.fft.rfft(profiles * np.hanning(width), axis=1)))
    power = np.median(spectra[:, width // FINE :], axis=1)
    return bool(power[0] > MIN_COLUMN_POWER * np.median(power[1:]))


@lru_cache(maxsize=4)  # computed once per movie
def _waves(height: int) -> NDArray[np.float32]:
    """Return a constant and slow waves along a column, of equal power."""
    angle = 2 * np.pi * REFERENCE_PERIODS[:, np.newaxis] * np.arange(height) / height
    waves = np.concatenate([np.full((1, height), np.sqrt(0.5)), np.cos(angle), np.sin(angle)])
    return np.asarray(waves, np.float32)


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    y, x = (max(0, (n - CROP) // 2) for n in image.shape)
    return image[y : y + CROP, x : x + CROP]
