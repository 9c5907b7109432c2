"""The dock widget 'Teach REUCID'."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton

from napari_lowdose.error_line import error_line
from napari_lowdose.reucid import Reucid
from napari_lowdose.reucid.teaching import Survey, Taught, TeachingStep, teach_steps
from napari_lowdose.reucid.teaching.survey import FEWEST, OPTIONS
from napari_lowdose.widgets.dock_area import DockArea
from napari_lowdose.widgets.fields import ParameterForm, choice
from napari_lowdose.widgets.filled_layer import FillIn
from napari_lowdose.widgets.layers import (
    layer_combo,
    suggested_layer,
    validation_error,
    view_error,
)
from napari_lowdose.widgets.menus import open_widget
from napari_lowdose.widgets.result_layer import is_result
from napari_lowdose.widgets.reucid.classifier_field import FILES
from napari_lowdose.widgets.reucid.form import SCAN_NOISE
from napari_lowdose.widgets.run_panel import RunPanel, text_label
from napari_lowdose.widgets.teaching.pictures import Pictures
from napari_lowdose.widgets.teaching.questions import Questioner, QuestionStep
from napari_lowdose.widgets.titles import ONE_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import napari.viewer
    from napari.layers import Image
    from qtpy.QtGui import QKeyEvent

    from napari_lowdose.engine import Step
    from napari_lowdose.reucid.teaching import Question
    from napari_lowdose.widgets.jobs import Job

ASK = "Ask"
ASK_HELP = (
    "<qt>Show the middle of what is in view, reconstructed from different numbers of eigenpatches. "
    "Zoom to a detail that you can judge.</qt>"
)
LEAST = 3  # picks, to train at all


class TeachWidget(DockArea):
    """Teach the classifier of REUCID by picking the best of several pictures.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.

    Attributes
    ----------
    survey : Survey
        The picks so far.
    question : Question or None
        What is shown.
    taught : Taught or None
        The classifier after the last training.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.survey = Survey()
        self.question: Question | None = None
        self.taught: Taught | None = None
        self.path: str | None = None
        self._questioner = Questioner(self.survey)
        self._layer: Image | None = None
        self._build()
        self.listen((self.viewer.layers.selection.events.active, self._active_changed))
        self.reset_choices()
        self._show_picks()

    def reset_choices(self, event: Any = None) -> None:
        """Update the choices of image layers; napari calls this when layers change."""
        gone = self._layer is None or self._layer not in self.viewer.layers
        self.layer_combo.reset_choices()
        if gone and (layer := suggested_layer(self.viewer.layers)) is not None:
            self.layer_combo.value = layer
        self._layer = self.layer
        self._enable()

    @property
    def layer(self) -> Image | None:
        """The chosen image layer."""
        chosen: Image | None = self.layer_combo.value
        return chosen

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Pick a picture by its number, 0 for no difference; Backspace takes it back."""
        keys = [str(number) for number in range(OPTIONS + 1)]
        if event is not None and event.text() in keys:
            self.pick(keys.index(event.text()) - 1)
        elif event is not None and event.key() == Qt.Key.Key_Backspace:
            self.undo()
        else:
            super().keyPressEvent(event)

    # ---------------------------------------------------------------- the questions

    def ask(self) -> None:
        """Show the next question on the chosen layer."""
        layer = self.layer
        reason = validation_error(layer)
        if layer is not None and not reason:
            reason = view_error(self.viewer.dims, layer)
        if layer is None or reason:
            self.panel.show_refusal(reason)
            return
        engine = Reucid(scan_noise=self.scan_noise.currentData())
        steps = self._questioner.steps(layer, self.viewer.dims, engine)
        self._run(steps, "Which is the best?")

    def pick(self, picture: int) -> None:
        """Record the best picture, from 0, or -1 for no difference; then ask again."""
        if self.question is None or self.runner.busy:
            return
        self.survey.answer(self.question, None if picture < 0 else picture)
        self.question = None
        self._show_picks()
        self.ask()

    def undo(self) -> None:
        """Take back the last pick."""
        if not self.runner.busy:
            self.survey.undo()
            self._show_picks()

    def train(self) -> None:
        """Teach the classifier the picks."""
        if self.runner.busy:
            return
        self._run(teach_steps(self.survey), "Trained.")

    def save(self) -> bool:
        """Ask for a file, and save the classifier; return whether it was saved."""
        if self.taught is None:
            return False
        path, _ = QFileDialog.getSaveFileName(self, "Save classifier", "my classifier", FILES)
        if not path:
            return False
        if not Path(path).suffix:
            path += ".safetensors"
        try:
            self.taught.save(path)
        except OSError as error:
            self.panel.show_message(f"not saved: {error_line(error)}")
            return False
        self.path = path
        self.panel.end(f"The classifier was saved as {Path(path).name}.")
        return True

    def use(self) -> None:
        """Choose the classifier in the widget 'REUCID'; it is saved first."""
        if self.path is not None or self.save():
            open_widget(self.viewer, ONE_IMAGE).form.classifier.value = self.path

    # --------------------------------------------------------------------- the jobs

    def _active_changed(self, event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        if active in self.layer_combo.choices and not is_result(active):
            self.layer_combo.value = active

    def _run(self, steps: Iterable[Step], done: str) -> None:
        self.panel.start()
        ended = functools.partial(self._ended, done)
        self.runner.run(steps, self._advanced, ended, self.panel.warn)
        self._enable()

    def _advanced(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, QuestionStep) and step.question is not None:
                self.question = step.question
                self.pictures.show_images(step.question.pictures)
                self.pictures.setFocus()
            elif isinstance(step, TeachingStep) and step.taught is not None:
                self.taught, self.path = step.taught, None
        self.panel.advance(steps[-1])

    def _ended(self, done: str, job: Job) -> None:
        if job.outcome == "failed":
            self.panel.end("Failed.")
            self.panel.show_message(str(job.error))
            self.fill_in.offer(str(job.error), [self.layer], self._use_filled)
        else:
            self.panel.end(done if job.outcome == "done" else "Stopped.")
        self._show_picks()

    def _use_filled(self, layers: list[Image]) -> None:
        self.panel.clear()
        (self.layer_combo.value,) = layers

    def _show_picks(self) -> None:
        """Show how many picks there are, and what the last training has achieved."""
        n, images = len(self.survey.picks), {pick.image for pick in self.survey.picks}
        on = f" on {len(images)} image{'s' * (len(images) != 1)}" if images else ""
        more = f"; train after about {FEWEST}, on several images" if n < FEWEST else ""
        self.progress.setText(f"{n} pick{'s' * (n != 1)}{on}{more}.")
        self.outcome.setVisible(self.taught is not None)
        if self.taught is not None:
            told = self.taught.agreement
            said = "too few picks to hold any out" if told is None else str(told)
            self.outcome.setText(f"The classifier {said}.")
        self._enable()

    # ----------------------------------------------------------------------- the parts

    def _build(self) -> None:
        self.form = ParameterForm()
        self.layer_combo = layer_combo(self.viewer.layers)
        self.scan_noise = choice(SCAN_NOISE)
        self.form.add("image", self.layer_combo.native, "The image layer to ask about.")
        self.form.add("scan noise", self.scan_noise, "As you will use it in REUCID.")
        self.layer_combo.changed.connect(self._enable)
        self.panel = RunPanel(ASK, ASK_HELP)
        self.panel.start_button.clicked.connect(self.ask)
        self.panel.stop_button.clicked.connect(self.runner.stop)
        self.panel.stop_button.setToolTip("Stop.")
        self.fill_in = FillIn(self.viewer.layers, self.runner, self.panel.remedy_button)
        self.pictures = Pictures(OPTIONS)
        self.pictures.show_images(())
        self.pictures.picked.connect(self.pick)
        self.no_difference = _button("No difference (0)", "None is better than the others: key 0.")
        self.no_difference.clicked.connect(lambda: self.pick(-1))
        self.undo_button = _button("Undo", "Take back the last pick: key Backspace.")
        self.undo_button.clicked.connect(self.undo)
        self.progress = text_label()
        self.train_button = _button("Train", "Teach the classifier your picks: a few seconds.")
        self.train_button.clicked.connect(self.train)
        self.outcome = text_label()
        self.save_button = _button("Save …", "Save the classifier to a file (.safetensors).")
        self.save_button.clicked.connect(self.save)
        self.use_button = _button("Use in REUCID", "Choose this classifier in the widget REUCID.")
        self.use_button.clicked.connect(self.use)
        for part in (self.form, self.panel, self.pictures):
            self.parts.addWidget(part)
        self.parts.addLayout(_row(self.no_difference, self.undo_button))
        self.parts.addWidget(self.progress)
        self.parts.addWidget(self.train_button)
        self.parts.addWidget(self.outcome)
        self.parts.addLayout(_row(self.save_button, self.use_button))
        self.parts.addStretch()

    def _enable(self, event: Any = None) -> None:
        busy = self.runner.busy
        self.panel.set_running(busy, not validation_error(self.layer))
        self.pictures.set_clickable(self.question is not None and not busy)
        self.no_difference.setEnabled(self.question is not None and not busy)
        self.undo_button.setEnabled(bool(self.survey.picks) and not busy)
        picked = sum(pick.best is not None for pick in self.survey.picks)
        self.train_button.setEnabled(picked >= LEAST and not busy)
        for button in (self.save_button, self.use_button):
            button.setEnabled(self.taught is not None and not busy)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"<qt>{tooltip}</qt>")
    return button


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
