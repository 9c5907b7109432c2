"""Pixels about the median of their frame, as float32: a large offset costs no digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = 2**15  # pixels that the median is taken of


def centred(frame: NDArray[Any]) -> tuple[int | float, NDArray[np.float32]]:
    """Take off the median, exactly, before going to float32.

    Parameters
    ----------
    frame : (Y, X) array
        Any integer or floating dtype, finite, differences within the range of float32.

    Returns
    -------
    offset : int or float
        The median of the frame, or of a sample of it.
    difference : (Y, X) float32 array
        ``frame - offset``.

    Examples
    --------
    >>> import numpy as np
    >>> centred(2**60 + np.arange(3).reshape(1, 3))
    (1152921504606846977, array([[-1.,  0.,  1.]], dtype=float32))
    """
    sample = frame.ravel()
    if sample.size > SAMPLE:
        sample = sample[np.random.default_rng(0).integers(0, sample.size, SAMPLE)]
    median = np.partition(sample, sample.size // 2)[sample.size // 2]
    if frame.dtype.kind in "iu" and frame.dtype.itemsize == 8:
        # Modulo 2**64, where differences are right although the numbers themselves may overflow.
        difference = (frame.view(np.uint64) - median.astype(np.uint64)).view(np.int64)
        return int(median), difference.astype(np.float32)
    image = np.empty(frame.shape, np.float32)
    wide = np.result_type(frame.dtype, np.float64)
    np.subtract(frame, median, out=image, dtype=wide, casting="same_kind")
    return median.item(), image
