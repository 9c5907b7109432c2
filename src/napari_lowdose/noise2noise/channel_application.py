"""Apply the networks of the channels of a stack, each to its own frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari_lowdose.engine import Engine
from napari_lowdose.noise2noise.valid_pixels import standardise, valid_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.noise2noise.model import Noise2NoiseModel

_DISTINCT = 1.5  # ratio of contrast by which a frame tells its channel


@dataclass(frozen=True, eq=False)
class ChannelApplication(Engine):
    """Application of a network for each channel.

    A frame goes to the network whose training frames had the nearest contrast, so that channels
    may come in any order, or alone.  Only channels of about the same contrast are told by their
    place in the stack.

    Parameters
    ----------
    model : Noise2NoiseModel
        The model that has the `channels`.
    parts : tuple of Engine
        Application of each.
    along : int, optional
        Axis of the stack along which the channels are those of the model.
    """

    title = "Noise2Noise"
    takes = "either"

    model: Noise2NoiseModel
    parts: tuple[Engine, ...] = ()
    along: int | None = None

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return self.model.neighbours(number, n_frames)

    def for_frame(self, index: tuple[int, ...]) -> Engine:
        """Return the application for the frame at `index`; see `Engine.for_frame`."""
        contrasts = sorted(each.scale for each in self.model.channels)
        distinct = all(high > _DISTINCT * low for low, high in pairwise(contrasts))
        return self if self.along is None or distinct else self.parts[index[self.along]]

    def frame_steps(self, *frames: NDArray[Any], **others: Any) -> Iterator[Step]:
        """Denoise a frame, or a pair of frames; see `Engine.frame_steps`."""
        yield from self._part_for(*frames).frame_steps(*frames, **others)

    def constant_frame(self, *frames: NDArray[Any]) -> NDArray[np.float32]:
        """Return the result for a constant frame; see `Engine.constant_frame`."""
        return self._part_for(*frames).constant_frame(*frames)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickling, without the states of the trainings."""
        channels = tuple(replace(each, state=None) for each in self.model.channels)
        return {**vars(self), "model": replace(self.model, channels=channels)}

    def _part_for(self, *frames: NDArray[Any]) -> Engine:
        """Return the application of the network whose training frames had the nearest contrast."""
        deviations = (standardise(frame).deviation for frame in valid_pixels(*frames).frames)
        contrast = max(deviations) or 1.0  # of any, if both are constant
        apart = [abs(math.log(contrast / each.scale)) for each in self.model.channels]
        return self.parts[apart.index(min(apart))]
