# mypy: allow-untyped-calls
"""A job on a result and its input, started from the menu of layers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils import cancelable_progress
from napari.utils.notifications import show_info, show_warning

from napari_lowdose.widgets.jobs import JobRunner
from napari_lowdose.widgets.layers import frame_in_view, validation_error
from napari_lowdose.widgets.region import region_slices
from napari_lowdose.widgets.result_layer import (
    METADATA_KEY,
    layer_pixels,
    mark_as_result,
    placement,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel

    from napari_lowdose.engine import Step
    from napari_lowdose.frames import Index
    from napari_lowdose.widgets.jobs import Job

UNITS = 1000  # of the progress bar
TIME_LEFT = "|{remaining} left"  # a longer text would push the button to cancel out of view

running: set[ResultJob] = set()
"""Jobs that are running: there is no widget that would own them."""


class ResultJob:
    """Computes layers over a result, for its frame in view, in a thread.

    Its progress is shown in the activity dock of napari, where it can be cancelled.  Subclasses
    define `title`, `steps` and `show`.

    Parameters
    ----------
    viewer : ViewerModel
    image, result : Image
        Raw image and denoised image.

    Raises
    ------
    ValueError
        If they do not have the same frames.

    Attributes
    ----------
    title : str
        What the job computes.
    record : dict
        Record of the result; empty if it is unknown.
    pixels : (..., Y, X) array
        Those of the raw image.
    index : tuple of int
        Index of the frame in `pixels`.
    frame, denoised : (Y, X) array
        The frame in view; lazy data are read in the thread.
    """

    title: str

    def __init__(self, viewer: ViewerModel, image: Image, result: Image) -> None:
        for layer in (image, result):
            if problem := validation_error(layer):
                raise ValueError(problem)
        self._layers, self.result = viewer.layers, result
        self.record: dict[str, Any] = result.metadata.get(METADATA_KEY, {})
        self._shown = frame_in_view(viewer.dims, result)
        # A result of one frame is a stack of one frame, at its place in the stack of the input.
        known = self.record.get("input", {}).get("frame")
        self.index: Index = self._shown if known is None else tuple(known)
        self.pixels = layer_pixels(image)[region_slices(self.record.get("input", {}).get("region"))]
        frames: list[Any] = []
        for pixels, index in ((self.pixels, self.index), (layer_pixels(result), self._shown)):
            leading = pixels.shape[:-2]
            if len(leading) != len(index) or any(i >= n for i, n in zip(index, leading)):  # noqa: B905
                raise ValueError(
                    f"'{image.name}' and '{result.name}' have different frames: their shapes are "
                    f"{self.pixels.shape} and {layer_pixels(result).shape}."
                )
            frames.append(pixels[index])
        self.frame, self.denoised = frames
        self.runner = JobRunner()

    def steps(self) -> Iterator[Step]:
        """Compute the layers, step by step, in the thread."""
        raise NotImplementedError

    def show(self) -> str:
        """Add the layers; return a sentence on what they show."""
        raise NotImplementedError

    def start(self) -> None:
        """Start in a thread."""
        running.add(self)
        show_info(f"{self.title} of '{self.result.name}': progress is shown in 'activity'.")
        progress = cancelable_progress(
            desc=f"{self.title}: {self.result.name}", total=UNITS, bar_format=TIME_LEFT
        )

        def advanced(steps: Sequence[Step]) -> None:
            progress.update(round(UNITS * steps[-1].fraction) - progress.n)
            if progress.is_canceled or self.result not in self._layers:
                self.runner.stop()

        ended = functools.partial(self._ended, progress)
        self.runner.run(self.steps(), advanced, ended, show_warning)

    def add(self, kind: type[Any], data: Any, name: str, **options: Any) -> Any:
        """Add a layer over the frame of the result."""
        corner = (*map(float, self._shown), 0.0, 0.0)
        arguments = placement(self.result, self.result.ndim, corner) | options
        layer = kind(data[(np.newaxis,) * len(self._shown)], name=name, **arguments)
        if isinstance(layer, Image):
            mark_as_result(layer)
        self._layers.append(layer)
        return layer

    def _ended(self, progress: cancelable_progress, job: Job) -> None:
        running.discard(self)
        progress.close()
        if job.error is not None:
            show_warning(f"{self.title} of '{self.result.name}': {job.error}")
        if job.outcome != "done" or self.result not in self._layers:
            return
        selected = set(self._layers.selection)
        message = self.show()
        self._layers.selection = selected
        show_info(f"{self.result.name}: {message}")


def input_and_result(viewer: ViewerModel, selected: Sequence[Image]) -> tuple[Image, Image]:
    """Return the raw image and the result to compare.

    Parameters
    ----------
    viewer : ViewerModel
    selected : sequence of Image
        A result, whose input is known from its record, or an image and its result.

    Raises
    ------
    ValueError
        If there is no result, or its input is unknown or was removed.
    """
    records = {layer: layer.metadata.get(METADATA_KEY) for layer in selected}
    if len(selected) == 2:
        results = [layer for layer in selected if records[layer]]
        if len(results) != 1:
            raise ValueError("Select a result, or an image and its result.")
        image = selected[0] if results[0] is selected[1] else selected[1]
        return image, results[0]
    if len(selected) != 1 or not records[selected[0]]:
        raise ValueError("Select a result of REUCID or Noise2Noise, or an image and its result.")
    name = records[selected[0]].get("input", {}).get("layer")
    name = name if isinstance(name, str) or not name else name[0]  # of a pair
    found = next(
        (layer for layer in viewer.layers if layer.name == name and isinstance(layer, Image)), None
    )
    if found is None:
        raise ValueError(
            f"The input of '{selected[0].name}', '{name}', is not among the layers: select the "
            "raw image and the result."
        )
    return found, selected[0]
