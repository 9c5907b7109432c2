"""The layout of a split camera frame, as steps for the job runner."""

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
    """The layout is known.

    Attributes
    ----------
    layout : SplitLayout
    views : two (Y, X) arrays
        The two views of one frame, cut to what both show.
    """

    layout: SplitLayout
    views: tuple[NDArray[Any], NDArray[Any]]


def split_steps(
    movie: Any, layout: Any, mirrored: Any, frame: tuple[int, ...]
) -> Iterator[SplitStep]:
    """Yield the layout, and the views of one frame; of lazy movies (dask) some are read only now.

    Parameters
    ----------
    movie : (..., Y, X) array
    layout, mirrored
        As `split_frame` takes them.
    frame : tuple of int
        Which frame the views are of.
    """
    from napari_lowdose.pairs.split import split_frame

    found = split_frame(movie, layout, mirrored=mirrored)[2]
    one, other = found.split(np.asarray(movie[frame]))
    yield SplitStep(fraction=1, message="layout found", layout=found, views=(one, other))
