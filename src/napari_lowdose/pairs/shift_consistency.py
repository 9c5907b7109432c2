"""Consistency of a shift over the quarters of a field, which fixed patterns lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.correlation_peak import correlation_peak, fourier_grid, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Views = NDArray[np.float32]
    Shift = tuple[float, float]

SMALLEST = 32  # px: least side of a quarter
CERTAIN = 6.0  # standard errors: least common signal of a quarter with a usable peak
KNOWN = 0.5  # px: largest error of a well-known shift
FAR_PEAK = 8.0  # times the median correlation: least height of a peak at another shift
STRONGER = 1.5  # times the correlation at the expected shift, likewise
COMPATIBLE = 3.0  # standard errors up to which a quarter agrees with the whole field
CONTRADICTS = 5.0  # standard errors from which on a quarter contradicts it
DIFFERENT = 1.5  # px: smaller differences go into the error instead
NEGATIVE_PEAK = 0.3  # of the power: least depth of the negative peak of a moved scene
LEAST_MOVE = 3  # px: a smaller shift looks like a change of the blur
MOST_PARTS = 0.75  # of the quarters must agree
FRAMES = 8  # that are used


@dataclass(frozen=True)
class ShiftConsistency:
    """Result of `shift_consistency`.

    Attributes
    ----------
    scatter : (float, float)
        Root mean square difference of the quarters from the whole beyond their errors, pixels.
    conflict : (float, float) or None
        Largest difference (dy, dx) from the whole, pixels. Set only if at least as many quarters
        contradict the shift as confirm it.
    error : float
        Root mean square error of the shifts of the quarters, pixels; infinite if none is known.
    checked : bool
        False if the field is too small to be divided.
    """

    scatter: Shift
    conflict: Shift | None
    error: float
    checked: bool


def shift_consistency(first: Views, second: Views, shift: Shift) -> ShiftConsistency:
    """Compare the shifts of the quarters of a field with the shift of the whole.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Views that are cropped to their common field.
    shift : (float, float)
        (dy, dx) of the whole field that remains after cropping, pixels.

    Returns
    -------
    ShiftConsistency
    """
    few = slice(None, None, max(1, -(-len(first) // FRAMES)))
    measured, contradicting = [], []
    parts = _quarters(first.shape[-2:])
    for part in parts:
        one, other = first[few][part], second[few][part]
        peak = correlation_peak(one, other, shift, rounds=1)
        difference = np.subtract(peak.shift, shift)
        certain = peak.certainty > CERTAIN and max(peak.error) < np.inf
        elsewhere = None
        # `correlation_peak` climbs from the expected shift and misses a distant peak. A quarter
        # without a well-known shift is therefore searched as a whole.
        if not (certain and max(peak.error) < KNOWN):
            elsewhere = _peak_elsewhere(one, other, shift)
        if elsewhere is not None:
            contradicting.append(elsewhere)
        elif certain:
            measured.append((difference, np.array(peak.error)))
    # A quarter that does not know its shift well cannot confirm it, but it may contradict it.
    known = [(difference, error) for difference, error in measured if error.max() < KNOWN]
    excess = [
        np.maximum(difference**2 - error**2, 0.0) * (np.abs(difference) > COMPATIBLE * error).any()
        for difference, error in known
    ]
    far, confirming = [], 0
    for difference, error in measured:
        if (np.abs(difference) > np.maximum(DIFFERENT, CONTRADICTS * error)).any():
            far.append(difference)
        else:
            confirming += bool(error.max() < KNOWN)
    far += contradicting
    scatter = np.sqrt(np.mean(excess, axis=0)) if known else np.zeros(2)
    conflict = None
    if far and len(far) >= confirming:
        largest = max(far, key=lambda difference: float(np.hypot(*difference)))
        conflict = float(largest[0]), float(largest[1])
    errors = [float((error**2).mean()) for _, error in known]
    return ShiftConsistency(
        scatter=(float(scatter[0]), float(scatter[1])),
        conflict=conflict,
        error=float(np.sqrt(np.mean(errors))) if known else np.inf,
        checked=bool(parts),
    )


def _quarters(sides: tuple[int, ...]) -> list[Any]:
    """Return the index of each quarter, or half of a narrow field; none of a small field."""
    halves = [
        [slice(0, side // 2), slice(side // 2, None)] if side >= 2 * SMALLEST else [slice(None)]
        for side in sides
    ]
    parts = [(slice(None), y, x) for y in halves[0] for x in halves[1]]
    return parts if len(parts) > 1 else []


def _peak_elsewhere(first: Views, second: Views, shift: Shift) -> NDArray[np.float64] | None:
    """Return the position of a clear peak far from the expected shift, relative to that shift."""
    from scipy import fft

    from napari_lowdose.pairs.integer_shift import scene_bands

    one, other = scene_bands(first, second)
    sides = one.shape[-2:]
    taper = np.outer(*(window(side) for side in sides)).astype(np.float32)
    cross = (fft.rfft2(taper * one).conj() * fft.rfft2(taper * other)).sum(0)
    surface = fft.fftshift(fft.irfft2(cross, sides))
    typical = float(np.median(np.abs(surface)))
    peak = np.array(np.unravel_index(np.argmax(surface), surface.shape)) - np.array(sides) // 2
    difference = peak - np.array(shift)
    near = np.array(sides) // 2 + np.rint(shift).astype(int)
    expected = float(surface[near[0] - 1 : near[0] + 2, near[1] - 1 : near[1] + 2].max())
    highest = float(surface.max())
    clear = highest > FAR_PEAK * typical and highest > STRONGER * expected
    return difference if clear and np.abs(difference).max() > DIFFERENT else None


def moved_beneath(first: Views, second: Views, shift: Shift, gain: float) -> Shift | None:
    """Return the shift of a scene that moved under a fixed pattern, if the pattern was registered.

    The difference between the views contains the moved scene twice, with opposite signs.  Its
    autocorrelation therefore has a negative peak at the shift of the scene.  The same peak must
    appear in most quarters.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
    shift : (float, float)
        (dy, dx) of the pattern, at most about a pixel.
    gain : float
        Brightness of the second view relative to the first.

    Returns
    -------
    (float, float) or None
        (dy, dx) in whole pixels. The sign is ambiguous, because an autocorrelation is symmetric.
    """
    from scipy import fft

    few = slice(None, None, max(1, -(-len(first) // FRAMES)))
    down, along, _ = fourier_grid(first.shape[-2:])
    phases = np.exp(2j * np.pi * (shift[0] * down + shift[1] * along)).astype(np.complex64)
    aligned = fft.irfft2(fft.rfft2(second[few]) * phases, first.shape[-2:])
    difference = aligned - np.float32(gain) * first[few]
    moved = _negative_peak(difference)
    if moved is None:
        return None
    parts = [_negative_peak(difference[part]) for part in _quarters(first.shape[-2:])]
    agree = [
        part is not None
        and min(np.abs(np.add(part, sign * np.array(moved))).max() for sign in (1, -1)) <= DIFFERENT
        for part in parts
    ]
    return moved if sum(agree) >= MOST_PARTS * max(1, len(parts)) else None


def _negative_peak(difference: Views) -> Shift | None:
    """Return the position of a significant negative peak of the autocorrelation."""
    from scipy import fft

    from napari_lowdose.pairs.integer_shift import scene_bands

    band = scene_bands(difference, difference)[0]
    sides = band.shape[-2:]
    taper = np.outer(*(window(side) for side in sides)).astype(np.float32)
    surface = fft.irfft2((np.abs(fft.rfft2(taper * band)) ** 2).sum(0), sides)
    depth = -float(surface.min())
    if depth < max(FAR_PEAK * float(np.median(np.abs(surface))), NEGATIVE_PEAK * surface[0, 0]):
        return None
    place = np.array(np.unravel_index(np.argmin(surface), surface.shape))
    # The second half of each axis holds negative shifts.
    place = np.where(place > np.array(sides) // 2, place - np.array(sides), place)
    return (float(place[0]), float(place[1])) if np.abs(place).max() >= LEAST_MOVE else None
