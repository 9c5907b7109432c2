"""Stacks of alike patches: one weighted projection for each group of patches.

Stacks of random patches are alike on average, so that each of them gives the same eigenpatches.
Patches that look alike have less variety: few eigenpatches describe them, and their mean is known
much better than a single patch.  Patches are grouped by a pilot image, an earlier result.  Image
and pilot are stabilised, so that the noise variance is 1.

All groups share one basis, the leading eigenpatches of the pilot.  The stack of a group is then a
small matrix on the coefficients of its patches, and the patches of all groups are placed at once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.engine import rescale_progress
from napari_lowdose.reucid.patch_gram import patch_gram
from napari_lowdose.reucid.patch_stacks import count_patches, extract_patches
from napari_lowdose.reucid.projection import TILE
from napari_lowdose.reucid.terrain import patch_terrain
from napari_lowdose.reucid.tiles import over_tiles, tile_corners, tile_step

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

    Image = NDArray[np.float32]
    Corner = tuple[int, int]
    Tile = tuple[int, int, int, int]  # first row and column of patches, number of rows and columns

MAX_GROUPS = 96  # of the patches of one frame; n frames have up to n times as many
LEAST = 600  # minimum mean number of patches of a group
TIGHT = 1.1  # mean square distance from the centre, relative to the noise of the pilot
MAX_RANK = 64  # of the shared basis
FAINTEST = 0.01  # minimum variance of a component of the basis, relative to the noise
WEAKEST = 0.05  # minimum variance of a component within a group, relative to the noise
LEADING = 10  # coefficients by which patches are grouped
SAMPLE = 8192  # patches from which the groups are found
FIRST = 1024  # of them, from which k-means++ chooses the first centres
ITERATIONS = 10  # of k-means
BLOCK = 4096  # patches whose distances to all centres are in memory at a time, for each core
SURE_MEAN = 10  # patches after which the mean of a group counts more than that of its pilot


@dataclass(frozen=True, eq=False)
class AlikeStacks:
    """Groups of alike patches, and the projection of each.

    Attributes
    ----------
    eigenpatches : (r, p, p) float32 array
        Leading eigenpatches of the pilot, of unit norm: the shared basis.
    variances : (r,) float64 array
        Mean square of the coefficients of the pilot, in units of the noise variance.
    centres : (g, c) float32 array
        Leading coefficients of the centre of each group.
    sizes : (g,) int array
        Number of patches of each group.
    means : (g, r) float32 array
        Mean coefficients of each group.
    shrinkage : (g, r, r) float32 array
        Wiener filter of each group: its eigenpatches, weighted by w / (w + v) with their variance
        w and the noise variance v of the group.
    level : float
        Mean of the image, subtracted from image and pilot.
    """

    eigenpatches: Image
    variances: NDArray[np.float64]
    centres: Image
    sizes: NDArray[np.int_]
    means: Image
    shrinkage: Image
    level: float

    @property
    def patch_size(self) -> int:
        """Width p of a patch, pixels."""
        return int(self.eigenpatches.shape[-1])


def group_patches(
    images: Sequence[Image],
    pilots: Sequence[Image],
    patch_size: int,
    noise: PoissonGaussian,
    kernel: Image,
    seed: int,
    n_groups: int | None = None,
) -> Generator[float, None, AlikeStacks]:
    """Group alike patches of one or several frames, and find the projection of each group.

    Parameters
    ----------
    images : sequence of (m, n) float32 array
        Stabilised frames, noise variance 1.
    pilots : sequence of (m, n) float32 array
        Each frame denoised, from which patches are compared.
    patch_size : int
        Width p of a patch, pixels.
    noise : PoissonGaussian
        Noise of the images before they were stabilised.
    kernel : (2q - 1, 2q - 1) float32 array
        Convolution kernel of the first pilot, which determines its noise.
    seed : int
    n_groups : int, optional
        Number of groups, as an earlier pass has found it.  By default that of one frame, and with
        several frames more, until the groups are as tight as the noise of the pilot.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    AlikeStacks
    """
    p, n_frames = patch_size, len(images)
    level = float(np.mean([pilot.mean(dtype=np.float64) for pilot in pilots]))
    images = [image - np.float32(level) for image in images]
    pilots = [pilot - np.float32(level) for pilot in pilots]
    of_frame = count_patches(pilots[0].shape, p)
    n_patches = n_frames * of_frame
    gram = np.zeros((p * p, p * p))
    for k, pilot in enumerate(pilots):
        begin, end = 0.2 * k / n_frames, 0.2 * (k + 1) / n_frames
        gram += yield from rescale_progress(patch_gram(pilot, p), begin, end)
    rank = min(MAX_RANK, p * p)
    eigh = scipy.linalg.eigh  # imported before the next step, which limits the threads of its BLAS
    yield 0.2
    variances, vectors = eigh(gram / n_patches, subset_by_index=[p * p - rank, p * p - 1])
    variances, vectors = variances[::-1], vectors[:, ::-1]
    rank = max(1, int(np.count_nonzero(variances > FAINTEST)))
    basis = np.ascontiguousarray(vectors[:, :rank].T, np.float32)
    yield 0.3

    rng = np.random.default_rng(seed)
    sample = rng.choice(n_patches, min(SAMPLE, n_patches), replace=False)
    leading = np.empty((len(sample), min(LEADING, rank)), np.float32)
    for k, pilot in enumerate(pilots):
        of_pilot = sample // of_frame == k
        patches = extract_patches(pilot, p, sample[of_pilot] % of_frame)
        leading[of_pilot] = patches @ basis[:LEADING].T
    eigenpatches = basis.reshape(rank, p, p)
    alone = max(1, min(MAX_GROUPS, of_frame // LEAST))
    centres = _k_means(leading, n_groups or alone, rng)
    if n_groups is None and n_frames > 1:
        # Tighter groups would be groups of noise.
        left = scipy.signal.fftconvolve(eigenpatches[:LEADING], kernel[np.newaxis], axes=(1, 2))
        variance = noise.stabilised_variance(pilots[0] + level).mean()
        tight = TIGHT * float(variance * np.sum(left**2))
        most = n_frames * alone
        while len(centres) < most and _mean_square_distance(leading, centres) > tight:
            centres = _k_means(leading, min(2 * len(centres), most), rng)
    n_groups = len(centres)
    yield 0.5

    sizes = np.zeros(n_groups, int)
    own_sums, pilot_sums = np.zeros((2, n_groups, rank))
    own_products, pilot_products = np.zeros((2, n_groups, rank, rank))
    tiles = _Tiles(eigenpatches, pilots[0].shape)

    def of_tile(
        image: Image, pilot: Image, corner: Corner
    ) -> list[tuple[int, int, list[Image], list[Image]]]:
        tile = tiles.at(corner)
        both = tiles.coefficients(image, tile), tiles.coefficients(pilot, tile)
        found = []
        for group, members in by_group(nearest(both[1], centres)):
            own, pilots = both[0][members], both[1][members]
            sums = [own.sum(0), pilots.sum(0)]
            found.append((group, len(members), sums, [own.T @ own, pilots.T @ pilots]))
        return found

    for k, (image, pilot) in enumerate(zip(images, pilots, strict=True)):
        of_frame_tile = functools.partial(of_tile, image, pilot)
        for fraction, batch in over_tiles(of_frame_tile, tiles.corners):
            for group, n, sums, products in (found for _, each in batch for found in each):
                sizes[group] += n
                own_sums[group] += sums[0]
                pilot_sums[group] += sums[1]
                own_products[group] += products[0]
                pilot_products[group] += products[1]
            yield 0.5 + 0.5 * (k + fraction) / n_frames

    counts = np.maximum(sizes, 1)[:, np.newaxis]
    own_means, pilot_means = own_sums / counts, pilot_sums / counts
    # The mean of a few patches is noisier than that of their pilot.
    means = pilot_means + (own_means - pilot_means) * (counts / (counts + SURE_MEAN))
    covariances = _covariances(pilot_products, pilot_means, sizes)
    w, q = np.linalg.eigh(covariances)
    # Where there are few electrons per pixel, the stabilised noise is weaker than 1.
    mean_patches = pilot_means @ basis + level
    variance = noise.stabilised_variance(mean_patches).mean(1)[:, np.newaxis]
    # The variance of the image itself, less that of the noise, is an unbiased estimate of w where
    # the pilot has noise of its own.  The smaller weight of the two is the safer one.
    observed = np.einsum("gik,gij,gjk->gk", q, _covariances(own_products, own_means, sizes), q)
    observed_weights = 1 - variance / np.maximum(observed, variance)
    weights = np.where(w > WEAKEST * variance, np.minimum(w / (w + variance), observed_weights), 0)
    return AlikeStacks(
        eigenpatches=eigenpatches,
        variances=variances[:rank],
        centres=centres,
        sizes=sizes,
        means=means.astype(np.float32),
        shrinkage=((q * weights[:, np.newaxis]) @ q.transpose(0, 2, 1)).astype(np.float32),
        level=level,
    )


def project_alike(
    image: Image, pilot: Image, stacks: AlikeStacks, *, consensus: bool = False
) -> Generator[float, None, tuple[Image, Image | None]]:
    r"""Project every patch by the stack of its group, and place it.

    .. math:: \hat x_q = V^T (m_g + F_g (V x_q - m_g))

    with the shared basis V, and mean m and Wiener filter F of the group g of patch q.

    Parameters
    ----------
    image, pilot : (m, n) float32 array
        As in `group_patches`.
    stacks : AlikeStacks
    consensus : bool
        Also place the mean of the group in place of each patch.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    denoised : (m, n) float32 array
    consensus : (m, n) float32 array or None
    """
    p = stacks.patch_size
    image, pilot = image - np.float32(stacks.level), pilot - np.float32(stacks.level)
    tiles = _Tiles(stacks.eigenpatches, image.shape)

    def of_tile(corner: Corner) -> list[Image]:
        tile = tiles.at(corner)
        leading = tiles.coefficients(pilot, tile, stacks.centres.shape[1])
        groups = nearest(leading, stacks.centres)
        coefficients = tiles.coefficients(image, tile)
        for group, members in by_group(groups):
            mean = stacks.means[group]
            coefficients[members] = mean + (coefficients[members] - mean) @ stacks.shrinkage[group]
        placed = [tiles.place(coefficients, tile)]
        if consensus:
            placed.append(tiles.place(stacks.means[groups], tile))
        return placed

    canvases = np.zeros((1 + consensus, *image.shape), np.float32)
    for fraction, batch in over_tiles(of_tile, tiles.corners):
        for (y, x), placed in batch:
            for canvas, part in zip(canvases, placed, strict=True):
                canvas[y : y + part.shape[0], x : x + part.shape[1]] += part
        yield fraction
    canvases /= patch_terrain(np.ones(tiles.positions, bool), p)
    canvases += np.float32(stacks.level)
    return canvases[0], canvases[1] if consensus else None


def groups_of(pilot: Image, stacks: AlikeStacks) -> Generator[float, None, NDArray[np.intp]]:
    """Return the group of each patch.

    Parameters
    ----------
    pilot : (m, n) float32 array
        As in `group_patches`.
    stacks : AlikeStacks

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m - p + 1, n - p + 1) int array
    """
    pilot = pilot - np.float32(stacks.level)
    tiles = _Tiles(stacks.eigenpatches, pilot.shape)
    groups = np.empty(tiles.positions, np.intp)

    def of_tile(corner: Corner) -> None:
        y, x, height, width = tile = tiles.at(corner)
        leading = tiles.coefficients(pilot, tile, stacks.centres.shape[1])
        found = nearest(leading, stacks.centres).reshape(height, width)
        groups[y : y + height, x : x + width] = found

    for fraction, _ in over_tiles(of_tile, tiles.corners):
        yield fraction
    return groups


def _k_means(points: Image, n_groups: int, rng: np.random.Generator) -> Image:
    """Return the centres of groups of points, (n, c) to (g, c).

    As `scipy.cluster.vq.kmeans2`, but ten times as fast by matrix products, and without its
    warning of empty groups, which do no harm here.
    """
    # k-means++: each centre is a point, chosen with the square of its distance to the others
    few = points[:FIRST]
    distance = np.full(len(few), np.inf)
    chosen = [int(rng.integers(len(few)))]
    while len(chosen) < n_groups:
        distance = np.minimum(distance, np.square(few - few[chosen[-1]]).sum(1))
        total = np.cumsum(distance)
        chosen.append(min(int(np.searchsorted(total, rng.random() * total[-1])), len(few) - 1))
    centres = few[chosen]
    for _ in range(ITERATIONS):
        for group, members in by_group(nearest(points, centres)):
            centres[group] = points[members].mean(0)
    return centres


def nearest(coefficients: Image, centres: Image) -> NDArray[np.intp]:
    """Return the index of the nearest centre of each patch, (n, r) to (n,)."""
    n, c = len(coefficients), centres.shape[1]
    # |x - c|^2 without |x|^2, which is the same for all centres
    half_squares = np.square(centres).sum(1) / 2
    found = np.empty(n, np.intp)
    for begin in range(0, n, BLOCK):
        block = slice(begin, begin + BLOCK)
        distance = half_squares - coefficients[block, :c] @ centres.T
        found[block] = distance.argmin(1)
    return found


def _mean_square_distance(points: Image, centres: Image) -> float:
    """Return the mean square distance of points from their nearest centres."""
    return float(np.square(points - centres[nearest(points, centres)]).sum(1).mean())


def _covariances(
    products: NDArray[np.float64], means: NDArray[np.float64], sizes: NDArray[np.int_]
) -> NDArray[np.float64]:
    """Return the covariance matrix of the coefficients of each group, (g, r, r)."""
    counts = np.maximum(sizes, 1)[:, np.newaxis, np.newaxis]
    return np.asarray(products / counts - means[:, :, np.newaxis] * means[:, np.newaxis])


class _Tiles:
    """Tiles of the patches of an image, their coefficients and their placement, by FFT."""

    def __init__(self, eigenpatches: Image, shape: tuple[int, ...]) -> None:
        self.p = p = eigenpatches.shape[-1]
        self.positions = [n - p + 1 for n in shape]
        self.step = [tile_step(n, max(TILE, 4 * p)) for n in self.positions]
        self.corners = tile_corners(self.positions, self.step)
        self.shape = [scipy.fft.next_fast_len(n + p - 1, real=True) for n in self.step]
        self.spectra = scipy.fft.rfft2(eigenpatches, self.shape)

    def at(self, corner: Corner) -> Tile:
        """Return the tile at a corner; the last ones may be smaller."""
        (y, x), (rows, columns), (down, across) = corner, self.positions, self.step
        return y, x, min(down, rows - y), min(across, columns - x)

    def coefficients(self, image: Image, tile: Tile, rank: int | None = None) -> Image:
        """Return the leading coefficients of all patches of a tile, (height * width, r)."""
        y, x, height, width = tile
        spectrum = scipy.fft.rfft2(
            image[y : y + height + self.p - 1, x : x + width + self.p - 1], self.shape
        )
        spectra = self.spectra[:rank]
        found = np.empty((height * width, len(spectra)), np.float32)
        for k, eigenpatch in enumerate(spectra):
            whole = scipy.fft.irfft2(spectrum * eigenpatch.conj(), self.shape)
            found[:, k] = whole[:height, :width].ravel()
        return found

    def place(self, coefficients: Image, tile: Tile) -> Image:
        """Sum the patches of these coefficients, (height + p - 1, width + p - 1)."""
        _, _, height, width = tile
        total = np.zeros(self.spectra.shape[1:], self.spectra.dtype)
        for eigenpatch, values in zip(self.spectra, coefficients.T, strict=True):
            total += scipy.fft.rfft2(values.reshape(height, width), self.shape) * eigenpatch
        placed: Image = scipy.fft.irfft2(total, self.shape)
        return placed[: height + self.p - 1, : width + self.p - 1]


def by_group(groups: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each group and the indices of its patches."""
    order = np.argsort(groups, kind="stable")
    present, begin = np.unique(groups[order], return_index=True)
    yield from zip(present.tolist(), np.split(order, begin[1:]), strict=True)
