"""The form for the image layer and the parameters of REUCID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QLabel, QSpinBox, QWidget

from napari_lowdose.reucid import Reucid
from napari_lowdose.reucid.classifier_file import classifier_path
from napari_lowdose.widgets.fields import (
    AutomaticSpinBox,
    ParameterForm,
    PatchSizeField,
    choice,
    frames_choice,
    parameter_tooltips,
    seed_field,
)
from napari_lowdose.widgets.layers import layer_combo
from napari_lowdose.widgets.region import WHERE, WHERE_HELP
from napari_lowdose.widgets.reucid.classifier_field import ClassifierField
from napari_lowdose.widgets.run_panel import collapsible
from napari_lowdose.widgets.settings_in_words import GIB, STRENGTHS
from napari_lowdose.widgets.words import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image

# As in the paper, and enough to see the result build up.
DEFAULT_STACKS = 5
STACKS_HELP = (
    "<qt>Number of patch stacks; the result is shown after each. 1 is the fastest, with "
    "practically the same result. Automatic: as few as fit into memory.</qt>"
)
FRAMES_HELP = (
    "<qt>Denoise the frame in view, or all frames. The frames of a movie share one patch size, "
    "chosen from several of them; each channel has its own. The current frame is denoised with "
    "the same patch size as in a run on all frames.</qt>"
)
CLASSIFIER_HELP = (
    "<qt>Which eigenpatches are structure: the classifier that is included, or a file of one that "
    "was taught on your own images (<i>Plugins &gt; Teach REUCID</i>).</qt>"
)
STRENGTH_HINTS = {
    "faithful": "REUCID of the paper",
    "balanced": "keeps distinct rare sites",
    "strongest": "weakens rare sites",
}
STRENGTH_HELP = (
    "<qt><p><b>faithful</b>: REUCID of the paper. The same filter everywhere in the image, so "
    "that a rare site is treated like all others. Leaves the most noise.</p>"
    "<p><b>balanced</b>: averages patches that look alike, and removes much more noise where "
    "structure repeats. Sites that deviate significantly from their like, such as a vacancy, are "
    "restored as in <i>faithful</i>; fainter ones are weakened. Takes longer than a single stack "
    "of <i>faithful</i>.</p>"
    "<p><b>strongest</b>: as <i>balanced</i>, but restores no deviating sites. Removes the most "
    "noise. A vacancy or dopant can lose half of its contrast.</p></qt>"
)
SCAN_NOISE = {"remove": "remove", "keep": "keep", "remove from columns": "columns"}
MEMORY_HELP = (
    "<qt>Maximum memory, GiB. Automatic: a quarter of the available memory. The less, the more "
    "stacks.</qt>"
)
MOST_EIGENPATCHES = 999


def strength_of(engine: Reucid) -> str:
    """Return the strength in the form that stands for the parameters of an engine.

    Examples
    --------
    >>> strength_of(Reucid(stacks="alike", deviations="average"))
    'strongest'
    """
    return next(
        name
        for name, parameters in STRENGTHS.items()
        if all(getattr(engine, key) == value for key, value in parameters.items())
    )


class ReucidForm(ParameterForm):
    """The image layer and the parameters of a run.

    Parameters
    ----------
    layers : iterable of Layer
        Source of the image layers; read again at every `reset_choices`.
    parent : QWidget, optional

    Attributes
    ----------
    stacks_chosen : bool
        Whether the user has set the number of stacks; otherwise it is a default, which may be
        too large for a small image.
    """

    def __init__(self, layers: Iterable[Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_movie = False
        self.layer_combo = layer_combo(layers)
        self.frames = frames_choice()
        self.where = choice(WHERE)
        self.strength = choice({name: name for name in STRENGTHS})
        self.strength_hint = QLabel()
        self.frames_together = QSpinBox()
        self.frames_together.setRange(1, 99)
        self.patch_size = PatchSizeField()
        self.n_stacks = AutomaticSpinBox(maximum=9999)
        self.memory_limit = AutomaticSpinBox(maximum=4096, step=0.25, decimals=2, unit="GiB")
        self.n_components = QSpinBox()
        self.n_components.setRange(1, MOST_EIGENPATCHES)
        self.scan_noise = choice(SCAN_NOISE)
        self.outliers = choice({"remove": "remove", "keep": "keep"})
        self.classifier = ClassifierField()
        self.seed = seed_field()
        self.with_residual = QCheckBox("add residual layer")
        help_on = parameter_tooltips(Reucid)
        self.add("image", self.layer_combo.native, "The image layer to denoise.")
        self.add("frames", self.frames, FRAMES_HELP)
        self.add("where", self.where, WHERE_HELP)
        self.add("strength", self.strength, STRENGTH_HELP)
        self.add("", self.strength_hint, STRENGTH_HELP)
        self._advanced_form = more = ParameterForm()
        more.add(LABELS["frames_together"], self.frames_together, help_on["frames_together"])
        more.add(LABELS["patch_size"], self.patch_size, help_on["patch_size"])
        more.add(LABELS["n_stacks"], self.n_stacks, STACKS_HELP)
        more.add(LABELS["memory_limit"], self.memory_limit, MEMORY_HELP)
        more.add(LABELS["n_components"], self.n_components, help_on["n_components"])
        more.add(LABELS["scan_noise"], self.scan_noise, help_on["scan_noise"])
        more.add("outliers", self.outliers, help_on["outliers"])
        more.add("classifier", self.classifier, CLASSIFIER_HELP)
        more.add("seed", self.seed, help_on["seed"])
        more.add("", self.with_residual, "Also add a hidden layer of the image minus the result.")
        self.advanced = collapsible("advanced")
        self.advanced.addWidget(more)
        self._layout.addRow(self.advanced)
        self.set_parameters(Reucid())
        self.n_stacks.setValue(DEFAULT_STACKS)
        self.stacks_chosen = False
        self.n_stacks.valueChanged.connect(self._stacks_changed)
        self.strength.currentIndexChanged.connect(self._show_strength)
        self.frames.currentIndexChanged.connect(self._show_frames_together)
        self._show_strength()

    @property
    def layer(self) -> Image | None:
        """The chosen image layer."""
        chosen: Image | None = self.layer_combo.value
        return chosen

    @property
    def all_frames(self) -> bool:
        """Whether to denoise every frame of a stack."""
        return bool(self.frames.currentData())

    def parameters(self) -> Reucid:
        """Return the engine with the parameters of the form.

        Raises
        ------
        ValueError
            If the parameters are invalid.
        """
        parameters = dict(STRENGTHS[self.strength.currentData()])
        if parameters["stacks"] == "random":
            stacks, memory = self.n_stacks.number(), self.memory_limit.number()
            parameters["n_stacks"] = None if stacks is None else int(stacks)
            parameters["memory_limit"] = None if memory is None else int(memory * GIB)
        elif self._is_movie and self.all_frames:
            parameters["frames_together"] = self.frames_together.value()
        return Reucid(
            **parameters,
            patch_size=self.patch_size.value,
            n_components=self.n_components.value(),
            scan_noise=self.scan_noise.currentData(),
            outliers=self.outliers.currentData(),
            classifier=self.classifier.value,
            seed=self.seed.value(),
        )

    def set_parameters(self, engine: Reucid) -> None:
        """Fill in the form from `engine`."""
        self.strength.setCurrentIndex(self.strength.findData(strength_of(engine)))
        self.patch_size.value = engine.patch_size
        if engine.stacks == "random":  # alike stacks do not use these fields
            self.n_stacks.setValue(engine.n_stacks or 0)
            self.memory_limit.setValue((engine.memory_limit or 0) / GIB)
        else:
            self.frames_together.setValue(engine.frames_together)
        self.n_components.setValue(engine.n_components)
        self.scan_noise.setCurrentIndex(self.scan_noise.findData(engine.scan_noise))
        self.outliers.setCurrentIndex(self.outliers.findData(engine.outliers))
        self.classifier.value = classifier_path(engine.classifier)
        self.seed.setValue(engine.seed)

    def recall(self, engine: Reucid, stacks_chosen: bool, all_frames: bool, residual: bool) -> None:
        """Restore the form as it was at the start of a run."""
        self.set_parameters(engine)
        self.stacks_chosen = stacks_chosen
        self.frames.setCurrentIndex(self.frames.findData(all_frames))
        self.with_residual.setChecked(residual)

    def show_frames(self, shown: bool, movie: bool = True) -> None:
        """Show or hide the choice of frames, and for a movie that of frames together."""
        self.show_field(self.frames, shown)
        self._is_movie = shown and movie
        self._show_frames_together()

    def _show_strength(self, event: Any = None) -> None:
        """Show the hint, and the fields that only stacks of random patches use."""
        strength = self.strength.currentData()
        self.strength_hint.setText(STRENGTH_HINTS[strength])
        random = STRENGTHS[strength]["stacks"] == "random"
        self._advanced_form.show_field(self.n_stacks, random)
        self._advanced_form.show_field(self.memory_limit, random)
        self._show_frames_together()

    def _show_frames_together(self, event: Any = None) -> None:
        """Show the number of frames together for a movie that is denoised by alike stacks."""
        alike = STRENGTHS[self.strength.currentData()]["stacks"] == "alike"
        self._advanced_form.show_field(
            self.frames_together, self._is_movie and self.all_frames and alike
        )

    def _stacks_changed(self, value: float) -> None:
        self.stacks_chosen = True
