"""Mean and relative standard deviation of a box, Eq. (10) of the pair paper."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.io.arrays import as_frame
from napari_lowdose.metrics import rsd

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = 2  # pixels


class BoxStatistics(NamedTuple):
    """Mean and spread of the pixels of a box.

    Attributes
    ----------
    mean, deviation : float
        Grey levels.
    rsd : float
        Relative standard deviation, Eq. (10) of the pair paper, percent of the mean above the
        offset; NaN if that is 0.
    n : int
        Number of pixels.
    offset : float
        Grey level of zero electrons.
    """

    mean: float
    deviation: float
    rsd: float
    n: int
    offset: float = 0.0

    def __str__(self) -> str:
        """Return the numbers in one line."""
        text = f"mean {self.mean:.4g}, deviation {self.deviation:.3g}, RSD {self.rsd:.3g} %"
        return text + (f" (offset {self.offset:.4g})" if self.offset else "")


def box_statistics(image: Any, box: Sequence[float], *, offset: float = 0.0) -> BoxStatistics:
    """Return mean, standard deviation and RSD of a box.

    Parameters
    ----------
    image : (Y, X) array
    box : (float, float, float, float)
        y0, y1, x0, x1, pixels; the part outside of the image is left out.
    offset : float
        Grey level of zero electrons, which is subtracted for the RSD.

    Returns
    -------
    BoxStatistics

    Raises
    ------
    ValueError
        If the image is not a single frame, or fewer than two pixels of the box are in it.

    References
    ----------
    Pair paper (Yang et al. 2023), Eq. (10).

    Examples
    --------
    >>> print(box_statistics(np.array([[9.0, 10, 11], [0, 0, 0]]), (0, 1, 0, 3)))
    mean 10, deviation 1, RSD 10 %
    """
    y0, y1, x0, x1 = (max(0, round(at)) for at in box)
    pixels = np.asarray(as_frame(image)[y0:y1, x0:x1], np.float64)
    if pixels.size < LEAST:
        raise ValueError("Fewer than two pixels of the box are in the image: draw a larger one.")
    mean = float(pixels.mean())
    relative = rsd(pixels - offset) if mean != offset else math.nan
    return BoxStatistics(mean, float(pixels.std(ddof=1)), relative, pixels.size, offset)
