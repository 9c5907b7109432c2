"""Patch terrain: the number of patches that cover each pixel.

This is the rolling sum of the paper, in both directions.  A pixel is covered by the patches whose
top-left pixel is in the p x p "trigger region" above and to the left of it.  The sums over
neighbouring trigger regions overlap.  They share sums over 1, 2, 4, ... rows or columns, so that
the cost is linear in the number of pixels and hardly depends on the patch size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    small = patch_size**2 <= np.iinfo(np.int16).max  # half of the memory to read and write
    terrain = processed.astype(np.int16 if small else np.int32)
    for axis in (0, 1):
        terrain = _rolling_sum(terrain, patch_size, axis)
    return terrain.astype(np.int32, copy=False)


def _rolling_sum(counts: NDArray[Any], width: int, axis: int) -> NDArray[Any]:
    """Sum `counts` over the `width` entries up to and including each one, along `axis`."""
    border = [(0, 0), (0, 0)]
    border[axis] = (width - 1, width - 1)
    rolling = np.moveaxis(np.pad(counts, border), axis, 0)  # over 1, 2, 4, ... entries
    n = len(rolling) - width + 1
    sums = np.zeros_like(rolling[:n])
    begin = 0
    for power in range(width.bit_length()):
        entries = 2**power
        if power:
            rolling = rolling[: -entries // 2] + rolling[entries // 2 :]
        if width & entries:  # 13 entries are 1 + 4 + 8
            sums += rolling[begin : begin + n]
            begin += entries
    return np.moveaxis(sums, 0, axis)
