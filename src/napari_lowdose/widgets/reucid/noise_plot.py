"""The noise of the image against its intensity, in a section that can be expanded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_lowdose.widgets.reucid.eigenpatches import DROPPED, KEPT
from napari_lowdose.widgets.run_panel import collapsible
from napari_lowdose.widgets.themed_plot import ThemedPlot

if TYPE_CHECKING:
    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
    from napari_lowdose.reucid.noise_estimate import NoiseEstimate

N_POINTS = 200  # of the line, which has a kink at the offset
TOOLTIP = (
    "<qt>Variance of the noise against the intensity of the image, both estimated from the image "
    "itself. The noise of electrons and photons lies on a straight line: its slope is the gain, in "
    "grey levels per electron or photon. Points far from the line: the noise model does not suit "
    "the image, and strength <i>faithful</i> is the safer choice.</qt>"
)


class NoisePlot(QWidget):
    """Noise variance against intensity, with the fitted line.

    Nothing is drawn while the section is collapsed.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: NoiseEstimate | None = None
        # Without word wrap: the section does not grow with its text.
        self.caption = QLabel()
        self.caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.caption.hide()
        self.plot = ThemedPlot()
        self.plot.setLabel("left", "variance")
        self.plot.setLabel("bottom", "intensity (grey levels)")
        for axis in ("left", "bottom"):  # an SI prefix would stand without a unit
            self.plot.getAxis(axis).enableAutoSIPrefix(False)
        self.line = self.plot.plot(pen=pg.mkPen(DROPPED, width=2))
        self.points = self.plot.plot(
            pen=None, symbol="o", symbolSize=6, symbolBrush=KEPT, symbolPen=None
        )
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.caption)
        column.addWidget(self.plot)
        self.section = collapsible("noise of the image")
        self.section.addWidget(inside)
        self.section.setToolTip(TOOLTIP)
        self.section.toggled.connect(self._draw)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.section)

    def show_noise(self, noise: NoiseEstimate) -> None:
        """Show the noise of a frame.

        Parameters
        ----------
        noise : NoiseEstimate
        """
        self._shown = noise
        self.caption.setText(describe(noise))
        self._draw()

    def _draw(self) -> None:
        # A collapsed section has no height, but its parts would count as visible.
        self.caption.setVisible(self.section.isExpanded())
        noise = self._shown
        if noise is None or not self.section.isExpanded():
            return
        levels = np.linspace(noise.levels.min(), noise.levels.max(), N_POINTS)
        line = noise.variance(levels)
        self.points.setData(noise.levels, noise.variances)
        self.line.setData(levels, line)
        highest = float(max(noise.variances.max(), line.max()))
        self.plot.setYRange(0, highest, padding=0.2)  # the topmost label needs room


def describe(noise: PoissonGaussian) -> str:
    """Return the parameters of the noise in short lines, for a narrow dock.

    Examples
    --------
    >>> from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
    >>> print(describe(PoissonGaussian(gain=2.06, offset=1013.4, read_noise=101)))
    gain 2.1 grey levels per electron,
    offset 1013, read noise 100 grey levels
    >>> describe(PoissonGaussian(gain=0, offset=0, read_noise=12.3))
    'additive noise of 12 grey levels'
    """
    read_noise = _short(noise.read_noise, 2)
    if noise.gain == 0:
        return f"additive noise of {read_noise} grey levels"
    return (
        f"gain {_short(noise.gain, 2)} grey levels per electron,\n"
        f"offset {_short(noise.offset, 4)}, read noise {read_noise} grey levels"
    )


def _short(value: float, digits: int) -> str:
    """Round to significant digits; 100 does not become 1e+02."""
    return f"{float(f'{value:.{digits}g}'):g}"
