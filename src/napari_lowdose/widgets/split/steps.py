"""Find the two views of a camera frame, in steps for a thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.pairs.split_layout import SplitLayout


@dataclass(frozen=True, kw_only=True)
class SplitStep(Step):
    """The layout of a camera frame.

    Attributes
    ----------
    layout : SplitLayout
    views : two (Y, X) arrays
        The two views of one frame, cropped to the common area, to be drawn over each other.
    """

    layout: SplitLayout
    views: tuple[NDArray[Any], NDArray[Any]]


def split_steps(
    movie: Any, layout: Any, mirrored: Any, frame: tuple[int, ...], *, checked: bool = False
) -> Iterator[SplitStep]:
    """Find the layout, and the views of one frame; few frames of lazy movies (dask) are read.

    Parameters
    ----------
    movie : (..., Y, X) array
    layout, mirrored
        Arguments of `split_frame`.
    frame : tuple of int
        Index of the frame.
    checked : bool
        Whether the layout is known to be that of this movie.
    """
    from napari_lowdose.pairs.split import split_frame

    found = layout if checked else split_frame(movie, layout, mirrored=mirrored)[2]
    one, other = found.split(np.asarray(movie[frame]))
    if found.affine is not None:  # as they agree
        other = found.view_map.resample(other)
    yield SplitStep(fraction=1, message="layout found", layout=found, views=(one, other))
