"""Patch terrain: the number of patches that cover each pixel.

This is the rolling sum of the paper, in both directions.  A pixel is covered by the patches whose
top-left pixel is in the p x p "trigger region" above and to the left of it.  The sums over
neighbouring trigger regions differ by one row or column only.  With a cumulative sum the cost is
linear in the number of pixels, independent of the patch size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def patch_terrain(processed: NDArray[np.bool_], patch_size: int) -> NDArray[np.int32]:
    """Count the processed patches that cover each pixel of the image.

    Parameters
    ----------
    processed : (m - p + 1, n - p + 1) bool array
        True where the patch with this top-left pixel has been processed.
    patch_size : int
        Width p of a patch, pixels.

    Returns
    -------
    (m, n) int32 array
        Zero for pixels without patches.

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
