"""An engine at work on a layer, and the layers that show how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_lowdose.denoise import Run
from napari_lowdose.widgets.layer_file import file_of
from napari_lowdose.widgets.result_layer import (
    METADATA_KEY,
    PARTIAL,
    contrast_limits,
    mark_as_result,
    pixels_of,
    placement,
    residual,
    residual_limits,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from napari.components import LayerList
    from numpy.typing import NDArray

    from napari_lowdose.steps import Engine, Step


class LayerRun:
    """A run whose result appears as a layer at the first interim image, and refines.

    Every run makes a layer of its own, so no earlier result is ever lost.  Until the run is
    finished its layer is marked as partial, whatever may happen to the run.  It works on the
    pixels that the input layer had at the start: the input may be changed or removed.

    Parameters
    ----------
    layers : LayerList
        Where results are added.
    source : Image, or tuple of two
        The input layer, or the two of a pair.
    engine : Engine
    frame : tuple of int, optional
        Which frame of a stack of frames to denoise; all of them by default.
    with_residual : bool
        Add a layer of input (of a pair: the first) minus result at the end.
    name : str, optional
        Of the result; by default made of the input's and the engine's.

    Attributes
    ----------
    run : Run
    result : Image or None
        None before the first interim image.
    """

    def __init__(
        self,
        layers: LayerList,
        source: Image | tuple[Image, Image],
        engine: Engine,
        frame: tuple[int, ...] = (),
        with_residual: bool = False,
        name: str | None = None,
    ) -> None:
        sources = source if isinstance(source, tuple) else (source,)
        images = tuple(pixels_of(each)[frame] if frame else pixels_of(each) for each in sources)
        self.run = Run(images if isinstance(source, tuple) else images[0], engine)
        self.frame = frame
        self.paths = tuple(file_of(each) for each in sources)
        self.result: Image | None = None
        self.residual: Image | None = None
        self._layers = layers
        self._source_names = [each.name for each in sources]
        self._with_residual = with_residual
        self._limits = (0.0, 1.0)
        self._input = images[0]
        self._placement = placement(sources[0], self._input.ndim)
        where = f" {list(frame)}" if frame else ""
        self._name = name or f"{sources[0].name}{where} {type(engine).__name__.upper()}"

    @property
    def path(self) -> str | None:
        """The file of the input layer, if it shows the whole of one."""
        return self.paths[0]

    @property
    def result_removed(self) -> bool:
        """Whether the person has removed the result layer."""
        return self.result is not None and self.result not in self._layers

    def show(self, steps: Sequence[Step]) -> None:
        """Show the newest interim image among `steps`, if there is one."""
        newest = next((s.image for s in reversed(steps) if s.image is not None), None)
        if newest is None or self.result_removed:
            return
        if self.result is None:
            data = newest if self._one_frame else self.run.image
            self._limits = contrast_limits(newest)
            self.result = self._add(data, self._name + PARTIAL, self._limits)
            self.result.contrast_limits_range = (float(newest.min()), float(newest.max()))
        elif self._one_frame:
            self.result.data = newest
        else:  # the run writes its frames into the array that the layer already has
            self.result.refresh()
        self.describe()

    def end(self) -> None:
        """Mark the result as finished if the run is; add the residual."""
        if self.result is None or self.result_removed:
            return
        if self.run.finished and self.result.name.endswith(PARTIAL):
            self.result.name = self.result.name.removesuffix(PARTIAL)
        self.describe()
        if self._with_residual:
            taken = residual(self._input, self.run.image)
            limits = residual_limits(self._input, self.run.image, self._limits)
            partial = "" if self.run.finished else PARTIAL
            name = f"{self.result.name.removesuffix(PARTIAL)} residual{partial}"
            self.residual = self._add(taken, name, limits, colormap="gray", visible=False)
            self._layers.selection.active = self.result

    def replace(self, image: NDArray[np.float32], index: tuple[int, ...]) -> None:
        """Put `image` in the place of the result, or of its frame `index`."""
        self.run.image[index] = image
        if self.result is None or self.result_removed:
            return
        self.result.data = image if self._one_frame else self.run.image
        if self.residual is not None and self.residual in self._layers:
            self.residual.data = residual(self._input, self.run.image)

    def describe(self, **changes: Any) -> None:
        """Write what was done, with `changes`, into the metadata of the result layer."""
        if self.result is None:
            return
        record = self.run.record()
        one = len(self.paths) == 1
        record["input"] |= {
            "layer": self._source_names[0] if one else self._source_names,
            "path": self.path if one else list(self.paths),
        }
        if self.frame:
            record["input"]["frame"] = list(self.frame)
        self.result.metadata[METADATA_KEY] = record | changes

    @property
    def _one_frame(self) -> bool:
        return bool(self._input.ndim == 2)

    def _add(self, data: Any, name: str, limits: tuple[float, float], **options: Any) -> Image:
        arguments = {"contrast_limits": limits, **self._placement, **options}
        layer = Image(data, name=name, multiscale=False, **arguments)
        mark_as_result(layer)
        self._layers.append(layer)
        return layer
