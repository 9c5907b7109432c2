"""Estimation of the PSF width, the patch size of REUCID."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.imaging.image_area import image_area
from napari_lowdose.imaging.outliers import find_outliers, replace_outliers
from napari_lowdose.io.arrays import as_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Profile = NDArray[np.float64]
    Tile = NDArray[np.float32]

__all__ = ["DEFAULT_WIDTH", "MAX_WIDTH", "MIN_WIDTH", "psf_width"]

MIN_WIDTH = 5  # smaller patches have too few pixels to distinguish noise from structure
MAX_WIDTH = 31  # memory grows with the square; also the longest lag and background cut-off
DEFAULT_WIDTH = 9  # without visible structure: smaller patches would keep such heavy noise

_TILE = 512  # autocorrelations of tiles are summed: little memory, time linear in the pixels, and
# one thread is enough (half a second for 4096 x 4096 pixels)
_BANDWIDTH = 0.15  # of the local line fit, in log(radius): smooths over 15 % of the radius
_BASE_PER_INFLEXION = 2.25
_SIGNIFICANT = 5.0  # minimum slope, in standard errors under white noise
_FIRST = 0.7  # minimum slope of the first inflexion, relative to the steepest one
_FRINGE = 20.0  # times the median power; white noise reaches 9 times in the 512 rows of a tile
_SPIKE = 4.0  # relative slope at the shortest lag, from which on it is fine detail, not noise


def psf_width(image: NDArray[Any]) -> int:
    """Estimate the width of the point-spread function, REUCID's patch size.

    As in the paper, the autocorrelation is computed by FFT and averaged radially.  The width is
    its first minimum or, if there is no minimum, its first inflexion.  Five additions make the
    estimate robust on real images:

    - The smooth background, everything that varies over more than ``MAX_WIDTH`` pixels, is
      subtracted first.  Its autocorrelation falls over hundreds of pixels and would hide the
      minimum.
    - Lags along a row and along a column are excluded.  They contain the zero-lag spike of the
      noise and the ridges of row noise (scanning) and column noise (cameras).  The residue of row
      noise at other lags is subtracted from each row, except for the fringes of a lattice.
    - The inflexion is located on a logarithmic axis, where the radial mean falls fastest per
      relative change of radius.  Spots of standard deviation s have the autocorrelation
      exp(-r**2 / 4 s**2) and their inflexion at r = 2 s.  (On a linear axis it is at sqrt(2) s,
      but moves to the shortest lag if neighbouring pixels share noise or an edge is sharp.)
      The width is 2.25 times this radius, 4.5 s.  At this distance two spots no longer overlap
      (the autocorrelation is 0.6 %), which is the meaning of the first minimum.
    - A minimum at a larger radius measures the distance between features, not their width.  The
      inflexion is used instead, so that the estimate does not jump if a lattice becomes sparse or
      irregular.
    - A slope is significant if it is five times its standard error under noise.

    In a dense lattice neighbours overlap, and the first minimum, as in the paper, is at 0.6 of
    the distance between rows of atoms, independent of their width.  For features wider than
    ``MAX_WIDTH`` the result is ``MAX_WIDTH`` or the width of finer detail in them.  Camera noise
    that is correlated between neighbouring pixels is distinguished from detail up to a
    correlation length of about one pixel.  An image with nothing else gives ``MIN_WIDTH``.

    Parameters
    ----------
    image : (Y, X) array
        One frame with finite pixels, any real dtype.  The estimate does not depend on gain,
        offset, outliers (hot pixels, cosmic rays), an info bar or a dead border.

    Returns
    -------
    int
        Width in pixels: odd, from ``MIN_WIDTH`` (5) to ``MAX_WIDTH`` (31), and at most half of
        the shorter side.  ``DEFAULT_WIDTH`` (9) for pure noise, for a constant image, and for an
        image less than 20 pixels high or wide.

    Raises
    ------
    ValueError
        If the image is not two-dimensional.

    References
    ----------
    REUCID paper, Methods, "PSF estimation".

    Examples
    --------
    Spots of standard deviation 2 pixels, 24 pixels apart:

    >>> import numpy as np
    >>> y, x = np.mgrid[:128, :128] % 24 - 12
    >>> psf_width(np.exp(-(x**2 + y**2) / (2 * 2.0**2)))
    9
    """
    image = np.asarray(as_image(image))
    if image.ndim != 2:
        msg = f"The PSF width is estimated on one (Y, X) image, not on shape {image.shape}."
        raise ValueError(msg)
    inside = image[image_area(image)]
    return psf_width_of_image(replace_outliers(inside, find_outliers(inside)))


def psf_width_of_image(image: NDArray[Any]) -> int:
    """Estimate the PSF width of an image without outliers; see `psf_width`."""
    return _as_patch_size(_width(image), min(image.shape))


def _as_patch_size(width: float, shorter_side: int) -> int:
    """Round to an odd number within the limits, at most half of the shorter side."""
    odd = min(max(int(width) // 2 * 2 + 1, MIN_WIDTH), MAX_WIDTH)
    fits = (shorter_side // 2 - 1) // 2 * 2 + 1
    return max(min(odd, fits), 1)


def _width(image: NDArray[Any]) -> float:
    """Return the PSF width in pixels, before rounding."""
    if min(image.shape) < 4 * MIN_WIDTH or image.min() == image.max():
        return DEFAULT_WIDTH
    radius, slope, error = _log_slope(*radial_autocorrelation(image))
    falls = np.where(slope < -_SIGNIFICANT * error, slope, 0.0)
    if not falls.any():
        return DEFAULT_WIDTH
    inflexions = 1 + np.flatnonzero((falls[1:-1] < falls[:-2]) & (falls[1:-1] <= falls[2:]))
    if not inflexions.size:
        inflexions = np.array([falls.argmin()])
    steepest = falls[inflexions].min()
    if falls[0] < _SPIKE * steepest:  # steepest at the shortest lag: too fine to measure
        return MIN_WIDTH
    inflexion = inflexions[falls[inflexions] <= _FIRST * steepest][0]

    base = _BASE_PER_INFLEXION * float(radius[inflexion])
    rises = np.flatnonzero(slope[inflexion:] >= 0)
    first_minimum = float(radius[inflexion + rises[0]]) if rises.size else np.inf
    return min(first_minimum, base)


def radial_autocorrelation(image: NDArray[Any]) -> tuple[Profile, Profile, Profile]:
    """Compute the radial mean of the autocorrelation, without background and axial lags.

    Parameters
    ----------
    image : (Y, X) array
        Any real dtype.

    Returns
    -------
    radius : (n,) float64
        Mean length of the lags of each ring, in pixels.
    mean : (n,) float64
        Mean of each ring, relative to the zero lag, which includes the noise.
    error : (n,) float64
        Standard error of `mean` for uncorrelated pixels of the same local variance, for example
        pure noise, or shot noise in bright regions.
    """
    reach = min(MAX_WIDTH, min(image.shape) // 2)
    lowest = np.float64(image.min())
    scale = (np.float64(image.max()) - lowest) or np.float64(1)
    dy, dx = np.arange(-reach, reach + 1)[:, None], np.arange(reach + 1)
    products = np.zeros((2 * reach + 1, reach + 1))
    pairs = np.zeros_like(products)
    variances = []
    for rows in _cuts(image.shape[0]):
        for columns in _cuts(image.shape[1]):
            tile = ((image[rows, columns] - lowest) / scale).astype(np.float32)
            tile = _without_background(tile)
            tile -= _row_noise(tile)[:, None]
            products += _autocorrelation(tile, reach)
            pairs += (tile.shape[0] - abs(dy)) * (tile.shape[1] - dx)
            variances.append(_local_variances(tile))
    correlation = products / pairs
    correlation /= correlation[reach, 0] or 1.0

    length = np.hypot(dy, dx)
    off_axes = (dy != 0) & (dx != 0) & (length <= reach)
    ring = np.rint(length[off_axes]).astype(int)
    count = np.bincount(ring)[1:]
    radius = np.bincount(ring, length[off_axes])[1:] / count
    mean = np.bincount(ring, correlation[off_axes])[1:] / count
    variance = np.concatenate(variances)
    uneven = np.sqrt(np.mean(variance**2)) / (variance.mean() or 1.0)
    return radius, mean, uneven / np.sqrt(image.size * count)


def _row_noise(tile: Tile) -> Tile:
    """Return the white part of the row means, without the fringes of a lattice.

    Row noise is on the axis dy = 0.  Its random residue at other lags is the same for all lags of
    a row, so that the average over a ring does not remove it.
    """
    spectrum = scipy.fft.rfft(tile.mean(axis=1))
    power = abs(spectrum) ** 2
    spectrum[power > _FRINGE * np.median(power)] = 0
    return np.asarray(scipy.fft.irfft(spectrum, len(tile)), dtype=np.float32)


def _local_variances(tile: Tile, side: int = 16) -> Profile:
    """Return the mean squares of blocks of `side` x `side` pixels, a map of the variance."""
    rows, columns = (length // side for length in tile.shape)
    blocks = tile[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return np.mean(blocks**2, axis=(1, 3), dtype=np.float64).ravel()


def _cuts(length: int) -> list[slice]:
    """Cut an axis into equal parts of at most ``_TILE`` pixels."""
    edges = np.linspace(0, length, -(-length // _TILE) + 1).astype(int)
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _without_background(tile: Tile) -> Tile:
    """Subtract the low frequencies of a tile, with half periods over ``MAX_WIDTH`` pixels.

    The cosine transform, unlike the Fourier transform, does not assume equal opposite edges.
    """
    cosines = scipy.fft.dctn(tile, norm="ortho")
    slow_y, slow_x = (max(1, round(length / MAX_WIDTH)) for length in tile.shape)
    cosines[:slow_y, :slow_x] = 0
    return np.asarray(scipy.fft.idctn(cosines, norm="ortho"), dtype=np.float32)


def _autocorrelation(tile: Tile, reach: int) -> Tile:
    """Sum the products at lags -reach..reach (y) and 0..reach (x), padded against wrap-around."""
    padded = [scipy.fft.next_fast_len(length + reach, real=True) for length in tile.shape]
    spectrum = scipy.fft.rfft2(tile, padded)
    products = scipy.fft.irfft2(abs(spectrum) ** 2, padded)[:, : reach + 1]
    return np.concatenate((products[-reach:], products[: reach + 1]))


def _log_slope(radius: Profile, mean: Profile, error: Profile) -> tuple[Profile, Profile, Profile]:
    """Fit the slope of the radial mean against log(radius) locally, with its standard error."""
    x = np.log(radius)
    centre = np.arange(x[0] + 0.1, x[-1] - _BANDWIDTH, 0.02)[:, None]
    weight = np.exp(-0.5 * ((x - centre) / _BANDWIDTH) ** 2) / error**2
    arm = x - (weight * x).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    share = weight * arm / (weight * arm**2).sum(1, keepdims=True)
    return np.exp(centre[:, 0]), share @ mean, np.sqrt((share * error) ** 2 @ np.ones_like(x))
