"""The form of the layers and the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
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
from napari_lowdose.widgets.noise2noise.source import engine_for
from napari_lowdose.widgets.run_panel import collapsible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magicgui.widgets import ComboBox
    from napari.layers import Image

    from napari_lowdose.movie_pairs import PairsOf
    from napari_lowdose.noise2noise.pair_source import PairSource
    from napari_lowdose.pairs.view_map import Matrix
    from napari_lowdose.widgets.noise2noise.pair_card import PairCard
    from napari_lowdose.widgets.noise2noise.source import SourceName

PAIRS: dict[str, PairsOf] = {
    "each frame and the next": "neighbours",
    "even against odd frames": "even-odd",
}
NOISES = {"counts": "counts", "estimated": "estimate", "known": "known"}
LARGEST_LEVEL = 1e9  # grey levels
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
    """The layers and the parameters of a training; only the fields that the source needs.

    Parameters
    ----------
    layers : iterable of Layer
        Source of the image layers; read again at every `reset_choices`.
    card : PairCard
        Shown below the choice of layers.
    """

    def __init__(self, layers: Iterable[Any], card: PairCard) -> None:
        super().__init__()
        self._affine: Matrix | None = None
        self.first_combo, self.second_combo = layer_combo(layers), layer_combo(layers)
        self.only_combo = layer_combo(layers)
        self.pairs = choice(PAIRS)
        self.noise = choice(NOISES)
        self.gain, self.read_noise = _grey_levels(1, 0), _grey_levels(0, 0)
        self.offset = _grey_levels(0, -LARGEST_LEVEL)
        self.split_button = QPushButton("Find the two views …")
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
        self.add("layer", self.only_combo.native, "The image layer to train on.")
        self.add(
            "pairs",
            self.pairs,
            "<qt><b>each frame and the next</b>: the most pairs. <b>even against odd frames</b>: "
            "half of them, where every frame has one partner. Black and repeated frames are left "
            "out.</qt>",
        )
        self.add(
            "noise",
            self.noise,
            "<qt><b>counts</b>: pixels are numbers of electrons or photons. <b>estimated</b>: "
            "grey levels, whose gain, offset and read noise are estimated from the image; their "
            "division is approximate. <b>known</b>: grey levels of a camera that is calibrated."
            "</qt>",
        )
        self.add("gain", self.gain, "Grey levels per electron or photon.")
        self.add("offset", self.offset, "Grey level without any light or electrons.")
        self.add("read noise", self.read_noise, "Its standard deviation, grey levels.")
        self._layout.addRow(self.split_button)
        self.split_button.setToolTip(
            "<qt>Open <i>Split camera frame</i>. Its button <i>Split</i> chooses both views "
            "here.</qt>"
        )
        self._layout.addRow(card)
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
        column = QVBoxLayout(also)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.with_disagreement)
        column.addWidget(self.with_residual)
        self._advanced_form.add("also add", also, "Hidden layers to add at the end.")
        self.show_source("pair", False)

    @property
    def combos(self) -> tuple[ComboBox, ComboBox, ComboBox]:
        """The choices of layers: of a pair, and of a single layer."""
        return self.first_combo, self.second_combo, self.only_combo

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
    def only(self) -> Image | None:
        """The chosen layer of a source that is one layer."""
        chosen: Image | None = self.only_combo.value
        return chosen

    @property
    def all_frames(self) -> bool:
        """Whether to denoise every pair of a stack."""
        return bool(self.frames.currentData())

    def engine(self, source: SourceName) -> Noise2Noise | PairSource:
        """Return the engine for a source, with the parameters of the form.

        Raises
        ------
        ValueError
            If the parameters are invalid.
        """
        pairs = self.pairs.currentData()
        return engine_for(source, self.parameters(), pairs, self.noise_of_image)

    @property
    def noise_of_image(self) -> PoissonGaussian | Literal["estimate"] | None:
        """The noise of a counted image; None for counts."""
        chosen = self.noise.currentData()
        if chosen == "known":
            return PoissonGaussian(self.gain.value(), self.offset.value(), self.read_noise.value())
        return "estimate" if chosen == "estimate" else None

    def show_noise(self, noise: PoissonGaussian) -> None:
        """Fill in the numbers of an estimate, to start from."""
        for field, value in (
            (self.gain, noise.gain),
            (self.offset, noise.offset),
            (self.read_noise, noise.read_noise),
        ):
            field.setValue(value)

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
            fallback=self.fallback.isChecked(),
            outliers=self.outliers.currentData(),
            device=self.device.currentText().strip() or "auto",
            seed=self.seed.value(),
            learning_rate=self.learning_rate.number(),
            shift=self.shift.value,
            # A single frame has no neighbours to be denoised with
            context=self.context.value() if self._has_context and self.all_frames else 0,
            affine=self.affine,
        )

    def recall(self, engine: Noise2Noise) -> None:
        """Restore the settings of a training; the pair and its shift stay as they are."""
        self.preset.setCurrentIndex(self.preset.findData(engine.preset))
        if engine.epochs is not None:
            self.stop.choose("epochs", engine.epochs)
        elif engine.time_budget is not None:
            self.stop.choose("time", engine.time_budget)
        else:
            self.stop.choose("quality")
        self.every.setValue(engine.every)
        self.use.setCurrentIndex(self.use.findData(engine.use))
        self.normalise.setChecked(engine.normalise)
        self.fallback.setChecked(engine.fallback)
        self.outliers.setCurrentIndex(self.outliers.findData(engine.outliers))
        self.device.setCurrentText(engine.device)
        self.seed.setValue(engine.seed)
        for field, value in (
            (self.batch_size, engine.batch_size),
            (self.crop_size, engine.crop_size),
            (self.width_field, engine.width),
            (self.learning_rate, engine.learning_rate),
        ):
            field.setValue(value or 0)

    @property
    def affine(self) -> Matrix | None:
        """Affine map from the first exposure to the second; None if it is a shift."""
        return self._affine

    @affine.setter
    def affine(self, affine: Matrix | None) -> None:
        self._affine = affine
        self.shift.setEnabled(affine is None)
        self.shift.setToolTip(self._shift_help if affine is None else AFFINE_HELP)

    def show_source(self, source: SourceName, stack: bool) -> None:
        """Show the fields that a source needs; `stack` for a stack of frames."""
        pair, movie, counted = (source == each for each in ("pair", "movie", "counted"))
        trains = source != "split"
        known = counted and self.noise.currentData() == "known"
        name = self._layout.labelForField(self.only_combo.native)
        if isinstance(name, QLabel):
            name.setText({"movie": "movie", "counted": "image"}.get(source, "frame"))
        for field, shown in (
            (self.first_combo.native, pair),
            (self.second_combo.native, pair),
            (self.only_combo.native, not pair),
            (self.pairs, movie),
            (self.noise, counted),
            *((field, known) for field in (self.gain, self.offset, self.read_noise)),
            (self.split_button, not trains),
            (self.every, stack and (pair or movie)),
            (self.frames, stack and trains),
            (self.preset, trains),
            (self.stop, trains),
            (self.advanced, trains),
        ):
            self.show_field(field, shown)
        self.with_disagreement.setVisible(not movie)  # a frame by itself has nothing to compare
        self._advanced_form.show_field(self.use, pair)
        self._advanced_form.show_field(self.shift, pair)
        self._advanced_form.show_field(self.normalise, not counted)
        # The partner of a frame of one movie is its neighbour: a network would see its own target
        self._has_context = stack and (pair or counted)
        self._show_context()

    def _show_context(self, event: Any = None) -> None:
        self._advanced_form.show_field(self.context, self._has_context and self.all_frames)

    def _add_advanced(self, help_on: dict[str, str]) -> None:
        self.use = choice({"both exposures": "both", "the first only": "first"})
        self.normalise = QCheckBox("0 to 1, as in the paper")
        self.fallback = QCheckBox("REUCID if better")
        self.fallback.setChecked(True)
        self.outliers = choice({"remove": "remove", "keep": "keep"})
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
        form.add("fallback", self.fallback, help_on["fallback"])
        form.add("outliers", self.outliers, help_on["outliers"])
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


def _grey_levels(value: float, lowest: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setDecimals(3)
    box.setRange(lowest, LARGEST_LEVEL)
    box.setValue(value)
    box.setKeyboardTracking(False)  # no check for half-typed numbers
    return box
