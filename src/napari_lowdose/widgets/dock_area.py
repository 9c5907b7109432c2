"""What the dock widgets share: they scroll where the screen is low, and let go of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

# Several quick clicks, or a layer whose data change again and again, make one piece of work.
SETTLE = 150  # milliseconds


class DockArea(QScrollArea):
    """Parts below each other; nothing is squeezed or cut off.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumWidth(320)  # what appears later must not widen the dock
        content = QWidget()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.parts = QVBoxLayout(content)
        self.parts.setSpacing(8)

    def settled(self, callback: Callable[[], None]) -> QTimer:
        """Return a timer that calls back a moment after it was last started."""
        timer = QTimer(self)
        timer.setObjectName("settle")
        timer.setSingleShot(True)
        timer.setInterval(SETTLE)
        timer.timeout.connect(callback)
        return timer

    def listen(self, *events: tuple[Any, Callable[..., None]]) -> None:
        """Connect events of the viewer with callbacks for as long as this widget exists.

        The viewer outlives a dock that is closed, and must not call into it.
        """
        for event, callback in events:
            event.connect(callback)

        def let_go() -> None:
            for event, callback in events:
                event.disconnect(callback)

        self.destroyed.connect(let_go)
