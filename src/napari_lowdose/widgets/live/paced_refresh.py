"""Paint layers as often as the screen allows, so that the user interface stays free."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

PAINTED = 8  # milliseconds after a refresh, at which it is painted unless painting takes longer
THUMBNAILS = 1.0  # seconds


class PacedRefresh(QObject):
    """Refreshes layers whose arrays were written into; at least half of the time stays free.

    Painting takes 2 ms on a graphics card, and 40 ms without one.

    Parameters
    ----------
    parent : QObject
        A widget; the refreshing ends with it.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._layers: dict[Image, None] = {}  # in order
        self._begun = self._free = self._thumbnails_due = 0.0
        self._refresh_timer = _single_shot(self, self._refresh)
        self._painted_timer = _single_shot(self, self._painted)

    def request(self, layer: Image) -> None:
        """Refresh `layer` as soon as there is time."""
        self._layers[layer] = None
        if not (self._refresh_timer.isActive() or self._painted_timer.isActive()):
            self._wait()

    def _wait(self) -> None:
        left = self._free - time.perf_counter()
        if left > 0:
            self._refresh_timer.start(round(1000 * left))
        else:
            self._refresh()

    def _refresh(self) -> None:
        self._begun = time.perf_counter()
        thumbnails = self._begun > self._thumbnails_due
        if thumbnails:
            self._thumbnails_due = self._begun + THUMBNAILS
        for layer in self._layers:
            layer.refresh(thumbnail=thumbnails, highlight=False, extent=False)
        self._layers.clear()
        # The event loop paints before this, and it comes late if that takes long.
        self._painted_timer.start(PAINTED)

    def _painted(self) -> None:
        now = time.perf_counter()
        self._free = now + (now - self._begun)
        if self._layers:
            self._wait()


def _single_shot(parent: QObject, callback: Callable[[], None]) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.timeout.connect(callback)
    return timer
