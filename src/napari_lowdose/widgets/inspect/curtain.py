# mypy: allow-untyped-calls
"""Before and after on both sides of a line across the canvas."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from vispy.scene.visuals import InfiniteLine
from vispy.visuals.filters.clipping_planes import PlanesClipper

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari.viewer
    from qtpy.QtWidgets import QWidget

GRIP = 8  # pixels of the screen beside the line in which it can be dragged
LINE_COLOUR = (1.0, 0.75, 0.1, 0.9)
ON_TOP = 10**6
LEFT_BUTTON = 1
NO_CANVAS = "This version of napari does not let the canvas be divided: show one layer at a time."
NOT_POSSIBLE = "The curtain needs the canvas in 2D: switch the viewer to 2D."


class Curtain(QObject):
    """Shows one layer on the left of a line, and another one on its right.

    Both layers are cut while they are drawn, by a clipping plane of vispy on the graphics card: no
    pixel is copied or moved, so that dragging is as quick for large images.  napari offers its
    clipping planes for volumes, points and shapes only, not for images in 2D.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    parent : QWidget

    Attributes
    ----------
    position : float
        Of the line, 0 at the left end of the image and 1 at the right end.
    """

    moved = Signal(float)
    """The line was moved; carries the position."""
    hidden = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._parent = viewer, parent
        self._canvas: Any = None
        self.position = 0.5
        self._layers: tuple[Image, ...] = ()
        self._clippers: list[tuple[Any, PlanesClipper]] = []
        self._line: Any = None
        self._were_visible: list[tuple[Any, bool]] = []
        events = (
            (viewer.dims.events.ndisplay, self.hide),
            (viewer.dims.events.order, self.hide),
            (viewer.layers.events.removed, self._layer_removed),
        )
        for event, callback in events:
            event.connect(callback)

        def forget() -> None:  # the viewer outlives this object
            for event, callback in events:
                event.disconnect(callback)
            self._clear()

        self.destroyed.connect(forget)

    @property
    def active(self) -> bool:
        """Whether the canvas is divided."""
        return bool(self._layers)

    def show(self, before: Image, after: Image) -> None:
        """Divide the canvas.

        Parameters
        ----------
        before, after : Image
            Shown on the left and on the right of the line.

        Raises
        ------
        ValueError
            If the canvas is in 3D.
        """
        self._clear()
        if self._viewer.dims.ndisplay != 2:
            raise ValueError(NOT_POSSIBLE)
        self._canvas = canvas = _canvas_of(self._parent)
        self._layers = (before, after)
        for layer in self._layers:
            clipper = PlanesClipper(coord_system="scene")
            node = canvas.layer_to_visual[layer].node
            node.attach(clipper)
            self._clippers.append((node, clipper))
        self._line = InfiniteLine(
            pos=0.0, color=LINE_COLOUR, line_width=2, vertical=True, parent=canvas.view.scene
        )
        self._line.order = ON_TOP
        # Images above would cover both.
        others = [
            each
            for each in self._viewer.layers
            if isinstance(each, Image) and each not in self._layers
        ]
        self._were_visible = [(each, each.visible) for each in (*others, *self._layers)]
        for layer in others:
            layer.visible = False
        for layer in self._layers:
            layer.visible = True
        self._viewer.mouse_drag_callbacks.append(self._pressed)
        self._viewer.mouse_move_callbacks.append(self._hovered)
        self._draw()

    def hide(self, event: Any = None) -> None:
        """Show both layers as they were."""
        if self.active:
            self._clear()
            self.hidden.emit()

    def _clear(self) -> None:
        if not self.active:
            return
        self._layers = ()
        for node, clipper in self._clippers:
            node.detach(clipper)
        self._clippers.clear()
        if self._line is not None:
            self._line.parent = None
            self._line = None
        for callbacks, callback in (
            (self._viewer.mouse_drag_callbacks, self._pressed),
            (self._viewer.mouse_move_callbacks, self._hovered),
        ):
            if callback in callbacks:
                callbacks.remove(callback)
        for layer, visible in self._were_visible:
            if layer in self._viewer.layers:
                layer.visible = visible
        self._were_visible = []
        with contextlib.suppress(RuntimeError):  # the window was closed, and Qt deleted it
            self._canvas.native.update()

    def move(self, position: float) -> None:
        """Move the line, from 0, where all is the second layer, to 1, where all is the first."""
        self.position = float(np.clip(position, 0, 1))
        if self.active:
            self._draw()
        self.moved.emit(self.position)

    def toggle(self) -> None:
        """Show the other layer on the whole canvas."""
        self.move(0.0 if self.position > 0.5 else 1.0)

    # ------------------------------------------------------------------ drawing

    def _ends(self) -> tuple[float, float]:
        """Return the left and the right end of both layers in world coordinates."""
        axis = self._viewer.dims.displayed[-1] - self._viewer.dims.ndim  # from the end
        ends = np.array([layer.extent.world[:, axis] for layer in self._layers])
        half = abs(float(self._layers[0].scale[axis])) / 2  # extents end at the pixel centres
        return float(ends.min()) - half, float(ends.max()) + half

    def _place(self) -> float:
        low, high = self._ends()
        return low + self.position * (high - low)

    def _draw(self) -> None:
        at = self._place()
        for (_, clipper), direction in zip(self._clippers, (-1.0, 1.0), strict=True):
            plane = np.array([[[at, 0.0, 0.0], [direction, 0.0, 0.0]]], np.float32)
            clipper.clipping_planes = plane
        self._line.set_data(pos=at)
        for node, _ in self._clippers:
            node.update()

    # ----------------------------------------------------------------- dragging

    def _is_near(self, event: Any) -> bool:
        axis = self._viewer.dims.displayed[-1]
        distance = abs(float(event.position[axis]) - self._place())
        return distance * float(self._viewer.scene.camera.zoom) < GRIP

    def _hovered(self, viewer: Any, event: Any) -> None:
        active = viewer.layers.selection.active
        usual = "standard" if active is None else active.cursor
        viewer.cursor.style = "crosshair" if self._is_near(event) else usual

    def _pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != LEFT_BUTTON or not self._is_near(event):
            return
        pans = viewer.scene.camera.mouse_pan
        viewer.scene.camera.mouse_pan = False
        axis = viewer.dims.displayed[-1]
        yield
        while event.type == "mouse_move" and self.active:
            low, high = self._ends()
            self.move((float(event.position[axis]) - low) / (high - low))
            yield
        viewer.scene.camera.mouse_pan = pans

    def _layer_removed(self, event: Any) -> None:
        if event.value in self._layers:
            # Its visual is gone already.
            index = self._layers.index(event.value)
            del self._clippers[index]
            self.hide()


def _canvas_of(widget: QWidget) -> Any:
    """Return the canvas of the window that a widget is docked in; napari has no public name for it.

    Raises
    ------
    ValueError
        If there is none.
    """
    above: Any = widget
    while above is not None and not hasattr(above, "_qt_viewer"):
        above = above.parent()
    canvas = getattr(getattr(above, "_qt_viewer", None), "canvas", None)
    if not hasattr(canvas, "layer_to_visual") or not hasattr(canvas, "view"):
        raise ValueError(NO_CANVAS)
    return canvas
