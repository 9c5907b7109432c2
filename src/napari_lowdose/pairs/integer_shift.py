"""Integer shift and orientation of two views, from the peak of their cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.block_statistics import binned
from napari_lowdose.pairs.correlation_peak import (
    SIGNIFICANT,
    fourier_grid,
    frequency_rings,
    ring_means,
    ring_numbers,
    window,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Views = NDArray[np.float32]

SMOOTHING = 1.0  # px: standard deviation of the Gaussian that suppresses noise
BACKGROUND = 8  # structure wider than the shorter side divided by this counts as background
CONTRAST_WIDTH = 16  # the local contrast is measured over the shorter side divided by this
LEAST_OVERLAP = 1 / 3  # of each side: a smaller common field is too small to train on

COMPARED = 256  # px: longest side at which orientations are compared
COMPARED_FRAMES = 4
TURNED_FACTOR = 1.3  # another orientation must correlate better by this factor
# The same for reversed contrast. It is smaller, because a lattice correlates with its own inverse:
# the dark gaps between the columns of atoms are almost as strong as the columns.
REVERSED_FACTOR = 1.15
ABOVE_CHANCE = 10.0  # times the median correlation: least peak that is no accident
# How the second exposure appears: (quarter turns counter-clockwise, then mirrored or not)
ORIENTATIONS = {
    (0, True): "mirrored left to right",
    (2, True): "mirrored top to bottom",
    (2, False): "rotated by 180 degrees",
    (1, True): "transposed (rows and columns exchanged)",
    (3, True): "transposed and rotated by 180 degrees",
    (1, False): "rotated by 90 degrees counter-clockwise",
    (3, False): "rotated by 90 degrees clockwise",
}


def integer_shift(
    first: Views, second: Views, max_shift: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the shift in whole pixels at which two views correlate best.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Frames with the same shift.
    max_shift : (int, int), optional
        Largest shift (dy, dx) to search. By default, at least a third of each side overlaps.

    Returns
    -------
    (int, int)
        (dy, dx): the scene at (y, x) in `first` is at (y + dy, x + dx) in `second`.

    See Also
    --------
    overlap_correlation : The correlation that is maximised.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).normal(size=(1, 80, 80)).astype(np.float32)
    >>> integer_shift(scene[:, 9:73, 9:73], scene[:, 4:68, 12:76])
    (5, -3)
    """
    score = overlap_correlation(first, second, max_shift)
    centre = np.array(score.shape) // 2
    peak = np.unravel_index(np.argmax(score), score.shape) - centre
    return int(peak[0]), int(peak[1])


def overlap_correlation(
    first: Views, second: Views, max_shift: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """Return the weighted correlation coefficient of two views at every integer shift.

    The coefficient at each shift is that of the overlapping parts, after noise and background are
    filtered out.  It is multiplied by the square root of the overlap, because chance correlations
    are larger in a smaller field.  Of the equivalent peaks of a perfect lattice, this favours the
    one closest to zero shift.

    Parameters
    ----------
    first, second, max_shift
        As in `integer_shift`.

    Returns
    -------
    (2 * dy + 1, 2 * dx + 1) float64 array
        Zero shift is at the centre.
    """
    from scipy import fft

    sides = first.shape[-2:]
    largest = [int(side * (1 - LEAST_OVERLAP)) for side in sides]
    reach = largest if max_shift is None else [*map(min, max_shift, largest)]
    # Zero padding by the largest shift: the views must not wrap around.
    padded = [
        fft.next_fast_len(side + by, real=True) for side, by in zip(sides, reach, strict=True)
    ]
    products: Any = 0
    energies = [np.zeros(sides), np.zeros(sides)]
    for bands in zip(*scene_bands(first, second), strict=True):
        for band, energy in zip(bands, energies, strict=True):
            energy += band**2
        spectra = [fft.rfft2(band, padded) for band in bands]
        products = products + spectra[0].conj() * spectra[1]
    correlation = fft.irfft2(products, padded)
    lags = [np.arange(-by, by + 1) for by in reach]
    correlation = correlation[np.ix_(*lags)]
    common = [side - abs(lag) for side, lag in zip(sides, lags, strict=True)]
    opposite = [-lag for lag in lags]
    power = _overlap_energy(energies[0], *lags) * _overlap_energy(energies[1], *opposite)
    overlap = np.outer(*common) / np.prod(sides)
    return np.asarray(correlation * np.sqrt(overlap / np.maximum(power, np.finfo(float).tiny)))


def scene_bands(first: Views, second: Views) -> tuple[Views, Views]:
    """Band-pass filter two views and equalise their local contrast.

    The filter suppresses noise, measured in the spectra of the views, and the background.

    Parameters
    ----------
    first, second : (T, Y, X) array

    Returns
    -------
    first, second : (T, Y, X) float32 array
    """
    transfer = _scene_filter(first.shape[-2:], _signal_fraction(first) * _signal_fraction(second))
    one, other = (
        np.stack([_scene_band(np.asarray(frame, np.float32), transfer) for frame in view])
        for view in (first, second)
    )
    return one, other


def contrast_reversed(first: Views, second: Views) -> bool:
    """Return whether the second exposure correlates better with the first when it is inverted.

    Parameters
    ----------
    first, second : (T, Y, X) array
        Exposures of the same shape that are known to show a common scene.

    Returns
    -------
    bool
    """
    return _is_reversed(overlap_correlation(*_reduced(first, second)))


def orientation_difference(first: Views, second: Views) -> str | None:
    """Describe how the second exposure is mirrored, rotated or inverted against the first.

    Parameters
    ----------
    first, second : (T, Y, X) array
        Exposures of the same shape, or with rows and columns exchanged.

    Returns
    -------
    str or None
        "mirrored left to right", "rotated by 90 degrees clockwise", "reversed in contrast", ...;
        None if no other orientation correlates clearly better.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    >>> orientation_difference(scene, scene[:, :, ::-1])
    'mirrored left to right'
    >>> orientation_difference(scene, scene) is None
    True
    """
    one, other = _reduced(first, second)
    side = min(one.shape[-2:])
    best, words = 0.0, None
    if one.shape == other.shape:
        surface = overlap_correlation(one, other)
        best = TURNED_FACTOR * float(surface.max())
        if _is_reversed(surface) and -surface.min() > _chance_level(surface):
            best, words = max(best, -float(surface.min())), "reversed in contrast"
    # Quarter turns exchange the sides: only a square can be compared in all orientations.
    square, other_square = one[:, :side, :side], other[:, :side, :side]
    for (quarters, mirrored), name in ORIENTATIONS.items():
        if quarters % 2 == 0 and one.shape != other.shape:
            continue
        restored = other_square if quarters % 2 else other
        restored = np.rot90(restored[:, :, ::-1] if mirrored else restored, -quarters, (1, 2))
        reference = square if quarters % 2 else one
        surface = overlap_correlation(reference, np.ascontiguousarray(restored))
        if surface.max() > max(best, _chance_level(surface)):
            best, words = float(surface.max()), name
    return words


def _reduced(first: Views, second: Views) -> tuple[Views, Views]:
    """Return a few binned frames: orientation shows in coarse structure too, and much faster."""
    factor = -(-max(first.shape[-2:]) // COMPARED)
    few = slice(None, None, max(1, -(-len(first) // COMPARED_FRAMES)))
    return binned(first[few], factor), binned(second[few], factor)


def _is_reversed(surface: NDArray[np.float64]) -> bool:
    return bool(-surface.min() > REVERSED_FACTOR * surface.max())


def _chance_level(surface: NDArray[np.float64]) -> float:
    return ABOVE_CHANCE * float(np.median(np.abs(surface)))


def _signal_fraction(views: Views) -> NDArray[np.float64]:
    """Return the share of signal in the power of each ring of frequencies, 0 to 1."""
    from scipy import fft

    sides = views.shape[-2:]
    grid = fourier_grid(sides)
    rings, count = frequency_rings(sides), grid[2]
    taper = np.outer(window(sides[0]), window(sides[1])).astype(np.float32)
    power = np.zeros(count.shape)
    for frame in views:
        power += np.abs(fft.rfft2(taper * (frame - frame.mean()))) ** 2
    means = ring_means(power, rings, count)
    number = len(views) * np.bincount(rings.ravel(), count.ravel())
    # The outermost ring contains only noise. Power within its scatter is no signal.
    noise = means[-1] * (1 + SIGNIFICANT / np.sqrt(np.maximum(number, 1)))
    return np.asarray(np.clip(1 - noise / np.maximum(means, np.finfo(float).tiny), 0, 1))


def _scene_filter(sides: tuple[int, ...], signal: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the band-pass transfer function, one value per coefficient of the cosine transform."""
    down, along = (np.arange(side) / (2 * side) for side in sides)
    square = down[:, None] ** 2 + along**2
    widest = min(sides) / BACKGROUND
    transfer = np.exp(-2 * (np.pi * SMOOTHING) ** 2 * square)
    transfer *= 1 - np.exp(-2 * (np.pi * widest) ** 2 * square)
    if signal.any():
        rings = ring_numbers(np.sqrt(square), np.sqrt(np.prod(sides)))
        transfer *= signal[np.minimum(rings, len(signal) - 1)]
    return transfer.astype(np.float32)


def _scene_band(frame: NDArray[Any], transfer: NDArray[np.float32]) -> Views:
    """Apply the band-pass and divide by the local contrast.

    Without the division, one bright spot on the specimen or sensor would determine the shift.
    """
    from scipy import fft

    # The cosine transform continues a frame by reflection. With a Fourier transform, uneven
    # illumination would make a step at the border.
    band = fft.idctn(fft.dctn(frame - frame.mean(), norm="ortho") * transfer, norm="ortho")
    return np.asarray(band / _local_contrast(band))


def _local_contrast(band: Views) -> Views:
    """Return the local root mean square, at least its median so that noise is not amplified."""
    from scipy import fft

    sides = band.shape
    down, along = (np.arange(side) / (2 * side) for side in sides)
    width = min(sides) / CONTRAST_WIDTH
    blur = np.exp(-2 * (np.pi * width) ** 2 * (down[:, None] ** 2 + along**2))
    square = fft.idctn(fft.dctn(band**2, norm="ortho") * blur.astype(np.float32), norm="ortho")
    least = np.median(square)
    return np.asarray(np.sqrt(np.maximum(square, least) + np.finfo(np.float32).tiny))


def _overlap_energy(energy: NDArray[Any], dy: NDArray[Any], dx: NDArray[Any]) -> NDArray[Any]:
    """Sum the energy over the overlap of both views for every shift, from one cumulative sum."""
    sums = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (height, width) = energy.shape
    top, bottom = np.maximum(0, -dy), np.minimum(height, height - dy)
    left, right = np.maximum(0, -dx), np.minimum(width, width - dx)
    total: NDArray[Any] = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    return total
