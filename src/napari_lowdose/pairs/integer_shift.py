"""By how many whole pixels two views of one scene differ: the peak of their correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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

FINEST = 1.0  # px, standard deviation of the Gaussian that takes off the noise of neighbours
COARSEST = 8  # the background, all that is wider than this part of the shorter side, goes too
EVEN = 16  # part of the shorter side within which contrast is made even
LEAST_OVERLAP = 1 / 3  # of each side: beyond, too little is left to train on


def integer_shift(
    first: Views, second: Views, max_shift: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the shift in whole pixels at which two views agree best.

    The correlation coefficient of what both show, at every shift, of the views less noise and
    background; each frame is correlated by itself.  Where the field that is left after a shift
    is smaller, chance correlates better, by the square root of the field: the coefficient is
    weighed with that.  So of the many peaks that a perfect lattice gives, the one nearest to no
    shift is taken, unless a defect says otherwise.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Frames of the same geometry.
    max_shift : (int, int), optional
        The largest (dy, dx) that is looked at; by default what leaves a third of each side.

    Returns
    -------
    (int, int)
        (dy, dx): what lies at (y, x) in `first` lies at (y + dy, x + dx) in `second`.

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
    """Return the weighed correlation coefficient at every shift, no shift in the middle.

    Parameters
    ----------
    first, second, max_shift
        As in `integer_shift`.

    Returns
    -------
    (2 * dy + 1, 2 * dx + 1) float64 array
    """
    from scipy import fft

    sides = first.shape[-2:]
    furthest = [int(side * (1 - LEAST_OVERLAP)) for side in sides]
    reach = furthest if max_shift is None else [*map(min, max_shift, furthest)]
    padded = [
        fft.next_fast_len(side + far, real=True) for side, far in zip(sides, reach, strict=True)
    ]
    products: Any = 0
    energies = [np.zeros(sides), np.zeros(sides)]
    for bands in zip(*scene_bands(first, second), strict=True):
        for band, energy in zip(bands, energies, strict=True):
            energy += band**2
        spectra = [fft.rfft2(band, padded) for band in bands]
        products = products + spectra[0].conj() * spectra[1]
    correlation = fft.irfft2(products, padded)
    lags = [np.arange(-far, far + 1) for far in reach]
    correlation = correlation[np.ix_(*lags)]
    common = [side - abs(lag) for side, lag in zip(sides, lags, strict=True)]
    opposite = [-lag for lag in lags]
    power = _overlap_energy(energies[0], *lags) * _overlap_energy(energies[1], *opposite)
    share = np.outer(*common) / np.prod(sides)
    return np.asarray(correlation * np.sqrt(share / np.maximum(power, np.finfo(float).tiny)))


def scene_bands(first: Views, second: Views) -> tuple[Views, Views]:
    """Return two views without noise and background, as rich in contrast all over.

    Parameters
    ----------
    first, second : (T, Y, X) array

    Returns
    -------
    first, second : (T, Y, X) float32 array
    """
    passed = _scene_filter(first.shape[-2:], _signal(first) * _signal(second))
    one, other = (
        np.stack([_scene_band(np.asarray(frame, np.float32), passed) for frame in view])
        for view in (first, second)
    )
    return one, other


def binned(views: Views, by: int) -> Views:
    """Return the sums over blocks of `by` x `by` pixels; what is left over at the end is left out.

    Parameters
    ----------
    views : (T, Y, X) array
    by : int

    Returns
    -------
    (T, Y // by, X // by) array
    """
    height, width = (side // by * by for side in views.shape[-2:])
    blocks = views[:, :height, :width].reshape(-1, height // by, by, width // by, by)
    return np.asarray(blocks.sum(axis=(2, 4)))


def _signal(views: Views) -> NDArray[np.float64]:
    """Return how much of each frequency is above the noise, 0 to 1: of rings, from the middle."""
    from scipy import fft

    sides = views.shape[-2:]
    grid = fourier_grid(sides)
    rings, count = frequency_rings(sides), grid[2]
    cut = np.outer(window(sides[0]), window(sides[1])).astype(np.float32)
    power = np.zeros(count.shape)
    for frame in views:
        power += np.abs(fft.rfft2(cut * (frame - frame.mean()))) ** 2
    means = ring_means(power, rings, count)
    number = len(views) * np.bincount(rings.ravel(), count.ravel())
    noise = means[-1] * (1 + SIGNIFICANT / np.sqrt(np.maximum(number, 1)))
    return np.asarray(np.clip(1 - noise / np.maximum(means, np.finfo(float).tiny), 0, 1))


def _scene_filter(sides: tuple[int, ...], signal: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the transfer, over the cosines of a frame, that leaves scene: no noise, no light."""
    down, along = (np.arange(side) / (2 * side) for side in sides)
    square = down[:, None] ** 2 + along**2
    widest = min(sides) / COARSEST
    passed = np.exp(-2 * (np.pi * FINEST) ** 2 * square)
    passed *= 1 - np.exp(-2 * (np.pi * widest) ** 2 * square)
    if signal.any():
        rings = ring_numbers(np.sqrt(square), np.sqrt(np.prod(sides)))
        passed *= signal[np.minimum(rings, len(signal) - 1)]
    return passed.astype(np.float32)


def _scene_band(frame: NDArray[Any], passed: NDArray[np.float32]) -> Views:
    """Return a frame without the pixels' noise and the background, as rich in contrast all over.

    What is bright in one place only, on the specimen or on the sensor, must not decide alone.
    """
    from scipy import fft

    # Cosines continue a frame evenly beyond its rim: one that is brighter on one side has no step.
    band = fft.idctn(fft.dctn(frame - frame.mean(), norm="ortho") * passed, norm="ortho")
    return np.asarray(band / _local_contrast(band))


def _local_contrast(band: Views) -> Views:
    """Return the root mean square around each pixel, not less than the typical one."""
    from scipy import fft

    sides = band.shape
    down, along = (np.arange(side) / (2 * side) for side in sides)
    around = np.exp(-2 * (np.pi * min(sides) / EVEN) ** 2 * (down[:, None] ** 2 + along**2))
    square = fft.idctn(fft.dctn(band**2, norm="ortho") * around.astype(np.float32), norm="ortho")
    least = np.median(square)
    return np.asarray(np.sqrt(np.maximum(square, least) + np.finfo(np.float32).tiny))


def _overlap_energy(energy: NDArray[Any], dy: NDArray[Any], dx: NDArray[Any]) -> NDArray[Any]:
    """Sum over the pixels of the first view that also lie in the second, for each shift."""
    sums = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (height, width) = energy.shape
    top, bottom = np.maximum(0, -dy), np.minimum(height, height - dy)
    left, right = np.maximum(0, -dx), np.minimum(width, width - dx)
    whole: NDArray[Any] = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    return whole
