"""The plot of a collapsed section of the REUCID widget."""

from __future__ import annotations

import pyqtgraph as pg

from napari_lowdose.widgets.run_panel import make_room_for_label


def section_plot() -> pg.PlotWidget:
    """Return an empty plot for a collapsed section: low, and without interaction."""
    plot = pg.PlotWidget(background=None)
    plot.setFixedHeight(126)
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(x=False, y=False)
    plot.hideButtons()
    make_room_for_label(plot)
    return plot
