"""The row that divides the canvas: a switch, a slider and the key that shows the other image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (  # type: ignore[attr-defined]
    QCheckBox,
    QHBoxLayout,
    QPushButton,
    QShortcut,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_lowdose.widgets.inspect.curtain import Curtain

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Image

STEPS = 1000
KEY = "Q"
TOOLTIP = (
    "<qt>Show the raw image on the left of a line and the result on its right. Drag the line on "
    f"the canvas, or the slider. The key {KEY} shows the other one on the whole canvas.</qt>"
)


class CurtainPanel(QWidget):
    """Switches a `Curtain` and moves it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    chosen : callable
        Returns raw image and result; raises ValueError if they cannot be compared.
    failed : callable
        Called with the reason why the canvas cannot be divided.

    Attributes
    ----------
    curtain : Curtain
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        chosen: Callable[[], tuple[Image, Image]],
        failed: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._chosen, self._failed = chosen, failed
        self.curtain = Curtain(viewer, self)
        self.switch = QCheckBox("before | after on the canvas")
        self.switch.setToolTip(TOOLTIP)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue(STEPS // 2)
        self.slider.setToolTip(TOOLTIP)
        self.other = QPushButton(f"Swap ({KEY})")
        self.other.setToolTip("Show the other image on the whole canvas.")
        row = QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(self.other)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.switch)
        layout.addLayout(row)
        self._key = QShortcut(QKeySequence(KEY), self)
        self._key.setContext(Qt.ShortcutContext.ApplicationShortcut)  # also on the canvas
        self._key.activated.connect(self.curtain.toggle)
        self.switch.toggled.connect(self._switched)
        self.slider.valueChanged.connect(self._slid)
        self.other.clicked.connect(self.curtain.toggle)
        self.curtain.moved.connect(self._moved)
        self.curtain.hidden.connect(self._hidden)
        self._enable()

    def refresh(self) -> None:
        """Divide the canvas between other layers, if it is divided."""
        if self.switch.isChecked():
            self._switched(True)

    def _switched(self, on: bool) -> None:
        if on:
            try:
                self.curtain.show(*self._chosen())
            except ValueError as error:
                self.switch.setChecked(False)
                self._failed(str(error))
        else:
            self.curtain.hide()
        self._enable()

    def _hidden(self) -> None:
        if not self.curtain.active:
            self.switch.blockSignals(True)
            self.switch.setChecked(False)
            self.switch.blockSignals(False)
        self._enable()

    def _slid(self, value: int) -> None:
        self.curtain.move(value / STEPS)

    def _moved(self, position: float) -> None:
        self.slider.blockSignals(True)
        self.slider.setValue(round(position * STEPS))
        self.slider.blockSignals(False)

    def _enable(self) -> None:
        for part in (self.slider, self.other):
            part.setEnabled(self.curtain.active)
        self._key.setEnabled(self.curtain.active)
