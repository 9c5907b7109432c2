"""The shift between two views to a fraction of a pixel, as sure as the photons allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.correlation_peak import correlation_peak, fourier_grid, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.imaging.correlation_peak import CorrelationPeak

    Array = NDArray[Any]
    Views = NDArray[np.float32]

LEVELS = 16  # of brightness, at which the noise is measured
QUIETEST = 0.02  # of the mean variance: no pixel is trusted more than this makes it
ROUNDS = 2
BLOCK = 8  # px: noise that neighbours share is taken to end within
MOST_PIXELS = 2**22  # of a stack, that are looked at one by one
LEAST_SIGNAL = 0.05  # of a frequency, for its gradients to be looked at


@dataclass(frozen=True)
class ShiftEstimate:
    """A shift and its error.

    Attributes
    ----------
    shift, error : (float, float)
        (dy, dx) and one standard error of it, pixels.
    centre : (float, float)
        (y, x) of where the structure is that tells it: the shift there, if it differs.
    gain, offset : float
        The second view is about ``gain * first + offset``, in place.
    peak : CorrelationPeak
        Where it started from.
    """

    shift: tuple[float, float]
    error: tuple[float, float]
    centre: tuple[float, float]
    gain: float
    offset: float
    peak: CorrelationPeak


def shift_fraction(
    first: Views, second: Views, start: tuple[float, float] = (0.0, 0.0)
) -> ShiftEstimate:
    """Return the shift at which the difference between two views is nothing but noise.

    From the peak of the upsampled correlation on by weighted least squares: what a further
    small shift would change is a gradient of the scene, and how much of it is in the difference
    of the views says how far to go.  Where there is more light there is more noise, and the
    pixels count as much less; a correlation cannot do that, and costs up to three times the
    error.  The scene's gradients are those of the mean of both views, less noise.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Frames of the same geometry.
    start : (float, float)
        As for `correlation_peak`.

    Returns
    -------
    ShiftEstimate
        Its error is that of the sum of the differences, each pixel's as large as it is found:
        what moved between the views adds to it too.
    """
    peak = correlation_peak(first, second, start)
    some = slice(None, None, max(1, -(-first.size // MOST_PIXELS)))
    pair = first[some], second[some]
    cut = np.outer(*(window(side) for side in first.shape[-2:]))
    shift, gain, offset = np.array(peak.shift), peak.gain, np.zeros(1)
    error, centre = np.full(2, np.inf), np.array(first.shape[-2:]) / 2
    for _ in range(ROUNDS if peak.smoothing.any() else 0):  # or nothing is common to both
        placed = _in_place(*pair, shift, gain, peak.smoothing)
        gain, offset, weight = _noise_weight(placed, cut)
        step, error, centre = _step(placed, weight, gain, offset, peak.smoothing)
        shift = shift + np.clip(step, -0.5, 0.5)
    return ShiftEstimate(
        shift=(float(shift[0]), float(shift[1])),
        error=(float(error[0]), float(error[1])),
        centre=(float(centre[0]), float(centre[1])),
        gain=float(gain),
        offset=float(np.mean(offset)),
        peak=peak,
    )


def _in_place(
    first: Views, second: Views, shift: Array, gain: float, smoothing: Array
) -> tuple[Array, Array, Array]:
    """Return the first view, the second where the first is, and the level of the scene there.

    The level is told by the neighbours: a pixel's own noise has no part in it.
    """
    from scipy import fft

    sides = first.shape[-2:]
    down, along, _ = fourier_grid(sides)
    turn = np.exp(2j * np.pi * shift[0] * down) * np.exp(2j * np.pi * shift[1] * along)
    moved = fft.irfft2(fft.rfft2(second) * turn, sides)
    mean = (gain * first + moved) / 2
    blur = smoothing * np.exp(-2 * np.pi**2 * (down**2 + along**2))  # at least 1 px wide
    own = fft.irfft2(blur, sides)[0, 0]
    blurred = fft.irfft2(fft.rfft2(mean - mean.mean()) * blur, sides)
    return first, moved, (blurred - own * (mean - mean.mean())) / (1 - own)


def _noise_weight(placed: tuple[Array, Array, Array], cut: Array) -> tuple[float, Array, Array]:
    """Return gain and offset, and the weight of each pixel: one over the variance of its noise."""
    first, moved, level = placed
    weight = np.broadcast_to(cut, level.shape)
    for _ in range(2):
        contrast = level - _mean(level, weight)
        sums = [float((weight * contrast * view).sum()) for view in (first, moved)]
        gain = sums[1] / sums[0] if min(sums) > 0 else 1.0
        offset = _mean(moved - gain * first, weight)
        squares = (moved - gain * first - offset) ** 2
        weight = cut / _variance(level, squares, cut)
    return gain, offset, weight


def _mean(values: Array, weight: Array) -> Array:
    """Return the weighted mean of each frame."""
    return np.asarray(
        (weight * values).sum((-2, -1), keepdims=True) / weight.sum((-2, -1), keepdims=True)
    )


def _variance(level: Array, squares: Array, cut: Array) -> Array:
    """Return the variance of the noise at each pixel: a straight line over the level."""
    inside = np.broadcast_to(cut > 0.5, level.shape)
    order = np.argsort(level[inside])
    groups = [part for part in np.array_split(order, LEVELS) if part.size]
    levels = np.array([level[inside][part].mean() for part in groups])
    noise = np.array([squares[inside][part].mean() for part in groups])
    least = QUIETEST * max(noise.mean(), np.finfo(float).tiny)
    trust = 1 / np.maximum(noise, least) ** 2  # a variance is known to so many percent
    middle = np.average(levels, weights=trust)
    spread = (trust * (levels - middle) ** 2).sum()
    slope = (trust * (levels - middle) * noise).sum() / spread if spread > 0 else 0.0
    line = np.average(noise, weights=trust) + slope * (level - middle)
    return np.asarray(np.maximum(line, least))


def _step(
    placed: tuple[Array, Array, Array],
    weight: Array,
    gain: float,
    offset: Array,
    smoothing: Array,
) -> tuple[Array, Array, Array]:
    """Return how much further the shift is, its standard error, and where it is told."""
    first, moved, _ = placed
    signal = smoothing > LEAST_SIGNAL
    parts = [gain * (first - first.mean()), moved - moved.mean()]
    smooth = [_gradient(part, smoothing) for part in parts]
    sharp = [_gradient(part, signal) for part in parts]
    slopes = [(a + b) / 2 for a, b in zip(*smooth, strict=True)]
    difference = moved - gain * first - offset
    scores = [_block_sums(weight * slope * difference) for slope in slopes]
    # Each view's gradients against the other's: the noise of one against itself would add up.
    curvature = np.array(
        [
            [
                (weight * (smooth[0][a] * sharp[1][b] + smooth[1][a] * sharp[0][b])).sum() / 2
                for b in (0, 1)
            ]
            for a in (0, 1)
        ]
    )
    curvature = (curvature + curvature.T) / 2
    if np.linalg.eigvalsh(curvature)[0] <= 0:
        return np.zeros(2), np.full(2, np.inf), np.array(first.shape[-2:]) / 2
    inverse = np.linalg.inv(curvature)
    scatter = np.array([[(a * b).sum() for b in scores] for a in scores])
    step = -inverse @ np.array([score.sum() for score in scores])
    told = (weight * (slopes[0] ** 2 + slopes[1] ** 2)).sum(0)
    y, x = np.arange(told.shape[0]) + 0.5, np.arange(told.shape[1]) + 0.5
    centre = np.array([(told.sum(1) * y).sum(), (told.sum(0) * x).sum()]) / told.sum()
    return step, np.sqrt(np.diag(inverse @ scatter @ inverse)), centre


def _gradient(views: Array, smoothing: Array) -> tuple[Array, Array]:
    """Return the gradients down and along the rows of the views, smoothed."""
    from scipy import fft

    sides = views.shape[-2:]
    down, along, _ = fourier_grid(sides)
    spectrum = 2j * np.pi * smoothing * fft.rfft2(views)
    return fft.irfft2(spectrum * down, sides), fft.irfft2(spectrum * along, sides)


def _block_sums(values: Array) -> Array:
    """Return the sums over blocks of neighbours, each frame by itself."""
    for axis in (-2, -1):
        starts = np.arange(0, values.shape[axis], BLOCK)
        values = np.add.reduceat(values, starts, axis=axis)
    return values
