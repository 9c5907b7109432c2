"""Valid pixels of a frame, and its standardisation.

Outliers are replaced by their neighbours.  Info bars, dead borders and padding are cropped away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.imaging.centred import centred
from napari_lowdose.imaging.image_area import image_area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Area = tuple[slice, slice]

__all__ = ["Standardised", "ValidPixels", "standardise", "valid_pixels"]

SMALLEST = 32  # minimum side of an exposure, pixels
COARSEST = 1 / 64  # maximum step between float32 numbers, as a fraction of the contrast


@dataclass(frozen=True, eq=False)
class ValidPixels:
    """Image content of one frame, or of the two frames of a pair.

    Attributes
    ----------
    frames : tuple of (y, x) arrays
        The frames cropped to `area`, with outliers replaced by their neighbours.  Their dtype is
        unchanged.
    outliers : tuple of (y, x) bool arrays
        Mask of the outliers in each cropped frame.
    area : (slice, slice)
        Rows and columns that hold image in all frames.
    """

    frames: tuple[NDArray[Any], ...]
    outliers: tuple[NDArray[np.bool_], ...]
    area: Area

    @property
    def n_outliers(self) -> int:
        """Total number of outliers in all frames."""
        return sum(int(np.count_nonzero(mask)) for mask in self.outliers)

    @property
    def constant(self) -> tuple[bool, ...]:
        """Whether each frame is constant."""
        return tuple(bool(frame.min() == frame.max()) for frame in self.frames)


def valid_pixels(*frames: NDArray[Any], area: Area | None = None) -> ValidPixels:
    """Crop frames to their common image area and replace outliers.

    Parameters
    ----------
    *frames : (Y, X) arrays
        Finite frames of the same shape.
    area : (slice, slice), optional
        Rows and columns to crop to; by default measured.

    Returns
    -------
    ValidPixels

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 64))
    >>> frame[10, 20] = 4095
    >>> valid = valid_pixels(frame)
    >>> valid.n_outliers, bool(valid.frames[0].max() < 60)
    (1, True)
    """
    from napari_lowdose.imaging.outliers import find_outliers, replace_outliers  # loads scipy

    area = area or _common_area(frames)
    cropped = tuple(frame[area] for frame in frames)
    # After cropping: an info bar or a dead border would distort the measured noise
    outliers = tuple(find_outliers(frame) for frame in cropped)
    replaced = tuple(map(replace_outliers, cropped, outliers))
    return ValidPixels(replaced, outliers, area)


def _common_area(frames: tuple[NDArray[Any], ...]) -> Area:
    """Return the area that is image in all frames, or the whole frame if that is too small."""
    rows, columns = zip(*map(image_area, frames), strict=True)
    area = (_intersection(rows), _intersection(columns))
    if min(axis.stop - axis.start for axis in area) < SMALLEST:
        return slice(0, frames[0].shape[0]), slice(0, frames[0].shape[1])
    return area


def _intersection(slices: Sequence[slice]) -> slice:
    return slice(max(each.start for each in slices), min(each.stop for each in slices))


class Standardised(NamedTuple):
    """A frame with a mean of 0 and a standard deviation of 1.

    Attributes
    ----------
    image : (Y, X) float32 array
        All zeros if the frame is constant.
    mean, deviation : float
        The original frame is ``image * deviation + mean``.
    """

    image: NDArray[np.float32]
    mean: float
    deviation: float


def standardise(frame: NDArray[Any]) -> Standardised:
    """Scale a frame to a mean of 0 and a standard deviation of 1.

    Parameters
    ----------
    frame : (Y, X) array
        Finite, of any integer or floating dtype.

    Returns
    -------
    Standardised

    Examples
    --------
    >>> import numpy as np
    >>> image, mean, deviation = standardise(np.array([[1e18, 3e18]]))
    >>> image.tolist(), f"{mean:.1e}", f"{deviation:.1e}"
    ([[-1.0, 1.0]], '2.0e+18', '1.0e+18')
    """
    # In two steps: float32 could not hold the contrast on top of a large offset
    offset, image = centred(frame)
    mean = float(image.mean(dtype=np.float64))
    deviation = float(image.std(dtype=np.float64))
    image -= np.float32(mean)
    if deviation:
        image /= np.float32(deviation)
    return Standardised(image, offset + mean, deviation)
