"""Eigenpatches: the randomised SVD of a patch stack.

The right singular vectors of the (N, p*p) patch matrix X are all that REUCID needs of
the SVD, and a randomised SVD reaches them through products with X'X alone.  So it does
not matter how X'X is applied: from the patches of one stack as they are, or, for the
stack of all patches of an image, from the patch Gram matrix, which takes no patch at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.reucid.patch_stacks import extract_patches
from napari_lowdose.steps import within

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    Apply = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Halko, Martinsson & Tropp (2011): a few more random vectors than components, and a few
# power iterations, as the singular values of noise decay slowly.
OVERSAMPLING = 10
POWER_ITERATIONS = 8
POWER_ITERATIONS_SAMPLED = 4  # a sample differs from the whole by more than the rest brings

BAND = 256  # rows of the image in one Fourier transform of `patch_gram`
SAMPLE = 16384  # patches of a stack that an inexact SVD looks at, at most
SAMPLE_NUMBERS = 2**24  # and no more pixels than this: 64 MiB
WIDEST_GRAM = 49  # pixels: the patch Gram matrix has p**4 entries


def decompose(
    image: NDArray[np.float32],
    in_stack: NDArray[np.bool_],
    patch_size: int,
    n_components: int,
    *,
    exact: bool = False,
    seed: int = 0,
) -> Generator[float, None, tuple[NDArray[np.float64], NDArray[np.float32], float]]:
    """Find the singular values and eigenpatches of a patch stack.

    Parameters
    ----------
    image : (m, n) float32 array
        With its constant taken off.
    in_stack : (m - p + 1, n - p + 1) bool array
        True where the patch with this top-left pixel belongs to the stack.
    patch_size : int
        Width p of a patch, pixels.
    n_components : int
        The rank; at most p * p components come back.
    exact : bool
        Look at every patch of the stack.  By default at most 16384 drawn at random,
        except where all patches of the image are one stack: there the Gram matrix takes
        in every patch at no cost.
    seed : int
        Of the draw and of the random start of the SVD.

    Yields
    ------
    float
        The fraction that is done.

    Returns
    -------
    singular_values : (k,) float64 array, descending
    eigenpatches : (k, p, p) float32 array, of unit norm
    noise_floor : float
        The root mean square of the p * p - k singular values that are not found: they are
        noise, and what white noise alone would give.
    """
    n_pixels = patch_size**2
    rank = min(n_components, n_pixels)
    share = 1.0
    if patch_size <= WIDEST_GRAM and in_stack.all():
        gram = yield from within(patch_gram(image, patch_size), 0.0, 0.5)
        power = np.trace(gram)

        def apply_gram(z: NDArray[np.float64]) -> NDArray[np.float64]:
            return gram @ z
    else:
        positions = np.flatnonzero(in_stack)
        n_sample = sample_size(patch_size)
        if not exact and len(positions) > n_sample:
            share = n_sample / len(positions)
            positions = np.random.default_rng(seed).choice(positions, n_sample, replace=False)
        patches = extract_patches(image, patch_size, positions)
        power = np.square(patches).sum(dtype=np.float64)
        yield 0.0

        def apply_gram(z: NDArray[np.float64]) -> NDArray[np.float64]:
            return (patches.T @ (patches @ z.astype(np.float32))).astype(np.float64)

    iterations = POWER_ITERATIONS if share == 1 else POWER_ITERATIONS_SAMPLED
    svd = randomised_svd(apply_gram, n_pixels, rank, seed, iterations)
    values, vectors = yield from within(svd, 0.5, 1.0)
    eigenpatches = vectors.reshape(-1, patch_size, patch_size).astype(np.float32)
    rest = power - np.square(values).sum()
    noise = max(rest, 0.0) / (n_pixels - rank) if rank < n_pixels else values[-1] ** 2
    return values / np.sqrt(share), eigenpatches, float(np.sqrt(noise / share))


def sample_size(patch_size: int) -> int:
    """Return how many patches of a stack an inexact SVD looks at."""
    return min(SAMPLE, SAMPLE_NUMBERS // patch_size**2)


def randomised_svd(
    apply_gram: Apply,
    n_pixels: int,
    n_components: int,
    seed: int,
    power_iterations: int = POWER_ITERATIONS,
) -> Generator[float, None, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Find the leading singular values and right singular vectors of a patch matrix X.

    Parameters
    ----------
    apply_gram : callable
        Returns X'X z for z of shape (p*p, k).
    n_pixels : int
        p*p, the pixels of a patch.
    n_components : int
        The rank.
    seed : int
        Of the random start.
    power_iterations : int
        Times X'X is applied; more of them tell close singular values apart.

    Yields
    ------
    float
        The fraction that is done.

    Returns
    -------
    singular_values : (n_components,) float64 array, descending
    vectors : (n_components, p*p) float64 array, orthonormal rows
        The sign of each is fixed: its largest entry is positive.
    """
    n_random = min(n_components + OVERSAMPLING, n_pixels)
    basis = np.random.default_rng(seed).standard_normal((n_pixels, n_random))
    for iteration in range(power_iterations):
        basis = np.linalg.qr(apply_gram(basis))[0]
        yield (iteration + 1) / (power_iterations + 1)
    eigenvalues, rotation = np.linalg.eigh(basis.T @ apply_gram(basis))
    leading = slice(None, -n_components - 1, -1)  # eigh sorts upwards
    vectors = (basis @ rotation[:, leading]).T
    largest = np.abs(vectors).argmax(axis=1)
    vectors *= np.sign(vectors[np.arange(len(vectors)), largest])[:, None]
    return np.sqrt(np.maximum(eigenvalues[leading], 0)), vectors


def patch_gram(
    image: NDArray[np.float32], patch_size: int
) -> Generator[float, None, NDArray[np.float64]]:
    r"""Compute X'X of all patches of an image, without taking a single patch.

    .. math:: G_{(a,b),(c,d)} = \sum_{y<M,\;x<N} I_{y+a,\,x+b}\; I_{y+c,\,x+d}

    over the M x N top-left pixels.  Like the terrain, this is a rolling sum: the sums of
    (a, b, c, d) and (a+1, b, c+1, d) differ by the row that leaves the window at the top
    and the one that enters at the bottom.  Only a = b = 0 is summed over the image: a
    cross-correlation, by FFT.  The cost is linear in the pixels of the image.

    Parameters
    ----------
    image : (m, n) float32 array
    patch_size : int
        Width p of a patch, pixels.

    Yields
    ------
    float
        The fraction that is done.

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
        yield min(1.0, (top + height) / down)

    gram = np.empty((p, p, p, p))  # [a, b, c, d]
    gram[0, 0] = rightwards
    gram[0, :, :, 0] = leftwards.T
    # From (0, b, c, d) to (0, b + 1, c, d + 1): one column leaves, another enters.
    change = _strip_products(image[:, across:], down) - _strip_products(image[:, : p - 1], down)
    for b in range(p - 1):
        gram[0, b + 1, :, 1:] = gram[0, b, :, :-1] + change[b]
    # From (a, b, c, d) to (a + 1, b, c + 1, d): one row leaves, another enters.
    entering, leaving = (_row_windows(rows, across) for rows in (image[down:], image[: p - 1]))
    change = (entering @ entering.T - leaving @ leaving.T).reshape(p - 1, p, p - 1, p)
    for a in range(p - 1):
        gram[a + 1, :, 1:] = gram[a, :, :-1] + change[a]
        gram[a + 1, :, 0] = gram[0, :, a + 1].T  # G is symmetric
    return gram.reshape(p * p, p * p)


def _strip_products(strip: NDArray[np.float32], down: int) -> NDArray[np.float64]:
    """Return [b, c, d] = sum over y of strip[y, b] strip[y + c, d], for p - 1 columns."""
    strip = strip.astype(np.float64)
    shifted = np.lib.stride_tricks.sliding_window_view(strip, down, axis=0)  # [c, d, y]
    return np.tensordot(strip[:down].T, shifted, axes=(1, 2))


def _row_windows(rows: NDArray[np.float32], across: int) -> NDArray[np.float64]:
    """Return [(a, b), x] = rows[a, x + b]."""
    windows = np.lib.stride_tricks.sliding_window_view(rows.astype(np.float64), across, axis=1)
    return windows.reshape(-1, across)


def _correlate(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sum over y, x of first[y, x] second[y + lag, x + lag], lags modulo the shape."""
    shape = [
        scipy.fft.next_fast_len(max(a, b), real=True)
        for a, b in zip(first.shape, second.shape, strict=True)
    ]
    spectrum = scipy.fft.rfft2(first, shape, workers=-1).conj()
    spectrum *= scipy.fft.rfft2(second, shape, workers=-1)
    product: NDArray[np.float64] = scipy.fft.irfft2(spectrum, shape, workers=-1)
    return product
