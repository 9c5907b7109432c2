"""Patch Gram matrix X'X of all patches of an image, without extracting patches.

It is a rolling sum, like the patch terrain of the paper.  It is exact, and its cost grows with the
number of pixels of the image, not with the p*p pixels of each patch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

BAND = 256  # rows of the image per Fourier transform


def patch_gram(
    image: NDArray[np.float32], patch_size: int
) -> Generator[float, None, NDArray[np.float64]]:
    r"""Compute X'X of all patches of an image without extracting patches.

    .. math:: G_{(a,b),(c,d)} = \sum_{y<M,\;x<N} I_{y+a,\,x+b}\; I_{y+c,\,x+d}

    over the M x N top-left pixels.  The sums for (a, b, c, d) and (a+1, b, c+1, d) differ only by
    the row that leaves the window at the top and the row that enters at the bottom.  Only the
    sums for a = b = 0 are computed over the whole image, as a cross-correlation by FFT.  The cost
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
        Exact up to rounding.
    """
    p = patch_size
    down, across = image.shape[0] - p + 1, image.shape[1] - p + 1  # M, N
    lags = np.arange(p)
    rightwards = np.zeros((p, p))  # [c, d] for a = b = 0
    leftwards = np.zeros((p, p))  # [c, b] for a = d = 0
    for top in range(0, down, BAND):
        height = min(BAND, down - top)
        band = image[top : top + height + p - 1].astype(np.float64)
        rightwards += _correlate(band[:height, :across], band)[:p, :p]
        leftwards += _correlate(band[:height], band[:, :across])[:p, -lags]
        yield 0.5 * (top + height) / down

    gram = np.empty((p, p, p, p))  # [a, b, c, d]
    gram[0, 0] = rightwards
    gram[0, :, :, 0] = leftwards.T
    # From (0, b, c, d) to (0, b + 1, c, d + 1): one column leaves, another enters.
    change = _strip_products(image[:, across:], down) - _strip_products(image[:, : p - 1], down)
    for b in range(p - 1):
        gram[0, b + 1, :, 1:] = gram[0, b, :, :-1] + change[b]
    # From (a, b, c, d) to (a + 1, b, c + 1, d): one row leaves, another enters.  Because G is
    # symmetric, only c >= a is computed.
    entering, leaving = (_row_windows(rows, across) for rows in (image[down:], image[: p - 1]))
    for a in range(p - 1):
        change = entering[a] @ entering[a:].reshape(-1, across).T
        change -= leaving[a] @ leaving[a:].reshape(-1, across).T
        gram[a + 1, :, a + 1 :] = gram[a, :, a:-1] + change.reshape(p, -1, p)
        yield 0.5 + 0.5 * (a + 1) / p
    # Mirrored, so that the matrix is exactly symmetric despite rounding.
    upper = np.triu(gram.reshape(p * p, p * p))
    return upper + np.triu(upper, 1).T


def _strip_products(strip: NDArray[np.float32], down: int) -> NDArray[np.float64]:
    """Return [b, c, d] = sum over y of strip[y, b] strip[y + c, d], for p - 1 columns."""
    strip = strip.astype(np.float64)
    shifted = np.lib.stride_tricks.sliding_window_view(strip, down, axis=0)  # [c, d, y]
    return np.tensordot(strip[:down].T, shifted, axes=(1, 2))


def _row_windows(rows: NDArray[np.float32], across: int) -> NDArray[np.float64]:
    """Return [a, b, x] = rows[a, x + b]."""
    windows = np.lib.stride_tricks.sliding_window_view(rows.astype(np.float64), across, axis=1)
    return np.ascontiguousarray(windows)


def _correlate(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sum over y, x of first[y, x] second[y + lag, x + lag], with periodic lags."""
    shape = [
        scipy.fft.next_fast_len(max(a, b), real=True)
        for a, b in zip(first.shape, second.shape, strict=True)
    ]
    spectrum = scipy.fft.rfft2(first, shape, workers=-1).conj()
    spectrum *= scipy.fft.rfft2(second, shape, workers=-1)
    product: NDArray[np.float64] = scipy.fft.irfft2(spectrum, shape, workers=-1)
    return product
