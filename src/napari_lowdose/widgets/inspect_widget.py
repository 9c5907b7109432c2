"""The dock widget 'Inspect'."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton, QWidget

from napari_lowdose.inspection.repeat_script import repeat_script
from napari_lowdose.widgets.dock_area import DockArea
from napari_lowdose.widgets.inspect.chosen_frames import ChosenFrames, chosen_frames
from napari_lowdose.widgets.inspect.curtain_panel import CurtainPanel
from napari_lowdose.widgets.inspect.drawn_shapes import DrawnShape, box_of
from napari_lowdose.widgets.inspect.findings import Findings
from napari_lowdose.widgets.inspect.form import InspectForm
from napari_lowdose.widgets.inspect.plots import (
    GainSection,
    HistogramSection,
    NoiseCurveSection,
    ProfileSection,
    ResidualSection,
    RingSection,
    SpectrumSection,
)
from napari_lowdose.widgets.inspect.steps import (
    InspectionStep,
    MeasuredStep,
    inspect_steps,
    measure_steps,
    report_steps,
)
from napari_lowdose.widgets.jobs import JobRunner
from napari_lowdose.widgets.layers import layer_file
from napari_lowdose.widgets.result_layer import METADATA_KEY
from napari_lowdose.widgets.run_panel import RunPanel, text_label
from napari_lowdose.widgets.survival.click_mode import ClickMode

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer

    from napari_lowdose.inspection import Inspection
    from napari_lowdose.widgets.jobs import Job

OUT_OF_MEMORY = "there is not enough memory to inspect this image: crop it."
INSPECT_HELP = (
    "<qt>Compare the result with the raw image: spectra, resolution, and whether what was removed "
    "is noise. The frame in view is inspected.</qt>"
)
SECTIONS: dict[str, tuple[str, Callable[..., Any], str]] = {
    "profile": ("line profile", ProfileSection,
                "Intensity along the line that the button 'Line' puts on the image."),
    "histogram": ("histogram", HistogramSection, "Histograms of the frames in view."),
    "spectra": ("power spectra", SpectrumSection,
                "<qt>Power against spatial frequency, as a mean over all directions and in two "
                "dimensions.</qt>"),
    "gain": ("gain", GainSection,
             "<qt>Structure of a spatial frequency comes out weaker by this factor: as measured, "
             "and the transfer function of REUCID with one patch stack. Dashed: the direction "
             "with the highest gain.</qt>"),
    "rings": ("Fourier ring correlation", RingSection,
              "<qt>Agreement of the two exposures. They agree down to the detail at which the "
              "curve crosses a threshold: 1/7, or half a bit of information per pixel.</qt>"),
    "residual": ("residual: spectrum", ResidualSection,
                 "<qt>Power of raw image minus result over that of the noise. Above 1 structure "
                 "was removed, below 1 noise was left.</qt>"),
    "curve": ("residual: noise curve", NoiseCurveSection,
              "<qt>Variance of raw image minus result against intensity, and that of the "
              "noise.</qt>"),
}  # fmt: skip


class InspectWidget(DockArea):
    """Compare a result with its raw image, and save a report.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.

    Attributes
    ----------
    found : Inspection or None
        The inspection of the frames in view.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.found: Inspection | None = None
        self._inspected = False  # a change of the frame in view inspects again
        self._watched: list[Image] = []
        self._seen: Any = None  # the frame in view
        self._frames: ChosenFrames | None = None  # kept, as lazy ones are read only once
        self._point: tuple[float, ...] | None = None
        self.quick = JobRunner(self)  # what follows the mouse must not wait for an inspection
        self._build()
        self._measure_later = self.debounced(self._measure)
        self._inspect_later = self.debounced(self._inspect_again)
        layers = napari_viewer.layers
        self.line = DrawnShape(layers, "profile line", "line", "#e5a50a", self)
        self.box = DrawnShape(layers, "statistics box", "rectangle", "#4a90d9", self)
        for shape in (self.line, self.box):
            shape.changed.connect(self._measure_later.throttle)
        self.clicks = ClickMode(napari_viewer, self)
        self.clicks.clicked.connect(self._clicked)
        self.clicks.left.connect(functools.partial(self.point_button.setChecked, False))
        self.listen(
            (layers.selection.events.active, self._active_changed),
            (napari_viewer.dims.events.current_step, self._frame_changed),
        )
        self.reset_choices()
        self.form.suggest()

    def reset_choices(self, event: Any = None) -> None:
        """Update the choices of layers; napari calls this when layers change."""
        self.form.reset_choices()
        self._enable()

    def choose(self, result: Image) -> None:
        """Choose a result and, if they are known, the layers that it was made from."""
        self.form.choose(result)

    def frames(self) -> ChosenFrames:
        """Return the frames in view of the chosen layers.

        Raises
        ------
        ValueError
            If they cannot be compared.
        """
        if self._frames is None:
            self._frames = chosen_frames(self.viewer.dims, **self.form.chosen())
        return self._frames

    # -------------------------------------------------------------- the inspection

    def inspect(self) -> None:
        """Inspect the frames in view."""
        try:
            frames = self.frames()
        except ValueError as error:
            self.panel.show_refusal(str(error))
            return
        self._inspected = True
        self.panel.start()
        self._run(inspect_steps(frames), self._inspection_ended)

    def save_report(self) -> None:
        """Ask for a file, and write the report."""
        try:
            frames = self.frames()
        except ValueError as error:
            self.panel.show_refusal(str(error))
            return
        result = self.form.chosen()["result"]
        assert result is not None  # or there would be no frames
        name = "".join(c if c.isalnum() or c in " -_" else "_" for c in result.name)
        path, _ = QFileDialog.getSaveFileName(
            self, "Save report", f"{name} report.html", "HTML (*.html)"
        )
        if not path:
            return
        if Path(path).suffix.lower() not in (".html", ".htm"):
            path += ".html"
        self.write_report(path, frames)

    def write_report(self, path: str, frames: ChosenFrames) -> None:
        """Write the report on some frames, after an inspection if there is none."""
        line, box = self._line(), self._box()
        layers = self.form.chosen()
        second = layers["second"]
        script = repeat_script(
            self._with_frame(frames),
            raw=layer_file(layers["raw"]),
            second=layer_file(second) if second is not None else None,
            result=layer_file(layers["result"]),
            pixel_size=frames.pixel_size,
            unit=frames.unit,
            output=Path(path).name,
        )
        assert layers["result"] is not None
        self.panel.start()
        steps = report_steps(
            path,
            frames,
            self.found,
            title=f"Inspection of {layers['result'].name}",
            script=script,
            lines=[line] if line is not None else [],
            boxes=[box] if box is not None else [],
        )
        self._run(steps, functools.partial(self._report_ended, path))

    @staticmethod
    def _with_frame(frames: ChosenFrames) -> dict[str, Any]:
        """Return the record with the frame in view, which the script selects."""
        given = dict(frames.record.get("input", {}))
        if frames.index:
            given["frame"] = list(frames.index)
        return {**frames.record, "input": given}

    def _run(self, steps: Any, ended: Callable[[Job], None]) -> None:
        self.runner.run(steps, self._advanced, ended, self.panel.warn, OUT_OF_MEMORY)
        self._enable()

    def _advanced(self, steps: list[Any]) -> None:
        self.panel.advance(steps[-1])
        if isinstance(steps[-1], InspectionStep) and steps[-1].found is not None:
            self._show(steps[-1].found)

    def _show(self, found: Inspection) -> None:
        self.found = found
        result = self.form.chosen()["result"]
        if result is not None:
            self.findings.show_inspection(found, result)
        self.sections["spectra"].show_spectra(found)
        self.sections["gain"].show_gain(found)
        self.sections["rings"].show_rings(found)
        self.sections["residual"].show_ratio(found)
        self.sections["curve"].show_curve(found)
        self._measure_later.throttle()  # the offset of the noise is known now

    def _inspection_ended(self, job: Job) -> None:
        self._report_outcome(job, "Inspected.")

    def _report_ended(self, path: str, job: Job) -> None:
        self._report_outcome(job, f"The report was saved as {Path(path).name}.")

    def _report_outcome(self, job: Job, done: str) -> None:
        if job.outcome == "failed":
            self.panel.end("Failed.")
            self.panel.show_message(str(job.error))
        else:
            self.panel.end(done if job.outcome == "done" else "Stopped.")
        if self.found is None:
            self.findings.clear()
        self._enable()

    def _inspect_again(self) -> None:
        if self._inspected:
            self.inspect()

    # --------------------------------------------------- what follows the mouse

    def _line(self) -> Any:
        """Return the ends of the drawn line, pixels; None if there is none."""
        raw = self.form.chosen()["raw"]
        corners = None if raw is None else self.line.corners(raw)
        if corners is None or len(corners) < 2:
            return None
        return tuple(map(float, corners[0])), tuple(map(float, corners[-1]))

    def _box(self) -> Any:
        """Return the drawn box, pixels; None if there is none."""
        raw = self.form.chosen()["raw"]
        corners = None if raw is None else self.box.corners(raw)
        return None if corners is None else box_of(corners)

    def _measure(self) -> None:
        try:
            frames = self.frames()
        except ValueError:
            self._clear_measured()
            return
        found = self.found
        steps = measure_steps(
            frames,
            self._line(),
            self._box(),
            self._point_in_pixels(),
            offset=found.noise.offset if found is not None else 0.0,
            psf_width=found.psf_width if found is not None else None,
        )
        self.quick.run(steps, self._measured, self._measuring_ended)

    def _measured(self, steps: list[MeasuredStep]) -> None:
        step = steps[-1]
        raw = self.form.chosen()["raw"]
        if raw is None or step.histograms is None:
            return
        self.sections["histogram"].show_histograms(step.histograms)
        if step.profiles:
            unit = self.frames().unit or "px"
            self.sections["profile"].show_profiles(step.profiles, f"distance ({unit})")
        else:
            self.sections["profile"].clear()
        lines = [f"Box, {name}: {numbers}." for name, numbers in step.boxes.items()]
        lines += [f"Point, {name}: {contrast}." for name, contrast in step.contrasts.items()]
        if step.problem:
            lines.append(step.problem)
        self._show_numbers("\n".join(lines))

    def _measuring_ended(self, job: Job) -> None:
        if job.outcome == "failed":
            self._show_numbers(str(job.error))

    def _show_numbers(self, text: str) -> None:
        self.numbers.setText(text)
        self.numbers.setVisible(bool(text))

    def _clear_measured(self) -> None:
        for name in ("profile", "histogram"):
            self.sections[name].clear()
        self._show_numbers("")

    def _draw(self, shape: DrawnShape, section: str = "") -> None:
        raw = self.form.chosen()["raw"]
        if raw is not None:
            shape.draw(raw)
            if section:
                self.sections[section].section.expand()

    def _point_toggled(self, on: bool) -> None:
        if on:
            self.clicks.enter()
            self._show_numbers("Click on a point, such as an atom. Esc ends.")
        else:
            self.clicks.leave()

    def _clicked(self, position: tuple[float, ...]) -> None:
        self._point = position
        self._measure_later.throttle()

    def _point_in_pixels(self) -> tuple[float, float] | None:
        raw = self.form.chosen()["raw"]
        if raw is None or self._point is None:
            return None
        y, x = (float(at) for at in raw.world_to_data(self._point)[-2:])
        return y, x

    # ------------------------------------------------------------------ events

    def _layers_chosen(self) -> None:
        for layer in self._watched:
            layer.events.data.disconnect(self._data_changed)
        chosen = self.form.chosen()
        self._watched = [layer for layer in {*chosen.values()} if layer is not None]
        for layer in self._watched:
            layer.events.data.connect(self._data_changed)
        self._inspected = False
        self._point = None
        self._seen, self._frames = self._frame_in_view(), None
        self._forget()
        self.findings.clear()
        self.panel.clear()
        self.curtain.refresh()
        self._measure_later.throttle()
        self._enable()

    def _frame_changed(self, event: Any = None) -> None:
        # napari also announces a change when a layer is added that starts before the others.
        if self._frame_in_view() != self._seen:
            self._data_changed()

    def _frame_in_view(self) -> Any:
        """Return what tells one frame in view from another one."""
        try:
            frames = chosen_frames(self.viewer.dims, **self.form.chosen())
        except ValueError as error:
            return str(error)
        return frames.index, frames.shown

    def _data_changed(self, event: Any = None) -> None:
        self._seen, self._frames = self._frame_in_view(), None
        self._forget()
        self._measure_later.throttle()
        if self._inspected:
            self.findings.set_stale()
            self._inspect_later.throttle()

    def _forget(self) -> None:
        """Forget the inspection of another frame."""
        self.runner.stop()
        self.found = None
        for name in ("spectra", "gain", "rings", "residual", "curve"):
            self.sections[name].clear()

    def _active_changed(self, event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        recorded = isinstance(active, Image) and METADATA_KEY in active.metadata
        if recorded and active != self.form.chosen()["result"]:
            self.form.reset_choices()
            self.form.choose(active)

    # --------------------------------------------------------------- the parts

    def _build(self) -> None:
        self.form = InspectForm(self.viewer.layers)
        self.panel = RunPanel("Inspect", INSPECT_HELP)
        self.panel.stop_button.setToolTip("Stop the inspection.")
        self.panel.start_button.clicked.connect(self.inspect)
        self.panel.stop_button.clicked.connect(self.runner.stop)
        self.curtain = CurtainPanel(self.viewer, self._compared, self.panel.show_message)
        self.findings = Findings(self.viewer.layers)
        self.line_button = QPushButton("Line")
        self.line_button.setToolTip("Add a line to the image; move it and its ends.")
        self.box_button = QPushButton("Box")
        self.box_button.setToolTip(
            "<qt>Mean and relative standard deviation (RSD, Eq. 10 of the pair paper) of a box, "
            "for an area that should be uniform.</qt>"
        )
        self.point_button = QPushButton("Point")
        self.point_button.setCheckable(True)
        self.point_button.setToolTip(
            "<qt>Compare the height of a point, such as an atom, with that of its nearest "
            "neighbours.</qt>"
        )
        self.report_button = QPushButton("Save report …")
        self.report_button.setToolTip(
            "<qt>Save one HTML file with pictures, plots, parameters, versions and the script "
            "that repeats the result.</qt>"
        )
        self.numbers = text_label()
        self.numbers.hide()
        self.sections: dict[str, Any] = {
            name: kind(title, tooltip) for name, (title, kind, tooltip) in SECTIONS.items()
        }
        buttons = QWidget()
        grid = QGridLayout(buttons)
        grid.setContentsMargins(0, 0, 0, 0)
        for column, button in enumerate((self.line_button, self.box_button, self.point_button)):
            grid.addWidget(button, 0, column)
        for part in (
            self.form,
            self.curtain,
            self.panel,
            self.findings,
            buttons,
            self.numbers,
            *self.sections.values(),
            self.report_button,
        ):
            self.parts.addWidget(part)
        self.parts.addStretch()
        self.form.changed.connect(self._layers_chosen)
        self.line_button.clicked.connect(lambda: self._draw(self.line, "profile"))
        self.box_button.clicked.connect(lambda: self._draw(self.box))
        self.point_button.toggled.connect(self._point_toggled)
        self.report_button.clicked.connect(self.save_report)

    def _compared(self) -> tuple[Image, Image]:
        self.frames()  # raises if they cannot be compared
        chosen = self.form.chosen()
        raw, result = chosen["raw"], chosen["result"]
        assert raw is not None and result is not None
        return raw, result

    def _enable(self) -> None:
        chosen = self.form.chosen()
        ready = chosen["raw"] is not None and chosen["raw"] != chosen["result"]
        self.panel.set_running(self.runner.busy, ready)
        for part in (self.line_button, self.box_button, self.point_button, self.report_button):
            part.setEnabled(ready)
        self.curtain.setEnabled(ready)
