"""The dock widget 'Live'."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton

from napari_lowdose.live import LiveRun
from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.widgets.dock_area import RUN_IN_PROGRESS, DockArea
from napari_lowdose.widgets.layers import (
    already_denoised_warning,
    pixel_size_note,
    validation_error,
)
from napari_lowdose.widgets.live.form import LiveForm
from napari_lowdose.widgets.live.live_view import LiveView
from napari_lowdose.widgets.live.paced_refresh import PacedRefresh
from napari_lowdose.widgets.live.recording_panel import RecordingPanel
from napari_lowdose.widgets.run_panel import RunPanel, collapsible, text_label

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_lowdose.live import LiveStep
    from napari_lowdose.widgets.jobs import Job

DELIVERY = 8  # milliseconds between two looks for a new frame
TRAIN, STOP_TRAINING = "Train on the last frames", "Stop training"
STATUS = 500  # milliseconds between two updates of the text


class LiveWidget(DockArea):
    """Denoise the frames of a running source while they arrive.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.

    Attributes
    ----------
    view : LiveView or None
        The run in progress, or the last one.
    running : bool
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.view: LiveView | None = None
        self.running = False
        self._removed = ""  # the layer whose removal ends the run
        self._message = ""  # of the newest step
        self._in_training = False
        self._refresh = PacedRefresh(self)
        self._ticks = QTimer(self)
        self._ticks.timeout.connect(self._tick)
        self._build()
        self.listen((self.viewer.layers.events.removed, self._layer_removed))
        self.reset_choices()

    def reset_choices(self, event: Any = None) -> None:
        """Update the choices of sources; napari calls this when layers change."""
        if not self.running:
            self.form.reset_choices()
            self._enable()

    def enterEvent(self, event: Any) -> None:
        """Look whether a camera was loaded meanwhile."""
        super().enterEvent(event)
        self.reset_choices()

    # ------------------------------------------------------------------- a run

    def start(self) -> None:
        """Start to denoise the chosen source."""
        if self.running:
            self.panel.show_message(RUN_IN_PROGRESS)
            return
        try:
            engine = self.form.engine()
            source = self.form.source(self)
            run = LiveRun(source, engine, n_buffer=self.form.n_buffer.value())
        except (ImportError, OSError, ValueError) as error:
            self.panel.show_refusal(str(error))
            return
        self.view = LiveView(
            self.viewer.layers, run, self.form.source_name, self._refresh, self.view
        )
        self.running, self._in_training = True, False
        self._removed = self._message = ""
        self.form.keep_choice()
        self.panel.start()
        self.training.setText("")
        self.recording.begin_run(run)
        if (layer := self.form.layer) is not None:
            self.panel.warn(already_denoised_warning(layer))
            if isinstance(model := engine.model or engine, Noise2NoiseModel):
                self.panel.warn(pixel_size_note(model, layer))
        self._enable()
        self._ticks.start(STATUS)
        self.runner.run(
            run,
            functools.partial(self._advanced, self.view),
            functools.partial(self._ended, self.view),
            self.panel.warn,
            interval=DELIVERY,
        )

    def start_on(self, layer: Image) -> None:
        """Choose `layer` and start."""
        if not self.running:
            self.form.choose(layer)
        self.start()

    def stop(self) -> None:
        """Stop the run; the last frame stays."""
        if self.running:
            self.panel.stop()
            self.runner.stop()

    def train(self) -> None:
        """Train a network on the last frames, or end the training."""
        if self.view is None or not self.running:
            return
        run = self.view.run
        if self._in_training:
            run.stop_training()
        else:
            run.train(n_pairs=self.form.n_pairs.value())
        self._in_training = not self._in_training
        self._tick()

    def _advanced(self, view: LiveView, steps: list[LiveStep]) -> None:
        step = steps[-1]  # the others are out of date
        view.show(step)
        training = view.run.training
        message = "" if training is not None and step.message == training.message else step.message
        if message != self._message:
            self._message = message
            self.panel.show_message(message)

    def _tick(self) -> None:
        """Update what is told twice a second."""
        view = self.view
        if view is None:
            return
        if not self.panel.stopping:
            self.panel.status.setText(view.rates.text(time.perf_counter(), view.run.feed.n_in))
        view.follow()
        training = view.run.training
        self.training.setText("" if training is None else training.message)
        self.recording.show_progress()
        self.form.show_memory(None if view.step is None else view.step.frame.pixels.nbytes)
        self._enable()

    def _ended(self, view: LiveView, job: Job) -> None:
        self._ticks.stop()
        self.running = False
        source = view.run.source
        if isinstance(source, QObject):  # disconnects it from its layer
            source.deleteLater()
        frames = f"after {view.run.feed.n_in} frames"
        if self._removed:
            self.panel.end(f"Stopped {frames}: the layer '{self._removed}' was removed.")
        elif job.error is not None:
            self.panel.end(f"Ended {frames}.")
            self.panel.show_message(str(job.error).removeprefix("RuntimeError: "))
        else:
            how = "Stopped" if job.outcome == "stopped" else "The source has ended"
            self.panel.end(f"{how} {frames}.")
        self.recording.end_run()
        self.reset_choices()

    def _layer_removed(self, event: Any) -> None:
        """End the run if its result was removed; a layer of raw frames is not needed."""
        view, layer = self.view, event.value
        if view is None or not self.running:
            return
        if layer is view.clean.layer:
            self._removed = layer.name
            self.stop()
        elif view.raw is not None and layer is view.raw.layer:
            self.panel.warn(f"'{layer.name}' was removed: only the clean frames are shown.")

    # ---------------------------------------------------------------- the parts

    def _build(self) -> None:
        self.form = LiveForm(self.viewer)
        self.form.source_combo.changed.connect(self._enable)
        self.panel = RunPanel(
            "Start", "Denoise the frames as they arrive, in a layer of their own."
        )
        self.panel.progress.hide()
        self.panel.status.setMinimumHeight(2 * self.panel.status.fontMetrics().lineSpacing())
        self.panel.stop_button.setToolTip("Stop; the last frame stays, and so does the source.")
        self.panel.start_button.clicked.connect(self.start)
        self.panel.stop_button.clicked.connect(self.stop)
        self.train_button = QPushButton()
        self.train_button.setToolTip(
            "<qt>Train a network on the last frames while the view goes on. From the moment at "
            "which it is the better one, it denoises the frames. The scene should stand still for "
            "two frames.</qt>"
        )
        self.train_button.clicked.connect(self.train)
        self.training = text_label()
        self.keep_button = QPushButton("Keep this frame")
        self.keep_button.setToolTip("Add the raw and the clean frame in view as layers that stay.")
        self.keep_button.clicked.connect(self._keep_frame)
        self.keep_all_button = QPushButton("Keep the last frames")
        self.keep_all_button.setToolTip("Add the last raw frames in memory as a layer (T, Y, X).")
        self.keep_all_button.clicked.connect(self._keep_buffer)
        keep = QHBoxLayout()
        keep.addWidget(self.keep_button)
        keep.addWidget(self.keep_all_button)
        self.recording = RecordingPanel()
        record = collapsible("record")
        record.addWidget(self.recording)
        self.parts.addWidget(self.form)
        self.parts.addWidget(self.panel)
        self.parts.addWidget(self.train_button)
        self.parts.addWidget(self.training)
        self.parts.addLayout(keep)
        self.parts.addWidget(record)
        self.parts.addStretch()

    def _keep_frame(self) -> None:
        if self.view is not None:
            self.view.keep_frame()

    def _keep_buffer(self) -> None:
        if self.view is not None:
            self.view.keep_buffer()

    def _enable(self, event: Any = None) -> None:
        layer = self.form.layer
        self.form.setEnabled(not self.running)
        self.panel.set_running(self.running, layer is None or not validation_error(layer))
        self.train_button.setEnabled(self.running)
        self.train_button.setText(
            "Stop training" if self._in_training else "Train on the last frames"
        )
        self.training.setVisible(bool(self.training.text()))
        frames = self.view is not None and self.view.step is not None
        self.keep_button.setEnabled(frames)
        self.keep_all_button.setEnabled(frames)
