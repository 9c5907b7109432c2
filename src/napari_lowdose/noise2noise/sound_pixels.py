"""The pixels of an exposure that show the scene: no outliers, no info bar, no dead border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.image_area import image_area
from napari_lowdose.imaging.outliers import find_outliers, replace_outliers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Area = tuple[slice, slice]

__all__ = ["SoundPixels", "sound_pixels"]

SMALLEST = 32  # pixels: the least side of an exposure
COARSEST = 1 / 64  # of the contrast: larger steps of 32-bit numbers are not worth a training


@dataclass(frozen=True, eq=False)
class SoundPixels:
    """One frame, or the two of a pair, reduced to what shows the scene.

    Attributes
    ----------
    frames : tuple of (y, x) arrays
        Cut to `area`, outliers replaced by their neighbours; of the frames' own dtype.
    outliers : tuple of (y, x) bool arrays
        Of each frame.
    area : (slice, slice)
        Rows and columns that hold image in all frames.
    """

    frames: tuple[NDArray[Any], ...]
    outliers: tuple[NDArray[np.bool_], ...]
    area: Area

    @property
    def n_outliers(self) -> int:
        """How many outliers there are in all frames."""
        return sum(int(np.count_nonzero(each)) for each in self.outliers)

    @property
    def constant(self) -> tuple[bool, ...]:
        """Which of the frames are constant."""
        return tuple(bool(frame.min() == frame.max()) for frame in self.frames)


def sound_pixels(*frames: NDArray[Any]) -> SoundPixels:
    """Find the pixels that show the scene.

    Parameters
    ----------
    *frames : (Y, X) array each
        Finite; of one shape.

    Returns
    -------
    SoundPixels

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 64))
    >>> frame[10, 20] = 4095
    >>> sound = sound_pixels(frame)
    >>> sound.n_outliers, bool(sound.frames[0].max() < 60)
    (1, True)
    """
    area = _common_area(frames)
    cut = tuple(frame[area] for frame in frames)
    outliers = tuple(find_outliers(frame) for frame in cut)
    replaced = tuple(map(replace_outliers, cut, outliers))
    return SoundPixels(replaced, outliers, area)


def _common_area(frames: tuple[NDArray[Any], ...]) -> Area:
    """Return what is image in all frames; the whole, where that would be too little."""
    rows, columns = zip(*map(image_area, frames), strict=True)
    area = (_common(rows), _common(columns))
    if min(along.stop - along.start for along in area) < SMALLEST:
        return slice(0, frames[0].shape[0]), slice(0, frames[0].shape[1])
    return area


def _common(lines: Sequence[slice]) -> slice:
    return slice(max(each.start for each in lines), min(each.stop for each in lines))
