"""The button that starts, Stop, and how far the run has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_lowdose.engine import duration as duration
from napari_lowdose.widgets.warning_box import WarningBox

if TYPE_CHECKING:
    from napari_lowdose.engine import Step


class RunPanel(QWidget):
    """The buttons, a progress bar, a line on what is being done, and what to be aware of.

    A warning of a run stays beside the result's status until another run begins; what else is
    said comes and goes below it.

    Parameters
    ----------
    action : str
        What the button says that starts a run.
    tooltip : str
        What a run makes.
    parent : QWidget, optional

    Attributes
    ----------
    stopping : bool
        Whether Stop was pressed in this run.
    """

    def __init__(
        self,
        action: str = "Denoise",
        tooltip: str = "Denoise the image; the result is a new layer.",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.start_button = QPushButton(action)
        self.start_button.setToolTip(tooltip)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop, and keep what has been reached as a partial result.")
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(8)
        self.status = text_label()
        self._box = WarningBox()
        self.notes = self._box.text
        self._warnings: list[str] = []
        self.stopping = False
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.start_button, 2)
        self.buttons.addWidget(self.stop_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self.buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self._box)
        self.tell("")

    def start(self) -> None:
        """Show that a run begins."""
        self.clear()
        self.stopping = False
        self.status.setText("starting …")

    def clear(self) -> None:
        """Show nothing: what was said is about another image, or a result that is gone."""
        self._warnings.clear()
        self.tell("")
        self.progress.setValue(0)
        self.status.setText("")

    def advance(self, step: Step) -> None:
        """Show how far the run has come, and the time left."""
        self.progress.setValue(round(1000 * step.fraction))
        if self.stopping:  # the step that was being computed, and perhaps some before
            return
        self.status.setText(" · ".join(filter(None, [step.message, step.time_left])))

    def stop(self) -> None:
        """Show that the run will end after the step that is being computed."""
        self.stopping = True
        self.status.setText("stopping …")
        self.stop_button.setEnabled(False)

    def refuse(self, why: str) -> None:
        """Show that no run was started, and why."""
        self.clear()
        self.status.setText("Not started.")
        self.tell(why)

    def end(self, status: str) -> None:
        """Show how the run ended."""
        self.status.setText(status)

    def warn(self, warning: str) -> None:
        """Show a warning, once, for as long as the result is the newest one."""
        if warning and warning not in self._warnings:
            self._warnings.append(warning)
        self._show_notes("")

    def tell(self, note: str) -> None:
        """Show an error, or why not; an empty note takes it away, and leaves the warnings."""
        self._show_notes(note)

    def _show_notes(self, note: str) -> None:
        lines = [line for line in note.splitlines() if line not in self._warnings]
        self._box.show_lines([*lines, *self._warnings])

    def set_running(self, running: bool, ready: bool) -> None:
        """Enable what can be pressed: Stop in a run; the start outside one, if `ready`."""
        self.start_button.setEnabled(ready and not running)
        self.stop_button.setEnabled(running)


def text_label() -> QLabel:
    """Return a label for sentences."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)  # layer names may look like markup
    return label
