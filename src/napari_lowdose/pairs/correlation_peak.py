"""Peak of the upsampled cross-correlation of two views, with its error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Views = NDArray[np.float32]
    Spectra = tuple[Array, Array, Array]

TAPER = 1 / 8  # of each side, over which the window rises from 0 to 1
RING = 64  # least number of frequencies in a ring
FEWEST_CYCLES = 1.5  # per field: coarser structure may be illumination that does not move
SIGNIFICANT = 3.0  # standard errors: rings with a lower coherence are ignored
MOST_COHERENT = 0.98  # limit of the coherence: its signal-to-noise ratio is too uncertain above
TINY = np.finfo(float).tiny
ABOVE_NOISE = 0.2  # least ratio of signal to noise of an octave in the noise-corrected correlation
UPSAMPLE = 4  # samples per pixel of the correlation in the first search
REACH = 1.5  # px around the start that are searched
LEAPS = 8  # times that the search may continue from a maximum at its border
FEW = 4  # frames that are enough to place the window


@dataclass(frozen=True)
class CorrelationPeak:
    """Result of `correlation_peak`.

    Attributes
    ----------
    shift, error : (float, float)
        (dy, dx) and its standard error, pixels. The error is infinite if there is no peak.
    correlation : float
        Pearson correlation of the aligned views, noise included.
    noise_corrected_correlation : float
        Correlation of the two scenes without the noise: 1 if they are the same.
    certainty : float
        Common signal, in standard errors.
    gain : float
        Brightness of the scene in the second view relative to the first.
    smoothing : (Y, X // 2 + 1) array
        Wiener filter of the mean of both views: the share of signal in each frequency, 0 to 1.
    """

    shift: tuple[float, float]
    error: tuple[float, float]
    correlation: float
    noise_corrected_correlation: float
    certainty: float
    gain: float
    smoothing: Array


def correlation_peak(
    first: Views, second: Views, start: tuple[float, float] = (0.0, 0.0), rounds: int = 3
) -> CorrelationPeak:
    """Find the peak of the upsampled cross-correlation near `start`.

    The cross-correlation of windowed, mean-free views is upsampled around its peak by a matrix
    Fourier transform [1]_, and its maximum is found by Newton's method.  Two measures reduce bias
    and noise:

    - The window of the second view moves with the scene. A fixed window would pull the peak towards
      zero shift.
    - Frequencies are weighted by their signal-to-noise ratio (maximum likelihood, [2]_), which is
      estimated from the coherence of the two views on rings of frequencies.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Frames with the same shift. Their correlations are added.
    start : (float, float)
        Initial shift (dy, dx), pixels. It must be on the slope of the peak, within a few pixels in
        a blurred scene.
    rounds : int
        Number of updates of window and weights. One is enough if `start` is at the peak.

    Returns
    -------
    CorrelationPeak

    References
    ----------
    .. [1] M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, "Efficient subpixel image registration
       algorithms", Opt. Lett. 33, 156 (2008).
    .. [2] C. H. Knapp, G. C. Carter, "The generalized correlation method for estimation of time
       delay", IEEE Trans. Acoust. Speech Signal Process. 24, 320 (1976).
    """
    shift = np.array(start, float)
    frequencies = fourier_grid(first.shape[-2:])
    few = slice(None, None, max(1, len(first) // FEW))
    for frames in [few] * (rounds - 1) + [slice(None)]:  # only the last round uses all frames
        spectra = _spectra(first[frames], second[frames], shift)
        weight, _ = _weights(spectra, frequencies, shift, first.shape[-2:])
        largest = np.array(first.shape[-2:]) / 4
        shift = np.clip(_peak(weight * spectra[0], frequencies, shift), -largest, largest)
    weight, smoothing = _weights(spectra, frequencies, shift, first.shape[-2:])
    aligned = _phase_shifted(weight * spectra[0], frequencies, shift)
    count = frequencies[2]
    noise_corrected_correlation, gain = _noise_corrected_correlation(spectra, frequencies, shift)
    # At the right shift, the imaginary part is only noise. The window correlates it between
    # neighbouring frequencies.
    noise = np.sqrt((2 * _noise_bandwidth(first.shape[-2:]) * count * aligned.imag**2).sum())
    total = (_phase_shifted(spectra[0], frequencies, shift).real * count).sum()
    norm = np.sqrt(np.prod([(power * count).sum() for power in spectra[1:]]))
    return CorrelationPeak(
        shift=(float(shift[0]), float(shift[1])),
        error=_error(weight * spectra[0], frequencies, shift),
        correlation=float(total / (norm or 1.0)),
        noise_corrected_correlation=noise_corrected_correlation,
        certainty=float((aligned.real * count).sum() / (noise or 1.0)),
        gain=gain,
        smoothing=smoothing,
    )


def window(side: int, shift: float = 0.0) -> Array:
    """Return a (side,) window with cosine edges, moved by `shift` pixels.

    The two outermost pixels of each side are zero, so that a shift of a pixel cuts nothing off.
    """
    position = np.arange(side) - 1 - shift
    rise = max(side * TAPER, 2.0)
    from_edge = np.minimum(position, side - 3 - position)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(from_edge / rise, 0, 1)))


def _noise_bandwidth(sides: tuple[int, ...]) -> float:
    """Return the number of neighbouring frequencies over which the window spreads noise."""
    windows = [window(side) for side in sides]
    return float(np.prod([(w**4).mean() / (w**2).mean() ** 2 for w in windows]))


def _spectra(first: Views, second: Views, shift: Array) -> Spectra:
    """Return the cross-spectrum and both power spectra, (Y, X // 2 + 1), summed over frames."""
    from scipy import fft

    sides = first.shape[-2:]
    windows = [
        np.outer(window(sides[0], dy), window(sides[1], dx)).astype(np.float32)
        for dy, dx in ((0.0, 0.0), shift)
    ]
    cross: Any = 0
    powers: Any = [0, 0]
    for frames in zip(first, second, strict=True):
        spectra = []
        for view, (frame, weight) in enumerate(zip(frames, windows, strict=True)):
            mean = (weight * frame).sum(dtype=float) / weight.sum(dtype=float)
            spectrum = fft.rfft2(weight * (frame - np.float32(mean)))
            powers[view] = powers[view] + np.abs(spectrum).astype(float) ** 2
            spectra.append(spectrum)
        cross = cross + spectra[0].conj().astype(complex) * spectra[1]
    return cross, powers[0], powers[1]


@lru_cache(maxsize=8)
def fourier_grid(sides: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Return the frequencies of a real Fourier transform, and their multiplicity in the full plane.

    Parameters
    ----------
    sides : (int, int)
        (Y, X) of the image, pixels.

    Returns
    -------
    down : (Y, 1) array
        Frequencies along y, cycles per pixel.
    along : (1, X // 2 + 1) array
        Frequencies along x, cycles per pixel.
    count : (Y, X // 2 + 1) array
        2 for frequencies whose negative is left out, else 1; 0 for the mean.
    """
    height, width = sides
    down = np.fft.fftfreq(height)[:, None]
    along = np.fft.rfftfreq(width)[None, :]
    count = np.full((height, width // 2 + 1), 2.0)
    count[:, 0] = 1
    if width % 2 == 0:
        count[:, -1] = 1
    count[0, 0] = 0  # the mean is no structure
    for array in (down, along, count):  # the cache returns the same arrays to all callers
        array.flags.writeable = False
    return down, along, count


def _phase_shifted(cross: Array, frequencies: tuple[Array, Array, Array], shift: Array) -> Array:
    """Return the cross-spectrum without the phase of a shift: real if the shift is right."""
    down, along, _ = frequencies
    phases = np.exp(2j * np.pi * shift[0] * down) * np.exp(2j * np.pi * shift[1] * along)
    return np.asarray(cross * phases)


@lru_cache(maxsize=8)
def frequency_rings(sides: tuple[int, ...]) -> Array:
    """Return the ring number of each frequency, (Y, X // 2 + 1), for images of (Y, X) pixels."""
    down, along, count = fourier_grid(sides)
    side = np.sqrt(count.sum())
    return ring_numbers(np.hypot(down, along), side)


def ring_numbers(frequency: Array, side: float) -> Array:
    """Return the ring numbers of frequencies.

    Parameters
    ----------
    frequency : array
        Magnitudes, cycles per pixel.
    side : float
        Side of a square with as many pixels as the image.

    Returns
    -------
    integer array of the same shape
        Rings are two cycles per field wide. The innermost is a disc of `RING` frequencies.
    """
    radius = frequency * side
    disc = np.sqrt(RING / np.pi)
    ring = np.where(radius < disc, 0, 1 + (radius - disc) / 2)
    # The corners outside the inscribed circle belong to the last ring.
    return np.asarray(np.minimum(ring, 1 + (side / 2 - disc) / 2), int)


def ring_means(values: Array, rings: Array, count: Array) -> Array:
    """Return the mean of the values on each ring, weighted by their multiplicity."""
    sums = np.bincount(rings.ravel(), (values * count).ravel())
    number = np.bincount(rings.ravel(), count.ravel())
    return np.asarray(sums / np.maximum(number, 1))


def _weights(
    spectra: Spectra,
    frequencies: tuple[Array, Array, Array],
    shift: Array,
    sides: tuple[int, ...],
) -> tuple[Array, Array]:
    """Return the weight of each frequency of the cross-spectrum, and the Wiener filter."""
    rings, count = frequency_rings(sides), frequencies[2]
    aligned = _phase_shifted(spectra[0], frequencies, shift).real
    common, *powers = (ring_means(s, rings, count) for s in (aligned, *spectra[1:]))
    both = np.maximum(np.sqrt(powers[0] * powers[1]), TINY)
    number = np.bincount(rings.ravel(), count.ravel()) / _noise_bandwidth(sides)
    chance = SIGNIFICANT / np.sqrt(np.maximum(number, 1))
    correlation = np.where(common > chance * both, common / both, 0.0)
    coherence = np.minimum(correlation**2, MOST_COHERENT)
    weight = np.sqrt(coherence) / (1 - coherence) / both
    highest = weight.max() or 1.0
    # Averaging two views halves the noise, so more of their mean is signal than of one view.
    signal = 2 * np.sqrt(coherence) / (1 + np.sqrt(coherence))
    down, along, _ = frequencies
    scene = np.hypot(down * sides[0], along * sides[1]) >= FEWEST_CYCLES
    return np.asarray((weight / highest)[rings] * scene), np.asarray(signal[rings] * scene)


def _peak(weighted: Array, frequencies: tuple[Array, Array, Array], start: Array) -> Array:
    """Return the position of the maximum of the correlation near `start`."""
    down, along, count = frequencies
    steps = np.arange(-REACH, REACH + 0.5 / UPSAMPLE, 1 / UPSAMPLE)
    shift = start
    for _ in range(LEAPS):
        rows = np.exp(2j * np.pi * (shift[0] + steps)[:, None] * down.T)
        columns = np.exp(2j * np.pi * along.T * (shift[1] + steps)[None, :])
        surface = (rows @ (weighted * count) @ columns).real
        best = np.unravel_index(np.argmax(surface), surface.shape)
        shift = shift + steps[list(best)]
        if all(0 < place < len(steps) - 1 for place in best):
            break  # not at the border: there is no higher value beyond it
    for _ in range(8):  # Newton's method
        gradient, curvature = _slope(weighted * count, frequencies, shift)
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            break  # not a maximum
        step = np.linalg.solve(curvature, gradient)
        shift = shift + np.clip(step, -1 / UPSAMPLE, 1 / UPSAMPLE)
        if np.abs(step).max() < 1e-5:
            break
    return np.asarray(shift)


def _slope(
    weighted: Array, frequencies: tuple[Array, Array, Array], shift: Array
) -> tuple[Array, Array]:
    """Return the gradient and the negative Hessian of the correlation at a shift."""
    orders = np.arange(3)[:, None]
    rows, columns = (
        (2j * np.pi * axis.ravel()) ** orders * np.exp(2j * np.pi * by * axis.ravel())
        for axis, by in zip(frequencies[:2], shift, strict=True)
    )
    moments = (rows @ weighted @ columns.T).real
    mixed = moments[1, 1]
    return (
        np.array([moments[1, 0], moments[0, 1]]),
        -np.array([[moments[2, 0], mixed], [mixed, moments[0, 2]]]),
    )


def _error(
    weighted: Array, frequencies: tuple[Array, Array, Array], shift: Array
) -> tuple[float, float]:
    """Return the standard error (dy, dx) of the peak, infinite if there is no maximum."""
    down, along, count = frequencies
    _, curvature = _slope(weighted * count, frequencies, shift)
    if not np.linalg.eigvalsh(curvature)[0] > 0:
        return np.inf, np.inf
    # At the right shift, the imaginary part is only noise. Its gradient displaces the maximum.
    noise = 2 * _noise_bandwidth((count.shape[0], along.size * 2 - 2)) * count
    noise = noise * _phase_shifted(weighted, frequencies, shift).imag ** 2 * (2 * np.pi) ** 2
    scatter = [[(noise * a * b).sum() for b in (down, along)] for a in (down, along)]
    inverse = np.linalg.inv(curvature)
    dy, dx = np.sqrt(np.diag(inverse @ np.array(scatter) @ inverse))
    return float(dy), float(dx)


def _noise_corrected_correlation(
    spectra: Spectra, frequencies: tuple[Array, Array, Array], shift: Array
) -> tuple[float, float]:
    """Return the correlation of the scenes without noise, and the gain of the second view.

    The correlation is averaged over the octaves with structure.  Two different scenes may agree in
    the coarsest octave, but two views of one scene agree in all of them.
    """
    down, along, count = frequencies
    radius = np.hypot(down, along)
    corners = (radius > 0.5) & (count > 0)  # the corners of the spectrum contain only noise
    noises = [(power * count)[corners].sum() / count[corners].sum() for power in spectra[1:]]
    aligned = _phase_shifted(spectra[0], frequencies, shift).real
    correlations, weights, signals = [], [], np.zeros(2)
    top = 0.5
    while ((radius < top) & (count > 0)).sum() >= RING / 2:
        octave = (radius < top) & (radius >= top / 2) & (count > 0)
        if top / 2 * min(len(down), 2 * along.size) < 4:  # too few frequencies for octaves
            octave = (radius < top) & (count > 0)
        number = count[octave].sum()
        signal = [
            (power * count)[octave].sum() - noise * number
            for power, noise in zip(spectra[1:], noises, strict=True)
        ]
        ratio = min(s / max(noise * number, TINY) for s, noise in zip(signal, noises, strict=True))
        if ratio > ABOVE_NOISE:
            correlations.append((aligned * count)[octave].sum() / np.sqrt(signal[0] * signal[1]))
            weights.append(ratio**2 / (1 + ratio**2))
            signals += signal
        top /= 2
    if not correlations:
        return 0.0, 1.0
    return float(np.average(correlations, weights=weights)), float(np.sqrt(signals[1] / signals[0]))
