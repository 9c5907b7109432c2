"""Projection of patches onto the kept eigenpatches, and their sum on the canvas.

The coefficients of all patches for an eigenpatch are the correlation of the image with it, and
the sum of the placed patches is the convolution of the coefficients with the eigenpatch.  Both
are computed by FFT, so that the cost hardly depends on the patch size.  The image is processed in
tiles that fit into the processor cache, so that temporary memory does not grow with the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.reucid.tiles import over_tiles, tile_corners, tile_step

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

# Approximate tile size, pixels: transforms fit into the cache of a core, and small images still
# have several tiles to process in parallel.  Tiles are at least 4 patches wide if possible.
TILE = 256
BATCH = 8  # eigenpatches of a tile that are transformed at a time


def project(
    image: NDArray[np.float32],
    eigenpatches: NDArray[np.float32],
    in_stack: NDArray[np.bool_],
) -> Generator[float, None, NDArray[np.float32]]:
    r"""Sum the patches of one stack, each projected onto the given eigenpatches.

    .. math:: J = \sum_k \sum_{q \in stack} \langle x_q, v_k \rangle \; v_k(\cdot - q)

    Divide the sum by the patch terrain to reconstruct the image.

    Parameters
    ----------
    image : (m, n) float32 array
    eigenpatches : (k, p, p) float32 array
        Kept eigenpatches.
    in_stack : (m - p + 1, n - p + 1) bool array
        True where the patch with this top-left pixel belongs to the stack.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    (m, n) float32 array
    """
    p = eigenpatches.shape[-1]
    canvas = np.zeros(image.shape, np.float32)
    step = [tile_step(length, max(TILE, 4 * p)) for length in in_stack.shape]
    shape = [scipy.fft.next_fast_len(length + p - 1, real=True) for length in step]
    spectra = scipy.fft.rfft2(eigenpatches, shape)  # V_k
    correlating = spectra.conj()

    def project_tile(corner: tuple[int, int]) -> NDArray[np.float32]:
        y, x = corner
        mask = in_stack[y : y + step[0], x : x + step[1]]
        height, width = mask.shape
        tile = image[y : y + height + p - 1, x : x + width + p - 1]
        spectrum = scipy.fft.rfft2(tile, shape)
        masked = np.zeros(shape, np.float32)
        masked[:height, :width] = mask
        total = np.zeros_like(spectrum)
        for few in parts:
            coefficients = scipy.fft.irfft2(spectrum * correlating[few], shape, overwrite_x=True)
            coefficients *= masked
            back = scipy.fft.rfft2(coefficients, overwrite_x=True)
            back *= spectra[few]
            total += back.sum(axis=0)
        placed: NDArray[np.float32] = scipy.fft.irfft2(total, shape, overwrite_x=True)
        return placed[: tile.shape[0], : tile.shape[1]]

    # Several eigenpatches at a time: long computations, for which threads need not wait for Python
    parts = [slice(first, first + BATCH) for first in range(0, len(eigenpatches), BATCH)]
    for fraction, batch in over_tiles(project_tile, tile_corners(in_stack.shape, step)):
        for (y, x), tile in batch:
            canvas[y : y + tile.shape[0], x : x + tile.shape[1]] += tile
        yield fraction
    return canvas
