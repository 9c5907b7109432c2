"""Intensity along a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_lowdose.inspection.pixel_scale import PIXELS, PixelScale
from napari_lowdose.io.arrays import as_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


class LineProfile(NamedTuple):
    """Intensity along a line.

    Attributes
    ----------
    distance : (n,) float64 array
        From the start of the line, in the unit of the scale; one point per pixel.
    values : (n,) float64 array
        Grey levels.
    """

    distance: NDArray[np.float64]
    values: NDArray[np.float64]


def line_profile(
    image: ArrayLike,
    start: Sequence[float],
    end: Sequence[float],
    *,
    width: int = 1,
    scale: PixelScale = PIXELS,
) -> LineProfile:
    """Return the intensity along a line, by `skimage.measure.profile_line`.

    Parameters
    ----------
    image : (Y, X) array
        Any real dtype.
    start, end : (float, float)
        (y, x), pixels.  Outside of the image the values are NaN.
    width : int
        Width of the line, pixels; the mean over it is returned.
    scale : PixelScale
        Of the distance.

    Returns
    -------
    LineProfile

    Raises
    ------
    ValueError
        If the image is not a single frame, or the line is shorter than a pixel.

    Examples
    --------
    >>> ramp = np.tile(np.arange(32.0), (32, 1))
    >>> profile = line_profile(ramp, (10, 5), (10, 8), scale=PixelScale.of(0.5, "nm"))
    >>> profile.distance.tolist(), profile.values.tolist()
    ([0.0, 0.5, 1.0, 1.5], [5.0, 6.0, 7.0, 8.0])
    """
    from skimage.measure import profile_line

    frame = as_frame(image)
    (y0, x0), (y1, x1) = start, end
    if np.hypot(y1 - y0, x1 - x0) < 1:
        raise ValueError("The line is shorter than a pixel: draw a longer one.")
    # Only the part of the image around the line: a conversion of all pixels would take longer.
    margin = width + 3
    low = [max(0, int(min(ends)) - margin) for ends in ((y0, y1), (x0, x1))]
    high = [int(max(ends)) + margin for ends in ((y0, y1), (x0, x1))]
    part = np.asarray(frame[low[0] : high[0], low[1] : high[1]], np.float64)
    values = np.array([])
    if part.size:
        corner = np.array(low, float)
        values = profile_line(  # type: ignore[no-untyped-call]
            part, np.array([y0, x0]) - corner, np.array([y1, x1]) - corner,
            linewidth=max(1, int(width)), order=1, mode="constant", cval=np.nan,
        )  # fmt: skip
    length = np.hypot((y1 - y0) * scale.height, (x1 - x0) * scale.width)
    step = length / np.hypot(y1 - y0, x1 - x0)
    return LineProfile(np.arange(len(values)) * step, np.asarray(values, np.float64))
