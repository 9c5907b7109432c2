"""A plot in the colours of napari's theme, for a narrow dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import QEvent

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent
    from qtpy.QtWidgets import QWidget

HEIGHT = 126  # pixels


class ThemedPlot(pg.PlotWidget):  # type: ignore[misc]
    """A low plot without interaction, whose axes have the colour of the text around it.

    Parameters
    ----------
    height : int
        Pixels.
    parent : QWidget, optional
    """

    def __init__(self, height: int = HEIGHT, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=None, enableMenu=False)  # menus take most of the time
        self.setFixedHeight(height)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        for side in ("left", "bottom"):
            # A prefix would turn 1/nm into 1/mnm, and 2000 epochs into 2 (x1000)
            self.getAxis(side).enableAutoSIPrefix(False)
        # pyqtgraph moves the label of the axis 5 px out of the plot, and cuts off the top number
        self.getPlotItem().layout.setContentsMargins(1, 6, 1, 6)
        self._follow_theme()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow a change of the theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (
            QEvent.Type.PaletteChange,
            QEvent.Type.StyleChange,
        ):
            self._follow_theme()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the colours of the window that the plot is in by now."""
        super().showEvent(event)
        self._follow_theme()

    def _follow_theme(self) -> None:
        if self.getPlotItem() is None:  # while it is built
            return
        self.ensurePolished()
        palette = self.palette()
        text = palette.color(palette.ColorRole.WindowText)
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)
