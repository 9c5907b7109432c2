"""The card that explains what a pair is, and lists the findings on the chosen one."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import (  # type: ignore[attr-defined]
    Qt,
    Signal,
)
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lowdose.noise2noise.pair_checks import PairNote

PAIR_EXPLANATION = (
    "<b>Two exposures of the same scene, in the same place, each with its own noise</b>: two "
    "frames, two scans, or the two views of a beamsplitter."
)
SYMBOLS = {"refuse": "✕", "warn": "⚠", "note": "·", "good": "✓"}
COLOURS = {"refuse": "#e05252", "warn": "#e0a030", "note": "#8a8f98", "good": "#2fbf71"}

# Warnings about properties of the exposures, which do not prevent a training that was started
# by a right-click.  Others, such as a shift, can be corrected first.
ACCEPTABLE_WARNINGS = ("pixels", "moved", "common noise", "correlated noise")


class PairCard(QFrame):
    """An explanation of pairs, with the findings below.

    Parameters
    ----------
    parent : QWidget, optional
    """

    register_requested = Signal()
    """The user wants to register the pair."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.setStyleSheet("#card { border: 1px solid palette(mid); border-radius: 4px; }")
        self.notes: tuple[PairNote, ...] = ()
        self._what = _rich_text_label(PAIR_EXPLANATION)
        self.findings = _rich_text_label("")
        self.findings.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.register_button = QPushButton("Register")
        self.register_button.setToolTip(
            "<qt>Make two new layers, cropped at whole pixels to the common area, and choose them. "
            "The training accounts for the remaining fraction of a pixel; noisy pixels are never "
            "interpolated.</qt>"
        )
        self.register_button.clicked.connect(self.register_requested)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self._what)
        layout.addWidget(self.findings)
        layout.addWidget(self.register_button)
        self.show_findings("")

    @property
    def refusal(self) -> str:
        """Why no network can be trained on this pair; empty if nothing is known against it."""
        return next((note.message for note in self.notes if note.level == "refuse"), "")

    @property
    def first_problem(self) -> str:
        """The first finding that needs a decision before a training; empty if there is none."""
        return next(
            (
                note.message
                for note in self.notes
                if note.level == "refuse"
                or (note.level == "warn" and note.kind not in ACCEPTABLE_WARNINGS)
            ),
            "",
        )

    def show_findings(self, text: str, level: str = "note", notes: Sequence[PairNote] = ()) -> None:
        """Show a sentence, with the findings of the checks below."""
        self.notes = tuple(notes)
        lines = [(level, text)] if text else []
        self._show(lines + [(note.level, note.message) for note in self.notes])

    def _show(self, lines: list[tuple[str, str]]) -> None:
        rows = [
            f'<tr><td style="color:{COLOURS[level]}">{SYMBOLS[level]}&nbsp;</td>'
            f"<td>{escape(text[:1].upper() + text[1:], quote=False)}</td></tr>"
            for level, text in lines
        ]
        self.findings.setText(f"<table>{''.join(rows)}</table>" if rows else "")
        self.findings.setVisible(bool(rows))
        self.register_button.setVisible(any(note.kind == "shift" for note in self.notes))


def _rich_text_label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    return label
