"""Whether a shift repeats on the quarters of a field: what is fixed to the sensor does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.correlation_peak import correlation_peak, fourier_grid, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Views = NDArray[np.float32]
    Shift = tuple[float, float]

SMALLEST = 32  # px, side of a part that is asked
CERTAIN = 6.0  # standard errors of the common signal of a part that knows its shift
KNOWN = 0.5  # px to which it knows it
ELSEWHERE = 8.0  # times the typical correlation by chance, of a peak that is elsewhere
STRONGER = 1.5  # times the correlation at the shift itself
SAME = 3.0  # standard errors up to which a part agrees with the whole
SURELY = 5.0  # standard errors from which on it does not
FAR = 1.5  # px: parts that differ by less have their scatter in the error
OPPOSITE = 0.3  # of the power of a difference: what moved has as much of it with the other sign
CLEARLY = 3  # px: a smaller shift leaves the same as a blur that changes
MOST_PARTS = 0.75  # of the quarters
FRAMES = 8  # that are looked at


@dataclass(frozen=True)
class Repeat:
    """How well a shift repeats on the quarters of a field.

    Attributes
    ----------
    scatter : (float, float)
        By how much the quarters differ from the whole beyond chance, root mean square, pixels.
    differs : (float, float) or None
        The difference of the part that is furthest from the whole, where at least as many parts
        know another shift as know this one well.
    error : float
        How well the quarters know their own shifts, root mean square, pixels; infinite if none
        does.
    asked : bool
        False where the field is too small for parts.
    """

    scatter: Shift
    differs: Shift | None
    error: float
    asked: bool


def repeats(first: Views, second: Views, shift: Shift) -> Repeat:
    """Return whether the quarters of a field are displaced as the whole is.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Cut to the common field at whole pixels.
    shift : (float, float)
        (dy, dx) of the whole that is left, pixels.

    Returns
    -------
    Repeat
    """
    some = slice(None, None, max(1, -(-len(first) // FRAMES)))
    known, others = [], []
    parts = _quarters(first.shape[-2:])
    for part in parts:
        one, other = first[some][part], second[some][part]
        peak = correlation_peak(one, other, shift, rounds=1)
        difference = np.subtract(peak.shift, shift)
        certain = peak.certainty > CERTAIN and max(peak.error) < np.inf
        elsewhere = None
        if not (certain and max(peak.error) < KNOWN):
            elsewhere = _elsewhere(one, other, shift)
        if elsewhere is not None:
            others.append(elsewhere)
        elif certain:
            known.append((difference, np.array(peak.error)))
    well = [(away, error) for away, error in known if error.max() < KNOWN]
    excess = [
        np.maximum(away**2 - error**2, 0.0) * (np.abs(away) > SAME * error).any()
        for away, error in well
    ]
    far, near = [], 0
    for away, error in known:
        if (np.abs(away) > np.maximum(FAR, SURELY * error)).any():
            far.append(away)
        else:
            near += bool(error.max() < KNOWN)
    far += others
    scatter = np.sqrt(np.mean(excess, axis=0)) if well else np.zeros(2)
    differs = None
    if far and len(far) >= near:
        furthest = max(far, key=lambda away: float(np.hypot(*away)))
        differs = float(furthest[0]), float(furthest[1])
    errors = [float((error**2).mean()) for _, error in well]
    return Repeat(
        scatter=(float(scatter[0]), float(scatter[1])),
        differs=differs,
        error=float(np.sqrt(np.mean(errors))) if well else np.inf,
        asked=bool(parts),
    )


def _quarters(sides: tuple[int, ...]) -> list[Any]:
    halves = [
        [slice(0, side // 2), slice(side // 2, None)] if side >= 2 * SMALLEST else [slice(None)]
        for side in sides
    ]
    parts = [(slice(None), y, x) for y in halves[0] for x in halves[1]]
    return parts if len(parts) > 1 else []


def _elsewhere(first: Views, second: Views, shift: Shift) -> NDArray[np.float64] | None:
    """Return where a part has a peak beyond doubt that is not at the shift, from there."""
    from scipy import fft

    from napari_lowdose.pairs.integer_shift import scene_bands

    one, other = scene_bands(first, second)
    sides = one.shape[-2:]
    cut = np.outer(*(window(side) for side in sides)).astype(np.float32)
    cross = (fft.rfft2(cut * one).conj() * fft.rfft2(cut * other)).sum(0)
    surface = fft.fftshift(fft.irfft2(cross, sides))
    typical = float(np.median(np.abs(surface)))
    peak = np.array(np.unravel_index(np.argmax(surface), surface.shape)) - np.array(sides) // 2
    away = peak - np.array(shift)
    near = np.array(sides) // 2 + np.rint(shift).astype(int)
    here = float(surface[near[0] - 1 : near[0] + 2, near[1] - 1 : near[1] + 2].max())
    highest = float(surface.max())
    beyond_doubt = highest > ELSEWHERE * typical and highest > STRONGER * here
    return away if beyond_doubt and np.abs(away).max() > FAR else None


def moved_beneath(first: Views, second: Views, shift: Shift, gain: float) -> Shift | None:
    """Return by how much a scene moved under a pattern that stands still and was taken for it.

    What moved is in the difference of the two with both signs: the autocorrelation of the
    difference is negative at the shift, and so it is on most quarters.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
    shift : (float, float)
        (dy, dx) of the pattern, less than a pixel or so.
    gain : float
        Of the second view.

    Returns
    -------
    (float, float) or None
        (dy, dx) or its opposite, whole pixels.
    """
    from scipy import fft

    some = slice(None, None, max(1, -(-len(first) // FRAMES)))
    down, along, _ = fourier_grid(first.shape[-2:])
    turn = np.exp(2j * np.pi * (shift[0] * down + shift[1] * along)).astype(np.complex64)
    back = fft.irfft2(fft.rfft2(second[some]) * turn, first.shape[-2:])
    difference = back - np.float32(gain) * first[some]
    furthest = _negative(difference)
    if furthest is None:
        return None
    parts = [_negative(difference[part]) for part in _quarters(first.shape[-2:])]
    agree = [
        part is not None
        and min(np.abs(np.add(part, sign * np.array(furthest))).max() for sign in (1, -1)) <= FAR
        for part in parts
    ]
    return furthest if sum(agree) >= MOST_PARTS * max(1, len(parts)) else None


def _negative(difference: Views) -> Shift | None:
    """Return where the autocorrelation is negative beyond doubt, from no shift."""
    from scipy import fft

    from napari_lowdose.pairs.integer_shift import scene_bands

    band = scene_bands(difference, difference)[0]
    sides = band.shape[-2:]
    cut = np.outer(*(window(side) for side in sides)).astype(np.float32)
    surface = fft.irfft2((np.abs(fft.rfft2(cut * band)) ** 2).sum(0), sides)
    lowest = -float(surface.min())
    if lowest < max(ELSEWHERE * float(np.median(np.abs(surface))), OPPOSITE * surface[0, 0]):
        return None
    place = np.array(np.unravel_index(np.argmin(surface), surface.shape))
    place = np.where(place > np.array(sides) // 2, place - np.array(sides), place)
    return (float(place[0]), float(place[1])) if np.abs(place).max() >= CLEARLY else None
