"""Intensities: to unit power about a constant, and back to the input's units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def standardise(frame: NDArray[Any]) -> tuple[float, float, NDArray[np.float32]]:
    """Take a constant off, so that a camera's offset cannot matter, and scale to unit power.

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
    # In float64, a block at a time: no copy of the image, and no loss to a float16 or an integer.
    np.subtract(frame, offset, out=image, dtype=np.float64, casting="same_kind")
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
    """Divide the canvas by the patch terrain; pixels that nothing covers show the input."""
    image = np.divide(canvas, terrain, out=np.zeros_like(canvas), where=terrain > 0)
    image *= np.float32(scale)
    image += np.float32(offset)
    return np.where(terrain > 0, image, frame).astype(np.float32, copy=False)
