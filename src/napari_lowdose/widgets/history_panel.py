"""The runs of a dock widget: thumbnails to go back to one of them, and to delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from napari_lowdose.widgets.run_panel import collapsible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

THUMBNAIL = 36  # pixels
HEIGHT = 150  # pixels


class PastRun(Protocol):
    """A run with a result layer, and how it ended."""

    result: Image | None
    status: str


class HistoryPanel(QWidget):
    """A list of runs, the newest first; hidden while there is none.

    Parameters
    ----------
    parent : QWidget, optional
    """

    chosen = Signal(object)
    """The user wants to see this run again."""
    deleted = Signal(object)
    """The user wants to delete the result of this run."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs: list[Any] = []
        self.list = QListWidget()
        self.list.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        self.list.setWordWrap(True)
        self.list.setFixedHeight(HEIGHT)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setToolTip("Click on a result to go back to it and its settings.")
        self.list.itemClicked.connect(lambda item: self.chosen.emit(self._run(item)))
        self.list.itemActivated.connect(lambda item: self.chosen.emit(self._run(item)))
        self.delete_button = QPushButton("Delete this result")
        self.delete_button.setToolTip("Remove the layers of the result chosen in the list.")
        self.delete_button.clicked.connect(self._delete)
        self.section = collapsible("history")
        self.section.addWidget(self.list)
        self.section.addWidget(self.delete_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.section)
        self.setVisible(False)

    def show_runs(self, runs: Sequence[PastRun], current: PastRun | None = None) -> None:
        """Show `runs`, the oldest one first, with the `current` one chosen."""
        self._runs = [run for run in reversed(runs) if run.result is not None]
        self.list.clear()
        for run in self._runs:
            assert run.result is not None  # as above
            item = QListWidgetItem(_icon(run.result), f"{run.result.name}\n{run.status}", self.list)
            item.setToolTip(item.text())
        if current in self._runs:
            self.list.setCurrentRow(self._runs.index(current))
        self.delete_button.setEnabled(self.list.currentRow() >= 0)
        self.section.setText(f"history ({len(self._runs)})")
        self.setVisible(bool(self._runs))

    def _run(self, item: QListWidgetItem) -> Any:
        return self._runs[self.list.row(item)]

    def _delete(self) -> None:
        if (row := self.list.currentRow()) >= 0:
            self.deleted.emit(self._runs[row])


def _icon(layer: Image) -> QIcon:
    pixels = np.ascontiguousarray(layer.thumbnail)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
    return QIcon(QPixmap.fromImage(image.copy()))  # QImage does not own the bytes
