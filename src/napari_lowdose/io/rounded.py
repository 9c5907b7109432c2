"""Results rounded to the integers of their input: files of half or a quarter of the size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import frame_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1 / math.sqrt(12)  # standard deviation of rounding, grey levels
# A gain of 20 dB leaves a tenth of the noise.
LEAST_NOISE = 10 * ROUNDING


def rounded_like(result: NDArray[Any], image: Any) -> tuple[NDArray[Any], str]:
    """Round a result to the integer dtype of its input.

    Rounding adds an error with a standard deviation of 0.29 grey levels.  It is accepted where
    a tenth of the noise that was removed, which is what a gain of 20 dB leaves, is larger.

    Parameters
    ----------
    result : (..., Y, X) float array
    image : (..., Y, X) array
        The input.

    Returns
    -------
    rounded : (..., Y, X) array
        Of the dtype of `image`; `result` itself as float32 if that is no integer.
    note : str
        What was done, in a few words; empty if nothing.

    Raises
    ------
    ValueError
        If values are beyond the range of the dtype, or the noise is too weak for whole grey levels.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(500, 20, (64, 64)).astype(np.uint16)
    >>> rounded, note = rounded_like(np.full((64, 64), 499.7, np.float32), image)
    >>> rounded.dtype, rounded[0, 0], note
    (dtype('uint16'), np.uint16(500), 'rounded to uint16: ±0.29 of 20 grey levels of noise removed')
    """
    dtype = np.dtype(image.dtype)
    if not np.issubdtype(dtype, np.integer):
        return np.asarray(result, np.float32), ""
    name, limits = dtype.name, np.iinfo(dtype)
    leading = result.shape[:-2]
    rounded = np.empty(result.shape, dtype.newbyteorder("="))
    least = math.inf
    for number in range(math.prod(leading)):  # a frame at a time: the input may be lazy
        index = frame_index(number, leading)
        frame = np.asarray(result[index], np.float64)
        if not np.isfinite(frame).all():
            raise ValueError(f"the result has pixels without a value, which {name} cannot hold.")
        low, high = float(frame.min()), float(frame.max())
        if np.rint(low) < limits.min or np.rint(high) > limits.max:
            raise ValueError(
                f"the result reaches from {low:.4g} to {high:.4g}, but {name} holds "
                f"{limits.min} to {limits.max}: store it as float32."
            )
        removed = float(np.std(np.asarray(image[index], np.float64) - frame))
        if removed > 0:  # constant frames are left as they are
            least = min(least, removed)
        rounded[index] = np.rint(frame)
    if least < LEAST_NOISE:
        raise ValueError(
            f"the noise that was removed is only {least:.2g} grey levels: whole grey levels are "
            "coarser than the noise that is left; store it as float32."
        )
    about = "" if least == math.inf else f": ±0.29 of {least:.3g} grey levels of noise removed"
    return rounded, f"rounded to {name}{about}"
