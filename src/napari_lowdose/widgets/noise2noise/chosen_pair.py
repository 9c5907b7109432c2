"""The two layers to train on: choice, checks, and registration."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QObject,
    Signal,
)

from napari_lowdose.engine import Step
from napari_lowdose.widgets.jobs import Job
from napari_lowdose.widgets.layers import (
    frame_in_view,
    known_shift,
    most_likely_pair,
    no_partner,
    remember_shift,
    why_no_pair,
)
from napari_lowdose.widgets.result_layer import is_result, pixels_of, placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import napari.viewer
    from napari.components import LayerList

    from napari_lowdose.noise2noise.pair_checks import PairNote
    from napari_lowdose.pairs.register import Registration
    from napari_lowdose.widgets.jobs import JobRunner
    from napari_lowdose.widgets.noise2noise.form import Noise2NoiseForm
    from napari_lowdose.widgets.noise2noise.pair_card import PairCard

NEIGHBOURS = (
    "One movie: neighbouring frames are the pairs. That is right only if little moves from one to "
    "the next. Each frame is then denoised by itself."
)
GOOD = "Nothing speaks against this pair."
Layers = tuple[Image | None, Image | None]


class ChosenPair(QObject):
    """The two layers of the form: they are looked at whenever they change.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    form : Noise2NoiseForm
    card : PairCard
        Where it is said what was found.
    runner : JobRunner
        Looks at the pair as soon as it has nothing else to do.
    parent : QObject

    Attributes
    ----------
    layers : (Image or None, Image or None)
    running : bool
        Whether a run is under way: the layers that it is about are then not chosen anew.
    exposures : mapping from str to float
        What `about_exposures` tells of the first exposure; empty as long as it is not known.
    """

    chosen = Signal()
    """A person has made other layers the pair."""
    changed = Signal()
    """There is something new to say of the pair, or nothing known of it yet."""
    checked = Signal()
    """The pair has been looked at."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        form: Noise2NoiseForm,
        card: PairCard,
        runner: JobRunner,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.form, self.card, self.runner = viewer, form, card, runner
        self.layers: Layers = (None, None)
        self.running = False
        self.exposures: dict[str, float] = {}
        self._by_hand = False
        self._check_due = False
        for combo in (form.first_combo, form.second_combo):
            combo.changed.connect(self._chosen)
            combo.native.activated.connect(self._chosen_by_hand)
        form.shift.dy.valueChanged.connect(self.data_changed)
        form.shift.dx.valueChanged.connect(self.data_changed)
        card.register_asked.connect(self.register)
        runner.finished.connect(self.check)

    # ------------------------------------------------------------ which layers

    def reset_choices(self) -> None:
        """Offer the image layers that there are now."""
        for combo in (self.form.first_combo, self.form.second_combo):
            with combo.changed.blocked():  # it takes another layer where its own is gone
                combo.reset_choices()
        if self.running:
            return
        first, second = self.layers
        gone = first not in self.viewer.layers or second not in self.viewer.layers
        if gone or first is second or not self._by_hand:
            self._fill_in(*most_likely_pair(self.viewer.layers))
        self._take()

    def choose(self, first: Image, second: Image) -> None:
        """Take two layers for the pair."""
        self._fill_in(first, second)
        self._by_hand = True
        self._chosen()
        self.form.shift.value = known_shift(first, second)  # it may have become known since

    def selection_changed(self, event: Any = None) -> None:
        """Take the two images that are selected in the layer list, if it is two."""
        selected = self.viewer.layers.selection
        chosen = [each for each in self.viewer.layers if each in selected]
        images = [each for each in chosen if isinstance(each, Image)]
        if len(images) == 2 and not any(map(is_result, images)) and not self.running:
            self.choose(*images)

    def _fill_in(self, first: Image | None, second: Image | None) -> None:
        for combo, layer in ((self.form.first_combo, first), (self.form.second_combo, second)):
            if layer is not None and layer in combo.choices:
                with combo.changed.blocked():
                    combo.value = layer

    def _chosen_by_hand(self, event: Any = None) -> None:
        self._by_hand = True

    def _chosen(self, event: Any = None) -> None:
        if self._take():
            self.chosen.emit()

    def _take(self) -> bool:
        """Take the layers of the form for the pair; return whether they are others."""
        pair = self.form.first, self.form.second
        if pair[0] is self.layers[0] and pair[1] is self.layers[1]:
            return False
        self.let_go()
        for layer in {each for each in pair if each is not None}:
            layer.events.data.connect(self.data_changed)
        self.layers = pair
        if pair[0] is not None and pair[1] is not None:
            self.form.shift.value = known_shift(*pair)
        self.data_changed()
        return True

    def let_go(self) -> None:
        """Listen to the layers no more."""
        for layer in {each for each in self.layers if each is not None}:
            layer.events.data.disconnect(self.data_changed)

    # --------------------------------------------------------------- its pixels

    def data_changed(self, event: Any = None) -> None:
        """Forget what was known of the pair, and have it looked at."""
        self.form.show_stack(self.is_stack(), self.neighbours())
        self._check_due = True
        self.exposures = {}
        if why := self.why_not():
            self.card.say(why, "refuse")
        elif not self.running:
            self.card.say("looking at the pair …")
        self.changed.emit()

    def why_not(self) -> str:
        """Return why no network can be trained on these layers, as far as they tell unread."""
        return why_no_pair(*self.layers, self.is_stack())

    @property
    def refusal(self) -> str:
        """Why no network can be trained on the pair; empty if one can, as far as is known."""
        return self.why_not() or self.card.refusal

    @property
    def is_checked(self) -> bool:
        """Whether what the card says is about this pair as it is now."""
        return bool(self.why_not()) or not self._check_due

    def is_stack(self) -> bool:
        """Whether there are frames to choose from."""
        first = self.layers[0]
        return first is not None and not first.rgb and pixels_of(first).ndim > 2

    def neighbours(self) -> bool:
        """Whether it is one movie, whose neighbouring frames are the pairs."""
        return self.layers[0] is self.layers[1] and self.is_stack()

    def pixels(self) -> tuple[Any, Any]:
        """Return the two arrays, as they are trained on."""
        first, second = (pixels_of(layer) for layer in self.layers if layer is not None)
        return (first[:-1], second[1:]) if self.neighbours() else (first, second)

    def frame(self) -> tuple[int, ...]:
        """Return which pair of a stack of pairs is in view."""
        first = self.layers[0]
        if first is None or not self.is_stack():
            return ()
        view = frame_in_view(self.viewer.dims, first)
        if self.neighbours():
            view = (min(view[0], len(pixels_of(first)) - 2), *view[1:])
        return view

    # ---------------------------------------------------------------- the check

    def check(self) -> None:
        """Look at the pair; if a job is under way, after it."""
        if not self._check_due or self.running or self.runner.busy or self.why_not():
            return
        self._check_due = False
        files = {each.name: each.source.path for each in self.layers if each is not None}
        job = Job(pair_check_steps(*self.pixels(), self.form.shift.value, files))
        job.advanced.connect(functools.partial(self._looked_at, self.layers))
        job.ended.connect(self._check_ended)
        self.runner.start(job)

    def _looked_at(self, layers: Layers, steps: list[PairCheckStep]) -> None:
        if layers != self.layers or self._check_due:
            return
        self.exposures = steps[-1].exposures
        notes = steps[-1].notes
        if self.neighbours():
            self.card.say(NEIGHBOURS, "note", notes)
        else:
            self.card.say("" if notes else GOOD, "good", notes)
        self.changed.emit()

    def _check_ended(self, job: Job) -> None:
        if job.outcome == "failed":
            self.card.say(str(job.error), "warn")
        elif job.outcome == "stopped":  # by a run, and it stays due until after that
            self._check_due = True
        if self.is_checked:
            self.checked.emit()

    # ------------------------------------------------------------- registering

    def register(self) -> None:
        """Make two layers in register out of the chosen pair, and choose them."""
        first, second = self.layers
        if first is None or second is None or self.running:
            return
        job = Job(register_steps(*self.pixels()))
        job.advanced.connect(functools.partial(self._registered, first, second))
        job.ended.connect(self._register_ended)
        self.card.register_button.setEnabled(False)
        self.runner.start(job)

    def _registered(self, first: Image, second: Image, steps: list[RegisterStep]) -> None:
        made = add_registered(self.viewer.layers, first, second, steps[-1])
        self.choose(*made)

    def _register_ended(self, job: Job) -> None:
        self.card.register_button.setEnabled(True)
        if job.outcome == "failed":
            self.card.say(str(job.error), "warn")


@dataclass(frozen=True, kw_only=True)
class PairCheckStep(Step):
    """The pair has been looked at.

    Attributes
    ----------
    notes : tuple of PairNote
    exposures : mapping from str to float
        What `about_exposures` tells of the first exposure; empty if it cannot be used.
    """

    notes: tuple[PairNote, ...]
    exposures: dict[str, float] = field(default_factory=dict)


def pair_check_steps(
    first: Any,
    second: Any,
    shift: tuple[float, float],
    files: Mapping[str, str | None] | None = None,
) -> Iterator[PairCheckStep]:
    """Yield what there is to say of a pair, of which a few frames are read (dask) only now.

    Parameters
    ----------
    first, second : (..., Y, X) array
    shift : (float, float)
        (dy, dx) of the second against the first that is known already, pixels.
    files : mapping from str to str, optional
        Names of the layers, and the files that they come from.
    """
    from napari_lowdose.noise2noise.model import about_exposures
    from napari_lowdose.noise2noise.pair_checks import PairNote, check_pair

    results = [name for name, path in (files or {}).items() if _is_result_file(path)]
    notes = [PairNote("refuse", no_partner(name), "result") for name in results]
    notes += [
        # What a script may want, a person in front of two layers has most likely mistaken
        replace(note, level="refuse") if note.kind == "smooth" else note
        for note in check_pair(first, second, shift)
    ]
    notes.sort(key=lambda note: note.level != "refuse")
    unusable = any(note.kind in ("unusable", "shape") for note in notes)
    about = {} if unusable else about_exposures(np.asarray(first[(0,) * (first.ndim - 2)]))
    found = PairCheckStep(fraction=0.5, message="pair checked", notes=tuple(notes), exposures=about)
    yield found
    # While the notes are read: the first preview should not wait for this
    from napari_lowdose.noise2noise.training import warm_up

    warm_up()
    yield replace(found, fraction=1.0)


def _is_result_file(path: str | None) -> bool:
    """Whether a TIFF says that it was denoised by this package."""
    from napari_lowdose.io.tiff import read_tiff

    if path is None or Path(path).suffix.lower() not in (".tif", ".tiff"):
        return False
    with suppress(OSError, ValueError):  # a folder, or pixels that only another reader knows
        return any("engine" in record for record in read_tiff(path).history)
    return False


@dataclass(frozen=True, kw_only=True)
class RegisterStep(Step):
    """Two exposures are in register.

    Attributes
    ----------
    first, second : (..., Y, X) arrays
        Cut to what both show; lazy where they were.
    registration : Registration
    """

    first: Any
    second: Any
    registration: Registration


def register_steps(first: Any, second: Any) -> Iterator[RegisterStep]:
    """Yield the two arrays in register; of lazy ones (dask) a few frames are read only now."""
    from napari_lowdose.pairs.register import register_pair

    one, other, registration = register_pair(first, second)
    yield RegisterStep(
        fraction=1, message="registered", first=one, second=other, registration=registration
    )


def add_registered(
    layers: LayerList, first: Image, second: Image, step: RegisterStep
) -> tuple[Image, Image]:
    """Add the two as layers that show each scene where the first layer shows it.

    Parameters
    ----------
    layers : LayerList
    first, second : Image
        The layers that were brought into register.
    step : RegisterStep

    Returns
    -------
    (Image, Image)
    """
    whole, left = step.registration.whole, step.registration.fraction
    corner = (float(max(0, -whole[0])), float(max(0, -whole[1])))
    behind = (corner[0] - left[0], corner[1] - left[1])
    made = []
    for layer, data, origin in ((first, step.first, corner), (second, step.second, behind)):
        place = placement(first, data.ndim, origin) | {"colormap": layer.colormap}
        name = f"{layer.name} registered"
        made.append(
            Image(data, name=name, multiscale=False, contrast_limits=layer.contrast_limits, **place)
        )
        layers.append(made[-1])
    remember_shift(made[0], made[1], left)
    first.visible = second.visible = False
    return made[0], made[1]
