"""'Copy as Python': the script that does what the widget did, on the clipboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QPushButton

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_lowdose.widgets.run_panel import RunPanel


class CopyButton(QPushButton):
    """Copies a script, and tells so, or why there is none.

    Parameters
    ----------
    script : callable
        Returns the script, or raises ValueError with a sentence.
    panel : RunPanel
        Where it is told.
    tooltip : str
    in_words : callable, optional
        Puts a sentence of an engine into the words of the form.
    """

    def __init__(
        self,
        script: Callable[[], str],
        panel: RunPanel,
        tooltip: str,
        in_words: Callable[[str], str] = str,
    ) -> None:
        super().__init__("Copy as Python")
        self.setToolTip(tooltip)
        self._script, self._panel, self._in_words = script, panel, in_words
        self.clicked.connect(self._copy)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        assert clipboard is not None  # there is an application: this is one of its widgets
        try:
            clipboard.setText(self._script())
        except ValueError as error:
            self._panel.tell(self._in_words(str(error)))
        else:
            self._panel.end("The script is on the clipboard.")
