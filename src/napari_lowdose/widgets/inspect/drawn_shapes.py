# mypy: allow-untyped-calls
"""Shapes of the widget on the canvas: a line, a box, and outlines of places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_lowdose.widgets.result_layer import layer_pixels, placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from napari.layers import Image
    from numpy.typing import NDArray

THICKNESS = 150  # an edge is this fraction of the height of the image


class DrawnShape(QObject):
    """One shape on the canvas that the user moves: a layer of its own.

    Parameters
    ----------
    layers : LayerList
    name : str
        Of the layer.
    kind : {"line", "rectangle"}
    colour : str
    parent : QObject, optional
    """

    changed = Signal()

    def __init__(
        self,
        layers: LayerList,
        name: str,
        kind: str,
        colour: str,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._name, self._kind, self._colour = layers, name, kind, colour
        self._image: Image | None = None
        self.layer: Shapes | None = None
        removed = layers.events.removed
        removed.connect(self._removed)

        def forget() -> None:  # the viewer and the layer outlive this object
            removed.disconnect(self._removed)
            if self.layer is not None:
                self.layer.events.data.disconnect(self._moved)

        self.destroyed.connect(forget)

    def draw(self, image: Image) -> None:
        """Add the shape in the middle of an image, or select it if it is there."""
        self._image = image
        if self.layer is None:
            height, width = layer_pixels(image).shape[-2:]
            if self._kind == "line":
                ends = [[height * 0.5, width * 0.3], [height * 0.5, width * 0.7]]
            else:
                ends = [[height * 0.4, width * 0.4], [height * 0.6, width * 0.6]]
            place = placement(image, 2)
            place.pop("colormap")  # Shapes layers have none
            layer = Shapes(
                [ends],
                shape_type=self._kind,
                name=self._name,
                face_color="transparent",
                edge_color=self._colour,
                edge_width=max(1.0, height / THICKNESS),
                **place,
            )
            self._layers.append(layer)
            layer.events.data.connect(self._moved)
            self.layer = layer
        self._layers.selection.active = self.layer
        self.layer.mode = "select"
        self.layer.selected_data = {0}
        self.changed.emit()

    def corners(self, image: Image) -> NDArray[np.float64] | None:
        """Return the corners (k, 2) of the newest shape in pixels of an image; None if none."""
        if self.layer is None or not len(self.layer.data):
            return None
        leading = (0.0,) * (image.ndim - 2)
        corners = [
            image.world_to_data((*leading, *self.layer.data_to_world(corner)[-2:]))[-2:]
            for corner in self.layer.data[-1]
        ]
        return np.asarray(corners, np.float64)

    def _moved(self, event: Any = None) -> None:
        # napari announces a change before ("adding", "changing") and after it.
        if not str(getattr(event, "action", "")).lower().endswith("ing"):
            self.changed.emit()

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self.changed.emit()


def box_of(corners: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return y0, y1, x0, x1 of a rectangle, in pixels with edges at whole numbers.

    Examples
    --------
    >>> box_of(np.array([[1.5, 2.5], [1.5, 6.5], [3.5, 6.5], [3.5, 2.5]]))
    (2.0, 4.0, 3.0, 7.0)
    """
    (y0, x0), (y1, x1) = corners.min(axis=0) + 0.5, corners.max(axis=0) + 0.5
    return float(y0), float(y1), float(x0), float(x1)


def outlines(
    image: Image, boxes: Sequence[tuple[int, int, int, int]], colours: Sequence[str], name: str
) -> Shapes:
    """Return a layer with rectangles around places of an image.

    Parameters
    ----------
    image : Image
    boxes : sequence of (int, int, int, int)
        y0, y1, x0, x1, pixels.
    colours : sequence of str
        One for each box.
    name : str
        Of the layer.
    """
    place = placement(image, 2)
    place.pop("colormap")
    rectangles = [[[y0 - 0.5, x0 - 0.5], [y1 - 0.5, x1 - 0.5]] for y0, y1, x0, x1 in boxes]
    height = layer_pixels(image).shape[-2]
    return Shapes(
        rectangles,
        shape_type="rectangle",
        name=name,
        face_color="transparent",
        edge_color=list(colours),
        edge_width=max(1.0, height / THICKNESS / 2),
        **place,
    )
