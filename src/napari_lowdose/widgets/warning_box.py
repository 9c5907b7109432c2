"""Sentences that are not to be overlooked: set apart by colour and a sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

SIGN = "⚠"
# The warning colour of napari's themes, which is one for dark and light; the words keep the
# colour of all words, and can be read on either.
COLOUR = "rgb(227, 182, 23)"


class WarningBox(QFrame):
    """A sign, and sentences; invisible as long as there is nothing to say.

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
            f"#warnings {{ border: 1px solid {COLOUR}; border-left: 4px solid {COLOUR};"
            " border-radius: 3px; }"
        )
        self.sign = QLabel(SIGN)
        self.sign.setStyleSheet(f"color: {COLOUR}; font-size: 16pt;")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)  # layer names may look like markup
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(6)
        layout.addWidget(self.sign, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.text, 1)
        self.setVisible(False)

    def show_lines(self, lines: Sequence[str]) -> None:
        """Show sentences, each as a line of its own."""
        self.text.setText("\n".join(line[:1].upper() + line[1:] for line in lines))
        self.setVisible(bool(lines))
