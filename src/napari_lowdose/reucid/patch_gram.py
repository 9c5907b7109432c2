"""Patch Gram matrix X'X of all patches of an image, without extracting patches.

It is a rolling sum, like the patch terrain of the paper.  It is exact, and its cost grows with the
number of pixels of the image, not with the p*p pixels of each patch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.engine import rescale_progress
from napari_lowdose.reucid.tiles import over_tiles, tile_corners, tile_step

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

# Approximate tile size, pixels: transforms fit into the cache of a core, and an image of 512 x 512
# pixels has several tiles to process in parallel.
TILE = 256


def patch_gram(
    image: NDArray[np.float32], patch_size: int
) -> Generator[float, None, NDArray[np.float64]]:
    r"""Compute X'X of all patches of an image without extracting patches.

    .. math:: G_{(a,b),(c,d)} = \sum_{y<M,\;x<N} I_{y+a,\,x+b}\; I_{y+c,\,x+d}

    over the M x N top-left pixels.  The sums for (a, b, c, d) and (a+1, b, c+1, d) differ only by
    the row that leaves the window at the top and the row that enters at the bottom.  Only the
    sums for a = b = 0 are computed over the whole image, as an autocorrelation by FFT.  The cost
    is linear in the number of pixels.

    Parameters
    ----------
    image : (m, n) float32 array
    patch_size : int
        Width p of a patch, pixels.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (p*p, p*p) float64 array
        Exact up to the rounding of a float32 Fourier transform, 1e-7 of the trace.
    """
    p = patch_size
    down, across = image.shape[0] - p + 1, image.shape[1] - p + 1  # M, N
    # [c, d + p - 1] = sum over y < M and all x of I[y, x] I[y + c, x + d]
    correlated = yield from rescale_progress(_autocorrelation(image, p), 0.0, 0.7)
    right = _strip_products(image[:, across:], down)
    gram = np.empty((p, p, p, p))  # [a, b, c, d]
    # The sums over x < N are those over all x but for the last p - 1 columns.
    gram[0, 0] = correlated[:, p - 1 :]
    gram[0, :, :, 0] = correlated[:, p - 1 :: -1].T
    for b in range(p - 1):
        gram[0, 0, :, : p - 1 - b] -= right[b, :, b:]
        gram[0, 1 : p - 1 - b, :, 0] -= right[b + 1 :, :, b]
    # From (0, b, c, d) to (0, b + 1, c, d + 1): one column leaves, another enters.
    change = right - _strip_products(image[:, : p - 1], down)
    for b in range(p - 1):
        gram[0, b + 1, :, 1:] = gram[0, b, :, :-1] + change[b]
    yield 0.8
    # From (a, b, c, d) to (a + 1, b, c + 1, d): one row leaves, another enters.  Because G is
    # symmetric, only c >= a is computed.
    change = _row_products(image[down:], image[: p - 1], p)
    for a in range(p - 1):
        gram[a + 1, :, a + 1 :] = gram[a, :, a:-1] + change[a, :, a:]
        if a % 4 == 3:
            yield 0.8 + 0.2 * a / p
    # Mirrored, so that the matrix is exactly symmetric despite rounding.
    matrix = gram.reshape(p * p, p * p)
    for a in range(p):
        block = slice(a * p, (a + 1) * p)
        matrix[block, : a * p] = matrix[: a * p, block].T
        matrix[block, block] = (matrix[block, block] + matrix[block, block].T) / 2
    return matrix


def _autocorrelation(
    image: NDArray[np.float32], patch_size: int
) -> Generator[float, None, NDArray[np.float64]]:
    """Return [c, d + p - 1] = sum over y < M, x of I[y, x] I[y + c, x + d], |d| < p, by FFT.

    The sum is divided into tiles.  Their cross-spectra have the same shape and are added up.
    """
    p = patch_size
    n_rows, n_columns = image.shape[0] - p + 1, image.shape[1]
    step = [tile_step(n, TILE) for n in (n_rows, n_columns)]
    shape = [
        scipy.fft.next_fast_len(n + margin, real=True)
        for n, margin in zip(step, (p - 1, 2 * p - 2), strict=True)
    ]

    def cross_spectrum(corner: tuple[int, int]) -> NDArray[np.complex64]:
        y, x = corner
        tile = image[y : min(y + step[0], n_rows), x : x + step[1]]
        # The same pixels and those around them, up to the largest lag
        left = min(x, p - 1)
        wider = image[y : y + len(tile) + p - 1, x - left : x + tile.shape[1] + p - 1]
        if left < p - 1:
            wider = np.pad(wider, ((0, 0), (p - 1 - left, 0)))
        spectrum: NDArray[np.complex64] = scipy.fft.rfft2(tile, shape)
        np.conj(spectrum, out=spectrum)
        spectrum *= scipy.fft.rfft2(wider, shape)
        return spectrum

    total = np.zeros((shape[0], shape[1] // 2 + 1), np.complex128)
    corners = tile_corners((n_rows, n_columns), step)
    for fraction, batch in over_tiles(cross_spectrum, corners, per_thread=2):
        for _, spectrum in batch:
            total += spectrum
        yield fraction
    # Only a few lags are needed: their Fourier sums, one axis after the other.
    rows = _waves(p, shape[0]) @ total / shape[0]
    half = np.full(rows.shape[1], 2.0)  # frequencies of a real transform stand for two,
    half[0] = 1.0  # except for zero
    if shape[1] % 2 == 0:
        half[-1] = 1.0  # and the Nyquist frequency
    # The wider pixels begin p - 1 columns to the left of the tile.
    waves = _waves(2 * p - 1, shape[1])[:, : rows.shape[1]]
    product: NDArray[np.float64] = ((rows * half) @ waves.T).real / shape[1]
    return product


@lru_cache(maxsize=8)  # computed once per movie
def _waves(n_lags: int, length: int) -> NDArray[np.complex128]:
    """Return the Fourier waves [lag, frequency] of a transform of this length."""
    # Modulo the length, so that the argument of the exponential is small and exact
    turns = np.outer(np.arange(n_lags), np.arange(length)) % length / length
    return np.asarray(np.exp(2j * np.pi * turns))


def _strip_products(strip: NDArray[np.float32], down: int) -> NDArray[np.float64]:
    """Return [b, c, d] = sum over y of strip[y, b] strip[y + c, d], for p - 1 columns."""
    strip = strip.astype(np.float64)
    shifted = np.lib.stride_tricks.sliding_window_view(strip, down, axis=0)  # [c, d, y]
    return np.tensordot(strip[:down].T, shifted, axes=(1, 2))


def _row_products(
    entering: NDArray[np.float32], leaving: NDArray[np.float32], patch_size: int
) -> NDArray[np.float64]:
    """Return [a, b, c, d] = sum over x < N of I[a, x + b] I[c, x + d], for p - 1 rows.

    The sums of `leaving` rows are subtracted from those of `entering` rows.
    """
    p = patch_size
    across = entering.shape[1] - p + 1
    products = np.empty((p - 1, p, p - 1, p))
    # Columns of the rows are rows of the transposed strip: [a, d, c] = I[a, x] I[c, x + d]
    first = _strip_products(entering.T, across) - _strip_products(leaving.T, across)
    products[:, 0] = first.transpose(0, 2, 1)
    products[:, :, :, 0] = first.transpose(2, 1, 0)
    # From (a, b, c, d) to (a, b + 1, c, d + 1): one pixel of each row leaves, another enters.
    ends = np.stack(
        [
            rows[:, part]
            for rows in (entering, leaving)
            for part in (slice(across, None), slice(p - 1))
        ]
    ).astype(np.float64)
    signed = ends * np.array([1, -1, -1, 1])[:, None, None]
    for b in range(p - 1):
        change = (signed[:, :, b].T @ ends.reshape(4, -1)).reshape(p - 1, p - 1, p - 1)
        np.add(products[:, b, :, :-1], change, out=products[:, b + 1, :, 1:])
    return products
