"""Subpixel shift between two noisy views, and the smallest error that it can have."""

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

LEVELS = 16  # brightness levels at which the noise is measured
LEAST_VARIANCE = 0.02  # of the mean variance: limits the weight of the darkest pixels
ROUNDS = 2
BLOCK = 8  # px: assumed upper limit of the correlation length of the noise
MOST_PIXELS = 2**22  # larger stacks are thinned out
MOST_SORTED = 2**16  # pixels that are sorted by brightness
LEAST_SIGNAL = 0.05  # share of signal in a frequency that is used for gradients


@dataclass(frozen=True)
class SubpixelShift:
    """Result of `subpixel_shift`.

    Attributes
    ----------
    shift, error : (float, float)
        (dy, dx) and its standard error, pixels.
    centre : (float, float)
        (y, x), pixels: centre of the structure that determines the shift.
    gain, offset : float
        The aligned second view is about ``gain * first + offset``.
    peak : CorrelationPeak
        Initial estimate.
    """

    shift: tuple[float, float]
    error: tuple[float, float]
    centre: tuple[float, float]
    gain: float
    offset: float
    peak: CorrelationPeak


def subpixel_shift(
    first: Views,
    second: Views,
    start: tuple[float, float] = (0.0, 0.0),
    peak: CorrelationPeak | None = None,
) -> SubpixelShift:
    """Refine the shift by weighted least squares on the difference between two views.

    A small change of the shift changes the difference by a gradient of the scene.  The projection
    of the difference onto the gradients therefore gives the correction of the shift.  Pixels are
    weighted by the inverse variance of their noise, which grows with the brightness.  A
    correlation cannot use such weights, and its error is up to three times larger.  The gradients
    are those of the Wiener-filtered mean of both views.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Frames with the same shift.
    start : (float, float)
        Initial shift (dy, dx) for `correlation_peak`, pixels.
    peak : CorrelationPeak, optional
        Initial estimate, if it is known already.

    Returns
    -------
    SubpixelShift
        The error is measured from the scatter of the differences, so it includes motion between
        the views.
    """
    peak = peak or correlation_peak(first, second, start)
    few = slice(None, None, max(1, -(-first.size // MOST_PIXELS)))
    views = _ViewPair.of(first[few], second[few], peak.smoothing)
    taper = np.outer(*(window(side) for side in first.shape[-2:])).astype(np.float32)
    shift, gain, offset = np.array(peak.shift), peak.gain, np.zeros(1)
    error, centre = np.full(2, np.inf), np.array(first.shape[-2:]) / 2
    # Without common structure there is nothing to refine, and the error stays infinite.
    for _ in range(ROUNDS if peak.smoothing.any() else 0):
        aligned = views.aligned(shift)
        gain, offset, weight = _noise_weights(aligned, aligned.level(gain), taper)
        step, error, centre = _step(aligned, weight, gain, offset)
        shift = shift + np.clip(step, -0.5, 0.5)
    offset = offset + views.means[1] - gain * views.means[0]
    return SubpixelShift(
        shift=(float(shift[0]), float(shift[1])),
        error=(float(error[0]), float(error[1])),
        centre=(float(centre[0]), float(centre[1])),
        gain=float(gain),
        offset=float(np.mean(offset)),
        peak=peak,
    )


@dataclass(frozen=True)
class _ViewPair:
    """Two views, (T, Y, X) without their means, and their spectra."""

    first: Array
    second: Array
    spectra: tuple[Array, Array]
    means: tuple[float, float]
    smoothing: Array

    @classmethod
    def of(cls, first: Views, second: Views, smoothing: Array) -> _ViewPair:
        from scipy import fft

        means = float(first.mean(dtype=float)), float(second.mean(dtype=float))
        one, other = first - np.float32(means[0]), second - np.float32(means[1])
        spectra = fft.rfft2(one), fft.rfft2(other)
        return cls(one, other, spectra, means, smoothing.astype(np.float32))

    def aligned(self, shift: Array) -> _ViewPair:
        """Return a copy with the second view aligned to the first."""
        down, along, _ = fourier_grid(self.first.shape[-2:])
        phases = np.exp(2j * np.pi * shift[0] * down) * np.exp(2j * np.pi * shift[1] * along)
        moved = self.spectra[1] * phases.astype(np.complex64)
        return replace(self, second=self._image(moved), spectra=(self.spectra[0], moved))

    def _image(self, spectrum: Array) -> Array:
        from scipy import fft

        return np.asarray(fft.irfft2(spectrum, self.first.shape[-2:]))

    def level(self, gain: float) -> Array:
        """Return the brightness of the scene at each pixel, estimated from its neighbours.

        The pixel itself is excluded. Otherwise its own noise would bias its weight.
        """
        down, along, count = fourier_grid(self.first.shape[-2:])
        blur = self.smoothing * np.exp(-2 * np.pi**2 * (down**2 + along**2))  # at least 1 px
        own = float((blur * count).sum() / count.sum())
        spectrum = (np.float32(gain) * self.spectra[0] + self.spectra[1]) / 2
        mean = (np.float32(gain) * self.first + self.second) / 2
        blurred = self._image(spectrum * blur.astype(np.float32))
        return np.asarray((blurred - np.float32(own) * mean) / np.float32(1 - own))

    def gradients(self, gain: float, smoothing: Array) -> list[tuple[Array, Array]]:
        """Return the smoothed gradients of both views along y and x."""
        down, along, _ = fourier_grid(self.first.shape[-2:])
        transfers = [(2j * np.pi * smoothing * axis).astype(np.complex64) for axis in (down, along)]
        spectra = np.float32(gain) * self.spectra[0], self.spectra[1]
        return [
            (self._image(spectrum * transfers[0]), self._image(spectrum * transfers[1]))
            for spectrum in spectra
        ]


def _noise_weights(aligned: _ViewPair, level: Array, taper: Array) -> tuple[float, Array, Array]:
    """Return gain, offset of each frame, and the inverse noise variance of each pixel."""
    first, moved = aligned.first, aligned.second
    weight = np.broadcast_to(taper, level.shape)
    # The weights need gain and offset, and these need the weights: two rounds are enough.
    for _ in range(2):
        weighted_level = weight * (level - _mean(level, weight))
        sums = [float((weighted_level * view).sum(dtype=float)) for view in (first, moved)]
        gain = sums[1] / sums[0] if min(sums) > 0 else 1.0
        difference = moved - np.float32(gain) * first
        offset = _mean(difference, weight)
        weight = taper / _variance(level, (difference - offset) ** 2, taper)
    return gain, offset, weight


def _mean(values: Array, weight: Array) -> Array:
    """Return the weighted mean of each frame."""
    return np.asarray(
        (weight * values).sum((-2, -1), keepdims=True) / weight.sum((-2, -1), keepdims=True)
    )


def _variance(level: Array, squares: Array, taper: Array) -> Array:
    """Return the noise variance of each pixel, a linear function of the brightness.

    Photon noise is proportional to the brightness, and readout noise is the constant part.
    """
    inside = np.flatnonzero(np.broadcast_to(taper > 0.5, level.shape))
    inside = inside[:: max(1, inside.size // MOST_SORTED)]
    at, square = level.ravel()[inside], squares.ravel()[inside]
    groups = [part for part in np.array_split(np.argsort(at), LEVELS) if part.size]
    levels = np.array([at[part].mean(dtype=float) for part in groups])
    noise = np.array([square[part].mean(dtype=float) for part in groups])
    least = LEAST_VARIANCE * max(noise.mean(), np.finfo(np.float32).tiny)
    trust = 1 / np.maximum(noise, least) ** 2  # all variances have the same relative error
    middle = np.average(levels, weights=trust)
    spread = (trust * (levels - middle) ** 2).sum()
    slope = (trust * (levels - middle) * noise).sum() / spread if spread > 0 else 0.0
    line = np.average(noise, weights=trust) + slope * (level - np.float32(middle))
    return np.asarray(np.maximum(line, least))


def _step(
    aligned: _ViewPair, weight: Array, gain: float, offset: Array
) -> tuple[Array, Array, Array]:
    """Return the correction of the shift, its standard error, and the centre of the structure."""
    signal = aligned.smoothing > LEAST_SIGNAL
    smooth = aligned.gradients(gain, aligned.smoothing)
    sharp = aligned.gradients(gain, signal)
    slopes = [(a + b) / 2 for a, b in zip(*smooth, strict=True)]
    difference = aligned.second - np.float32(gain) * aligned.first - offset
    scores = [_block_sums(weight * slope * difference) for slope in slopes]
    # Products of gradients of different views: the noise of one view squared would add a bias.
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
    information = (weight * (slopes[0] ** 2 + slopes[1] ** 2)).sum(0, dtype=float)
    y, x = np.arange(information.shape[0]) + 0.5, np.arange(information.shape[1]) + 0.5
    centre = (
        np.array([(information.sum(1) * y).sum(), (information.sum(0) * x).sum()])
        / information.sum()
    )
    return step, np.sqrt(np.diag(inverse @ scatter @ inverse)), centre


def _block_sums(values: Array) -> Array:
    """Return the sums over `BLOCK` x `BLOCK` pixels of each frame, smaller ones at the ends.

    Their scatter gives the error even if the noise of neighbouring pixels is correlated.
    """
    for axis in (-2, -1):
        starts = np.arange(0, values.shape[axis], BLOCK)
        values = np.add.reduceat(values, starts, axis=axis)
    return values


def shift_bound(
    scene: NDArray[Any], first_variance: NDArray[Any], second_variance: NDArray[Any]
) -> tuple[float, float]:
    r"""Return the Cramér-Rao bound for the shift between two noisy views of an unknown scene.

    .. math::

        J = \sum_{x, y} \frac{\nabla S \, \nabla S^T}{\sigma_1^2 + \sigma_2^2}, \qquad
        \sigma(dy, dx) \ge \sqrt{\operatorname{diag} J^{-1}}

    Parameters
    ----------
    scene : (Y, X) array
        Noise-free scene :math:`S`, in the units of the first view.
    first_variance, second_variance : (Y, X) array
        Noise variances :math:`\sigma_1^2` and :math:`\sigma_2^2` at the same place of the scene.
        The second is divided by the squared gain, so that it has the units of the first.  For
        photon noise alone they are `scene` and ``scene / gain``.

    Returns
    -------
    (float, float)
        Smallest standard error of dy and dx of any unbiased estimator, pixels.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> spot = 100 * np.exp(-((y - 32) ** 2 + (x - 32) ** 2) / (2 * 4.0**2)) + 10
    >>> [round(error, 3) for error in shift_bound(spot, spot, spot)]
    [0.075, 0.075]
    """
    slopes = np.gradient(np.asarray(scene, float))
    noise = np.maximum(first_variance + second_variance, np.finfo(float).tiny)
    information = np.array([[(a * b / noise).sum() for b in slopes] for a in slopes])
    dy, dx = np.sqrt(np.diag(np.linalg.inv(information)))
    return float(dy), float(dx)
