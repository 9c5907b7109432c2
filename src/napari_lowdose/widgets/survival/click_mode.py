# mypy: allow-untyped-calls
"""A mode in which clicks on the canvas choose positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QObject,
    Qt,
    Signal,
)
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QShortcut, QWidget  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari.viewer

LEFT_BUTTON = 1
CURSOR = "crosshair"


class ClickMode(QObject):
    """Reports clicks on the canvas from `enter` until `leave`, which Escape calls, too.

    A drag still pans the image.  Only one mode is active at a time.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    parent : QWidget
        The mode ends with it.
    """

    clicked = Signal(object)
    """Position of a click, a tuple of world coordinates."""
    left = Signal()

    _current: ClickMode | None = None  # the mode that is active, of all viewers

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), parent)
        # The focus may be on the canvas or on the widget, which may be a window of its own.
        self._escape.setContext(Qt.ShortcutContext.ApplicationShortcut)
        self._escape.setEnabled(False)
        self._escape.activated.connect(self.leave)

        def forget() -> None:  # a slot of the deleted object itself would not be called
            self._disconnect()

        self.destroyed.connect(forget)

    @property
    def active(self) -> bool:
        """Whether clicks are reported."""
        return ClickMode._current is self

    def enter(self) -> None:
        """Report clicks from now on."""
        if self.active:
            return
        if ClickMode._current is not None:
            ClickMode._current.leave()
        ClickMode._current = self
        layers = self._viewer.layers
        if layers.selection.active is not None:
            layers.selection.active.mode = "pan_zoom"  # a click shall not paint labels
        self._viewer.mouse_drag_callbacks.append(self._pressed)
        # After napari, which sets the cursor of the layer that becomes active.
        layers.selection.events.active.connect(self._show_cursor)
        self._show_cursor()
        self._escape.setEnabled(True)

    def leave(self) -> None:
        """Report no more clicks."""
        if not self.active:
            return
        self._disconnect()
        self._escape.setEnabled(False)
        active = self._viewer.layers.selection.active
        self._viewer.cursor.style = "standard" if active is None else active.cursor
        self.left.emit()

    def _disconnect(self) -> None:
        """Let the viewer forget this object, which may be deleted already."""
        if not self.active:
            return
        ClickMode._current = None
        self._viewer.mouse_drag_callbacks.remove(self._pressed)
        self._viewer.layers.selection.events.active.disconnect(self._show_cursor)

    def _show_cursor(self, event: Any = None) -> None:
        self._viewer.cursor.style = CURSOR

    def _pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Follow the mouse from a press to its release, as napari's mouse callbacks do."""
        if event.button != LEFT_BUTTON or event.modifiers:
            return
        # The event changes while the mouse moves.
        position, start = tuple(event.position), tuple(event.pos)
        yield
        while event.type == "mouse_move":
            if math.dist(event.pos, start) > QApplication.startDragDistance():
                return  # napari pans the image
            yield
        if self.active:
            self.clicked.emit(position)
