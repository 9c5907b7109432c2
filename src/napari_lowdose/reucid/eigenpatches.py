"""Eigenpatches: the randomised SVD of a patch stack.

REUCID needs only the right singular vectors of the (N, p*p) patch matrix X.  A randomised SVD
computes them from products with X'X alone.  X'X is applied with the extracted patches of a stack
or, if the stack has all patches of the image, with the patch Gram matrix, which is computed
without extracting patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.engine import rescale_progress
from napari_lowdose.reucid.patch_gram import patch_gram
from napari_lowdose.reucid.patch_stacks import extract_patches
from napari_lowdose.reucid.tiles import over_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    Apply = Callable[[NDArray[np.float64]], Generator[float, None, NDArray[np.float64]]]

# Halko, Martinsson & Tropp (2011): use more random vectors than components, and power iterations,
# because the singular values of noise decay slowly.
OVERSAMPLING = 10
POWER_ITERATIONS = 8
POWER_ITERATIONS_SAMPLED = 4  # more iterations improve less than the sampling error

SAMPLE = 16384  # maximum number of patches of a stack for an inexact SVD
SAMPLE_NUMBERS = 2**24  # maximum number of pixels of these patches: 64 MiB
CHUNK = 4096  # patches between two progress reports
WIDEST_GRAM = 49  # maximum patch width, pixels: the patch Gram matrix has p**4 entries


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
        Image without its mean.
    in_stack : (m - p + 1, n - p + 1) bool array
        True where the patch with this top-left pixel belongs to the stack.
    patch_size : int
        Width p of a patch, pixels.
    n_components : int
        Rank of the SVD.  At most p * p components are returned.
    exact : bool
        Use every patch of the stack.  By default a random sample of `sample_size` patches is
        used, except for a single stack with all patches of the image, whose Gram matrix includes
        every patch at no cost.
    seed : int
        Seed of the sample and of the random start of the SVD.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    singular_values : (k,) float64 array, descending
    eigenpatches : (k, p, p) float32 array, of unit norm
    noise_floor : float
        Root mean square of the p * p - k remaining singular values, which are noise.  It is
        the singular value of white noise alone.
    """
    n_pixels = patch_size**2
    rank = min(n_components, n_pixels)
    share, iterations = 1.0, POWER_ITERATIONS
    gram: NDArray[np.float64] | None = None
    if patch_size <= WIDEST_GRAM and in_stack.all():
        gram = yield from rescale_progress(patch_gram(image, patch_size), 0.0, 0.5)
    else:
        positions = np.flatnonzero(in_stack)
        n_sample = sample_size(patch_size)
        if not exact and len(positions) > n_sample:
            share, iterations = n_sample / len(positions), POWER_ITERATIONS_SAMPLED
            positions = np.random.default_rng(seed).choice(positions, n_sample, replace=False)
        # Operations for each patch: about p**4 for X'X, 4 p**2 for each vector X'X is applied to
        if n_pixels < 4 * (rank + OVERSAMPLING) * (iterations + 1):
            by_position = _gram_at(image, patch_size, np.sort(positions))
            gram = yield from rescale_progress(by_position, 0.0, 0.5)
    if gram is not None:
        power = np.trace(gram)
        svd = randomised_svd(_by_gram(gram), n_pixels, rank, seed, iterations, products_per_qr=2)
    else:
        patches = yield from rescale_progress(_patches_at(image, patch_size, positions), 0.0, 0.5)
        power = np.einsum("ij,ij->i", patches, patches).sum(dtype=np.float64)
        svd = randomised_svd(_by_patches(patches), n_pixels, rank, seed, iterations)
    values, vectors = yield from rescale_progress(svd, 0.5, 1.0)
    eigenpatches = vectors.reshape(-1, patch_size, patch_size).astype(np.float32)
    # The total power is the trace of X'X, so the other singular values need not be computed.
    rest = power - np.square(values).sum()
    noise = max(rest, 0.0) / (n_pixels - rank) if rank < n_pixels else values[-1] ** 2
    return values / np.sqrt(share), eigenpatches, float(np.sqrt(noise / share))


def sample_size(patch_size: int) -> int:
    """Return the maximum number of patches of a stack for an inexact SVD."""
    return min(SAMPLE, SAMPLE_NUMBERS // patch_size**2)


def randomised_svd(
    apply_gram: Apply,
    n_pixels: int,
    n_components: int,
    seed: int,
    power_iterations: int = POWER_ITERATIONS,
    products_per_qr: int = 1,
) -> Generator[float, None, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Find the leading singular values and right singular vectors of a patch matrix X.

    Parameters
    ----------
    apply_gram : callable
        Generator function of z, of shape (p*p, k), that yields fractions and returns X'X z.
    n_pixels : int
        Number of pixels of a patch, p*p.
    n_components : int
        Rank of the SVD.
    seed : int
        Seed of the random start.
    power_iterations : int
        Number of power iterations.  More of them separate close singular values better.
    products_per_qr : int
        Iterations for each orthonormalisation.  More than one needs products in float64.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    singular_values : (n_components,) float64 array, descending
    vectors : (n_components, p*p) float64 array, orthonormal rows
        The largest entry of each row is positive, to fix its sign.
    """
    n_random = min(n_components + OVERSAMPLING, n_pixels)
    basis = np.random.default_rng(seed).standard_normal((n_pixels, n_random))
    for iteration in range(power_iterations):
        begin, end = (i / (power_iterations + 1) for i in (iteration, iteration + 1))
        basis = yield from rescale_progress(apply_gram(basis), begin, end)
        # Orthonormalised, or all columns would converge to the strongest eigenpatch.
        if (power_iterations - 1 - iteration) % products_per_qr == 0:
            basis = np.linalg.qr(basis)[0]
    image = yield from rescale_progress(apply_gram(basis), end, 1.0)
    eigenvalues, rotation = np.linalg.eigh(basis.T @ image)
    leading = slice(None, -n_components - 1, -1)  # eigh sorts in ascending order
    vectors = (basis @ rotation[:, leading]).T
    largest = np.abs(vectors).argmax(axis=1)
    vectors *= np.sign(vectors[np.arange(len(vectors)), largest])[:, None]
    return np.sqrt(np.maximum(eigenvalues[leading], 0)), vectors


def _patches_at(
    image: NDArray[np.float32], patch_size: int, positions: NDArray[np.intp]
) -> Generator[float, None, NDArray[np.float32]]:
    """Extract the patches at `positions`, in chunks."""
    patches = np.empty((len(positions), patch_size**2), np.float32)
    for first in range(0, len(positions), CHUNK):
        chunk = slice(first, first + CHUNK)
        patches[chunk] = extract_patches(image, patch_size, positions[chunk])
        yield min(1.0, (first + CHUNK) / len(positions))
    return patches


def _gram_at(
    image: NDArray[np.float32], patch_size: int, positions: NDArray[np.intp]
) -> Generator[float, None, NDArray[np.float64]]:
    """Return X'X of the patches at `positions`, without storing all of them."""

    def product(chunk: NDArray[np.intp]) -> NDArray[np.float32]:
        patches = extract_patches(image, patch_size, chunk)
        return patches.T @ patches

    gram = np.zeros((patch_size**2, patch_size**2))  # float64, because many chunks are summed
    chunks = [positions[first : first + CHUNK] for first in range(0, len(positions), CHUNK)]
    for fraction, batch in over_tiles(product, chunks):
        for _, part in batch:
            gram += part
        yield fraction
    return gram


def _by_gram(gram: NDArray[np.float64]) -> Apply:
    def apply_gram(z: NDArray[np.float64]) -> Generator[float, None, NDArray[np.float64]]:
        yield 0.0
        return gram @ z

    return apply_gram


def _by_patches(patches: NDArray[np.float32]) -> Apply:
    def apply_gram(z: NDArray[np.float64]) -> Generator[float, None, NDArray[np.float64]]:
        total = np.zeros(z.shape)  # float64, because many chunks are summed
        single = z.astype(np.float32)  # the type of the patches, to avoid their conversion
        for first in range(0, len(patches), CHUNK):
            chunk = patches[first : first + CHUNK]
            total += chunk.T @ (chunk @ single)
            yield min(1.0, (first + CHUNK) / len(patches))
        return total

    return apply_gram
