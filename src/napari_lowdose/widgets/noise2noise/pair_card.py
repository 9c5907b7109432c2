"""The card with the findings on the chosen layers."""

from __future__ import annotations

import itertools
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import (  # type: ignore[attr-defined]
    Qt,
    Signal,
)
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout

from napari_lowdose.widgets.words import as_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lowdose.noise2noise.pair_checks import PairNote

SYMBOLS = {"refuse": "✕", "warn": "⚠", "note": "·", "good": "✓"}
COLOURS = {"refuse": "#e05252", "warn": "#e0a030", "note": "#8a8f98", "good": "#2fbf71"}
# By `PairNote.harm`; remarks need no heading
HARMS = ("Prevents the training", "Makes the result wrong", "Costs quality", "")
NO_PROBLEMS = "No problems found."

# Warnings about properties of the exposures, which do not prevent a training that was started
# by a right-click.  Others, such as a shift, can be corrected first.
ACCEPTABLE_WARNINGS = ("pixels", "moved", "lines", "common noise", "correlated noise")


class PairCard(QFrame):
    """The findings on the chosen layers, in the order of harm."""

    register_requested = Signal()
    """The user wants to register the pair."""
    reucid_requested = Signal()
    """The user wants to denoise the image by REUCID instead."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self.setStyleSheet("#card { border: 1px solid palette(mid); border-radius: 4px; }")
        self.notes: tuple[PairNote, ...] = ()
        self.findings = _rich_text_label("")
        self.findings.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.register_button = QPushButton("Register")
        self.register_button.setToolTip(
            "<qt>Make new layers, cropped at whole pixels to the common area, and choose them. "
            "The training accounts for the remaining fraction of a pixel; noisy pixels are never "
            "interpolated.</qt>"
        )
        self.register_button.clicked.connect(self.register_requested)
        self.fill_button = QPushButton()
        self.reucid_button = QPushButton("Use REUCID")
        self.reucid_button.setToolTip(
            "Choose this layer in the widget 'Denoise one image (REUCID)'."
        )
        self.reucid_button.clicked.connect(self.reucid_requested)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self.findings)
        layout.addWidget(self.register_button)
        layout.addWidget(self.fill_button)
        layout.addWidget(self.reucid_button)
        self.show_sentence("")

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

    def show_sentence(self, text: str, level: str = "note", reucid: bool = False) -> None:
        """Show a sentence; with `reucid`, the button that opens the one of REUCID."""
        self.notes = ()
        self._show([_table([(level, text)])] if text else [], reucid)

    def show_notes(self, notes: Sequence[PairNote], reucid: bool = False) -> None:
        """Show the findings of the checks, the most harmful first."""
        self.notes = tuple(sorted(notes, key=lambda note: note.harm))
        parts = []
        if all(not HARMS[note.harm] for note in self.notes):
            parts.append(_table([("good", NO_PROBLEMS)]))
        for harm, found in itertools.groupby(self.notes, lambda note: note.harm):
            heading = HARMS[harm] and f"<b>{HARMS[harm]}</b>"
            parts.append(heading + _table([(note.level, note.message) for note in found]))
        self._show(parts, reucid)

    def _show(self, parts: Sequence[str], reucid: bool) -> None:
        self.findings.setText("".join(parts))
        self.setVisible(bool(parts))
        self.register_button.setVisible(any(note.shift is not None for note in self.notes))
        self.fill_button.hide()
        self.reucid_button.setVisible(reucid)


def _table(lines: Sequence[tuple[str, str]]) -> str:
    """Return levels and sentences as rows, with a symbol in front of each."""
    rows = [
        f'<tr><td style="color:{COLOURS[level]}">{SYMBOLS[level]}&nbsp;</td>'
        f"<td>{escape(as_sentence(text), quote=False)}</td></tr>"
        for level, text in lines
    ]
    return f"<table>{''.join(rows)}</table>"


def _rich_text_label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    return label
