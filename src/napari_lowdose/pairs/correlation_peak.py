"""The shift between two views to a fraction of a pixel, and how sure it is."""

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
RING = 64  # least number of frequencies over which coherence is averaged
FEWEST_CYCLES = 1.5  # per field: what is coarser may be light that does not move with the scene
SIGNIFICANT = 3.0  # standard errors from which on a ring counts
MOST_COHERENT = 0.98  # beyond, the ratio of signal to noise is known too badly to weigh with
TINY = np.finfo(float).tiny
ABOVE_NOISE = 0.2  # the least signal to noise of an octave that is asked whether the views agree
UPSAMPLE = 4  # points per pixel at which the correlation is looked at before it is climbed
REACH = 1.5  # px around the start in which its peak is looked for
CLIMBS = 8  # times that it may be left towards a higher rim
FEW = 4  # frames that are enough to place the window


@dataclass(frozen=True)
class CorrelationPeak:
    """Where two views agree best, and how well.

    Attributes
    ----------
    shift, error : (float, float)
        (dy, dx), and one standard error of it, pixels.
    correlation : float
        Pearson's, of the two exposures in place, noise included.
    noise_corrected_correlation : float
        The correlation of the two scenes, noise apart: 1 if they are the same.
    certainty : float
        How many standard errors the common signal is from none.
    gain : float
        How much brighter the scene is in the second view.
    smoothing : (Y, X // 2 + 1) array
        How much of each frequency of the mean of both views is signal, 0 to 1: the Wiener filter.
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
    """Return the peak of the upsampled correlation near `start`.

    The correlation of windowed, mean-free views, upsampled around its peak by a matrix Fourier
    transform (Guizar-Sicairos, Thurman & Fienup 2008) and then climbed to its very top.  Two
    things are done so that it is unbiased and little disturbed by noise: the window of the
    second view is moved along with the scene (one that stays pulls the peak towards no shift),
    and each frequency counts as much as there is signal in it (Knapp & Carter 1976), which is
    measured by how far the two views agree on rings of frequencies.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Frames of the same geometry: their correlations are added up.
    start : (float, float)
        On the slope of the peak that is meant: a few pixels from it in a blurred scene.
    rounds : int
        How often window and weights are placed anew; once is enough from the peak itself.

    Returns
    -------
    CorrelationPeak

    References
    ----------
    M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Opt. Lett. 33, 156 (2008).
    C. H. Knapp, G. C. Carter, IEEE Trans. Acoust. Speech Signal Process. 24, 320 (1976).
    """
    shift = np.array(start, float)
    frequencies = fourier_grid(first.shape[-2:])
    few = slice(None, None, max(1, len(first) // FEW))
    for frames in [few] * (rounds - 1) + [slice(None)]:
        spectra = _spectra(first[frames], second[frames], shift)
        weight, _ = _weights(spectra, frequencies, shift, first.shape[-2:])
        furthest = np.array(first.shape[-2:]) / 4
        shift = np.clip(_peak(weight * spectra[0], frequencies, shift), -furthest, furthest)
    weight, coherent = _weights(spectra, frequencies, shift, first.shape[-2:])
    turned = _turned(weight * spectra[0], frequencies, shift)
    count = frequencies[2]
    noise_corrected_correlation, gain = _noise_corrected_correlation(spectra, frequencies, shift)
    # Where the phases are right the imaginary part is noise, which a window shares out.
    noise = np.sqrt((2 * _shared(first.shape[-2:]) * count * turned.imag**2).sum())
    whole = (_turned(spectra[0], frequencies, shift).real * count).sum()
    totals = np.sqrt(np.prod([(power * count).sum() for power in spectra[1:]]))
    return CorrelationPeak(
        shift=(float(shift[0]), float(shift[1])),
        error=_error(weight * spectra[0], frequencies, shift),
        correlation=float(whole / (totals or 1.0)),
        noise_corrected_correlation=noise_corrected_correlation,
        certainty=float((turned.real * count).sum() / (noise or 1.0)),
        gain=gain,
        smoothing=coherent,
    )


def window(side: int, shift: float = 0.0) -> Array:
    """Return a window that rises and falls like a cosine, zero for 1 pixel, moved by `shift`."""
    place = np.arange(side) - 1 - shift
    rise = max(side * TAPER, 2.0)
    from_edge = np.minimum(place, side - 3 - place)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(from_edge / rise, 0, 1)))


def _shared(sides: tuple[int, ...]) -> float:
    """Return over how many neighbouring frequencies a window shares out what is in one."""
    windows = [window(side) for side in sides]
    return float(np.prod([(w**4).mean() / (w**2).mean() ** 2 for w in windows]))


def _spectra(first: Views, second: Views, shift: Array) -> Spectra:
    """Return the cross-spectrum and the two power spectra, summed over frames."""
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
    """Return cycles per pixel down and along a row, and how often each is in the full plane."""
    height, width = sides
    down = np.fft.fftfreq(height)[:, None]
    along = np.fft.rfftfreq(width)[None, :]
    count = np.full((height, width // 2 + 1), 2.0)
    count[:, 0] = 1
    if width % 2 == 0:
        count[:, -1] = 1
    count[0, 0] = 0  # the mean says nothing
    for array in (down, along, count):
        array.flags.writeable = False
    return down, along, count


def _turned(cross: Array, frequencies: tuple[Array, Array, Array], shift: Array) -> Array:
    """Return the cross-spectrum with the phase of a shift taken off: real where it is right."""
    down, along, _ = frequencies
    phases = np.exp(2j * np.pi * shift[0] * down) * np.exp(2j * np.pi * shift[1] * along)
    return np.asarray(cross * phases)


@lru_cache(maxsize=8)
def frequency_rings(sides: tuple[int, ...]) -> Array:
    """Return for each frequency the number of its ring; rings hold `RING` of them at least."""
    down, along, count = fourier_grid(sides)
    side = np.sqrt(count.sum())
    return ring_numbers(np.hypot(down, along), side)


def ring_numbers(frequency: Array, side: float) -> Array:
    """Return the numbers of the rings of frequencies, cycles per pixel, of a square field."""
    radius = frequency * side
    widest = np.sqrt(RING / np.pi)  # the innermost ring is a disc
    ring = np.where(radius < widest, 0, 1 + (radius - widest) / 2)
    # The corners, beyond the circle that fits in, are one ring.
    return np.asarray(np.minimum(ring, 1 + (side / 2 - widest) / 2), int)


def ring_means(values: Array, rings: Array, count: Array) -> Array:
    """Return the mean of the values on each ring, the full plane counted."""
    sums = np.bincount(rings.ravel(), (values * count).ravel())
    number = np.bincount(rings.ravel(), count.ravel())
    return np.asarray(sums / np.maximum(number, 1))


def _weights(
    spectra: Spectra,
    frequencies: tuple[Array, Array, Array],
    shift: Array,
    sides: tuple[int, ...],
) -> tuple[Array, Array]:
    """Return what each frequency of the cross-spectrum counts, and how much of it is signal."""
    rings, count = frequency_rings(sides), frequencies[2]
    turned = _turned(spectra[0], frequencies, shift).real
    common, *powers = (ring_means(s, rings, count) for s in (turned, *spectra[1:]))
    both = np.maximum(np.sqrt(powers[0] * powers[1]), TINY)
    number = np.bincount(rings.ravel(), count.ravel()) / _shared(sides)
    chance = SIGNIFICANT / np.sqrt(np.maximum(number, 1))
    agreement = np.where(common > chance * both, common / both, 0.0)
    coherence = np.minimum(agreement**2, MOST_COHERENT)
    weight = np.sqrt(coherence) / (1 - coherence) / both
    total = weight.max() or 1.0
    signal = 2 * np.sqrt(coherence) / (1 + np.sqrt(coherence))  # of the mean of both views
    down, along, _ = frequencies
    scene = np.hypot(down * sides[0], along * sides[1]) >= FEWEST_CYCLES
    return np.asarray((weight / total)[rings] * scene), np.asarray(signal[rings] * scene)


def _peak(weighted: Array, frequencies: tuple[Array, Array, Array], start: Array) -> Array:
    """Return where the correlation is highest."""
    down, along, count = frequencies
    steps = np.arange(-REACH, REACH + 0.5 / UPSAMPLE, 1 / UPSAMPLE)
    shift = start
    for _ in range(CLIMBS):
        rows = np.exp(2j * np.pi * (shift[0] + steps)[:, None] * down.T)
        columns = np.exp(2j * np.pi * along.T * (shift[1] + steps)[None, :])
        surface = (rows @ (weighted * count) @ columns).real
        best = np.unravel_index(np.argmax(surface), surface.shape)
        shift = shift + steps[list(best)]
        if all(0 < place < len(steps) - 1 for place in best):
            break  # not at the rim
    for _ in range(8):
        gradient, curvature = _slope(weighted * count, frequencies, shift)
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            break  # no peak: nothing to climb
        step = np.linalg.solve(curvature, gradient)
        shift = shift + np.clip(step, -1 / UPSAMPLE, 1 / UPSAMPLE)
        if np.abs(step).max() < 1e-5:
            break
    return np.asarray(shift)


def _slope(
    weighted: Array, frequencies: tuple[Array, Array, Array], shift: Array
) -> tuple[Array, Array]:
    """Return gradient and negative curvature of the correlation at a shift."""
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
    """Return the standard error of the place of the peak; infinite where there is none."""
    down, along, count = frequencies
    _, curvature = _slope(weighted * count, frequencies, shift)
    if not np.linalg.eigvalsh(curvature)[0] > 0:
        return np.inf, np.inf
    # Where the phases are right the imaginary part is noise: it pushes the top about.
    noise = 2 * _shared((count.shape[0], along.size * 2 - 2)) * count
    noise = noise * _turned(weighted, frequencies, shift).imag ** 2 * (2 * np.pi) ** 2
    push = [[(noise * a * b).sum() for b in (down, along)] for a in (down, along)]
    inverse = np.linalg.inv(curvature)
    dy, dx = np.sqrt(np.diag(inverse @ np.array(push) @ inverse))
    return float(dy), float(dx)


def _noise_corrected_correlation(
    spectra: Spectra, frequencies: tuple[Array, Array, Array], shift: Array
) -> tuple[float, float]:
    """Return the correlation of the scenes, noise apart, and the gain of the second view.

    The mean over octaves in which both views have structure of their own: two blobs may agree
    in the coarsest, two views of one scene agree in all.
    """
    down, along, count = frequencies
    radius = np.hypot(down, along)
    corners = (radius > 0.5) & (count > 0)  # noise is all there is
    noises = [(power * count)[corners].sum() / count[corners].sum() for power in spectra[1:]]
    turned = _turned(spectra[0], frequencies, shift).real
    agreements, trust, signals = [], [], np.zeros(2)
    top = 0.5
    while ((radius < top) & (count > 0)).sum() >= RING / 2:
        octave = (radius < top) & (radius >= top / 2) & (count > 0)
        if top / 2 * min(len(down), 2 * along.size) < 4:  # the coarsest are one
            octave = (radius < top) & (count > 0)
        number = count[octave].sum()
        own = [
            (power * count)[octave].sum() - noise * number
            for power, noise in zip(spectra[1:], noises, strict=True)
        ]
        ratio = min(o / max(noise * number, TINY) for o, noise in zip(own, noises, strict=True))
        if ratio > ABOVE_NOISE:
            agreements.append((turned * count)[octave].sum() / np.sqrt(own[0] * own[1]))
            trust.append(ratio**2 / (1 + ratio**2))
            signals += own
        top /= 2
    if not agreements:
        return 0.0, 1.0
    return float(np.average(agreements, weights=trust)), float(np.sqrt(signals[1] / signals[0]))
