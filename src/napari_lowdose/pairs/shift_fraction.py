"""The shift between two views to a fraction of a pixel, as sure as the photons allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.correlation_peak import correlation_peak, fourier_grid, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.pairs.correlation_peak import CorrelationPeak

    Array = NDArray[Any]
    Views = NDArray[np.float32]

LEVELS = 16  # of brightness, at which the noise is measured
QUIETEST = 0.02  # of the mean variance: no pixel is trusted more than this makes it
ROUNDS = 2
BLOCK = 8  # px: noise that neighbours share is taken to end within
MOST_PIXELS = 2**22  # of a stack, that are looked at one by one
SORTED = 2**16  # pixels that are sorted by brightness
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
    first: Views,
    second: Views,
    start: tuple[float, float] = (0.0, 0.0),
    peak: CorrelationPeak | None = None,
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
    peak : CorrelationPeak, optional
        If it is known already.

    Returns
    -------
    ShiftEstimate
        Its error is that of the sum of the differences, each pixel's as large as it is found:
        what moved between the views adds to it too.
    """
    peak = peak or correlation_peak(first, second, start)
    some = slice(None, None, max(1, -(-first.size // MOST_PIXELS)))
    views = _Views.of(first[some], second[some], peak.smoothing)
    cut = np.outer(*(window(side) for side in first.shape[-2:])).astype(np.float32)
    shift, gain, offset = np.array(peak.shift), peak.gain, np.zeros(1)
    error, centre = np.full(2, np.inf), np.array(first.shape[-2:]) / 2
    for _ in range(ROUNDS if peak.smoothing.any() else 0):  # or nothing is common to both
        placed = views.placed(shift)
        gain, offset, weight = _noise_weight(placed, placed.level(gain), cut)
        step, error, centre = _step(placed, weight, gain, offset)
        shift = shift + np.clip(step, -0.5, 0.5)
    offset = offset + views.means[1] - gain * views.means[0]
    return ShiftEstimate(
        shift=(float(shift[0]), float(shift[1])),
        error=(float(error[0]), float(error[1])),
        centre=(float(centre[0]), float(centre[1])),
        gain=float(gain),
        offset=float(np.mean(offset)),
        peak=peak,
    )


@dataclass(frozen=True)
class _Views:
    """Two views without their means, the second where the first is, and their spectra."""

    first: Array
    second: Array
    spectra: tuple[Array, Array]
    means: tuple[float, float]
    smoothing: Array

    @classmethod
    def of(cls, first: Views, second: Views, smoothing: Array) -> _Views:
        from scipy import fft

        means = float(first.mean(dtype=float)), float(second.mean(dtype=float))
        one, other = first - np.float32(means[0]), second - np.float32(means[1])
        spectra = fft.rfft2(one), fft.rfft2(other)
        return cls(one, other, spectra, means, smoothing.astype(np.float32))

    def placed(self, shift: Array) -> _Views:
        """Return them with the second moved back by a shift."""
        down, along, _ = fourier_grid(self.first.shape[-2:])
        turn = np.exp(2j * np.pi * shift[0] * down) * np.exp(2j * np.pi * shift[1] * along)
        moved = self.spectra[1] * turn.astype(np.complex64)
        return replace(self, second=self._image(moved), spectra=(self.spectra[0], moved))

    def _image(self, spectrum: Array) -> Array:
        from scipy import fft

        return np.asarray(fft.irfft2(spectrum, self.first.shape[-2:]))

    def level(self, gain: float) -> Array:
        """Return the level of the scene as the neighbours of each pixel say it.

        A pixel's own noise has no part in it.
        """
        down, along, count = fourier_grid(self.first.shape[-2:])
        blur = self.smoothing * np.exp(-2 * np.pi**2 * (down**2 + along**2))  # at least 1 px wide
        own = float((blur * count).sum() / count.sum())
        spectrum = (np.float32(gain) * self.spectra[0] + self.spectra[1]) / 2
        mean = (np.float32(gain) * self.first + self.second) / 2
        blurred = self._image(spectrum * blur.astype(np.float32))
        return np.asarray((blurred - np.float32(own) * mean) / np.float32(1 - own))

    def gradients(self, gain: float, smoothing: Array) -> list[tuple[Array, Array]]:
        """Return the gradients of both, down and along the rows, smoothed."""
        down, along, _ = fourier_grid(self.first.shape[-2:])
        transfers = [(2j * np.pi * smoothing * axis).astype(np.complex64) for axis in (down, along)]
        spectra = np.float32(gain) * self.spectra[0], self.spectra[1]
        return [
            (self._image(spectrum * transfers[0]), self._image(spectrum * transfers[1]))
            for spectrum in spectra
        ]


def _noise_weight(placed: _Views, level: Array, cut: Array) -> tuple[float, Array, Array]:
    """Return gain and offset, and the weight of each pixel: one over the variance of its noise."""
    first, moved = placed.first, placed.second
    weight = np.broadcast_to(cut, level.shape)
    for _ in range(2):
        weighed = weight * (level - _mean(level, weight))
        sums = [float((weighed * view).sum(dtype=float)) for view in (first, moved)]
        gain = sums[1] / sums[0] if min(sums) > 0 else 1.0
        difference = moved - np.float32(gain) * first
        offset = _mean(difference, weight)
        weight = cut / _variance(level, (difference - offset) ** 2, cut)
    return gain, offset, weight


def _mean(values: Array, weight: Array) -> Array:
    """Return the weighted mean of each frame."""
    return np.asarray(
        (weight * values).sum((-2, -1), keepdims=True) / weight.sum((-2, -1), keepdims=True)
    )


def _variance(level: Array, squares: Array, cut: Array) -> Array:
    """Return the variance of the noise at each pixel: a straight line over the level."""
    inside = np.flatnonzero(np.broadcast_to(cut > 0.5, level.shape))
    inside = inside[:: max(1, inside.size // SORTED)]
    at, square = level.ravel()[inside], squares.ravel()[inside]
    groups = [part for part in np.array_split(np.argsort(at), LEVELS) if part.size]
    levels = np.array([at[part].mean(dtype=float) for part in groups])
    noise = np.array([square[part].mean(dtype=float) for part in groups])
    least = QUIETEST * max(noise.mean(), np.finfo(np.float32).tiny)
    trust = 1 / np.maximum(noise, least) ** 2  # a variance is known to so many percent
    middle = np.average(levels, weights=trust)
    spread = (trust * (levels - middle) ** 2).sum()
    slope = (trust * (levels - middle) * noise).sum() / spread if spread > 0 else 0.0
    line = np.average(noise, weights=trust) + slope * (level - np.float32(middle))
    return np.asarray(np.maximum(line, least))


def _step(placed: _Views, weight: Array, gain: float, offset: Array) -> tuple[Array, Array, Array]:
    """Return how much further the shift is, its standard error, and where it is told."""
    signal = placed.smoothing > LEAST_SIGNAL
    smooth = placed.gradients(gain, placed.smoothing)
    sharp = placed.gradients(gain, signal)
    slopes = [(a + b) / 2 for a, b in zip(*smooth, strict=True)]
    difference = placed.second - np.float32(gain) * placed.first - offset
    scores = [_block_sums(weight * slope * difference) for slope in slopes]
    # Each view's gradients against the other's: the noise of one against itself would add up.
    one, other = ([weight * slope for slope in view] for view in smooth)
    curvature = np.array(
        [
            [(np.vdot(one[a], sharp[1][b]) + np.vdot(other[a], sharp[0][b])) / 2 for b in (0, 1)]
            for a in (0, 1)
        ]
    ).astype(float)
    curvature = (curvature + curvature.T) / 2
    if not np.linalg.eigvalsh(curvature)[0] > 0:
        return np.zeros(2), np.full(2, np.inf), np.array(weight.shape[-2:]) / 2
    inverse = np.linalg.inv(curvature)
    scatter = np.array([[(a * b).sum(dtype=float) for b in scores] for a in scores])
    step = -inverse @ np.array([score.sum(dtype=float) for score in scores])
    told = (weight * (slopes[0] ** 2 + slopes[1] ** 2)).sum(0, dtype=float)
    y, x = np.arange(told.shape[0]) + 0.5, np.arange(told.shape[1]) + 0.5
    centre = np.array([(told.sum(1) * y).sum(), (told.sum(0) * x).sum()]) / told.sum()
    return step, np.sqrt(np.diag(inverse @ scatter @ inverse)), centre


def _block_sums(values: Array) -> Array:
    """Return the sums over blocks of neighbours, each frame by itself."""
    for axis in (-2, -1):
        starts = np.arange(0, values.shape[axis], BLOCK)
        values = np.add.reduceat(values, starts, axis=axis)
    return values
