"""Plots of the widget 'Inspect', each in a section that can be expanded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_lowdose.inspection.html_report import COLOURS
from napari_lowdose.widgets.pixmaps import grey_pixmap
from napari_lowdose.widgets.run_panel import collapsible, text_label
from napari_lowdose.widgets.themed_plot import ThemedPlot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from napari_lowdose.inspection import Inspection
    from napari_lowdose.inspection.histogram import Histograms
    from napari_lowdose.inspection.line_profile import LineProfile

HEIGHT = 170  # pixels
SIDE = 88  # pixels of a spectrum in two dimensions, three of which are beside each other


class PlotSection(QWidget):
    """A plot with a legend and a caption, in a section that can be expanded.

    Parameters
    ----------
    title : str
        Of the section.
    tooltip : str
    logarithmic : bool
        Of the y axis.
    """

    def __init__(self, title: str, tooltip: str, logarithmic: bool = False) -> None:
        super().__init__()
        # The mouse wheel belongs to the dock, which scrolls.
        self.plot = ThemedPlot(HEIGHT)
        self.plot.setLogMode(y=logarithmic)
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.caption = text_label()
        self.caption.hide()
        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(2)
        for part in (self.legend, self.plot, self.caption):
            self.column.addWidget(part)
        self.section = collapsible(title)
        self.section.addWidget(inside)
        self.section.setToolTip(tooltip)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.section)

    def clear(self) -> None:
        """Remove the curves."""
        self.plot.clear()
        self.legend.setText("")
        self.show_caption("")

    def show_caption(self, text: str) -> None:
        """Show a sentence below the plot; nothing if it is empty."""
        self.caption.setText(text)
        self.caption.setVisible(bool(text))

    def show_curves(
        self,
        curves: Sequence[tuple[str, ArrayLike, ArrayLike, str]],
        x_label: str,
        y_label: str,
        *,
        points: Sequence[str] = (),
        dashed: Sequence[str] = (),
        y_range: tuple[float, float] | None = None,
    ) -> None:
        """Show curves.

        Parameters
        ----------
        curves : sequence of (str, (n,) array, (n,) array, str)
            Name, x, y and colour.
        x_label, y_label : str
        points, dashed : sequence of str
            Names of the curves drawn as points, or dashed.
        y_range : (float, float), optional
        """
        self.clear()
        names = []
        for name, x, y, colour in curves:
            xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
            if name in points:
                self.plot.plot(
                    xs, ys, pen=None, symbol="o", symbolSize=6, symbolBrush=colour, symbolPen=None
                )
            else:
                style = Qt.PenStyle.DashLine if name in dashed else Qt.PenStyle.SolidLine
                pen = pg.mkPen(colour, width=1.5, style=style)
                self.plot.plot(xs, ys, pen=pen, connect="finite")
            names.append(
                f'<span style="color:{colour}">{"●" if name in points else "—"} {name}</span>'
            )
        self.legend.setText(" &nbsp; ".join(names))
        self.plot.setLabel("bottom", x_label)
        self.plot.setLabel("left", y_label)
        if y_range is not None:
            self.plot.setYRange(*y_range, padding=0)
        else:
            self.plot.enableAutoRange()


class ProfileSection(PlotSection):
    """Intensity along the drawn line."""

    def show_profiles(self, profiles: Mapping[str, LineProfile], x_label: str) -> None:
        """Show a profile for each image."""
        curves = [
            (name, profile.distance, profile.values, COLOURS[name])
            for name, profile in profiles.items()
        ]
        self.show_curves(curves, x_label, "grey levels")


class HistogramSection(PlotSection):
    """Histograms of the frames in view."""

    def show_histograms(self, found: Histograms) -> None:
        """Show the histogram of each image."""
        middles = (found.edges[:-1] + found.edges[1:]) / 2
        curves = [
            (name, middles, density, COLOURS[name]) for name, density in found.density.items()
        ]
        self.show_curves(curves, "grey levels", "density")
        self.plot.getAxis("left").setStyle(showValues=False)  # the area under each curve is 1


class SpectrumSection(PlotSection):
    """Power spectra as means over all directions, and in two dimensions."""

    def __init__(self, title: str, tooltip: str) -> None:
        super().__init__(title, tooltip, logarithmic=True)
        row = QHBoxLayout()
        row.setSpacing(4)
        self.pictures = {name: QLabel() for name in ("raw", "result", "residual")}
        for name, picture in self.pictures.items():
            picture.setFixedSize(SIDE, SIDE)
            picture.setToolTip(f"Power spectrum of the {name} in two dimensions, logarithmic.")
            row.addWidget(picture)
        row.addStretch()
        self.column.addLayout(row)

    def clear(self) -> None:
        """Remove the curves and pictures."""
        super().clear()
        for picture in getattr(self, "pictures", {}).values():
            picture.clear()

    def show_spectra(self, found: Inspection) -> None:
        """Show the spectra of an inspection."""
        curves = [
            (name, spectrum.frequency, spectrum.power, COLOURS[name])
            for name, spectrum in found.spectra.items()
        ]
        self.show_curves(curves, found.scale.frequency_label, "power")
        raw = found.spectra["raw"].picture
        # One scale for all: what is dark in the residual was not removed.
        limits = float(raw.min()), float(raw.max())
        for name, label in self.pictures.items():
            picture = grey_pixmap(found.spectra[name].picture, *limits)
            label.setPixmap(picture.scaled(SIDE, SIDE))
        up, along = found.spectra["raw"].extent
        self.show_caption(
            f"Raw, result and residual, ±{along:.3g} by ±{up:.3g} per {found.scale.unit}."
        )


class GainSection(PlotSection):
    """Gain against spatial frequency, and the transfer function of REUCID."""

    def show_gain(self, found: Inspection) -> None:
        """Show the gain of an inspection."""
        curves: list[tuple[str, Any, Any, str]] = [
            ("measured", found.gain.frequency, found.gain.gain, COLOURS["result"])
        ]
        if found.transfer is not None:
            frequency, gain, highest = found.transfer
            curves += [
                ("REUCID", frequency, gain, COLOURS["noise"]),
                ("best direction", frequency, highest, COLOURS["noise"]),
            ]
        label = found.scale.frequency_label
        self.show_curves(curves, label, "gain", dashed=["best direction"], y_range=(0, 1.05))


class RingSection(PlotSection):
    """Fourier ring correlation of two exposures."""

    def show_rings(self, found: Inspection) -> None:
        """Show the correlation and both thresholds."""
        rings = found.rings
        self.plot.setVisible(rings is not None)
        if rings is None:
            self.clear()
            self.show_caption("Choose a second exposure of the same scene, and inspect.")
            return
        seventh = np.full(len(rings.frequency), 1 / 7)
        curves = [
            ("FRC", rings.frequency, rings.correlation, COLOURS["result"]),
            ("half a bit", rings.frequency, rings.half_bit, COLOURS["raw"]),
            ("1/7", rings.frequency, seventh, COLOURS["truth"]),
        ]
        self.show_curves(
            curves,
            rings.scale.frequency_label,
            "correlation",
            dashed=["half a bit", "1/7"],
            y_range=(-0.2, 1.0),
        )
        for crossing in (rings.at_seventh, rings.at_half_bit):
            if np.isfinite(crossing):
                self.plot.addItem(pg.InfiniteLine(crossing, pen=pg.mkPen("#e0424d", width=1)))
        self.show_caption(str(rings))


class ResidualSection(PlotSection):
    """Power of the residual over that of the noise."""

    def show_ratio(self, found: Inspection) -> None:
        """Show the ratio of an inspection."""
        spectrum = found.residual_spectrum
        ones = np.ones(len(spectrum.frequency))
        curves = [
            ("residual", spectrum.frequency, spectrum.ratio, COLOURS["residual"]),
            ("noise", spectrum.frequency, ones, COLOURS["noise"]),
        ]
        self.show_curves(curves, found.scale.frequency_label, "power / noise", dashed=["noise"])


class NoiseCurveSection(PlotSection):
    """Variance of the residual against intensity."""

    def show_curve(self, found: Inspection) -> None:
        """Show the noise curve of an inspection."""
        curve = found.curve
        curves = [
            ("residual", curve.levels, curve.variances, COLOURS["residual"]),
            ("noise", curve.levels, curve.expected, COLOURS["noise"]),
        ]
        self.show_curves(curves, "intensity (grey levels)", "variance", points=["residual"])
