"""Scaling of intensities to zero mean and unit power, and back to the units of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def standardise(frame: NDArray[Any]) -> tuple[float, float, NDArray[np.float32]]:
    """Subtract the mean and scale to unit power.

    The result does not depend on the offset of a camera.

    Parameters
    ----------
    frame : (Y, X) array

    Returns
    -------
    offset, scale : float
        `frame` is ``image * scale + offset``.
    image : (Y, X) float32 array
    """
    offset = float(frame.mean(dtype=np.float64))
    peak = max(float(frame.max()) - offset, offset - float(frame.min()))
    image = np.empty(frame.shape, np.float32)
    # The ufunc converts to float64 in blocks: no copy of the image, and no overflow or rounding
    # in float16 or integers.
    np.subtract(frame, offset, out=image, dtype=np.float64, casting="same_kind")
    # Scale by the peak first: squares of large float32 values overflow.
    image /= np.float32(peak)
    power = float(np.sqrt(np.square(image).mean(dtype=np.float64)))
    image /= np.float32(power)
    return offset, peak * power, image


def reconstruct(
    canvas: NDArray[np.float32],
    terrain: NDArray[np.int32],
    offset: float,
    scale: float,
    frame: NDArray[Any],
) -> NDArray[np.float32]:
    """Divide the canvas by the patch terrain; pixels without patches keep the input values."""
    image = np.divide(canvas, terrain, out=np.zeros_like(canvas), where=terrain > 0)
    image *= np.float32(scale)
    image += np.float32(offset)
    return np.where(terrain > 0, image, frame).astype(np.float32, copy=False)
