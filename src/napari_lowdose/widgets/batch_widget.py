"""The dock widget 'Batch': denoise selected layers, or all files of a folder."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.batch import FileJob, batch_steps
from napari_lowdose.error_line import error_line
from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.reucid import Reucid
from napari_lowdose.thinning import network_engine
from napari_lowdose.widgets.batch.form import BatchForm
from napari_lowdose.widgets.batch.images import folder_jobs, layer_jobs
from napari_lowdose.widgets.batch.table import BatchTable
from napari_lowdose.widgets.dock_area import RUN_IN_PROGRESS, DockArea
from napari_lowdose.widgets.menus import selected_images
from napari_lowdose.widgets.presets import PRESETS_HELP, PresetField
from napari_lowdose.widgets.run_panel import RunPanel, duration, text_label
from napari_lowdose.widgets.words import use_form_labels

if TYPE_CHECKING:
    import napari.viewer

    from napari_lowdose.batch import BatchStep
    from napari_lowdose.engine import Engine
    from napari_lowdose.widgets.jobs import Job


MOST_REASONS = 3  # why images failed, shown below the buttons; and notes on an image in the table


class BatchWidget(DockArea):
    """Denoise many images one after the other, into files.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.

    Attributes
    ----------
    jobs : list of FileJob
        Those of the table.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.jobs: list[FileJob] = []
        self._started = 0.0
        self.form = BatchForm()
        self.presets = PresetField(self.form, "batch")
        self.form.add("settings", self.presets, PRESETS_HELP)
        self.panel = RunPanel("Denoise all", "Denoise the images, one after the other.")
        self.panel.stop_button.setToolTip("Stop. Finished results are kept; start again to go on.")
        self.panel.start_button.clicked.connect(self.start)
        self.panel.stop_button.clicked.connect(self.stop)
        self.table = BatchTable()
        self.table.setVisible(False)
        self.table.opened.connect(self._open)
        self.detail = text_label()  # the whole of what is cut off in the table
        self.table.told.connect(self.detail.setText)
        self.parts.addWidget(self.form)
        self.parts.addWidget(self.panel)
        self.parts.addWidget(self.table, 1)
        self.parts.addWidget(self.detail)
        self.parts.addStretch()
        self.panel.set_running(False, True)

    def engine(self) -> Engine:
        """Return what denoises: REUCID as set in its widget, or a network.

        Raises
        ------
        ValueError, OSError
            If there is no network, or the settings of REUCID are invalid.
        """
        if self.form.method == "file":
            if self.form.network.path is None:
                raise ValueError("Choose the file of a network.")
            return network_engine(Noise2NoiseModel.load(self.form.network.path))
        if self.form.method == "trained":
            pair: Any = self._opened("Noise2NoiseWidget")
            trained = None if pair is None else pair.network.network
            if trained is None:
                raise ValueError("There is no network in the pair widget: train or load one there.")
            return network_engine(trained.model)
        reucid: Any = self._opened("ReucidWidget")
        if reucid is None:
            return Reucid()
        engine: Reucid = reucid.form.parameters()
        # One stack is faster, with practically the same result, and suits images of any size.
        return engine if reucid.form.stacks_chosen else replace(engine, n_stacks=None)

    def start(self) -> None:
        """Denoise the images that are chosen in the form."""
        if self.runner.busy:
            self.panel.show_message(RUN_IN_PROGRESS)
            return
        try:
            engine, out, options = self.engine(), self.form.output_folder(), self.form.options()
            if self.form.source == "layers":
                layers = selected_images(self.viewer)
                self.jobs = layer_jobs(layers, out, engine, **options)
            else:
                if self.form.folder.path is None:
                    raise ValueError("Choose the folder of the images.")
                self.jobs = folder_jobs(self.form.folder.path, out, engine, **options)
        except (ValueError, OSError) as error:
            self.panel.show_refusal(error_line(error))
            return
        self._started = time.perf_counter()
        self.panel.start()
        self.panel.set_running(True, True)
        self.form.setEnabled(False)
        self.detail.clear()
        self.table.show_jobs(self.jobs)
        self.table.setVisible(True)
        steps, title = batch_steps(self.jobs), f"{len(self.jobs)} images"
        self.runner.run(steps, self._advanced, self._ended, self.panel.warn, title=title)

    def stop(self) -> None:
        """Stop within the current image; finished results are kept."""
        if self.runner.busy:
            self.panel.stop()
            self.runner.stop()

    def _opened(self, class_name: str) -> Any:
        """Return an open dock widget by its class, whatever its title; None if there is none."""
        docked = self.viewer.window.dock_widgets.values()
        return next((each for each in docked if type(each).__name__ == class_name), None)

    def _advanced(self, steps: list[BatchStep]) -> None:
        for step in {(each.number, each.state): each for each in steps}.values():
            self.table.show_step(step, self._about(step))
        last = steps[-1]
        self.panel.progress.setValue(round(1000 * last.fraction))
        if not self.panel.stopping:
            left = [last.time_left] if last.time_left else []
            count = f"image {last.number + 1} of {len(self.jobs)}"
            self.panel.end(" · ".join([count, *left]))

    def _about(self, step: BatchStep) -> str:
        """Return what the table says about an image."""
        if step.state == "running":
            return " · ".join(filter(None, [step.message, step.time_left]))
        job = self.jobs[step.number]
        # Where the result is was chosen in the form
        message = step.message.removeprefix(f"{job.target}: ")
        told = [*job.losses, *job.notes]  # of each frame
        more = [f"… and {len(told) - MOST_REASONS} more"] if len(told) > MOST_REASONS else []
        return use_form_labels(" · ".join([message, *told[:MOST_REASONS], *more]))

    def _ended(self, job: Job) -> None:
        self.table.stop()
        self.form.setEnabled(True)
        self.panel.set_running(False, True)
        count = Counter(self.table.states)
        words = [f"{count['done']} of {len(self.jobs)} done"]
        if count["failed"]:
            words.append(f"{count['failed']} failed")
        took = duration(time.perf_counter() - self._started)
        failed = [row for row, state in enumerate(self.table.states) if state == "failed"]
        reasons = [f"'{self.jobs[row].sources[0].name}': {self.table.about(row)}" for row in failed]
        more = [f"… and {len(failed) - MOST_REASONS} more"] if len(failed) > MOST_REASONS else []
        self.panel.show_message("\n".join([*reasons[:MOST_REASONS], *more]))
        if job.outcome == "failed":
            self.panel.end("Failed.")
            self.panel.show_message(str(job.error))
        elif job.outcome == "stopped":
            self.panel.end(f"Stopped: {', '.join(words)}. Start again to go on.")
        else:
            self.panel.end(f"Done in {took}: {', '.join(words)}.")

    def _open(self, row: int) -> None:
        """Open an image and its result."""
        job: Any = self.jobs[row]
        files = [*(path for path in job.sources if path.is_file()), job.target]
        self.viewer.open([str(path) for path in files], stack=False)
