"""What the widget 'Teach REUCID' asks: the region in view, and the steps to its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step, rescale_steps
from napari_lowdose.reucid.teaching import Decomposed, Question, Survey, decompose_steps
from napari_lowdose.widgets.layers import frame_in_view
from napari_lowdose.widgets.result_layer import layer_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import Dims
    from napari.layers import Image

    from napari_lowdose.reucid import Reucid

Region = tuple[slice, slice]
SHOWN = 256  # pixels of the image along a side of a picture, at most: noise stays visible
LEAST = 32  # likewise, at least


@dataclass(frozen=True, kw_only=True)
class QuestionStep(Step):
    """The next question.

    Attributes
    ----------
    question : Question or None
    """

    question: Question | None = field(default=None, repr=False)


def region_in_view(layer: Image) -> Region:
    """Return the rows and columns of a square in the middle of what is in view of a layer."""
    shape = layer_pixels(layer).shape[-2:]
    corners = np.asarray(layer.corner_pixels, float)[:, -2:]
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors[layer.data_level])[-2:]
    spans = []
    for axis, n in enumerate(shape):
        low, high = np.clip(np.sort(corners[:, axis]), 0, n)
        spans.append((float(low), float(high)) if high - low >= 1 else (0.0, float(n)))
    # A square: the pictures are below each other, or beside each other
    side = int(min(max(min(high - low for low, high in spans), LEAST), SHOWN, *shape))
    first = [int(np.clip(round((low + high - side) / 2), 0, n - side))
             for (low, high), n in zip(spans, shape, strict=True)]  # fmt: skip
    return slice(first[0], first[0] + side), slice(first[1], first[1] + side)


class Questioner:
    """Asks about layers, each of which is decomposed once.

    Parameters
    ----------
    survey : Survey
    """

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self._known: dict[Any, Decomposed] = {}

    def steps(self, layer: Image, dims: Dims, engine: Reucid) -> Iterator[Step]:
        """Return the steps to the next question on the frame in view of a layer.

        Parameters
        ----------
        layer : Image
        dims : Dims
        engine : Reucid

        Returns
        -------
        iterator of Step
            The last one is a `QuestionStep`.
        """
        pixels, frame = layer_pixels(layer), frame_in_view(dims, layer)
        name = " ".join([layer.name, *map(str, frame)])
        key = (id(layer.data), frame, engine.scan_noise)
        return self._steps(key, name, pixels, frame, engine, region_in_view(layer))

    def _steps(
        self,
        key: Any,
        name: str,
        pixels: Any,
        frame: tuple[int, ...],
        engine: Reucid,
        region: Region,
    ) -> Iterator[Step]:
        yield Step(fraction=0, message="eigenpatches")
        if key not in self._known:
            name = self._unused(name)
            steps = decompose_steps(np.asarray(pixels[frame]), name, engine)
            self._known[key] = yield from rescale_steps(steps, 0.0, 0.7)
        question = self.survey.ask(self._known[key], region)
        yield QuestionStep(fraction=1, message="which is the best?", question=question)

    def _unused(self, name: str) -> str:
        """Return a name that no other image has: the data of a layer may have changed."""
        number, free = 2, name
        while free in self.survey.images:
            number, free = number + 1, f"{name} ({number})"
        return free
