"""Conversion of a frame to float32 about its median, so that a large offset costs no precision."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_SIZE = 2**15  # pixels from which the median is taken


def centred(frame: NDArray[Any]) -> tuple[int | float, NDArray[np.float32]]:
    """Subtract the median exactly, then convert to float32.

    Parameters
    ----------
    frame : (Y, X) array
        Any integer or floating dtype; finite, with differences in the range of float32.

    Returns
    -------
    offset : int or float
        Median of the frame, or of a sample of its pixels.
    difference : (Y, X) float32 array
        ``frame - offset``.

    Examples
    --------
    >>> import numpy as np
    >>> centred(2**60 + np.arange(3).reshape(1, 3))
    (1152921504606846977, array([[-1.,  0.,  1.]], dtype=float32))
    """
    pixels = sample(frame, SAMPLE_SIZE)
    median = np.partition(pixels, pixels.size // 2)[pixels.size // 2]
    if frame.dtype.kind in "iu" and frame.dtype.itemsize == 8:
        # float64 has 53 bits.  Differences modulo 2**64 are exact, even if the numbers overflow.
        difference = (frame.view(np.uint64) - median.astype(np.uint64)).view(np.int64)
        return int(median), difference.astype(np.float32)
    image = np.empty(frame.shape, np.float32)
    # Without a float64 copy of the frame.  The difference of two numbers that float32 holds is
    # rounded once only.
    exact = np.can_cast(frame.dtype, np.float32)
    wide = np.float32 if exact else np.result_type(frame.dtype, np.float64)
    np.subtract(frame, median, out=image, dtype=wide, casting="same_kind")
    return median.item(), image


def sample(frame: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a random sample of the pixels of a frame, or all of them if it has no more.

    Parameters
    ----------
    frame : (Y, X) array
    size : int
        Maximum number of pixels.

    Returns
    -------
    (n,) array
        The same pixels for every frame of this size.
    """
    pixels = frame.ravel()
    return pixels.take(_positions(pixels.size, size)) if pixels.size > size else pixels


@lru_cache(maxsize=8)  # of the frames of a movie
def _positions(n_pixels: int, size: int) -> NDArray[np.intp]:
    return np.random.default_rng(0).integers(0, n_pixels, size)
