"""Line, box and point on the canvas, and what is measured there while the user draws."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_lowdose.inspection import PixelScale
from napari_lowdose.widgets.dock_area import debounced
from napari_lowdose.widgets.inspect.drawn_shapes import DrawnShape, box_of
from napari_lowdose.widgets.inspect.plots import HistogramSection, ProfileSection
from napari_lowdose.widgets.inspect.steps import MeasuredStep, measure_steps
from napari_lowdose.widgets.jobs import JobRunner
from napari_lowdose.widgets.run_panel import text_label
from napari_lowdose.widgets.survival.click_mode import ClickMode

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Image

    from napari_lowdose.inspection import Inspection
    from napari_lowdose.widgets.inspect.chosen_frames import ChosenFrames
    from napari_lowdose.widgets.jobs import Job

LINE_HELP = "Add a line to the image; move it and its ends. Its profile is plotted below."
BOX_HELP = (
    "<qt>Add a box to the image, to move onto an area that should be uniform: its mean and "
    "relative standard deviation (RSD, Eq. 10 of the pair paper).</qt>"
)
POINT_HELP = (
    "<qt>Click on a point, such as an atom: its height relative to that of its nearest "
    "neighbours.</qt>"
)
INVITATION = "Click on a point, such as an atom. Esc ends."


class MeasurePanel(QWidget):
    """Buttons that draw, numbers, line profile and histogram.

    It has a job runner of its own: what follows the mouse must not wait for an inspection.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    frames : callable
        Returns the `ChosenFrames`; raises ValueError if there are none.
    layer : callable
        Returns the layer to draw on, whose frame is measured, or None.

    Attributes
    ----------
    line, box : DrawnShape
    found : Inspection or None
        Knows the offset of the noise and the PSF width.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        frames: Callable[[], ChosenFrames],
        layer: Callable[[], Image | None],
    ) -> None:
        super().__init__()
        self._frames, self._layer = frames, layer
        self._clicked_at: tuple[float, ...] | None = None
        self.found: Inspection | None = None
        self.runner = JobRunner(self)
        self.line = DrawnShape(viewer.layers, "profile line", "line", "#e5a50a", self)
        self.box = DrawnShape(viewer.layers, "statistics box", "rectangle", "#4a90d9", self)
        self.clicks = ClickMode(viewer, self)
        self.line_button, self.box_button, self.point_button = (
            QPushButton(name) for name in ("Line", "Box", "Point")
        )
        self.point_button.setCheckable(True)
        row = QHBoxLayout()
        for button, tooltip in (
            (self.line_button, LINE_HELP),
            (self.box_button, BOX_HELP),
            (self.point_button, POINT_HELP),
        ):
            button.setToolTip(tooltip)
            row.addWidget(button)
        self.numbers = text_label()
        self.numbers.hide()
        self.profile = ProfileSection("line profile", LINE_HELP)
        self.histogram = HistogramSection("histogram", "Histograms of the frames in view.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        for part in (self.numbers, self.profile, self.histogram):
            layout.addWidget(part)
        self._later = debounced(self, self._measure)
        for shape in (self.line, self.box):
            shape.changed.connect(self.measure)
        self.line_button.clicked.connect(self._draw_line)
        self.box_button.clicked.connect(functools.partial(self._draw, self.box))
        self.point_button.toggled.connect(self._point_toggled)
        self.clicks.clicked.connect(self._clicked)
        self.clicks.left.connect(functools.partial(self.point_button.setChecked, False))

    def set_ready(self, ready: bool) -> None:
        """Enable the buttons if there is something to measure."""
        for button in (self.line_button, self.box_button, self.point_button):
            button.setEnabled(ready)

    def measure(self) -> None:
        """Measure soon; several calls are one."""
        self._later.throttle()

    def forget_point(self) -> None:
        """Forget the point that was clicked on, which belongs to another image."""
        self._clicked_at = None

    def drawn_line(self) -> Any:
        """Return start and end (y, x) of the line, pixels; None if there is none."""
        layer = self._layer()
        corners = None if layer is None else self.line.corners(layer)
        if corners is None or len(corners) < 2:
            return None
        (y0, x0), (y1, x1) = corners[[0, -1]].tolist()
        return (y0, x0), (y1, x1)

    def drawn_box(self) -> Any:
        """Return the box (y0, y1, x0, x1), pixels; None if there is none."""
        layer = self._layer()
        corners = None if layer is None else self.box.corners(layer)
        return None if corners is None else box_of(corners)

    # ------------------------------------------------------------- the drawing

    def _draw_line(self) -> None:
        self._draw(self.line)
        self.profile.section.expand()

    def _draw(self, shape: DrawnShape, checked: bool = False) -> None:
        layer = self._layer()
        if layer is not None:
            shape.draw(layer)

    def _point_toggled(self, on: bool) -> None:
        if on:
            self.clicks.enter()
            self._show_numbers(INVITATION)
        else:
            self.clicks.leave()
            self.measure()

    def _clicked(self, position: tuple[float, ...]) -> None:
        self._clicked_at = position
        self.measure()

    def _point(self) -> tuple[float, float] | None:
        layer = self._layer()
        if layer is None or self._clicked_at is None:
            return None
        y, x = (float(at) for at in layer.world_to_data(self._clicked_at)[-2:])
        return y, x

    # --------------------------------------------------------------- the work

    def _measure(self) -> None:
        try:
            frames = self._frames()
        except ValueError:
            self.profile.clear()
            self.histogram.clear()
            self._show_numbers("")
            return
        found = self.found
        steps = measure_steps(
            frames,
            self.drawn_line(),
            self.drawn_box(),
            self._point(),
            offset=0.0 if found is None else found.noise.offset,
            psf_width=None if found is None else found.psf_width,
        )
        scale = PixelScale.of(frames.pixel_size, frames.unit)
        self.runner.run(steps, functools.partial(self._measured, scale), self._ended)

    def _measured(self, scale: PixelScale, steps: list[MeasuredStep]) -> None:
        step = steps[-1]
        if step.histograms is not None:
            self.histogram.show_histograms(step.histograms)
        if step.profiles:
            self.profile.show_profiles(step.profiles, scale.length_label)
        else:
            self.profile.clear()
        lines = [f"Box, {name}: {numbers}." for name, numbers in step.boxes.items()]
        lines += [f"Point, {name}: {contrast}." for name, contrast in step.contrasts.items()]
        lines += [step.problem] if step.problem else []
        self._show_numbers("\n".join(lines or [INVITATION] * self.clicks.active))

    def _ended(self, job: Job) -> None:
        if job.outcome == "failed":
            self._show_numbers(str(job.error))

    def _show_numbers(self, text: str) -> None:
        self.numbers.setText(text)
        self.numbers.setVisible(bool(text))
