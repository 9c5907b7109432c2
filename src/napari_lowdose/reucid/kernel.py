"""REUCID with a single patch stack as one convolution, its kernel and its transfer function.

A patch q is replaced by the sum of <x_q, v_k> v_k over the kept eigenpatches v_k, and the image is
the mean of all patches that cover a pixel.  With every patch of the image in one stack, each pixel
away from the border is covered by p*p patches, one for each position in a patch.  The mean is then
the convolution of the image with

    K = sum over k of (v_k correlated with v_k) / p**2.

The kernel has 2p - 1 x 2p - 1 pixels and is symmetric, so its Fourier transform is real: the gain
of each spatial frequency.  The p - 1 outermost rows and columns have fewer patches.  They are
linear in the image, too, but differ from row to row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy

from napari_lowdose.engine import rescale_progress
from napari_lowdose.reucid.patch_stacks import extract_patches
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.terrain import patch_terrain
from napari_lowdose.reucid.tiles import over_tiles, tile_corners, tile_step

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

# Approximate tile size, pixels: transforms fit into the cache of a core, and an image of 512 x 512
# pixels has several tiles to process in parallel.
TILE = 256
COLUMNS = 1024  # columns of a border strip per matrix product, to limit its memory


class TransferFunction(NamedTuple):
    """Gain against spatial frequency.

    Attributes
    ----------
    frequency : (n,) float64 array
        In 1/unit of the pixel size, or cycles per pixel.
    gain : (n,) float64 array
        Mean over all directions.
    highest : (n,) float64 array
        Maximum over all directions.  It differs from the mean if the image has preferred
        directions, such as a lattice.
    """

    frequency: NDArray[np.float64]
    gain: NDArray[np.float64]
    highest: NDArray[np.float64]


def kernel(eigenpatches: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Return the convolution kernel of REUCID with a single patch stack.

    .. math:: K = \frac{1}{p^2} \sum_k v_k \star v_k

    Parameters
    ----------
    eigenpatches : (k, p, p) float32 array
        Kept eigenpatches, of unit norm.

    Returns
    -------
    (2p - 1, 2p - 1) float32 array
        Its middle pixel is k / p**2, the fraction of white noise (variance) that remains.

    Examples
    --------
    A constant eigenpatch alone is two passes of a moving average:

    >>> import numpy as np
    >>> kernel(np.full((1, 2, 2), 0.5, np.float32)).round(4)
    array([[0.0625, 0.125 , 0.0625],
           [0.125 , 0.25  , 0.125 ],
           [0.0625, 0.125 , 0.0625]], dtype=float32)
    """
    p = eigenpatches.shape[-1]
    shape = (2 * p - 1, 2 * p - 1)
    power = np.square(np.abs(scipy.fft.rfft2(eigenpatches, shape))).sum(axis=0)
    correlated = scipy.fft.fftshift(scipy.fft.irfft2(power, shape)) / p**2
    return np.asarray(correlated, np.float32)


def transfer_function(
    kernel: NDArray[np.floating], pixel_size: tuple[float, float] | float | None = None
) -> TransferFunction:
    """Return the gain of a convolution kernel against spatial frequency.

    Parameters
    ----------
    kernel : (2p - 1, 2p - 1) array
        From `kernel`: symmetric about its middle pixel.
    pixel_size : float or (float, float), optional
        Pixel size (y, x), for example in nanometres.  By default frequencies are in cycles per
        pixel.

    Returns
    -------
    TransferFunction
        From 0 to the lower one of the two Nyquist frequencies.

    Examples
    --------
    >>> average = kernel(np.full((1, 3, 3), 1 / 3, np.float32))
    >>> frequency, gain, highest = transfer_function(average, pixel_size=0.5)
    >>> float(frequency[-1]), float(gain[0].round(3))
    (1.0, 1.0)
    """
    size_y, size_x = np.broadcast_to(1.0 if pixel_size is None else pixel_size, 2)
    reach = kernel.shape[0] // 2
    frequency = np.linspace(0, 0.5 / max(size_y, size_x), max(64, 4 * reach))
    # Half a turn: the gain of opposite directions is equal.
    angle = np.arange(90) * np.pi / 90
    lag = np.arange(-reach, reach + 1)
    down = frequency[:, None] * np.sin(angle) * size_y
    along = frequency[:, None] * np.cos(angle) * size_x
    # The real part of the Fourier transform at each polar frequency, one axis after the other.
    rows = np.exp(2j * np.pi * down[..., None] * lag) @ kernel
    gains = (rows * np.exp(2j * np.pi * along[..., None] * lag)).sum(axis=-1).real
    return TransferFunction(frequency, gains.mean(axis=1), gains.max(axis=1))


def convolve(
    image: NDArray[np.float32], eigenpatches: NDArray[np.float32]
) -> Generator[float, None, NDArray[np.float32]]:
    """Denoise an image with all of its patches in one stack.

    The result is that of `project` divided by the patch terrain, up to rounding.

    Parameters
    ----------
    image : (m, n) float32 array
    eigenpatches : (k, p, p) float32 array
        Kept eigenpatches.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float32 array
    """
    p = eigenpatches.shape[-1]
    border = p - 1
    if min(image.shape) <= 2 * border:  # no pixel is covered by p * p patches
        return (yield from _project_all(image, eigenpatches))
    result = np.empty_like(image)
    inside = result[border : image.shape[0] - border, border : image.shape[1] - border]
    yield from rescale_progress(convolve_inside(image, kernel(eigenpatches), inside), 0.0, 0.6)
    # Two border strips along the rows; those along the columns are rows of the transposed image.
    for axis in (0, 1):
        products = _column_products(eigenpatches)
        _border_strip(image, products, result)
        # Upside down, for the strip at the other end
        _border_strip(image[::-1], products[::-1, ::-1], result[::-1])
        yield 0.7 if axis == 0 else 0.8
        image, result = image.T, result.T
        eigenpatches = eigenpatches.transpose(0, 2, 1)
    first, last = slice(None, border), slice(-border, None)
    for rows, columns in ((first, first), (first, last), (last, first), (last, last)):
        # All patches on a corner lie in this block of 2p - 2 x 2p - 2 pixels.
        block = image[_twice(rows), _twice(columns)]
        result[rows, columns] = _project_corner(block, eigenpatches)[rows, columns]
        yield 0.9
    return result


def _project_all(
    image: NDArray[np.float32], eigenpatches: NDArray[np.float32]
) -> Generator[float, None, NDArray[np.float32]]:
    p = eigenpatches.shape[-1]
    everywhere = np.ones([n - p + 1 for n in image.shape], bool)
    canvas = yield from project(image, eigenpatches, everywhere)
    canvas /= patch_terrain(everywhere, p)
    return canvas


def _twice(end: slice) -> slice:
    """Return a slice at the same end of an axis, twice as long."""
    return slice(end.start and 2 * end.start, end.stop and 2 * end.stop)


def _project_corner(
    block: NDArray[np.float32], eigenpatches: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Denoise a block of 2p - 2 x 2p - 2 pixels, patch by patch."""
    p = eigenpatches.shape[-1]
    basis = eigenpatches.reshape(-1, p * p)
    everywhere = np.ones((p - 1, p - 1), bool)
    patches = extract_patches(block, p, np.arange(everywhere.size))
    # One row per pixel of a patch, so that the sum below reads contiguous memory
    pixels = (basis.T @ (basis @ patches.T)).reshape(p, p, p - 1, p - 1)
    canvas = np.zeros((2 * p - 2, 2 * p - 2), np.float32)
    for y in range(p):
        rows = canvas[y : y + p - 1]
        for x in range(p):
            rows[:, x : x + p - 1] += pixels[y, x]
    canvas /= patch_terrain(everywhere, p)
    return canvas


def convolve_inside(
    image: NDArray[np.float32], kernel: NDArray[np.float32], result: NDArray[np.float32]
) -> Generator[float, None, None]:
    """Convolve where the kernel lies within the image: "valid" in the terms of SciPy.

    Parameters
    ----------
    image : (m, n) float32 array
    kernel : (2p - 1, 2p - 1) float32 array
    result : (m - 2p + 2, n - 2p + 2) float32 array
        Filled in.

    Yields
    ------
    float
        Fraction of the work that is done.
    """
    width = len(kernel)
    step = [tile_step(n, max(TILE, 4 * width)) for n in result.shape]
    shape = [scipy.fft.next_fast_len(n + width - 1, real=True) for n in step]
    spectrum = scipy.fft.rfft2(kernel, shape)

    def convolve_tile(corner: tuple[int, int]) -> None:
        y, x = corner
        part = result[y : y + step[0], x : x + step[1]]
        height, across = part.shape
        product = scipy.fft.rfft2(
            image[y : y + height + width - 1, x : x + across + width - 1], shape
        )
        product *= spectrum
        # The period of the transform is longer than a tile: only the margin is wrapped around.
        convolved = scipy.fft.irfft2(product, shape, overwrite_x=True)
        part[:] = convolved[width - 1 : width - 1 + height, width - 1 : width - 1 + across]

    for fraction, _ in over_tiles(convolve_tile, tile_corners(result.shape, step), per_thread=4):
        yield fraction


def _column_products(eigenpatches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [a, b, d] = sum over k and x of v_k[a, x] v_k[b, x + d], d from 1 - p to p - 1."""
    p = eigenpatches.shape[-1]
    spectra = scipy.fft.rfft(eigenpatches, 2 * p - 1).transpose(2, 1, 0)  # (frequency, a, k)
    spectra = spectra.conj() @ spectra.transpose(0, 2, 1)  # (frequency, a, b)
    products = scipy.fft.fftshift(scipy.fft.irfft(spectra, 2 * p - 1, axis=0), axes=0)
    return np.asarray(products.transpose(1, 2, 0), np.float32)


def _border_strip(
    image: NDArray[np.float32], products: NDArray[np.float32], result: NDArray[np.float32]
) -> None:
    """Fill in the first p - 1 rows of `result`, except in the corners.

    Row y has the patches that start in rows 0 to y.  They reach to row y + p - 1, and each row
    has its own kernel.
    """
    p = len(products)
    border = p - 1
    # Row y and row y + 1 differ by the patches that start in row 0, and by one row downwards.
    kernels = np.zeros((border, 2 * border, 2 * p - 1), np.float32)
    for y in range(border):
        kernels[y, :p] = products[y]
        if y:
            kernels[y, 1:] += kernels[y - 1, :-1]
    kernels /= p * np.arange(1, p, dtype=np.float32)[:, None, None]  # the patch terrain
    n = image.shape[1] - 2 * border
    for first in range(0, n, COLUMNS):
        last = min(first + COLUMNS, n)
        strip = image[: 2 * border, first : last + 2 * border]
        windows = np.lib.stride_tricks.sliding_window_view(strip, last - first, axis=1)
        result[:border, border + first : border + last] = np.tensordot(kernels, windows, 2)
