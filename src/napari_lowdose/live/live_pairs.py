"""Pairs of exposures among the frames of a running source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_lowdose.frames import is_constant
from napari_lowdose.live.split_views import SplitViews
from napari_lowdose.pairs.register import register_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.live.feed import LiveFrame
    from napari_lowdose.pairs.view_map import Matrix

SMALLEST_SHIFT = 0.1  # pixels: a smaller one does no harm
SIGNIFICANT = 3.0  # standard errors


class LivePairs(NamedTuple):
    """Pairs of exposures.

    Attributes
    ----------
    first, second : (P, Y, X) array
    shift : (float, float)
        Of the second exposures against the first, (dy, dx), at most half a pixel.
    newest : int
        Number of the newest frame that belongs to a pair.
    drifts : bool
        Whether the exposures were registered, because the scene drifts.
    affine : 2 x 3 matrix or None
        Map from the first exposures to the second, if a shift is not enough.
    """

    first: NDArray[Any]
    second: NDArray[Any]
    shift: tuple[float, float]
    newest: int
    drifts: bool = False
    affine: Matrix | None = None


class PairsOfFrames:
    """How the frames of a run become pairs of exposures.

    Two successive frames are a pair, of which only the first is denoised, because the scene may
    change.  A frame of a beamsplitter is a pair by itself, and both views are denoised.

    Parameters
    ----------
    engine : Engine
        Engine of the run.

    Attributes
    ----------
    of_exposure : Engine
        The engine for a single exposure.
    per_pair : int
        Number of frames of a pair.
    use : "both" or "first"
        Which exposures of a pair the result is made of.
    """

    def __init__(self, engine: Engine) -> None:
        self._views = engine if isinstance(engine, SplitViews) else None
        self.of_exposure = engine if self._views is None else self._views.engine
        self.per_pair = 2 if self._views is None else 1
        self.use: Literal["both", "first"] = "first" if self._views is None else "both"

    def newest(
        self, frames: Sequence[LiveFrame], n: int, may_drift: bool = True
    ) -> LivePairs | None:
        """Return the newest n pairs.

        Frames that are constant or repeated are left out.

        Parameters
        ----------
        frames : sequence of LiveFrame
            The oldest one first.
        n : int
        may_drift : bool
            Measure whether successive frames are shifted, which takes some time, and crop them to
            their common field if they are.

        Returns
        -------
        LivePairs or None
            None if there are not enough frames.
        """
        usable = _newest_usable(frames, n * self.per_pair)
        if usable is None:
            return None
        number = usable[-1].number
        if self._views is not None:
            both = [self._views.split(frame.pixels) for frame in usable]
            first, second = (np.stack(views) for views in zip(*both, strict=True))
            layout = self._views.layout
            return LivePairs(first, second, layout.fraction, number, affine=layout.affine)
        first, second = (np.stack([frame.pixels for frame in usable[at::2]]) for at in (0, 1))
        pairs = LivePairs(first, second, (0.0, 0.0), number)
        return _registered(pairs) if may_drift else pairs

    def of_frames(self, network: Engine) -> Engine:
        """Return a network for single exposures as an engine for the frames of the run."""
        return network if self._views is None else SplitViews(network, self._views.layout)


def _newest_usable(frames: Sequence[LiveFrame], n: int) -> list[LiveFrame] | None:
    """Return the newest n frames that are neither constant nor repeated, in order."""
    found: list[LiveFrame] = []
    for frame in reversed(frames):
        if is_constant(frame.pixels):  # the shutter was closed
            continue
        if found and np.array_equal(frame.pixels, found[-1].pixels):  # read out twice
            continue
        found.append(frame)
        if len(found) == n:
            return found[::-1]
    return None


def _registered(pairs: LivePairs) -> LivePairs:
    """Return pairs of a drifting scene cropped to their common field."""
    try:
        first, second, found = register_pair(pairs.first, pairs.second)
    except ValueError:  # too little light, about which the checks before the training are clearer
        return pairs
    drifts = any(
        abs(along) > max(SMALLEST_SHIFT, SIGNIFICANT * error)
        for along, error in zip(found.shift, found.shift_error, strict=True)
    )
    return LivePairs(first, second, found.fraction, pairs.newest, True) if drifts else pairs
