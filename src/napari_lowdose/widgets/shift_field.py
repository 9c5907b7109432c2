"""A shift between two exposures, (dy, dx) in pixels."""

from __future__ import annotations

from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QWidget

LARGEST = 8.0  # pixels; more is to be cut away, not to be trained with


class ShiftField(QWidget):
    """Two numbers side by side.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.dy, self.dx = _pixels("y "), _pixels("x ")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.dy)
        layout.addWidget(self.dx)

    @property
    def value(self) -> tuple[float, float]:
        """(dy, dx), pixels."""
        return float(self.dy.value()), float(self.dx.value())

    @value.setter
    def value(self, shift: tuple[float, float]) -> None:
        self.dy.setValue(shift[0])
        self.dx.setValue(shift[1])


def _pixels(prefix: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(-LARGEST, LARGEST)
    box.setDecimals(3)
    box.setSingleStep(0.1)
    box.setPrefix(prefix)
    box.setSuffix(" px")
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    box.setKeyboardTracking(False)
    return box
