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

import itertools
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy

from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.terrain import patch_terrain
from napari_lowdose.reucid.tiles import over_tiles, tile_corners, tile_step

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

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
    """Denoise an image with all of its patches in one stack; see `StackFilter`.

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
    return (yield from StackFilter(eigenpatches).convolve(image))


class StackFilter:
    """Filter of a single stack: the kernel, and those of the rows and columns at the border.

    Everything that depends on the eigenpatches alone is kept for the next image.

    Parameters
    ----------
    eigenpatches : (k, p, p) float32 array
        Kept eigenpatches.
    """

    def __init__(self, eigenpatches: NDArray[np.float32]) -> None:
        self._eigenpatches = eigenpatches
        self._kernel = kernel(eigenpatches)
        self._spectra: dict[tuple[int, int], NDArray[np.complex64]] = {}
        # Rows at the top and at the bottom, where the filter is upside down; then the same for
        # columns, which are rows of the transposed image.
        self._at_ends = [
            (_border_kernels(products), _border_kernels(products[::-1, ::-1]))
            for products in map(_column_products, (eigenpatches, eigenpatches.transpose(0, 2, 1)))
        ]
        width = 2 * eigenpatches.shape[-1] - 2
        self._corner_spectra = scipy.fft.rfft2(eigenpatches.astype(np.float64), (width, width))

    def convolve(self, image: NDArray[np.float32]) -> Generator[float, None, NDArray[np.float32]]:
        """Denoise an image with all of its patches in one stack.

        The result is that of `project` divided by the patch terrain, up to rounding.

        Parameters
        ----------
        image : (m, n) float32 array

        Yields
        ------
        float
            Fraction of the work that is done.

        Returns
        -------
        (m, n) float32 array
        """
        border = self._eigenpatches.shape[-1] - 1
        if min(image.shape) <= 2 * border:  # no pixel is covered by p * p patches
            return (yield from _project_all(image, self._eigenpatches))
        result = np.empty_like(image)
        parts = [*self._inside(image, result), *self._border(image, result)]
        for fraction, _ in over_tiles(lambda fill_in: fill_in(), parts, per_thread=8):
            yield fraction
        return result

    def _inside(
        self, image: NDArray[np.float32], result: NDArray[np.float32]
    ) -> Iterator[Callable[[], None]]:
        """Yield functions that fill in the tiles away from the border."""
        width = len(self._kernel)
        border = width // 2
        inside = result[border:-border, border:-border]
        step = [tile_step(n, max(TILE, 4 * width)) for n in inside.shape]
        height, across = (scipy.fft.next_fast_len(n + width - 1, real=True) for n in step)
        spectrum = self._spectrum((height, across))
        for y, x in tile_corners(inside.shape, step):
            tile = image[y : y + step[0] + width - 1, x : x + step[1] + width - 1]
            part = inside[y : y + step[0], x : x + step[1]]
            yield partial(_convolve_tile, tile, spectrum, (height, across), part)

    def _spectrum(self, shape: tuple[int, int]) -> NDArray[np.complex64]:
        if shape not in self._spectra:
            # One axis after the other, because most rows of the padded kernel are 0
            rows = scipy.fft.rfft(self._kernel, shape[1], axis=1)
            self._spectra[shape] = scipy.fft.fft(rows, shape[0], axis=0)
        return self._spectra[shape]

    def _border(
        self, image: NDArray[np.float32], result: NDArray[np.float32]
    ) -> Iterator[Callable[[], None]]:
        """Yield functions that fill in the p - 1 outermost rows and columns."""
        border = len(self._kernel) // 2
        for kernels, pixels, filtered in zip(
            self._at_ends, (image, image.T), (result, result.T), strict=True
        ):
            n = pixels.shape[1] - 2 * border
            for at in range(0, n, COLUMNS):
                columns = slice(at, min(at + COLUMNS, n) + 2 * border)
                for upright, turn in zip(kernels, (1, -1), strict=True):
                    strip = pixels[::turn, columns][: 2 * border]
                    part = filtered[::turn, columns][:border, border:-border]
                    yield partial(_convolve_strip, strip, upright, part)
        yield partial(self._fill_corners, image, result)

    def _fill_corners(self, image: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        """Fill in the corners of p - 1 x p - 1 pixels, patch by patch."""
        k, p = self._eigenpatches.shape[:2]
        width = 2 * p - 2  # of the blocks in which all patches on a corner lie
        ends = slice(None, width), slice(-width, None)
        basis = self._eigenpatches.reshape(k, -1).T
        # float64, because the sums of one patch and of many are parts of one transform
        coefficients = np.empty((4, k, p - 1, p - 1))
        for corner, block in enumerate(itertools.product(ends, repeat=2)):
            windows = np.lib.stride_tricks.sliding_window_view(image[block], (p, p))
            projected = windows.reshape(-1, p * p) @ basis
            coefficients[corner] = projected.T.reshape(k, p - 1, p - 1)
        placed = scipy.fft.rfft2(coefficients, (width, width))
        placed *= self._corner_spectra
        canvas = scipy.fft.irfft2(placed.sum(axis=1), (width, width))
        canvas /= patch_terrain(np.ones((p - 1, p - 1), bool), p)
        ends = slice(None, p - 1), slice(1 - p, None)
        for complete, part in zip(itertools.product(ends, repeat=2), canvas, strict=True):
            result[complete] = part[complete]


def _convolve_tile(
    tile: NDArray[np.float32],
    spectrum: NDArray[np.complex64],
    shape: tuple[int, int],
    result: NDArray[np.float32],
) -> None:
    """Convolve where the kernel lies within the tile."""
    transformed = scipy.fft.rfft2(tile, shape)
    transformed *= spectrum
    # The period of the transform is longer than a tile: only the margin is wrapped around.
    convolved = scipy.fft.irfft2(transformed, shape, overwrite_x=True)
    margin = tile.shape[0] - result.shape[0]
    result[:] = convolved[margin : tile.shape[0], margin : tile.shape[1]]


def _column_products(eigenpatches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [a, b, d] = sum over k and x of v_k[a, x] v_k[b, x + d], d from 1 - p to p - 1."""
    p = eigenpatches.shape[-1]
    spectra = scipy.fft.rfft(eigenpatches, 2 * p - 1).transpose(2, 1, 0)  # (frequency, a, k)
    spectra = spectra.conj() @ spectra.transpose(0, 2, 1)  # (frequency, a, b)
    products = scipy.fft.fftshift(scipy.fft.irfft(spectra, 2 * p - 1, axis=0), axes=0)
    return np.asarray(products.transpose(1, 2, 0), np.float32)


def _border_kernels(products: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the kernels of the first p - 1 rows, (p - 1, (2p - 2) * (2p - 1)).

    Row y has the patches that start in rows 0 to y.  They reach to row y + p - 1.
    """
    p = len(products)
    kernels = np.zeros((p - 1, 2 * p - 2, 2 * p - 1), np.float32)
    # Row y and row y + 1 differ by the patches that start in row 0, and by one row downwards.
    for y in range(p - 1):
        kernels[y, :p] = products[y]
        if y:
            kernels[y, 1:] += kernels[y - 1, :-1]
    kernels /= p * np.arange(1, p, dtype=np.float32)[:, None, None]  # the patch terrain
    return kernels.reshape(p - 1, -1)


def _convolve_strip(
    strip: NDArray[np.float32], kernels: NDArray[np.float32], result: NDArray[np.float32]
) -> None:
    """Convolve each row of `result`, of shape (p - 1, n), with its own kernel."""
    strip = np.ascontiguousarray(strip)
    windows = np.lib.stride_tricks.sliding_window_view(strip, result.shape[1], axis=1)
    result[:] = kernels @ windows.reshape(kernels.shape[1], -1)


def _project_all(
    image: NDArray[np.float32], eigenpatches: NDArray[np.float32]
) -> Generator[float, None, NDArray[np.float32]]:
    p = eigenpatches.shape[-1]
    everywhere = np.ones([n - p + 1 for n in image.shape], bool)
    canvas = yield from project(image, eigenpatches, everywhere)
    canvas /= patch_terrain(everywhere, p)
    return canvas
