"""Agreement of two exposures: alignment of their scenes, independence of their noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.block_statistics import block_means
from napari_lowdose.pairs.correlation_peak import fourier_grid, window
from napari_lowdose.pairs.scene_shift import (
    SMALLEST,
    NotRegisteredError,
    common_field,
    scene_shift,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frame = NDArray[np.float32]

SIGNIFICANT = 5.0  # standard errors
FIELD = 512  # pixels: side of the central field that is tried first
LARGEST_SHIFT = 0.25  # of each side of the frame
BORDER = 8  # pixels: mirrored before a subpixel shift and cropped after it
LEAST_FRACTION = 0.05  # pixels: a smaller subpixel shift is not applied
BLOCK = 8  # pixels: side of the blocks whose means show structure in faint exposures
LEAST_SHIFT = 0.3  # pixels: a smaller shift does no harm and gives no warning

HIGHEST_FREQUENCIES = 0.5  # cycles/pixel and up (the corners of the spectrum): only noise
COHERENT = 0.5  # least coherence of that noise; one exposure and the mean of two reach 0.7
NO_OWN_NOISE = 0.15  # largest share of independent noise in the derived exposure
OWN_NOISE = 0.3  # least share in the other; if both have less, they share a pattern or the scene


@dataclass(frozen=True)
class Agreement:
    """Shift at which two exposures agree.

    Attributes
    ----------
    shift : (float, float) or None
        (dy, dx), pixels. None if they agree nowhere, or if `error` is set.
    misaligned : bool
        Whether `shift` differs significantly from the expected shift.
    error : NotRegisteredError or None
        Reason why the two cannot be compared.
    """

    shift: tuple[float, float] | None
    misaligned: bool = False
    error: NotRegisteredError | None = None


def agreement(first: Frame, second: Frame, expected: tuple[float, float]) -> Agreement:
    """Find the shift at which two frames agree, with the estimator of `register_pair`.

    Parameters
    ----------
    first, second : (Y, X) float32 array
    expected : (float, float)
        Shift (dy, dx) that is assumed, pixels.

    Returns
    -------
    Agreement
    """
    integer = (round(expected[0]), round(expected[1]))
    pair = align(first, second, integer)
    if min(pair[0].shape) < SMALLEST:
        return Agreement(expected)
    max_shift = (
        int(LARGEST_SHIFT * pair[0].shape[0]),
        int(LARGEST_SHIFT * pair[0].shape[1]),
    )
    whole = tuple(slice(0, n) for n in pair[0].shape)
    middle = tuple(slice(max(0, n - FIELD) // 2, (n + min(n, FIELD)) // 2) for n in pair[0].shape)
    # The middle of a large frame is usually enough, and much faster than the whole frame.
    for field in [middle] if middle == whole else [middle, whole]:
        try:
            found = scene_shift(pair[0][field][None], pair[1][field][None], max_shift)
            break
        except NotRegisteredError as caught:
            error = caught
    else:
        if error.kind == "different":
            # Too faint to be registered, but its coarse structure may still correlate in place.
            return Agreement(expected if _coarse_correlation(*pair) > SIGNIFICANT else None)
        return Agreement(None, error=error)
    shift = (integer[0] + found.shift[0], integer[1] + found.shift[1])
    distance = math.hypot(shift[0] - expected[0], shift[1] - expected[1])
    if distance < SIGNIFICANT * math.hypot(*found.error):
        return Agreement(expected)
    return Agreement(shift, misaligned=distance > LEAST_SHIFT)


def align(first: Frame, second: Frame, shift: tuple[float, float]) -> tuple[Frame, Frame]:
    """Crop two frames to their common field and compensate the subpixel shift.

    The subpixel shift is applied to the second frame in Fourier space. Splines would smooth its
    noise, and the checks of the noise would find it correlated.

    Parameters
    ----------
    first, second : (Y, X) float32 array
    shift : (float, float)
        (dy, dx) of the second frame, pixels.

    Returns
    -------
    first, second : (Y', X') float32 array
    """
    integer = (round(shift[0]), round(shift[1]))
    one, other = common_field((first.shape[0], first.shape[1]), integer)
    first, second = first[one], second[other]
    fraction = [shift[0] - integer[0], shift[1] - integer[1]]
    if math.hypot(*fraction) > LEAST_FRACTION:
        from scipy.ndimage import fourier_shift

        # Mirrored borders, because a Fourier shift wraps one edge around to the other.
        mirrored = np.pad(second, BORDER, mode="symmetric")
        spectrum = fourier_shift(np.fft.fft2(mirrored), [-axis for axis in fraction])
        moved = np.fft.ifft2(spectrum).real
        # The pixels next to the edge still depend on the mirrored ones, and are cropped as well.
        second = moved[2 * BORDER : -2 * BORDER, 2 * BORDER : -2 * BORDER].astype(np.float32)
        first = first[BORDER:-BORDER, BORDER:-BORDER]
    return first, second


def _coarse_correlation(first: Frame, second: Frame) -> float:
    """Return the correlation of block means, in standard errors of white noise."""
    means = [block_means(frame, BLOCK) for frame in (first, second)]
    a, b = (mean - mean.mean() for mean in means)
    power = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / math.sqrt(power) * math.sqrt(a.size) if power else 0.0


def derived_exposure(first: NDArray[Any], second: NDArray[Any]) -> str | None:
    """Return which of two aligned exposures was computed from the other.

    The highest frequencies contain only noise. If the noise of the two is coherent there, and
    one of them has hardly any noise of its own, that one is derived from the other: it is the
    mean or sum of both, or a rounded copy.

    Parameters
    ----------
    first, second : (Y, X) array

    Returns
    -------
    {"first", "second"} or None
        The derived exposure; None if the noise is independent.

    Examples
    --------
    >>> import numpy as np
    >>> scene = 20 + 10 * np.sin(np.arange(64) / 5)
    >>> one, other = np.random.default_rng(0).poisson(scene, (2, 64, 64))
    >>> derived_exposure(one, (one + other) / 2)
    'second'
    >>> derived_exposure(one, other) is None
    True
    """
    from scipy import fft

    sides = first.shape
    down, along, count = fourier_grid(sides)
    finest = count * (np.hypot(down, along) > HIGHEST_FREQUENCIES)
    taper = np.outer(*(window(side) for side in sides))
    a, b = (fft.rfft2(taper * (frame - np.mean(frame))) for frame in (first, second))
    powers = [float((finest * np.abs(spectrum) ** 2).sum()) for spectrum in (a, b)]
    common = float((finest * (a.conj() * b).real).sum())
    if min(powers) <= 0:
        return None
    coherence = common / np.sqrt(powers[0] * powers[1])
    if coherence < max(COHERENT, SIGNIFICANT / np.sqrt(finest.sum())):
        return None
    # Share of the noise of each exposure that does not follow the other one.
    gain = _scene_gain(a, b, finest, count)
    own = [1 - common / gain / powers[0], 1 - common * gain / powers[1]]
    least = int(np.argmin(own))
    derived = abs(own[least]) < NO_OWN_NOISE and own[1 - least] > OWN_NOISE
    return ("first", "second")[least] if derived else None


def _scene_gain(a: Any, b: Any, finest: Any, count: Any) -> float:
    """Return the brightness ratio of the scenes, second to first, from the lower frequencies."""
    coarse = count * (finest == 0)
    powers = [float((coarse * np.abs(spectrum) ** 2).sum()) for spectrum in (a, b)]
    # White noise has the same power per frequency everywhere: extrapolated from the highest.
    noise = [
        float((finest * np.abs(spectrum) ** 2).sum() / finest.sum() * coarse.sum())
        for spectrum in (a, b)
    ]
    signal = [power - each for power, each in zip(powers, noise, strict=True)]
    if min(signal) <= 0:
        return float(np.sqrt(powers[1] / powers[0]))
    return float(np.sqrt(signal[1] / signal[0]))
