"""The card that says what a pair must be, and what was found out about the chosen one."""

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

WHAT_A_PAIR_IS = (
    "<b>Two exposures of the same scene, in the same place, each with its own noise</b>: two "
    "frames, two scans, or the two views of a beamsplitter."
)
SIGNS = {"refuse": "✕", "warn": "⚠", "note": "·", "good": "✓"}
COLOURS = {"refuse": "#e05252", "warn": "#e0a030", "note": "#8a8f98", "good": "#2fbf71"}

# Warnings of what the exposures are like.  Others, such as a shift, are mended first.
BEARABLE = ("pixels", "moved", "common noise", "correlated noise")


class PairCard(QFrame):
    """Plain words on pairs, and below them the findings.

    Parameters
    ----------
    parent : QWidget, optional
    """

    register_asked = Signal()
    """The person wants the two brought into register."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.setStyleSheet("#card { border: 1px solid palette(mid); border-radius: 4px; }")
        self.notes: tuple[PairNote, ...] = ()
        self._what = _words(WHAT_A_PAIR_IS)
        self.findings = _words("")
        self.findings.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.register_button = QPushButton("Register")
        self.register_button.setToolTip(
            "<qt>Make two new layers, cut at whole pixels to what both show, and choose them. What "
            "is left of the shift, a fraction of a pixel, is respected in the training; no noisy "
            "pixel is interpolated.</qt>"
        )
        self.register_button.clicked.connect(self.register_asked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self._what)
        layout.addWidget(self.findings)
        layout.addWidget(self.register_button)
        self.say("")

    @property
    def refusal(self) -> str:
        """Why no network can be trained on this pair; empty if one can, as far as is known."""
        return next((note.message for note in self.notes if note.level == "refuse"), "")

    @property
    def objection(self) -> str:
        """What a person is to decide before a training; empty if there is nothing of the kind."""
        return next(
            (
                note.message
                for note in self.notes
                if note.level == "refuse" or (note.level == "warn" and note.kind not in BEARABLE)
            ),
            "",
        )

    def say(self, text: str, level: str = "note", notes: Sequence[PairNote] = ()) -> None:
        """Show one sentence, and below it what the checks found."""
        self.notes = tuple(notes)
        said = [(level, text)] if text else []
        self._show(said + [(note.level, note.message) for note in self.notes])

    def _show(self, lines: list[tuple[str, str]]) -> None:
        rows = [
            f'<tr><td style="color:{COLOURS[level]}">{SIGNS[level]}&nbsp;</td>'
            f"<td>{escape(text[:1].upper() + text[1:], quote=False)}</td></tr>"
            for level, text in lines
        ]
        self.findings.setText(f"<table>{''.join(rows)}</table>" if rows else "")
        self.findings.setVisible(bool(rows))
        self.register_button.setVisible(any(note.kind == "shift" for note in self.notes))


def _words(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    return label
