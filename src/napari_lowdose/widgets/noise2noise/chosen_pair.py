"""The layers to train on: choice, checks, and registration."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QObject,
    Signal,
)

from napari_lowdose.noise2noise.noise_checks import PairNote
from napari_lowdose.widgets.filled_layer import FillIn
from napari_lowdose.widgets.layers import (
    axis_names,
    channel_axis,
    frame_in_view,
    known_affine,
    known_shift,
    pair_error,
    raw_error,
    remember_shift,
    suggested_layer,
    suggested_pair,
)
from napari_lowdose.widgets.noise2noise.pair_check import (
    NOT_COUNTS,
    REGISTERED,
    PairCheckStep,
    add_registered,
    add_registered_movie,
    counted_check_steps,
    movie_check_steps,
    pair_check_steps,
    register_stack_steps,
    register_steps,
)
from napari_lowdose.widgets.noise2noise.source import is_movie, suggested_source
from napari_lowdose.widgets.result_layer import is_result, layer_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari.viewer

    from napari_lowdose.engine import Step
    from napari_lowdose.noise2noise import Noise2Noise
    from napari_lowdose.noise2noise.pair_source import PairSource
    from napari_lowdose.widgets.jobs import Job, JobRunner
    from napari_lowdose.widgets.noise2noise.form import Noise2NoiseForm
    from napari_lowdose.widgets.noise2noise.pair_card import PairCard
    from napari_lowdose.widgets.noise2noise.source import SourceChoice, SourceName

Layers = tuple[Image | None, Image | None]

NO_SECOND = (
    "Open the second exposure as well, or choose above what else you have. One image alone can be "
    "denoised by REUCID."
)
NO_MOVIE = "is one image, not a movie: choose above what else you have."
SPLIT_FIRST = "Split the frame first: its two views are then chosen here."


class ChosenPair(QObject):
    """What to train on, which is checked whenever it changes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    choice : SourceChoice
        What the user has.
    form : Noise2NoiseForm
    card : PairCard
        Shows the findings.
    runner : JobRunner
        Runs the check as soon as it is idle.
    parent : QObject

    Attributes
    ----------
    layers : (Image or None, Image or None)
        The two layers of a pair, or twice the layer of another source.
    running : bool
        Whether a run is in progress: the choice of layers is then kept.
    exposures : mapping from str to float
        Statistics of the first exposure from `about_exposures`; empty until they are known.
    """

    chosen = Signal()
    """The user has chosen other layers."""
    outdated = Signal()
    """What was said about the layers may no longer hold."""
    changed = Signal()
    """The findings have changed, or are not known yet."""
    checked = Signal()
    """The layers have been checked."""
    registered = Signal()
    """The layers have been registered, and the new ones chosen."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        choice: SourceChoice,
        form: Noise2NoiseForm,
        card: PairCard,
        runner: JobRunner,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.choice, self.form = viewer, choice, form
        self.card, self.runner = card, runner
        self.layers: Layers = (None, None)
        self.running = False
        self.exposures: dict[str, float] = {}
        self._by_hand = False
        self._check_due = False
        self._source: SourceName = choice.value  # of `layers`
        self._no_counts: tuple[Any, Any] = (None, None)  # a layer, and its data
        choice.chosen.connect(self._source_chosen)
        for combo in form.combos:
            combo.changed.connect(self._chosen)
            combo.native.activated.connect(self._chosen_by_hand)
        form.shift.dy.valueChanged.connect(self.data_changed)
        form.shift.dx.valueChanged.connect(self.data_changed)
        form.pairs.currentIndexChanged.connect(self.data_changed)
        form.noise.currentIndexChanged.connect(self.data_changed)
        for field in (form.gain, form.offset, form.read_noise):
            field.valueChanged.connect(self._noise_changed)
        card.register_requested.connect(self.register)
        self.fill_in = FillIn(viewer.layers, runner, card.fill_button, lambda: self.running)
        runner.finished.connect(self.check)

    @property
    def source(self) -> SourceName:
        """What the layers are."""
        return self.choice.value

    @property
    def sources(self) -> tuple[Image | None, ...]:
        """The layers, each once."""
        return self.layers if self.source == "pair" else self.layers[:1]

    # ------------------------------------------------------------ which layers

    def reset_choices(self) -> None:
        """Update the choices of image layers."""
        for combo in self.form.combos:
            with combo.changed.blocked():  # a combo box whose layer is gone takes another one
                combo.reset_choices()
        if self.running:
            return
        first, second = self.layers
        if first not in self.viewer.layers or second not in self.viewer.layers:
            self._by_hand = False
        if not self._by_hand:
            self._suggest()
        elif self.source == "pair" and first is second:
            self._fill_in(*suggested_pair(self.viewer.layers))
        self._update_layers()

    def choose(self, first: Image, second: Image) -> None:
        """Choose two layers as the pair, or one movie given twice."""
        self.choice.choose("movie" if first is second and is_movie(first) else "pair")
        self._fill_in(first, second)
        self._by_hand = True
        self._chosen()
        if self.source == "pair":  # it may have been measured since
            self._fill_in_shift(first, second)

    def selection_changed(self, event: Any = None) -> None:
        """Choose the two images that are selected in the layer list, if there are two."""
        selected = self.viewer.layers.selection
        chosen = [each for each in self.viewer.layers if each in selected]
        images = [each for each in chosen if isinstance(each, Image)]
        if len(images) != 2 or any(map(is_result, images)) or self.running:
            return
        if self.source == "pair" or not self._by_hand:
            self.choose(*images)

    def _suggest(self) -> None:
        """Choose what the layers seem to be."""
        source, first, second = suggested_source(self.viewer.layers)
        known, data = self._no_counts
        if source == "counted" and first is known and first is not None and first.data is data:
            source = "pair"
        self.choice.choose(source)
        self._fill_in(first, second)

    def _fill_in(self, first: Image | None, second: Image | None) -> None:
        """Choose layers in the form, without a signal."""
        pair = self.source == "pair"
        combos = self.form.combos[:2] if pair else self.form.combos[2:]
        for combo, layer in zip(combos, (first, second), strict=False):
            if layer is not None and layer in combo.choices:
                with combo.changed.blocked():
                    combo.value = layer

    def _source_chosen(self) -> None:
        """Choose the layers that suit what the user has."""
        self._by_hand = True
        layers = self.viewer.layers
        if self.source == "pair":
            if self.form.first is self.form.second:
                self._fill_in(*suggested_pair(layers))
        else:
            seen = [each for each in reversed(layers) if isinstance(each, Image) and each.visible]
            likely = [suggested_layer(layers), self.form.only, *seen]
            suits = is_movie if self.source == "movie" else bool
            best = next((each for each in likely if each is not None and suits(each)), None)
            self._fill_in(best, best)
        self._chosen()

    def _chosen_by_hand(self, event: Any = None) -> None:
        self._by_hand = True

    def _chosen(self, event: Any = None) -> None:
        if self._update_layers():
            self.chosen.emit()

    def _update_layers(self) -> bool:
        """Use the layers of the form; return whether they have changed."""
        pair: Layers = self.form.first, self.form.second
        if self.source != "pair":
            pair = self.form.only, self.form.only
        same = pair[0] is self.layers[0] and pair[1] is self.layers[1]
        if same and self._source == self.source:
            return False
        self.disconnect_layers()
        # A set: one layer must not be connected twice.
        for layer in {each for each in pair if each is not None}:
            layer.events.data.connect(self.data_changed)
        self.layers, self._source = pair, self.source
        if self.source == "pair" and pair[0] is not None and pair[1] is not None:
            self._fill_in_shift(pair[0], pair[1])
        self.data_changed()
        return True

    def _fill_in_shift(self, first: Image, second: Image) -> None:
        self.form.affine = known_affine(first, second)
        self.form.shift.value = known_shift(first, second)

    def disconnect_layers(self) -> None:
        """Disconnect from the layers."""
        for layer in {each for each in self.layers if each is not None}:
            layer.events.data.disconnect(self.data_changed)

    # --------------------------------------------------------------- its pixels

    def data_changed(self, event: Any = None) -> None:
        """Discard the findings, and check again."""
        self.form.show_source(self.source, self.is_stack())
        self._check_due = True
        self.exposures = {}
        if reason := self.layer_error():
            expected = self.source == "split" or self.layers[0] is None
            level = "note" if expected else "refuse"
            self.card.show_sentence(reason, level, reucid=reason == NO_SECOND)
        elif not self.running:
            self.card.show_sentence("checking …")
        self.outdated.emit()
        self.changed.emit()

    def _noise_changed(self) -> None:
        if self.form.noise.currentData() == "known":
            self.data_changed()

    def layer_error(self) -> str:
        """Return why no network can be trained on these layers, judged without reading them."""
        first, second = self.layers
        if self.source == "pair":
            images = [each for each in self.viewer.layers if isinstance(each, Image)]
            alone = first is not None and first is second and len(images) == 1
            return (raw_error(first) or NO_SECOND) if alone else pair_error(first, second)
        if reason := raw_error(first):
            return reason
        if self.source == "split":
            return SPLIT_FIRST
        assert first is not None  # or it is no raw layer
        if self.source == "movie" and (not self.is_stack() or len(layer_pixels(first)) < 2):
            return f"'{first.name}' {NO_MOVIE}"
        return ""

    @property
    def refusal(self) -> str:
        """Why no network can be trained; empty if nothing is known against it."""
        return self.layer_error() or self.card.refusal

    @property
    def is_checked(self) -> bool:
        """Whether the card describes the current layers."""
        return bool(self.layer_error()) or not self._check_due

    def is_stack(self) -> bool:
        """Whether the first layer is a stack of frames."""
        first = self.layers[0]
        return first is not None and not first.rgb and layer_pixels(first).ndim > 2

    def engine(self) -> Noise2Noise | PairSource:
        """Return the engine for the layers, with the parameters of the form.

        Raises
        ------
        ValueError
            If the parameters are invalid.
        """
        return self.form.engine(self.source)

    def channel_axis(self) -> int | None:
        """Return the leading axis of channels, by its name; None if there is none."""
        first = self.layers[0]
        axis = None if first is None else channel_axis(axis_names(first))
        return None if self.source == "movie" and axis == 0 else axis

    def frame(self) -> tuple[int, ...]:
        """Return the index of the frame in view, in a stack."""
        first = self.layers[0]
        return frame_in_view(self.viewer.dims, first) if first is not None else ()

    # ---------------------------------------------------------------- the check

    def check(self) -> None:
        """Check the layers, after any running job."""
        if not self._check_due or self.running or self.runner.busy or self.layer_error():
            return
        self._check_due = False
        try:
            steps = self._check_steps()
        except ValueError as error:  # a noise that is none
            self.card.show_notes([PairNote("refuse", str(error), "unusable")])
            self.changed.emit()
            return
        self.runner.run(
            steps,
            functools.partial(self._show_check, self.layers, self.source),
            self._check_ended,
        )

    def _check_steps(self) -> Iterator[Step]:
        sources = [each for each in self.sources if each is not None]
        files = {each.name: each.source.path for each in sources}
        pixels = [layer_pixels(each) for each in sources]
        if self.source == "movie":
            registered = REGISTERED in sources[0].metadata
            return movie_check_steps(pixels[0], self.form.pairs.currentData(), files, registered)
        if self.source == "counted":
            return counted_check_steps(pixels[0], self.form.noise_of_image, files)
        return pair_check_steps(
            pixels[0], pixels[1], self.form.shift.value, files, self.form.affine
        )

    def _show_check(self, layers: Layers, source: SourceName, steps: list[Step]) -> None:
        found = next((each for each in reversed(steps) if isinstance(each, PairCheckStep)), None)
        if found is None or (layers, source) != (self.layers, self.source) or self._check_due:
            return  # nothing yet, or about earlier layers or data
        if not self._by_hand and any(note.kind == NOT_COUNTS for note in found.notes):
            # It was chosen for its whole numbers alone
            assert layers[0] is not None  # or nothing was checked
            self._no_counts = layers[0], layers[0].data
            self._suggest()
            self._update_layers()
            return
        self.exposures = found.exposures
        if found.noise is not None and self.form.noise.currentData() == "estimate":
            self.form.show_noise(found.noise)
        self.card.show_notes(found.notes)
        if source == "counted" and self.card.refusal:
            self.card.show_notes(found.notes, reucid=True)
        self._offer_to_fill_in(self.card.refusal)
        self.changed.emit()

    def _check_ended(self, job: Job) -> None:
        if job.outcome == "failed":
            self.card.show_sentence(str(job.error), "warn", reucid=self.source == "counted")
            self._offer_to_fill_in(str(job.error))
        elif job.outcome == "stopped":  # by a run: check again afterwards
            self._check_due = True
        if self.is_checked:
            self.checked.emit()

    # ----------------------------------------------- filling in and registering

    def _offer_to_fill_in(self, reason: str) -> None:
        self.fill_in.offer(reason, self.sources, functools.partial(self.use_filled, self.source))

    def use_filled(self, source: SourceName, layers: list[Image]) -> None:
        """Choose layers in place of those whose pixels are NaN, with the same shift."""
        first, second = layers[0], layers[-1]
        if source == "pair":
            remember_shift(first, second, self.form.shift.value, self.form.affine)
        self._by_hand = True
        self.choice.choose(source)
        self._fill_in(first, second)
        self._chosen()

    def register(self) -> None:
        """Register the chosen layers, and choose the new ones."""
        first, second = self.layers
        if first is None or second is None or self.running:
            return
        self.card.register_button.setEnabled(False)
        layers = [layer_pixels(first), layer_pixels(second)]
        self.runner.run(
            register_steps(*layers) if self.source == "pair" else register_stack_steps(layers[0]),
            functools.partial(self._registered, first, second),
            self._register_ended,
        )

    def _registered(self, first: Image, second: Image, steps: list[Any]) -> None:
        if self.source == "pair":
            made = add_registered(self.viewer.layers, first, second, steps[-1])
        else:
            movie = add_registered_movie(self.viewer.layers, first, steps[-1])
            made = movie, movie
        self.choose(*made)
        self.registered.emit()

    def _register_ended(self, job: Job) -> None:
        self.card.register_button.setEnabled(True)
        if job.outcome == "failed":
            self.card.show_sentence(str(job.error), "warn")
