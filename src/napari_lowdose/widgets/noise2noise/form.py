"""The form of the pair and its training, and the card with the findings on the pair."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    Qt,
    Signal,
)
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_lowdose.noise2noise import Noise2Noise
from napari_lowdose.noise2noise.noise2noise import MOST_CONTEXT
from napari_lowdose.widgets.fields import (
    AutomaticSpinBox,
    ParameterForm,
    ShiftField,
    StopField,
    choice,
    frames_choice,
    parameter_tooltips,
    seed_field,
)
from napari_lowdose.widgets.layers import layer_combo
from napari_lowdose.widgets.run_panel import collapsible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Image

    from napari_lowdose.noise2noise.pair_checks import PairNote
    from napari_lowdose.pairs.view_map import Matrix

STOP_HELP = (
    "<qt><b>quality</b>: when the loss on held-out tiles no longer falls. <b>time</b>: after a "
    "number of seconds. <b>epochs</b>: after a number of passes over the pair. Stop ends the "
    "training at any time and keeps the best network so far.</qt>"
)

AFFINE_HELP = (
    "<qt>The two views are rotated or magnified against each other, as measured when the frame was "
    "split. The training uses this map; the shift is that at the centre.</qt>"
)


class Noise2NoiseForm(ParameterForm):
    """The pair of layers and the parameters of a training.

    Parameters
    ----------
    layers : iterable of Layer
        Source of the image layers; read again at every `reset_choices`.
    parent : QWidget, optional
    """

    def __init__(self, layers: Iterable[Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._affine: Matrix | None = None
        self.first_combo, self.second_combo = layer_combo(layers), layer_combo(layers)
        self.preset = choice({"automatic": "auto", "fast": "fast", "paper": "paper"})
        self.stop = StopField()
        self.every = QSpinBox()
        self.every.setRange(1, 10**6)
        self.every.setSpecialValueText("every pair")
        self.every.setPrefix("every ")
        self.every.setSuffix(". pair")
        self.frames = frames_choice()
        self.frames.setCurrentIndex(1)
        self.with_disagreement = QCheckBox("disagreement")
        self.with_residual = QCheckBox("residual")
        help_on = parameter_tooltips(Noise2Noise)
        self.add("first", self.first_combo.native, "The image layer of the first exposure.")
        self.add("second", self.second_combo.native, "The image layer of the second exposure.")
        self.add("train on", self.every, help_on["every"])
        self.add("denoise", self.frames, "Denoise the pair in view, or all pairs of the stack.")
        self.add("preset", self.preset, help_on["preset"])
        self.add("stop by", self.stop, STOP_HELP)
        self._has_context = False
        self._add_advanced(help_on)
        self.frames.currentIndexChanged.connect(self._show_context)
        self.with_disagreement.setToolTip(
            "<qt>A hidden layer |R(I′) − R(I″)| / 2: where it is large, the two exposures "
            "disagree, and the result is unreliable.</qt>"
        )
        self.with_residual.setToolTip("A hidden layer with the first exposure minus the result.")
        also = QWidget()
        row = QHBoxLayout(also)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.with_disagreement)
        row.addWidget(self.with_residual)
        self.add("also add", also, "Hidden layers to add at the end.")
        self.show_stack(False, False)

    @property
    def first(self) -> Image | None:
        """The chosen layer of the first exposure."""
        chosen: Image | None = self.first_combo.value
        return chosen

    @property
    def second(self) -> Image | None:
        """The chosen layer of the second exposure."""
        chosen: Image | None = self.second_combo.value
        return chosen

    @property
    def all_frames(self) -> bool:
        """Whether to denoise every pair of a stack."""
        return bool(self.frames.currentData())

    def parameters(self) -> Noise2Noise:
        """Return the engine with the parameters of the form.

        Raises
        ------
        ValueError
            If the parameters are invalid.
        """
        whole: dict[str, Any] = {
            name: None if (number := field.number()) is None else int(number)
            for name, field in (
                ("batch_size", self.batch_size),
                ("crop_size", self.crop_size),
                ("width", self.width_field),
            )
        }
        return Noise2Noise(
            preset=self.preset.currentData(),
            **self.stop.value,
            **whole,
            every=self.every.value(),
            use=self.use.currentData(),
            normalise=self.normalise.isChecked(),
            device=self.device.currentText().strip() or "auto",
            seed=self.seed.value(),
            learning_rate=self.learning_rate.number(),
            shift=self.shift.value,
            # A single frame has no neighbours to be denoised with
            context=self.context.value() if self._has_context and self.all_frames else 0,
            affine=self.affine,
        )

    @property
    def affine(self) -> Matrix | None:
        """Affine map from the first exposure to the second; None if it is a shift."""
        return self._affine

    @affine.setter
    def affine(self, affine: Matrix | None) -> None:
        self._affine = affine
        self.shift.setEnabled(affine is None)
        self.shift.setToolTip(self._shift_help if affine is None else AFFINE_HELP)

    def show_stack(self, stack: bool, neighbours: bool) -> None:
        """Show the fields for stacks; with `neighbours`, frames of one stack are the pairs."""
        self.show_field(self.every, stack)
        self.show_field(self.frames, stack)
        self._advanced_form.show_field(self.use, not neighbours)
        self._has_context = stack and not neighbours
        self._show_context()

    def _show_context(self, event: Any = None) -> None:
        # Neighbouring frames of one movie are the pairs: a network would see its own target
        self._advanced_form.show_field(self.context, self._has_context and self.all_frames)

    def _add_advanced(self, help_on: dict[str, str]) -> None:
        self.use = choice({"both exposures": "both", "the first only": "first"})
        self.normalise = QCheckBox("0 to 1, as in the paper")
        self.shift = ShiftField()
        self.batch_size = AutomaticSpinBox(maximum=4096)
        self.crop_size = AutomaticSpinBox(maximum=8192, unit="px")
        self.width_field = AutomaticSpinBox(maximum=1024)
        self.learning_rate = AutomaticSpinBox(maximum=1, step=1e-4, decimals=4)
        self.device = QComboBox()
        self.device.setEditable(True)  # cuda:1
        self.device.addItems(["auto", "cpu", "cuda", "mps"])
        self.seed = seed_field()
        self.context = QSpinBox()
        self.context.setRange(0, MOST_CONTEXT)
        self.context.setSpecialValueText("the frame alone")
        self.context.setSuffix(" before and after")
        self._advanced_form = form = ParameterForm()
        form.add("result from", self.use, help_on["use"])
        form.add("intensities", self.normalise, help_on["normalise"])
        form.add("shift", self.shift, help_on["shift"])
        self._shift_help = self.shift.toolTip()
        form.add("batch size", self.batch_size, help_on["batch_size"])
        form.add("crop size", self.crop_size, help_on["crop_size"])
        form.add("network width", self.width_field, help_on["width"])
        form.add("learning rate", self.learning_rate, help_on["learning_rate"])
        form.add("device", self.device, help_on["device"])
        form.add("seed", self.seed, help_on["seed"])
        form.add("context", self.context, help_on["context"])
        self.advanced = collapsible("advanced")
        self.advanced.addWidget(form)
        self._layout.addRow(self.advanced)


PAIR_EXPLANATION = (
    "<b>Two exposures of the same scene, in the same place, each with its own noise</b>: two "
    "frames, two scans, or the two views of a beamsplitter."
)
SYMBOLS = {"refuse": "✕", "warn": "⚠", "note": "·", "good": "✓"}
COLOURS = {"refuse": "#e05252", "warn": "#e0a030", "note": "#8a8f98", "good": "#2fbf71"}

# Warnings about properties of the exposures, which do not prevent a training that was started
# by a right-click.  Others, such as a shift, can be corrected first.
ACCEPTABLE_WARNINGS = ("pixels", "moved", "lines", "common noise", "correlated noise")


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
        self.register_button.setVisible(any(note.shift is not None for note in self.notes))


def _rich_text_label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    return label
