"""The choice of a classifier: the one of the package, or a file that was taught."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from napari_lowdose.reucid.classifier_file import read_classifier

FILES = "Classifier (*.safetensors)"
INCLUDED, OPEN = "included", "file …"


class ClassifierField(QComboBox):
    """A combo box with the included classifier, files, and an item that asks for a file.

    Parameters
    ----------
    parent : QWidget, optional
    """

    refused = Signal(str)
    """A file is no classifier; carries the reason."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.addItem(INCLUDED, None)
        self.addItem(OPEN, "")
        self._last = 0
        self.activated.connect(self._activated)
        self.currentIndexChanged.connect(self._remember)

    @property
    def value(self) -> str | None:
        """The engine's `classifier`."""
        return self.currentData() or None

    @value.setter
    def value(self, path: str | None) -> None:
        if path is None:
            self.setCurrentIndex(0)
            return
        if self.findData(path) < 0:
            self.insertItem(self.count() - 1, Path(path).name, path)
            self.setItemData(self.count() - 2, path, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(self.findData(path))

    def _activated(self, index: int) -> None:
        if self.itemData(index) != "":
            return
        self.setCurrentIndex(self._last)
        path, _ = QFileDialog.getOpenFileName(self, "Choose a classifier", "", FILES)
        if not path:
            return
        try:
            read_classifier(path)
        except (OSError, ValueError) as error:
            self.refused.emit(str(error))
        else:
            self.value = path

    def _remember(self, index: int) -> None:
        if self.itemData(index) != "":
            self._last = index
