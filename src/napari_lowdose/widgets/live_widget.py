"""The dock widget 'Denoise live'."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton

from napari_lowdose.live import LiveRun
from napari_lowdose.widgets.dock_area import RUN_IN_PROGRESS, DockArea
from napari_lowdose.widgets.layers import already_denoised_warning, validation_error
from napari_lowdose.widgets.live.form import LiveForm
from napari_lowdose.widgets.live.live_view import LiveView
from napari_lowdose.widgets.live.paced_refresh import PacedRefresh
from napari_lowdose.widgets.live.recording_panel import RecordingPanel
from napari_lowdose.widgets.menus import open_widget
from napari_lowdose.widgets.run_panel import RunPanel, collapsible, text_label
from napari_lowdose.widgets.titles import PAIR
from napari_lowdose.widgets.trained_network import TrainedNetwork
from napari_lowdose.widgets.words import as_sentence

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_lowdose.live import LiveStep
    from napari_lowdose.live.live_training import LiveTraining
    from napari_lowdose.noise2noise import Noise2NoiseModel
    from napari_lowdose.widgets.jobs import Job

DELIVERY = 8  # milliseconds between two looks for a new frame
NETWORK_LEFT = "There is a network of this run, which you can keep."
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
        self._problem = ""  # of the newest frame
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
        self.running = True
        self._removed = self._problem = ""
        self.form.keep_choice()
        self.panel.start()
        self.training.setText("")
        self.recording.begin_run(run)
        if (layer := self.form.layer) is not None:
            self.panel.warn(already_denoised_warning(layer))
        self._enable()
        self._ticks.start(STATUS)
        self.runner.run(
            run,
            functools.partial(self._advanced, self.view),
            functools.partial(self._ended, self.view),
            self._warned,
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
            try:
                run.train(n_pairs=self.form.n_pairs.value())
            except ValueError as error:
                self.panel.show_message(str(error))
        self._tick()

    @property
    def _training(self) -> LiveTraining | None:
        return None if self.view is None else self.view.run.training

    @property
    def _in_training(self) -> bool:
        training = self._training
        return self.running and training is not None and not training.ended

    def _advanced(self, view: LiveView, steps: list[LiveStep]) -> None:
        first, step = view.step is None, steps[-1]  # the others are out of date
        view.show(step)
        if first:
            self._tick()
        if step.problem != self._problem:
            self._problem = step.problem
            self.panel.show_message(step.problem)

    def _warned(self, message: str) -> None:
        self.panel.warn(message)

    def _tick(self) -> None:
        """Update what is told twice a second."""
        view = self.view
        if view is None:
            return
        if not self.panel.stopping:
            self.panel.status.setText(view.rates.text(time.perf_counter(), view.run.feed.n_in))
        view.follow()
        message = "" if self._training is None else self._training.message
        self.training.setText(as_sentence(message))
        self.recording.show_progress()
        if view.step is not None:
            self.form.show_memory(view.step.frame.pixels.nbytes)
        self._enable()

    def _ended(self, view: LiveView, job: Job) -> None:
        self._ticks.stop()
        self.running = False
        source = view.run.source
        if isinstance(source, QObject):  # disconnects it from its layer
            source.deleteLater()
        n = view.run.feed.n_in
        frames = f"after {n} frame{'s' * (n != 1)}"
        if self._removed:
            self.panel.end(f"Stopped {frames}: the layer '{self._removed}' was removed.")
        elif job.error is not None:
            self.panel.end(f"Ended {frames}.")
            self.panel.show_message(str(job.error).removeprefix("RuntimeError: "))
        else:
            how = "Stopped" if self.panel.stopping else "The source has ended"
            self.panel.end(f"{how} {frames}.")
        self.training.setText("" if self._network is None else NETWORK_LEFT)
        self.recording.end_run()
        self.reset_choices()

    def _layer_removed(self, event: Any) -> None:
        """End the run if its result was removed; a layer of raw frames is not needed."""
        view, layer = self.view, event.value
        if view is None or not self.running:
            return
        if layer is view.clean.layer:
            self._removed = event.value.name
            self.stop()
        elif view.raw is not None and layer is view.raw.layer:
            self.panel.warn(f"'{event.value.name}' was removed: only the clean frames are shown.")

    # ---------------------------------------------------------------- the parts

    def _build(self) -> None:
        self.form = LiveForm(self.viewer)
        self.form.source_combo.changed.connect(self._enable)
        self.panel = RunPanel(
            "Start", "Denoise the frames as they arrive, in a layer of their own."
        )
        self.panel.end("Choose a source, and press Start.")
        self.panel.progress.hide()
        self.panel.status.setMinimumHeight(2 * self.panel.status.fontMetrics().lineSpacing())
        self.panel.stop_button.setToolTip("Stop; the last frame stays, and so does the source.")
        self.panel.start_button.clicked.connect(self.start)
        self.panel.stop_button.clicked.connect(self.stop)
        self.train_button = QPushButton(TRAIN)
        self.train_button.setToolTip(
            "<qt>Train a network on the last frames while the view goes on. From the moment at "
            "which it is the better one, it denoises the frames. The scene should stand still for "
            "two frames.</qt>"
        )
        self.train_button.clicked.connect(self.train)
        self.training = text_label()
        self.keep_frame = QPushButton("this frame")
        self.keep_frame.setToolTip("Add the raw and the clean frame in view as layers that stay.")
        self.keep_frame.clicked.connect(self._keep_frame)
        self.keep_last = QPushButton("last frames")
        self.keep_last.setToolTip("Add the last raw frames in memory as a layer (T, Y, X).")
        self.keep_last.clicked.connect(self._keep_last)
        self.keep_network = QPushButton("network")
        self.keep_network.setToolTip(
            f"<qt>Show the network in the widget '{PAIR}', to save or to apply it.</qt>"
        )
        self.keep_network.clicked.connect(self._keep_network)
        keep = QHBoxLayout()
        keep.addWidget(QLabel("keep"))
        for button in (self.keep_frame, self.keep_last, self.keep_network):
            keep.addWidget(button, 1)
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

    def _keep_last(self) -> None:
        if self.view is not None:
            self.view.keep_last()

    def _keep_network(self) -> None:
        if self.view is not None and self._network is not None:
            network = TrainedNetwork(self._network, self.view.name)
            open_widget(self.viewer, PAIR).use_network(network)

    @property
    def _network(self) -> Noise2NoiseModel | None:
        return None if self._training is None else self._training.model

    def _enable(self, event: Any = None) -> None:
        layer = self.form.layer
        self.form.setEnabled(not self.running)
        self.panel.set_running(self.running, layer is None or not validation_error(layer))
        self.train_button.setEnabled(self.running)
        self.train_button.setText(STOP_TRAINING if self._in_training else TRAIN)
        self.training.setVisible(bool(self.training.text()))
        frames = self.view is not None and self.view.step is not None
        self.keep_frame.setEnabled(frames)
        self.keep_last.setEnabled(frames)
        self.keep_network.setEnabled(self._network is not None)
