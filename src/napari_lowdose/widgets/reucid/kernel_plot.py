"""The kernel of REUCID and its transfer function, in a section that can be expanded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from napari_lowdose.reucid.kernel import transfer_function
from napari_lowdose.widgets.pixmaps import grey_pixmap
from napari_lowdose.widgets.reucid.eigenpatches import DROPPED, KEPT
from napari_lowdose.widgets.run_panel import collapsible
from napari_lowdose.widgets.themed_plot import ThemedPlot

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QPixmap

    from napari_lowdose.reucid import StackStep

SIDE = 96  # pixels
TOOLTIP = (
    "<qt>With these eigenpatches the denoiser is a convolution with the kernel on the left (grey "
    "is zero). The curve is its gain: structure of a spatial frequency comes out weaker by this "
    "factor. Solid: mean over all directions. Dashed: the direction with the highest gain, for "
    "example that of a lattice. With several patch stacks each has its own kernel.</qt>"
)


class KernelPlot(QWidget):
    """The kernel of a patch stack as an image, and its gain against spatial frequency.

    Nothing is computed while the section is collapsed.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[StackStep, tuple[float, float] | None, str | None] | None = None
        self.picture = QLabel()
        self.picture.setFixedSize(SIDE, SIDE)
        self.picture.hide()
        self.plot = ThemedPlot()
        self.plot.setLabel("left", "gain")
        dashed = pg.mkPen(DROPPED, style=Qt.PenStyle.DashLine)
        self.highest = self.plot.plot(pen=dashed)
        self.gain = self.plot.plot(pen=pg.mkPen(KEPT, width=2))
        inside = QWidget()
        row = QHBoxLayout(inside)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.picture)
        row.addWidget(self.plot, 1)
        self.section = collapsible("kernel and transfer function")
        self.section.addWidget(inside)
        self.section.setToolTip(TOOLTIP)
        self.section.toggled.connect(self._draw)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.section)

    def show_stack(
        self, stack: StackStep, pixel_size: tuple[float, float] | None, unit: str | None
    ) -> None:
        """Show the kernel of the eigenpatches that are kept now.

        Parameters
        ----------
        stack : StackStep
        pixel_size : (float, float), optional
            Height and width of a pixel; the frequency is in cycles per pixel by default.
        unit : str, optional
            Unit of the pixel size.
        """
        self._shown = stack, pixel_size, unit
        self._draw()

    def _draw(self) -> None:
        # A collapsed section has no height, but its parts would count as visible.
        self.picture.setVisible(self.section.isExpanded())
        if self._shown is None or not self.section.isExpanded():
            return
        stack, pixel_size, unit = self._shown
        kernel = stack.kernel
        frequency, gain, highest = transfer_function(kernel, pixel_size)
        label = "spatial frequency (cycles per pixel)"
        if pixel_size is not None and unit is not None:
            label = f"spatial frequency (1/{unit})"
        self.plot.setLabel("bottom", label)
        self.gain.setData(frequency, gain)
        self.highest.setData(frequency, highest)
        self.plot.setYRange(0, max(1.0, float(highest.max())))
        self.plot.setXRange(0, float(frequency[-1]))
        self.picture.setPixmap(_picture(kernel))


def _picture(kernel: NDArray[np.float32]) -> QPixmap:
    """Draw a kernel, grey at zero."""
    largest = float(np.abs(kernel).max()) or 1.0
    return grey_pixmap(kernel, -largest, largest).scaled(SIDE, SIDE)
