"""The table of a batch: one row per image, with its progress and outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lowdose.batch import BatchStep, FileJob

SYMBOLS = {"waiting": "waiting", "stopped": "stopped", "done": "✓ done", "failed": "⚠ failed"}
HINT = "<qt>Double-click on a finished image to open it with its result.</qt>"
ROWS = 8  # shown at once, at most


class BatchTable(QTableWidget):
    """Images of a batch: name, state, and what is to be said about each."""

    opened = Signal(int)
    """A finished row was double-clicked."""
    told = Signal(str)
    """What there is to say about the row that was chosen."""

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.states: list[str] = []
        self.setHorizontalHeaderLabels(["image", "state", "about it"])
        self.setToolTip(HINT)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setAlternatingRowColors(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setWordWrap(False)
        if (rows := self.verticalHeader()) is not None:
            rows.setVisible(False)
            rows.setDefaultSectionSize(24)
        if (header := self.horizontalHeader()) is not None:
            header.setStretchLastSection(True)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        self.setColumnWidth(0, 96)
        self.setColumnWidth(1, 70)
        self.cellDoubleClicked.connect(self._open)
        self.currentCellChanged.connect(self._tell)

    def show_jobs(self, jobs: Sequence[FileJob]) -> None:
        """Show the images of a new batch, all waiting."""
        self.states = ["waiting"] * len(jobs)
        self.setRowCount(len(jobs))
        for row, job in enumerate(jobs):
            self._set(row, 0, Path(job.sources[0]).name, job.name)
            self._set(row, 1, SYMBOLS["waiting"])
            self._set(row, 2, "")
        self.setMinimumHeight(28 + 24 * min(max(len(jobs), 3), ROWS))

    def show_step(self, step: BatchStep, about: str) -> None:
        """Show the newest state of one image.

        Parameters
        ----------
        step : BatchStep
        about : str
            Text of the last column.
        """
        row, running = step.number, step.state == "running"
        self.states[row] = step.state
        self._set(row, 1, f"{step.share:.0%}" if running else SYMBOLS[step.state])
        self._set(row, 2, about, about)
        if (item := self.item(row, 0)) is not None and running:
            self.scrollToItem(item)

    def about(self, row: int) -> str:
        """Return what is said about an image."""
        item = self.item(row, 2)
        return "" if item is None else str(item.text())

    def stop(self) -> None:
        """Show that the running image was stopped."""
        for row, state in enumerate(self.states):
            if state == "running":
                self.states[row] = "stopped"
                self._set(row, 1, SYMBOLS["stopped"])
                self._set(row, 2, "no result was written")

    def _set(self, row: int, column: int, text: str, tooltip: str = "") -> None:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(row, column, item)
        item.setText(text)
        item.setToolTip(tooltip)

    def _tell(self, row: int, *others: int) -> None:
        name, about = self.item(row, 0), self.item(row, 2)
        if name is not None and about is not None:
            self.told.emit(f"{name.text()}: {about.text()}" if about.text() else "")

    def _open(self, row: int, column: int) -> None:
        if self.states[row] == "done":
            self.opened.emit(row)
