"""A panel for a task beside the runs of a dock widget."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_lowdose.widgets.jobs import JobRunner
from napari_lowdose.widgets.run_panel import RunPanel


class SideTaskPanel(RunPanel):
    """A `RunPanel` with its own job runner; progress and Stop are shown only while that works.

    Parameters
    ----------
    action : str
        Label of the start button.
    tooltip : str
        Tooltip of the start button.
    parent : QWidget, optional

    Attributes
    ----------
    runner : JobRunner
    """

    def __init__(self, action: str, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(action, tooltip, parent)
        self.runner = JobRunner(self)
        # Not in the row of the start button, which has a choice beside it.
        self._work = QWidget()
        row = QHBoxLayout(self._work)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.progress, 1)
        row.addWidget(self.stop_button)
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.insertWidget(1, self._work)
        self.runner.started.connect(self._show_work)
        self.runner.finished.connect(self._show_work)
        self._show_work()
        self.status.hide()

    def _say(self, status: str) -> None:
        super()._say(status)
        self.status.setVisible(bool(status))  # no gap below a button that nobody has used

    def _show_work(self) -> None:
        self._work.setVisible(self.runner.busy)
        self.stop_button.setEnabled(self.runner.busy)
