"""A frame about its mean and in units of its contrast: any offset, any unit, in 32 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.imaging.centred import centred

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Standardised", "standardised"]


class Standardised(NamedTuple):
    """A frame with a mean of 0 and a standard deviation of 1.

    Attributes
    ----------
    image : (Y, X) float32 array
        Zero where the frame is constant.
    mean, deviation : float
        The frame is ``image * deviation + mean``.
    """

    image: NDArray[np.float32]
    mean: float
    deviation: float


def standardised(frame: NDArray[Any]) -> Standardised:
    """Bring a frame to a mean of 0 and a standard deviation of 1.

    Parameters
    ----------
    frame : (Y, X) array
        Any integer or floating dtype, finite.

    Returns
    -------
    Standardised

    Examples
    --------
    >>> import numpy as np
    >>> image, mean, deviation = standardised(np.array([[1e18, 3e18]]))
    >>> image.tolist(), f"{mean:.1e}", f"{deviation:.1e}"
    ([[-1.0, 1.0]], '2.0e+18', '1.0e+18')
    """
    offset, image = centred(frame)
    mean = float(image.mean(dtype=np.float64))
    deviation = float(image.std(dtype=np.float64))
    image -= np.float32(mean)
    if deviation:
        image /= np.float32(deviation)
    return Standardised(image, offset + mean, deviation)
