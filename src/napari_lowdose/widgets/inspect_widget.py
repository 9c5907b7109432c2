"""The dock widget 'Inspect'."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_lowdose.inspection.repeat_script import repeat_script
from napari_lowdose.widgets.dock_area import DockArea, debounced
from napari_lowdose.widgets.filled_layer import FillIn
from napari_lowdose.widgets.inspect.chosen_frames import ChosenFrames, chosen_frames
from napari_lowdose.widgets.inspect.curtain_panel import CurtainPanel
from napari_lowdose.widgets.inspect.findings import Findings
from napari_lowdose.widgets.inspect.form import InspectForm
from napari_lowdose.widgets.inspect.measure_panel import MeasurePanel
from napari_lowdose.widgets.inspect.plots import (
    GainSection,
    NoiseCurveSection,
    ResidualSection,
    RingSection,
    SpectrumSection,
)
from napari_lowdose.widgets.inspect.recorded_subject import recorded_subject
from napari_lowdose.widgets.inspect.steps import (
    InspectionStep,
    inspect_steps,
    report_steps,
)
from napari_lowdose.widgets.layers import layer_file
from napari_lowdose.widgets.result_layer import METADATA_KEY
from napari_lowdose.widgets.run_panel import RunPanel
from napari_lowdose.widgets.survival.defect_panel import DefectPanel

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer

    from napari_lowdose.inspection import Inspection
    from napari_lowdose.widgets.jobs import Job
    from napari_lowdose.widgets.survival.planted_sites import Subject

OUT_OF_MEMORY = "there is not enough memory to inspect this image: crop it."
INSPECT_HELP = (
    "<qt>Compare the result with the raw image: spectra, resolution, and whether what was removed "
    "is noise. The frame in view is inspected.</qt>"
)
SECTIONS: dict[str, tuple[str, Callable[..., Any], str]] = {
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
        self.destroyed.connect(functools.partial(_disconnect, self._watched, self._data_changed))
        self._seen: Any = None  # the frame in view
        self._frames: ChosenFrames | None = None  # kept, as lazy ones are read only once
        self._build()
        self._inspect_later = debounced(self, self._inspect_again)
        self.listen(
            (napari_viewer.layers.selection.events.active, self._active_changed),
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
        line, box = self.measure.drawn_line(), self.measure.drawn_box()
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
        self.found = self.measure.found = found
        result = self.form.chosen()["result"]
        if result is not None:
            self.findings.show_inspection(found, result)
        self.sections["spectra"].show_spectra(found)
        self.sections["gain"].show_gain(found)
        self.sections["rings"].show_rings(found)
        self.sections["residual"].show_ratio(found)
        self.sections["curve"].show_curve(found)
        self.measure.measure()  # the offset of the noise is known now

    def _inspection_ended(self, job: Job) -> None:
        self._report_outcome(job, "Inspected.")

    def _report_ended(self, path: str, job: Job) -> None:
        self._report_outcome(job, f"The report was saved as {Path(path).name}.")

    def _report_outcome(self, job: Job, done: str) -> None:
        if job.outcome == "failed":
            self.panel.end("Failed.")
            self.panel.show_message(str(job.error))
            self.fill_in.offer(str(job.error), self.form.chosen().values(), self.form.replace)
        else:
            self.panel.end(done if job.outcome == "done" else "Stopped.")
        if self.found is None:
            self.findings.clear()
        self._enable()

    def _inspect_again(self) -> None:
        if self._inspected:
            self.inspect()

    # ------------------------------------------------------------------ events

    def _layers_chosen(self) -> None:
        _disconnect(self._watched, self._data_changed)
        chosen = self.form.chosen()
        self._watched += [layer for layer in {*chosen.values()} if layer is not None]
        for layer in self._watched:
            layer.events.data.connect(self._data_changed)
        self._inspected = False
        self.measure.forget_point()
        self._seen, self._frames = self._frame_in_view(), None
        self._forget()
        self.findings.clear()
        self.panel.clear()
        self.curtain.refresh()
        self.measure.measure()
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
        self.measure.measure()
        if self._inspected:
            self.findings.set_stale()
            self._inspect_later.throttle()

    def _forget(self) -> None:
        """Forget the inspection of another frame."""
        self.runner.stop()
        self.found = self.measure.found = None
        for section in self.sections.values():
            section.clear()

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
        self.fill_in = FillIn(self.viewer.layers, self.runner, self.panel.remedy_button)
        self.curtain = CurtainPanel(self.viewer, self._compared, self.panel.show_message)
        self.findings = Findings(self.viewer.layers)
        self.measure = MeasurePanel(self.viewer, self.frames, lambda: self.form.chosen()["result"])
        self.defects = DefectPanel(self.viewer, self._subject)
        self.report_button = QPushButton("Save report …")
        self.report_button.setToolTip(
            "<qt>Save one HTML file with pictures, plots, parameters, versions and the script "
            "that repeats the result.</qt>"
        )
        self.sections: dict[str, Any] = {
            name: kind(title, tooltip) for name, (title, kind, tooltip) in SECTIONS.items()
        }
        for part in (
            self.form,
            self.curtain,
            self.panel,
            self.findings,
            self.measure,
            *self.sections.values(),
            self.defects,
            self.report_button,
        ):
            self.parts.addWidget(part)
        self.parts.addStretch()
        self.form.changed.connect(self._layers_chosen)
        self.report_button.clicked.connect(self.save_report)

    def _subject(self) -> Subject:
        chosen = self.form.chosen()
        return recorded_subject(self.viewer.dims, chosen["raw"], chosen["result"])

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
        self.measure.set_ready(ready)
        self.report_button.setEnabled(ready)
        self.defects.start_button.setEnabled(ready)
        self.curtain.setEnabled(ready)


def _disconnect(layers: list[Image], callback: Callable[..., None], event: Any = None) -> None:
    """Let layers forget a callback, and the list the layers."""
    while layers:
        layers.pop().events.data.disconnect(callback)
