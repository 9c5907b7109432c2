"""Base classes of the dock widgets: a scrollable column of parts, and the runs of an engine."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractButton, QFrame, QScrollArea, QVBoxLayout, QWidget
from superqt.utils import QSignalDebouncer

from napari_lowdose.engine import duration
from napari_lowdose.widgets.jobs import OUT_OF_MEMORY, JobRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import napari.viewer
    from napari.layers import Image
    from qtpy.QtGui import QKeyEvent

    from napari_lowdose.engine import Step
    from napari_lowdose.widgets.filled_layer import FillIn
    from napari_lowdose.widgets.jobs import Job
    from napari_lowdose.widgets.layer_run import LayerRun
    from napari_lowdose.widgets.run_panel import RunPanel

# Several quick clicks, or a layer whose data change repeatedly, cause the work only once.
DEBOUNCE = 150  # milliseconds
RUN_IN_PROGRESS = "A run is in progress: press Stop first."


class DockArea(QScrollArea):
    """A column of parts that scrolls on low screens, with one job runner.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer

    Attributes
    ----------
    runner : JobRunner
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.runner = JobRunner(self)
        self.setMinimumWidth(320)  # parts that appear later must not widen the dock
        content = QWidget()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.parts = QVBoxLayout(content)
        self.parts.setSpacing(8)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Let Enter press the button that has the focus, or else start."""
        enter = event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event is None or not enter:
            super().keyPressEvent(event)
            return
        focused = (self.window() or self).focusWidget()
        pressed = focused if isinstance(focused, QAbstractButton) else self.default_button()
        if pressed is not None:
            pressed.click()
        event.accept()

    def default_button(self) -> QAbstractButton | None:
        """Return the button that Enter presses; None by default."""
        return None

    def listen(self, *events: tuple[Any, Callable[..., None]]) -> None:
        """Connect events of the viewer to callbacks for the lifetime of this widget.

        The viewer outlives a closed dock widget and must not call into it.
        """
        for event, callback in events:
            event.connect(callback)

        def disconnect() -> None:
            for event, callback in events:
                event.disconnect(callback)

        self.destroyed.connect(disconnect)


def debounced(parent: QWidget, callback: Callable[[], None]) -> QSignalDebouncer:
    """Return a debouncer that calls `callback` shortly after the last `throttle()`."""
    debouncer = QSignalDebouncer(parent=parent)
    debouncer.setTimeout(DEBOUNCE)
    debouncer.triggered.connect(callback)
    # Scripts find the timers by this name, to wait until a widget has settled.
    for timer in debouncer.findChildren(QTimer):
        timer.setObjectName("settle")
    return debouncer


class RunDock(DockArea):
    """A dock widget that runs engines on layers, one run at a time.

    Subclasses create `panel` and `fill_in`, and override the methods below where they show more.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer

    Attributes
    ----------
    panel : RunPanel
        Start and Stop buttons, progress and messages.
    fill_in : FillIn
        Remedy for pixels that are NaN.
    """

    panel: RunPanel
    fill_in: FillIn
    out_of_memory = OUT_OF_MEMORY
    no_result_reason = "there was no result yet"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._running: Any = None
        self._started = 0.0

    def default_button(self) -> QAbstractButton:
        """Return the button that starts a run."""
        return self.panel.start_button

    def stop(self) -> None:
        """Stop the run and keep its partial result."""
        if self._running is not None:
            self.panel.stop()
            self.runner.stop()

    def _refuse_second_run(self) -> bool:
        """Whether a run is in progress; the panel then shows that it must end first."""
        if self._running is not None:
            self.panel.show_message(RUN_IN_PROGRESS)
        return self._running is not None

    def _announce_run(self, warnings: Iterable[str] = ()) -> None:
        """Reset the panel for a new run, and show warnings that are known beforehand."""
        self._started = time.perf_counter()
        self.panel.start()
        for warning in warnings:
            self._warned(None, warning)

    def _start_run(self, run: LayerRun, ended: Callable[[Job], None] | None = None) -> None:
        """Start a run; `ended` replaces `_ended`."""
        self._running = run
        self._enable()
        self.runner.run(
            run.run,
            functools.partial(self._advanced, run),
            ended or functools.partial(self._ended, run),
            functools.partial(self._warned, run),
            self.out_of_memory,
            title=run.title,
        )

    def _advanced(self, run: Any, steps: list[Step]) -> None:
        self.panel.advance(steps[-1])
        run.show(steps)

    def _warned(self, run: Any, message: str) -> None:
        self.panel.warn(message)

    def _ended(self, run: Any, job: Job) -> None:
        try:
            run.end()
        finally:  # an error here must not leave the widget busy for ever
            self._release()
        # The status bar still names the result as partial until the mouse moves.
        self.viewer.status = "Ready"
        self.viewer.update_status_from_cursor()
        self._show_outcome(run, job)
        self._enable()

    def _layer_removed(self, event: Any = None) -> None:
        """Stop the run when its result is removed."""
        if self._running is not None and self._running.result_removed:
            self.panel.stop()
            self.runner.stop()

    def _release(self) -> None:
        """Allow the next run."""
        self._running = None

    def _show_outcome(self, run: Any, job: Job) -> None:
        """Show how a run ended."""
        if job.outcome == "failed":
            self.panel.end("Failed.")
            self.panel.show_message(self._error_text(run, job))
            self.fill_in.offer(str(job.error), run.sources, self._filled)
        elif run.result_removed:  # before "stopped", which it is as well
            self.panel.end("Stopped: the result layer was removed.")
        elif job.outcome == "stopped" or not run.run.finished:
            kept = "the partial result is kept" if run.result else "there was no result yet"
            self.panel.end(f"Stopped: {kept}.")
        elif run.result is None:
            self.panel.end(f"Stopped: {self.no_result_reason}.")
        else:
            took = duration(time.perf_counter() - self._started)
            summary = self._summary(run)
            self.panel.progress.setValue(self.panel.progress.maximum())
            self.panel.end(f"Done in {took}{f': {summary}' if summary else ''}.")

    def _error_text(self, run: Any, job: Job) -> str:
        return str(job.error)

    def _filled(self, layers: list[Image]) -> None:
        self.panel.clear()
        self._use_filled(layers)

    def _use_filled(self, layers: list[Image]) -> None:
        """Choose layers in place of those that a run was refused for."""
        raise NotImplementedError

    def _summary(self, run: Any) -> str:
        """Return a few words on a finished run; empty by default."""
        return ""

    def _enable(self, event: Any = None) -> None:
        """Enable the buttons that can be pressed now."""
        raise NotImplementedError
