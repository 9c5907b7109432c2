"""Start and Stop buttons, progress, messages, and the 'Copy as Python' button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_lowdose.engine import duration as duration
from napari_lowdose.widgets.words import use_form_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_lowdose.engine import Step


NOT_STARTED = "Not started."


class RunPanel(QWidget):
    """Buttons, a progress bar, the status, and warnings.

    Warnings of a run remain until the next run.  Other messages replace each other.  All of them
    are shown in the words of the forms.

    Parameters
    ----------
    action : str
        Label of the start button.
    tooltip : str
        Tooltip of the start button.
    parent : QWidget, optional

    Attributes
    ----------
    stopping : bool
        Whether Stop was pressed in this run.
    remedy_button : QPushButton
        Hidden, for what a message advises; hidden again when the message is removed.
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
        self.stop_button.setToolTip("Stop, and keep the partial result.")
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
        self.remedy_button = QPushButton()
        self.remedy_button.hide()
        layout.addWidget(self.remedy_button)
        self.show_message("")

    def start(self) -> None:
        """Show the start of a run."""
        self.clear()
        self.stopping = False
        self._say("starting …")

    def clear(self) -> None:
        """Remove all messages, because they are about another image or a removed result."""
        self._warnings.clear()
        self.show_message("")
        self.remedy_button.hide()
        self.progress.setValue(0)
        self._say("")

    def advance(self, step: Step) -> None:
        """Show the progress and the time left."""
        self.progress.setValue(round(1000 * step.fraction))
        if self.stopping:  # the last steps may arrive after Stop
            return
        self._say(" · ".join(filter(None, [step.message, step.time_left])))

    def stop(self) -> None:
        """Show that the run ends after the current step."""
        self.stopping = True
        self._say("stopping …")
        self._enable_buttons(False, False)

    def show_refusal(self, reason: str) -> None:
        """Show that no run was started, and why."""
        self.clear()
        self._say(NOT_STARTED)
        self.show_message(reason)

    def forget_refusal(self) -> None:
        """Remove a refusal: its reason may no longer hold."""
        if self.status.text() == NOT_STARTED:
            self.clear()

    def end(self, status: str) -> None:
        """Show how the run ended."""
        self._say(status)

    def warn(self, warning: str) -> None:
        """Show a warning once, until the next run."""
        warning = use_form_labels(warning)
        if warning and warning not in self._warnings:
            self._warnings.append(warning)
        self._show_lines("")

    def show_message(self, message: str) -> None:
        """Show a message; an empty one removes the last message, but no warnings."""
        self._show_lines(message)

    def _say(self, status: str) -> None:
        self.status.setText(status)

    def _show_lines(self, message: str) -> None:
        lines = [
            line for line in use_form_labels(message).splitlines() if line not in self._warnings
        ]
        self._box.show_lines([*lines, *self._warnings])

    def set_running(self, running: bool, ready: bool) -> None:
        """Enable Stop during a run, and Start otherwise if `ready`."""
        self._enable_buttons(ready and not running, running)

    def _enable_buttons(self, start: bool, stop: bool) -> None:
        # Qt hands the focus of a disabled button on to some other field.
        buttons = {self.start_button: start, self.stop_button: stop}
        focused = (self.window() or self).focusWidget()
        moves = focused is self or any(
            focused is button and not enabled for button, enabled in buttons.items()
        )
        if moves:
            self.setFocus()
        for button, enabled in buttons.items():
            button.setEnabled(enabled)
            if moves and enabled:
                button.setFocus()


def text_label(*, selectable: bool = False) -> QLabel:
    """Return a label with word wrap for plain text, which may be selected to copy it."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)  # layer names may look like markup
    if selectable:
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def collapsible(title: str) -> QCollapsible:
    """Return a collapsed section without margins."""
    section = _Section(title, expandedIcon=_icon("▾"), collapsedIcon=_icon("▸"))
    section.setDuration(0)
    # Not at most the height without wrapped lines
    section.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
    for part in (section, section.content()):
        if (layout := part.layout()) is not None:
            layout.setContentsMargins(0, 4 * (part is not section), 0, 0)
    # Otherwise the tab key leads to fields that are not seen.
    section.content().hide()
    section.toggled.connect(section.content().setVisible)
    section.toggled.connect(lambda _: section.content().setMaximumHeight(UNLIMITED))
    return section


UNLIMITED = 2**24 - 1  # Qt's QWIDGETSIZE_MAX


class _Section(QCollapsible):
    """As high as its content; superqt knows neither wrapped lines nor parts that appear later."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Leave the height to the layout when a part is resized."""
        return False


def _icon(symbol: str) -> QIcon:
    """Return a symbol as an icon; superqt would draw it in black, also on a dark theme."""
    pixmap = QPixmap(16, 16)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setPen(QColor("#8a8f98"))
    painter.drawText(pixmap.rect(), Qt.AlignmentFlag.AlignCenter, symbol)
    painter.end()
    return QIcon(pixmap)


WARNING_SIGN = "⚠"
# Warning colour of napari's themes, the same for dark and light.
WARNING_COLOUR = "rgb(227, 182, 23)"


class WarningBox(QFrame):
    """A warning sign and text; hidden while there is no text.

    Parameters
    ----------
    parent : QWidget, optional

    Attributes
    ----------
    text : QLabel
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("warnings")
        self.setStyleSheet(
            f"#warnings {{ border: 1px solid {WARNING_COLOUR};"
            f" border-left: 4px solid {WARNING_COLOUR};"
            " border-radius: 3px; }"
        )
        self.sign = QLabel(WARNING_SIGN)
        self.sign.setStyleSheet(f"color: {WARNING_COLOUR}; font-size: 16pt;")
        self.text = text_label(selectable=True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(6)
        layout.addWidget(self.sign, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.text, 1)
        self.setVisible(False)

    def show_lines(self, lines: Sequence[str]) -> None:
        """Show each sentence on its own line."""
        self.text.setText("\n".join(line[:1].upper() + line[1:] for line in lines))
        self.setVisible(bool(lines))


class CopyButton(QPushButton):
    """Copies a script to the clipboard, and reports it in the panel.

    Parameters
    ----------
    script : callable
        Returns the script; may raise ValueError.
    panel : RunPanel
        Shows the outcome.
    tooltip : str
    """

    def __init__(
        self,
        script: Callable[[], str],
        panel: RunPanel,
        tooltip: str,
    ) -> None:
        super().__init__("Copy as Python")
        self.setToolTip(tooltip)
        self._script, self._panel = script, panel
        self.clicked.connect(self._copy)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        assert clipboard is not None  # a widget needs a running application
        try:
            clipboard.setText(self._script())
        except ValueError as error:
            self._panel.show_message(str(error))
        else:
            self._panel.end("The script is on the clipboard.")
