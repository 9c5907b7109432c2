r"""Standard error of each pixel of a denoised image.

Once the eigenpatches are chosen and the patches are grouped, REUCID is linear in the image z:

.. math:: \hat x(u) = \frac{1}{n(u)} \sum_{q \ni u} [V^T F_{g(q)} V z_q](u - q) + constant

with the eigenpatches V, the filter F of the group g of each patch q, and the number n of patches
that cover a pixel.  The weights of a pixel span 2p - 1 x 2p - 1 pixels.  Its variance is the sum
of their squares times the variance of the noise.

Where deviations from the groups were restored (`deviations`), the map W becomes W + M K (1 - W),
with the mask M and the kernel K of the pilot.  The variance of a pixel is quadratic in M:

.. math:: (1 - M) v_0 + M v_1 - M (1 - M) d

with the variances v_0 and v_1 for a mask of 0 and of 1, and that of their difference d.  v_0 is
different in each group.  v_1 and d are smooth, because K is the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.engine import rescale_progress
from napari_lowdose.reucid.alike_stacks import by_group, groups_of
from napari_lowdose.reucid.kernel import kernel as kernel_of
from napari_lowdose.reucid.noise_estimate import noise_of
from napari_lowdose.reucid.terrain import patch_terrain
from napari_lowdose.reucid.tiles import over_tiles, tile_corners
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
    from napari_lowdose.reucid.alike_stacks import AlikeStacks
    from napari_lowdose.reucid.prepared import Prepared

    Image = NDArray[np.float32]
    # Function of the step; see `filtered_variance`
    StandardError = Callable[[int | None], Generator[float, None, Image]]

STEPS = 5  # distances between the positions of v_0 per patch width: an error of 1 to 3 %
AT_ONCE = 1e8  # weights that a thread adds up before it reports progress
RESTORED = 3  # distance between the positions of v_1 and d, relative to that of v_0: 5 %
RESTORED_AT_ONCE = 4  # likewise, side of a tile of positions of v_1
BINS = 16  # of the calibration
TINY = float(np.finfo(np.float32).tiny)
NO_MASK = 0.01  # below it, nothing was restored


@dataclass(frozen=True, eq=False)
class PatchFilters:
    """A filter for each patch of an image; pixels are the mean of the patches that cover them.

    Attributes
    ----------
    eigenpatches : (r, p, p) float32 array
        Of unit norm.
    filters : (g, r, r) float32 array
        Filter of the coefficients of a patch, for each group; symmetric.
    groups : (m - p + 1, n - p + 1) int array
        Group of the patch with this top-left pixel.
    """

    eigenpatches: Image
    filters: Image
    groups: NDArray[np.integer]

    @property
    def patch_size(self) -> int:
        """Width p of a patch, pixels."""
        return int(self.eigenpatches.shape[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n) of the image."""
        rows, columns = self.groups.shape
        return rows + self.patch_size - 1, columns + self.patch_size - 1

    def terrain(self) -> NDArray[np.int32]:
        """Return the number of patches that cover each pixel, (m, n)."""
        return patch_terrain(np.ones(self.groups.shape, bool), self.patch_size)

    def groups_around(self, margin: int) -> NDArray[np.intp]:
        """Return the groups with a margin of patches that are not there, of group g."""
        return np.pad(self.groups.astype(np.intp), margin, constant_values=len(self.filters))


def filtered_variance(
    variance: NDArray[np.floating], patches: PatchFilters, step: int | None = None
) -> Generator[float, None, NDArray[np.float64]]:
    """Return the variance of each pixel of a filtered image.

    Parameters
    ----------
    variance : (m, n) array
        Variance of the noise of the image, uncorrelated between pixels.
    patches : PatchFilters
    step : int, optional
        Distance, pixels, of the positions at which the variance is computed; splines interpolate
        between them.  1 for the exact variance of every pixel.  By default a fifth of a patch.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float64 array
    """
    p = patches.patch_size
    rows, columns = _positions(patches.shape, step or max(1, p // STEPS))
    found = np.empty((len(rows), len(columns)))
    side = max(1, int(np.sqrt(AT_ONCE) / p**2))
    weights_at = _GroupWeights(patches)
    windows = _windows(variance, p - 1)

    def of_tile(corner: tuple[int, int]) -> NDArray[np.float64]:
        y, x = _grid(rows, columns, corner, side)
        weights = weights_at(y.ravel(), x.ravel())
        total = np.einsum("kij,kij,kij->k", weights, weights, windows[y.ravel(), x.ravel()])
        return np.reshape(total, y.shape)

    for fraction, batch in over_tiles(of_tile, tile_corners(found.shape, (side, side))):
        for (y, x), part in batch:
            found[y : y + part.shape[0], x : x + part.shape[1]] = part
        yield fraction
    # The standard error, which is smoother
    return np.asarray(_interpolate(rows, columns, np.sqrt(found), patches.shape) ** 2)


def convolved_variance(
    variance: NDArray[np.floating], eigenpatches: Image
) -> Generator[float, None, NDArray[np.float64]]:
    """Return the variance of each pixel of an image that is denoised with one random stack.

    Parameters
    ----------
    variance : (m, n) array
        Variance of the noise of the image, uncorrelated between pixels.
    eigenpatches : (k, p, p) float32 array
        Kept eigenpatches.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float64 array
        The p - 1 outermost rows and columns as if the noise were equally strong within a patch.
    """
    p = eigenpatches.shape[-1]
    squares = np.square(kernel_of(eigenpatches), dtype=np.float64)
    total = scipy.signal.oaconvolve(np.pad(variance, p - 1, mode="edge"), squares, mode="valid")
    # At the border a pixel is the mean of fewer patches.
    identity = np.eye(len(eigenpatches), dtype=np.float32)[np.newaxis]
    shape, index = _by_distance(variance.shape, p - 1)
    groups = np.zeros([n - p + 1 for n in shape], np.intp)
    small = PatchFilters(eigenpatches, identity, groups)
    ratio = yield from filtered_variance(np.ones(shape), small)
    return np.asarray(total * ratio[index] / squares.sum())


def restored_variance(
    variance: NDArray[np.floating],
    patches: PatchFilters,
    mask: Image,
    kernel: NDArray[np.floating],
    step: int | None = None,
) -> Generator[float, None, NDArray[np.float64]]:
    """Return the variance of each pixel of a filtered image with its deviations restored.

    Parameters
    ----------
    variance : (m, n) array
        Variance of the noise of the image, uncorrelated between pixels.
    patches : PatchFilters
    mask : (m, n) float32 array
        From `restore_deviations`.
    kernel : (2w - 1, 2w - 1) array
        Kernel of the pilot.
    step : int, optional
        As for `filtered_variance`.  The variance of restored pixels is computed at up to three
        times this distance.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float64 array
    """
    averaged = yield from rescale_progress(filtered_variance(variance, patches, step), 0.0, 0.5)
    if mask.max() < NO_MASK:
        return averaged
    p, border = patches.patch_size, len(kernel) // 2
    coarse = max(1, min(RESTORED * (step or p // STEPS), p // 2))
    rows, columns = _positions(patches.shape, coarse)
    groups_at = _GroupWeights(patches)
    residual_at = _ResidualWeights(patches, kernel)
    windows = _windows(variance, border + p - 1)
    inside = slice(border, border + 2 * p - 1)

    def of_tile(corner: tuple[int, int]) -> NDArray[np.float64]:
        y, x = _grid(rows, columns, corner, RESTORED_AT_ONCE)
        change = residual_at(y.ravel(), x.ravel())
        whole = change.copy()
        whole[:, inside, inside] += groups_at(y.ravel(), x.ravel())
        noise = windows[y.ravel(), x.ravel()]
        found = [np.einsum("kij,kij,kij->k", each, each, noise) for each in (whole, change)]
        return np.reshape(found, (2, *y.shape))

    both = np.empty((2, len(rows), len(columns)))
    corners = tile_corners(both.shape[1:], (RESTORED_AT_ONCE, RESTORED_AT_ONCE))
    for fraction, batch in over_tiles(of_tile, corners):
        for (y, x), part in batch:
            both[:, y : y + part.shape[1], x : x + part.shape[2]] = part
        yield 0.5 + 0.5 * fraction
    # Both follow the kernel, which is reflected at the border: the ratio to its squares is smooth.
    squares = _kernel_squares(kernel, patches.shape)
    both /= squares[np.ix_(rows, columns)]
    restored, change = (
        squares * _interpolate(rows, columns, each, patches.shape, degree=1) for each in both
    )
    return np.asarray((1 - mask) * averaged + mask * restored - mask * (1 - mask) * change)


def random_error(
    prepared: Prepared,
    denoised: NDArray[np.floating],
    eigenpatches: Sequence[Image],
    stack_of: NDArray[np.integer],
    step: int | None,
) -> Generator[float, None, Image]:
    """Return the standard error of a result with random stacks.

    The noise of the image is estimated.

    Parameters
    ----------
    prepared : Prepared
    denoised : (m, n) array
        Grey levels.
    eigenpatches : sequence of (k, p, p) float32 array
        Kept eigenpatches of each stack.
    stack_of : (m - p + 1, n - p + 1) int array
        Stack of each patch.
    step : int, optional
        See `filtered_variance`.  Not used with a single stack.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float32 array
        Grey levels.
    """
    noise = yield from rescale_progress(noise_of(prepared), 0.0, 0.5)
    for note in noise.notes:
        warn(note, stacklevel=2)
    # An outlier is no sign of its noise, if the result keeps it.  Nothing is clipped before it is
    # averaged: the noise of the result would make a dark place seem brighter.
    level = np.where(prepared.outliers, prepared.mended, denoised)
    variance = noise.gain * (level - noise.offset) + noise.read_noise**2
    if len(eigenpatches) == 1:
        filtered = convolved_variance(variance, eigenpatches[0])
    else:
        # All eigenpatches together are the basis; the filter of a stack passes its own.
        own = np.repeat(np.arange(len(eigenpatches)), [len(each) for each in eigenpatches])
        passed = np.arange(len(eigenpatches))[:, np.newaxis] == own
        filters = (passed[:, np.newaxis] * np.eye(len(own))).astype(np.float32)
        patches = PatchFilters(np.concatenate(eigenpatches), filters, stack_of)
        filtered = filtered_variance(variance, patches, step)
    found = yield from rescale_progress(filtered, 0.5, 1.0)
    return np.sqrt(np.maximum(found, 0)).astype(np.float32)


def pilot_error(
    noise: PoissonGaussian, denoised: Image, eigenpatches: Image, step: int | None
) -> Generator[float, None, Image]:
    """Return the standard error of the pilot of alike stacks.

    Parameters
    ----------
    noise : PoissonGaussian
    denoised : (m, n) float32 array
        The pilot, stabilised.
    eigenpatches : (k, p, p) float32 array
        Kept eigenpatches.
    step : int, optional
        Not used.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float32 array
        Grey levels.
    """
    found = yield from convolved_variance(noise.stabilised_variance(denoised), eigenpatches)
    return _in_grey_levels(np.sqrt(found), denoised, noise)


def alike_error(
    noise: PoissonGaussian,
    denoised: Image,
    pilot: Image,
    stacks: AlikeStacks,
    mask: Image,
    kernel: Image,
    step: int | None,
) -> Generator[float, None, Image]:
    """Return the standard error of a result with alike stacks.

    Parameters
    ----------
    noise : PoissonGaussian
    denoised : (m, n) float32 array
        Stabilised.
    pilot : (m, n) float32 array
        From which the patches of the last pass were grouped, stabilised.
    stacks : AlikeStacks
        Of the last pass.
    mask : (m, n) float32 array
        From `restore_deviations`; 0 if nothing was restored.
    kernel : (2w - 1, 2w - 1) float32 array
        Kernel of the first pilot.
    step : int, optional
        See `filtered_variance`.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float32 array
        Grey levels.
    """
    groups = yield from rescale_progress(groups_of(pilot, stacks), 0.0, 0.1)
    patches = PatchFilters(stacks.eigenpatches, stacks.shrinkage, groups)
    variance = noise.stabilised_variance(denoised)
    found = yield from rescale_progress(
        restored_variance(variance, patches, mask, kernel, step), 0.1, 1.0
    )
    return _in_grey_levels(np.sqrt(found), denoised, noise)


def calibrated(error: Image, difference: Image) -> Image:
    """Correct a standard error for groups that depend on the noise.

    Patches are grouped by what they show together with their noise, so that some of it does not
    average out.

    Parameters
    ----------
    error : (m, n) float32 array
        Standard error for fixed groups.
    difference : (m, n) float32 array
        Difference of two results for images with the same noise-free image.

    Returns
    -------
    (m, n) float32 array
        The root mean square of `difference` / sqrt(2), as a function of `error`.
    """
    fixed, measured = error.astype(np.float64) ** 2, difference.astype(np.float64) ** 2 / 2
    edges = np.unique(np.quantile(fixed, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, fixed, side="right").ravel()
    n = np.bincount(bins)
    sums = (np.bincount(bins, each.ravel())[n > 0] for each in (fixed, measured))
    x, y = (total / n[n > 0] for total in sums)
    # In proportion beyond the middle of the last bin
    beyond = np.maximum(fixed - x[-1], 0) / max(x[-1], TINY)
    variance = np.interp(fixed, x, y) * (1 + beyond)
    return np.asarray(np.sqrt(variance), np.float32)


def _in_grey_levels(error: NDArray[np.float64], denoised: Image, noise: PoissonGaussian) -> Image:
    """Transform a standard error from units of the noise to grey levels."""
    above, below = (noise.unstabilise(denoised + each) for each in (error, -error))
    return np.asarray((above - below) / 2, np.float32)


class _GroupWeights:
    """Weights of all pixels of the image in a pixel of the filtered image."""

    def __init__(self, patches: PatchFilters) -> None:
        p, r = patches.patch_size, len(patches.eigenpatches)
        self._p = p
        self._basis = patches.eigenpatches.reshape(r, p * p)
        nothing = np.zeros((1, r, p * p), np.float32)
        filtered = np.concatenate([patches.filters @ self._basis, nothing])
        self._filtered = np.ascontiguousarray(filtered.transpose(2, 0, 1))  # [pixel, group, r]
        self._groups = patches.groups_around(p - 1)
        self._terrain = patches.terrain()

    def __call__(self, y: NDArray[np.intp], x: NDArray[np.intp]) -> Image:
        """Return the weights of the pixels around each pixel, (k, 2p - 1, 2p - 1)."""
        p = self._p
        weights = np.zeros((len(y), 2 * p - 1, 2 * p - 1), np.float32)
        terrain = self._terrain[y, x].astype(np.float32)
        # The positions are those of a tile: it may not have all groups.
        groups = self._groups[y.min() : y.max() + 2 * p - 1, x.min() : x.max() + 2 * p - 1]
        present, index = np.unique(groups, return_inverse=True)
        index = index.reshape(groups.shape)
        y, x = y - y.min(), x - x.min()
        for pixel, (down, across) in enumerate(np.ndindex(p, p)):
            # Of the patch in which y, x is this pixel
            of_group = (self._filtered[pixel, present] @ self._basis).reshape(-1, p, p)
            first, left = p - 1 - down, p - 1 - across
            weights[:, first : first + p, left : left + p] += of_group[index[y + first, x + left]]
        return weights / terrain[:, np.newaxis, np.newaxis]


class _ResidualWeights:
    """Weights of all pixels of the image in the filtered residual, K (1 - W)."""

    def __init__(self, patches: PatchFilters, kernel: NDArray[np.floating]) -> None:
        p, width = patches.patch_size, len(kernel)
        self._p, self._kernel = p, kernel.astype(np.float32)
        self._image_shape = patches.shape
        # No patch reaches beyond the pixels of all patches that overlap with the kernel.
        self._shape = [scipy.fft.next_fast_len(width + 2 * (p - 1), real=True)] * 2
        self._spectra = scipy.fft.rfft2(patches.eigenpatches, self._shape)
        self._conjugate = self._spectra.conj()
        self._filters = patches.filters
        n = width + p - 1
        groups = patches.groups_around(width // 2 + p - 1)
        self._groups = np.lib.stride_tricks.sliding_window_view(groups, (n, n))
        terrain = np.pad(patches.terrain(), width // 2, constant_values=1).astype(np.float32)
        self._terrain = np.lib.stride_tricks.sliding_window_view(terrain, (width, width))

    def __call__(self, y: NDArray[np.intp], x: NDArray[np.intp]) -> Image:
        """Return the weights of the pixels around each pixel, (k, w + 2p - 2, w + 2p - 2)."""
        p, width = self._p, len(self._kernel)
        down, across = (
            np.array([_reflection(int(each), width // 2, n) for each in at])
            for at, n in zip((y, x), self._image_shape, strict=True)
        )
        kernels = down @ self._kernel @ across.transpose(0, 2, 1)
        n = width + p - 1  # number of patches along an axis
        weights = np.zeros((len(y), n + p - 1, n + p - 1), np.float32)
        inside = (slice(None), *[slice(p - 1, p - 1 + width)] * 2)
        # The transpose of W has the same filters, because they are symmetric.
        weights[inside] = -kernels / self._terrain[y, x]
        spectra = scipy.fft.rfft2(weights, self._shape)[:, np.newaxis] * self._conjugate
        found = scipy.fft.irfft2(spectra, self._shape, overwrite_x=True)[..., :n, :n]
        coefficients = np.ascontiguousarray(np.moveaxis(found, 1, -1)).reshape(len(y) * n * n, -1)
        for group, members in by_group(self._groups[y, x].ravel()):
            exists = group < len(self._filters)
            coefficients[members] = coefficients[members] @ self._filters[group] if exists else 0
        back = np.moveaxis(coefficients.reshape(len(y), n, n, -1), -1, 1)
        spectra = scipy.fft.rfft2(back, self._shape) * self._spectra
        placed = scipy.fft.irfft2(spectra.sum(axis=1), self._shape)
        weights[:] = placed[:, : n + p - 1, : n + p - 1]
        weights[inside] += kernels
        return weights


def _reflection(at: int, reach: int, n: int) -> Image:
    """Return the matrix that reflects the pixels around `at` into an axis of `n` pixels.

    The residual is padded in this way before it is convolved.
    """
    pixels = np.arange(at - reach, at + reach + 1)
    inside = np.where(pixels < 0, -1 - pixels, np.where(pixels < n, pixels, 2 * n - 1 - pixels))
    return np.asarray(inside - pixels[0] == np.arange(len(pixels))[:, np.newaxis], np.float32)


def _kernel_squares(kernel: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the sum of squares of a kernel that is reflected at the border, (m, n)."""
    reach = len(kernel) // 2
    small, index = _by_distance(shape, reach)
    down, across = ([_reflection(at, reach, n) for at in range(n)] for n in small)
    folded = np.array([[y @ kernel @ x.T for x in across] for y in down])
    squares = np.asarray((folded**2).sum(axis=(2, 3)), np.float64)
    return squares[index]


def _by_distance(
    shape: tuple[int, ...], border: int
) -> tuple[tuple[int, ...], tuple[NDArray[np.intp], ...]]:
    """Return the shape of a small image that has all distances to the border up to `border`.

    Also returns the index of the pixel of the small image for each pixel of `shape`.
    """
    small = tuple(min(n, 3 * border + 1) for n in shape)
    ends = []
    for n, length in zip(shape, small, strict=True):
        at = np.arange(n)
        last = length - 1 - np.minimum(n - 1 - at, border)
        ends.append(np.where(at < n // 2, np.minimum(at, border), last))
    return small, np.ix_(*ends)


def _windows(image: NDArray[np.floating], margin: int) -> NDArray[np.floating]:
    """Return the pixels around each pixel, (m, n, 2 margin + 1, 2 margin + 1); 0 outside."""
    width = 2 * margin + 1
    return np.lib.stride_tricks.sliding_window_view(np.pad(image, margin), (width, width))


def _grid(
    rows: NDArray[np.intp], columns: NDArray[np.intp], corner: tuple[int, int], side: int
) -> tuple[NDArray[np.intp], ...]:
    """Return the rows and columns of all positions of a tile of a grid."""
    y, x = corner
    return np.meshgrid(rows[y : y + side], columns[x : x + side], indexing="ij")


def _positions(shape: tuple[int, int], step: int) -> list[NDArray[np.intp]]:
    """Return rows and columns of a grid that includes the last ones."""
    return [np.unique([*range(0, n, step), n - 1]) for n in shape]


def _interpolate(
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    values: NDArray[np.float64],
    shape: tuple[int, int],
    degree: int = 3,
) -> NDArray[np.float64]:
    """Interpolate the values of a grid at every pixel, with splines."""
    down, across = (min(degree, len(at) - 1) for at in (rows, columns))
    spline = scipy.interpolate.RectBivariateSpline(rows, columns, values, kx=down, ky=across)
    return np.asarray(spline(*map(np.arange, shape)))
