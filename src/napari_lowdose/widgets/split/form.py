"""The form of the widget 'Split camera frame'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_lowdose.widgets.fields import ParameterForm, choice
from napari_lowdose.widgets.layers import layer_combo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image

    from napari_lowdose.pairs.split_layout import SplitLayout

RECTANGLES, CALIBRATION = "rectangles", "calibration"


class SplitForm(ParameterForm):
    """The camera frame and the layout of its views.

    Parameters
    ----------
    layers : iterable of Layer
        Source of the layers; read again at every `reset_choices`.
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        super().__init__()
        self.layer_combo = layer_combo(layers)
        self.layout_combo = choice(
            {
                "automatic": "auto",
                "side by side": "side by side",
                "one above the other": "above",
                "two drawn rectangles": RECTANGLES,
            }
        )
        self.shapes_combo = layer_combo(layers, Shapes)
        self.mirrored = choice(
            {"automatic": "auto", "no": False, "left to right": "x", "top to bottom": "y"}
        )
        self.add("frame", self.layer_combo.native, "The camera frame or movie with two views.")
        self.add("views", self.layout_combo, "Layout of the two views on the sensor.")
        self.add(
            "drawn in",
            self.shapes_combo.native,
            "<qt>A Shapes layer with two rectangles, the first view first. They need not be "
            "exact: the shift between the views is measured.</qt>",
        )
        self.add("mirrored", self.mirrored, "Whether the second view is mirrored.")
        self._calibration: SplitLayout | None = None
        self.layout_combo.currentIndexChanged.connect(self._show)
        self._show()

    @property
    def layer(self) -> Image | None:
        """The chosen camera frame."""
        chosen: Image | None = self.layer_combo.value
        return chosen

    @property
    def drawn(self) -> bool:
        """Whether the views are drawn."""
        return bool(self.layout_combo.currentData() == RECTANGLES)

    @property
    def calibrated(self) -> bool:
        """Whether the layout is a stored one."""
        return bool(self.layout_combo.currentData() == CALIBRATION)

    def use_calibration(self, layout: SplitLayout, name: str) -> None:
        """Offer a stored layout among the layouts, and choose it."""
        self._calibration = layout
        at = self.layout_combo.findData(CALIBRATION)
        if at < 0:
            at = self.layout_combo.count()
            self.layout_combo.addItem("", CALIBRATION)
        self.layout_combo.setItemText(at, f"calibration {name}")
        if self.layout_combo.currentIndex() == at:
            self.layout_combo.currentIndexChanged.emit(at)  # another layout of the same name
        self.layout_combo.setCurrentIndex(at)

    @property
    def shapes(self) -> Shapes | None:
        """The Shapes layer with the two rectangles."""
        chosen: Shapes | None = self.shapes_combo.value
        return chosen

    def views(self) -> Any:
        """Return the layout as an argument for `split_frame`.

        Raises
        ------
        ValueError
            If there are no two rectangles.
        """
        if self.calibrated:
            return self._calibration
        if not self.drawn:
            return self.layout_combo.currentData()
        shapes, layer = self.shapes, self.layer
        if shapes is None or layer is None or len(shapes.data) < 2:
            raise ValueError("draw two rectangles in a Shapes layer first, one around each view.")
        return tuple(shape_region(shapes, k, layer) for k in (0, 1))

    def _show(self) -> None:
        self.show_field(self.shapes_combo.native, self.drawn)
        self.show_field(self.mirrored, not self.calibrated)


def shape_region(shapes: Shapes, number: int, layer: Image) -> tuple[int, int, int, int]:
    """Return the bounding box (y0, y1, x0, x1) of a shape in pixels of `layer`."""
    corners = [
        layer.world_to_data((0,) * (layer.ndim - 2) + tuple(shapes.data_to_world(corner)[-2:]))
        for corner in shapes.data[number]
    ]
    ends = np.array(corners)[:, -2:]
    height, width = layer.level_shapes[0][-2:] if layer.multiscale else layer.data.shape[-2:]
    (y0, x0), (y1, x1) = np.round(ends.min(0) + 0.5), np.round(ends.max(0) + 0.5)
    return (
        int(np.clip(y0, 0, height)),
        int(np.clip(y1, 0, height)),
        int(np.clip(x0, 0, width)),
        int(np.clip(x1, 0, width)),
    )
