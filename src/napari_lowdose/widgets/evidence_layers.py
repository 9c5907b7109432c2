# mypy: allow-untyped-calls
"""Layers that show which structure of a result the data support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import show_info, show_warning

from napari_lowdose.engine import Step
from napari_lowdose.evidence import Evidence, evidence
from napari_lowdose.widgets.jobs import Job, JobRunner
from napari_lowdose.widgets.layers import frame_in_view, validation_error
from napari_lowdose.widgets.result_layer import (
    METADATA_KEY,
    layer_pixels,
    mark_as_result,
    placement,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel

OUTLINE = "red"
OUTLINE_WIDTH = 1  # pixels
LIMIT = 5.0  # standard errors at the ends of the contrast limits

# Runners without a widget that would own them
_running: set[EvidenceRun] = set()


class EvidenceRun:
    """Computes the evidence for the frame in view of a result, and adds it as three layers.

    The structure that the data do not support is outlined; significance and residual are hidden.

    Parameters
    ----------
    viewer : ViewerModel
    image, result : Image
        Raw image and denoised image.

    Raises
    ------
    ValueError
        If the layers cannot be compared.
    """

    def __init__(self, viewer: ViewerModel, image: Image, result: Image) -> None:
        for layer in (image, result):
            if problem := validation_error(layer):
                raise ValueError(problem)
        self._layers, self._result = viewer.layers, result
        self._index = frame_in_view(viewer.dims, result)
        # A result of one frame is a stack of one frame, at its place in the stack of the input.
        known = result.metadata.get(METADATA_KEY, {}).get("input", {}).get("frame")
        at = self._index if known is None else tuple(known)
        self._frames: list[Any] = []
        for layer, index in ((image, at), (result, self._index)):
            pixels = layer_pixels(layer)
            leading = pixels.shape[:-2]
            if len(leading) != len(index) or any(i >= n for i, n in zip(index, leading)):  # noqa: B905
                raise ValueError(
                    f"'{image.name}' and '{result.name}' have different frames: their shapes are "
                    f"{layer_pixels(image).shape} and {layer_pixels(result).shape}."
                )
            self._frames.append(pixels[index])
        self._found: Evidence | None = None
        self.runner = JobRunner()

    def start(self) -> None:
        """Start in a thread."""
        _running.add(self)
        show_info(f"Evidence for '{self._result.name}': comparing it with its input...")
        self.runner.run(self._steps(), lambda steps: None, self._ended, show_warning)

    def _steps(self) -> Iterator[Step]:
        yield Step(fraction=0.0, message="estimating the noise")
        # A copy: the layers may be changed meanwhile, and lazy data are read here.
        image, result = (np.array(frame) for frame in self._frames)
        self._found = evidence(image, result)
        yield Step(fraction=1.0, message="done")

    def _ended(self, job: Job) -> None:
        _running.discard(self)
        if job.error is not None:
            show_warning(f"Evidence for '{self._result.name}': {job.error}")
        if self._found is None or self._result not in self._layers:
            return
        found, name = self._found, self._result.name
        limits = {"contrast_limits": (-LIMIT, LIMIT), "colormap": "gray", "visible": False}
        selected = set(self._layers.selection)
        self._add(Image, found.significance, f"{name} significance", **limits)
        self._add(Image, found.residual, f"{name} residual, standard errors", **limits)
        outline = self._add(
            Labels,
            found.unsupported.astype(np.uint8),
            f"{name} not supported by the data",
            colormap=DirectLabelColormap(color_dict={None: "transparent", 1: OUTLINE}),
        )
        outline.contour = OUTLINE_WIDTH
        outline.editable = False
        self._layers.selection = selected
        show_info(f"{name}: {found}.")

    def _add(self, kind: type[Any], data: Any, name: str, **options: Any) -> Any:
        corner = (*map(float, self._index), 0.0, 0.0)
        arguments = placement(self._result, self._result.ndim, corner) | options
        layer = kind(data[(np.newaxis,) * len(self._index)], name=name, **arguments)
        if isinstance(layer, Image):
            mark_as_result(layer)
        self._layers.append(layer)
        return layer


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
