"""Sums and means over blocks of pixels, and their significance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Blocks = NDArray[np.float64]


def binned(frames: NDArray[Any], factor: int) -> NDArray[Any]:
    """Sum over blocks of `factor` x `factor` pixels.

    Parameters
    ----------
    frames : (T, Y, X) array
    factor : int
        Side of a block, pixels.

    Returns
    -------
    (T, Y // factor, X // factor) array
        Incomplete blocks at the end of an axis are dropped.

    Examples
    --------
    >>> import numpy as np
    >>> binned(np.ones((1, 5, 4)), 2)
    array([[[4., 4.], [4., 4.]]])
    """
    from skimage.measure import block_reduce

    # block_reduce pads incomplete blocks with zeros, which would darken the last row and column.
    height, width = (side // factor * factor for side in frames.shape[-2:])
    cropped = frames[:, :height, :width]
    return np.asarray(block_reduce(cropped, (1, factor, factor), np.sum))  # type: ignore[no-untyped-call]


def block_means(frame: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Return the means over blocks of `side` x `side` pixels.

    Parameters
    ----------
    frame : (Y, X) array
    side : int
        Side of a block, pixels.

    Returns
    -------
    (Y // side, X // side) float64 array
        Incomplete blocks at the end of an axis are dropped.
    """
    from skimage.measure import block_reduce

    height, width = (length // side * side for length in frame.shape)
    means: NDArray[np.float64] = block_reduce(  # type: ignore[no-untyped-call]
        frame[:height, :width], side, np.mean, func_kwargs={"dtype": np.float64}
    )
    return means


def block_sums(image: NDArray[Any], n: int) -> Blocks:
    """Return the sums over `n` x `n` blocks that together cover the whole image.

    Unlike in `block_means`, the number of blocks is given, and their sides may differ by a pixel.

    Parameters
    ----------
    image : (Y, X) array
    n : int
        Number of blocks along each axis.

    Returns
    -------
    (n * n,) float64 array
    """
    sums: Any = image
    for axis in (1, 0):  # along the rows first, because they are contiguous in memory
        length = image.shape[axis]
        sums = np.add.reduceat(sums, np.arange(n) * length // n, axis=axis, dtype=np.float64)
    blocks: Blocks = sums.ravel()
    return blocks


def z_score(blocks: Blocks) -> float:
    """Return the mean of the blocks in units of its standard error, 0 if all are equal.

    The scatter of the blocks gives the standard error. This holds for noise with short
    correlations, where a formula for white noise would not.
    """
    deviation = float(blocks.std(ddof=1))
    if deviation == 0:
        return 0.0
    return float(blocks.mean()) / deviation * math.sqrt(len(blocks))
