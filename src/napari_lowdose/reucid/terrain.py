"""Patch terrain: how many patches lie on each pixel.

The paper's rolling sum, in both directions: a pixel is covered by the patches whose
top-left pixel lies in the p x p 'trigger region' above and to its left, and the sums of
neighbouring trigger regions differ by one row or column only.  A cumulative sum makes
the cost linear in the pixels, whatever the patch size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def patch_terrain(processed: NDArray[np.bool_], patch_size: int) -> NDArray[np.int32]:
    """Count the processed patches that lie on each pixel of the image.

    Parameters
    ----------
    processed : (m - p + 1, n - p + 1) bool array
        True where the patch with this top-left pixel has been processed.
    patch_size : int
        Width p of a patch, pixels.

    Returns
    -------
    (m, n) int32 array
        Zero where no patch lies yet.

    Examples
    --------
    >>> import numpy as np
    >>> patch_terrain(np.ones((2, 3), bool), 2)
    array([[1, 2, 2, 1],
           [2, 4, 4, 2],
           [1, 2, 2, 1]], dtype=int32)
    """
    terrain = processed.astype(np.int32)
    for axis in (0, 1):
        terrain = _rolling_sum(terrain, patch_size, axis)
    return terrain


def _rolling_sum(counts: NDArray[np.int32], width: int, axis: int) -> NDArray[np.int32]:
    """Sum `counts` over the `width` entries up to and including each one, along `axis`."""
    border = [(0, 0), (0, 0)]
    border[axis] = (width, width - 1)
    total = np.pad(counts, border).cumsum(axis=axis, dtype=np.int32)
    entered = [slice(None), slice(None)]
    left = [slice(None), slice(None)]
    entered[axis] = slice(width, None)
    left[axis] = slice(None, -width)
    sums: NDArray[np.int32] = total[tuple(entered)] - total[tuple(left)]
    return sums
