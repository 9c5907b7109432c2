"""Record a live run to disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_lowdose.error_line import error_line
from napari_lowdose.widgets.fields import choice
from napari_lowdose.widgets.run_panel import text_label

if TYPE_CHECKING:
    from napari_lowdose.live import LiveRun

What = Literal["raw", "clean", "both"]
WHAT: dict[str, What] = {"raw frames": "raw", "clean frames": "clean", "both": "both"}
NAME = "live.zarr"


class RecordingPanel(QWidget):
    """Record the frames of a run into an OME-Zarr folder."""

    def __init__(self) -> None:
        super().__init__()
        self._run: LiveRun | None = None
        self._running = False
        self._name = ""
        self.what = choice(WHAT)
        self.what.setToolTip("What to record. The raw frames can be denoised again later.")
        self.button = QPushButton()
        self.button.setToolTip(
            "<qt>Write the frames to disk (OME-Zarr) from now on, also those that are not shown "
            "for lack of time. Frames for which the disk is too slow are counted.</qt>"
        )
        self.button.clicked.connect(self.toggle)
        self.status = text_label()
        row = QHBoxLayout()
        row.addWidget(self.what, 1)
        row.addWidget(self.button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.status)
        self.show_progress()

    @property
    def recording(self) -> bool:
        """Whether frames are still being written."""
        run = self._run
        return run is not None and run.recorder is not None and run.recorder.writing

    def begin_run(self, run: LiveRun) -> None:
        """Record the frames of `run` from now on, if the user asks for it."""
        self._run, self._running = run, True
        self.show_progress()

    def end_run(self) -> None:
        """Say what was recorded, after the end of the run."""
        self._running = False
        self.show_progress()

    def toggle(self) -> None:
        """Ask for a folder and begin to record, or end the recording."""
        if self._run is not None and self.recording:
            self._run.stop_recording(wait=False)
        elif self._running:
            path, _ = QFileDialog.getSaveFileName(self, "Record into", NAME, "zarr (*.zarr)")
            if path:
                self.record(Path(path))
        self.show_progress()

    def record(self, path: Path) -> None:
        """Begin to record into a folder, which must be new."""
        if self._run is None or not self._running:  # it has ended meanwhile
            return
        what: What = self.what.currentData()
        if path.suffix != ".zarr":
            path = path.with_name(f"{path.name}.zarr")
        self._name = path.name
        try:
            self._run.record(path, raw=what != "clean", clean=what != "raw")
        except OSError as error:
            self.status.setText(f"Not recorded: {error_line(error)}")
            return
        self.show_progress()

    def show_progress(self) -> None:
        """Show how far the recording is."""
        self.button.setText("Stop recording" if self.recording else "Record …")
        self.button.setEnabled(self._running)
        self.what.setEnabled(not self.recording)
        recorder = None if self._run is None else self._run.recorder
        if recorder is not None:
            doing = "Recording into" if self.recording else "Recorded in"
            self.status.setText(f"{doing} {self._name}: {recorder.summary}.")
        self.status.setVisible(bool(self.status.text()))
