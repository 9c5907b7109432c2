"""When training ends: at a plateau, after a time, or after so many epochs."""

from __future__ import annotations

from typing import Any, Literal

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QSpinBox, QWidget

Criterion = Literal["quality", "time", "epochs"]

SECONDS = 30
EPOCHS = 100


class StopField(QWidget):
    """A choice beside its number.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.criterion = QComboBox()
        self.criterion.addItem("quality", "quality")
        self.criterion.addItem("time", "time")
        self.criterion.addItem("epochs", "epochs")
        self.seconds = _number(SECONDS, " s", 24 * 3600)
        self.epochs = _number(EPOCHS, "", 10**6)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.criterion, 1)
        layout.addWidget(self.seconds, 1)
        layout.addWidget(self.epochs, 1)
        self.criterion.currentIndexChanged.connect(self._show)
        self._show()

    @property
    def value(self) -> dict[str, Any]:
        """The engine's `epochs` and `time_budget`."""
        by: Criterion = self.criterion.currentData()
        return {
            "epochs": float(self.epochs.value()) if by == "epochs" else None,
            "time_budget": float(self.seconds.value()) if by == "time" else None,
        }

    def choose(self, criterion: Criterion, number: float | None = None) -> None:
        """Set the criterion, and its number."""
        self.criterion.setCurrentIndex(self.criterion.findData(criterion))
        if number is not None:
            (self.seconds if criterion == "time" else self.epochs).setValue(round(number))

    def _show(self) -> None:
        self.seconds.setVisible(self.criterion.currentData() == "time")
        self.epochs.setVisible(self.criterion.currentData() == "epochs")


def _number(value: int, unit: str, maximum: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(1, maximum)
    box.setValue(value)
    box.setSuffix(unit)
    box.setKeyboardTracking(False)
    return box
