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
from napari_lowdose.widgets.layers import (
    add_pair,
    frame_in_view,
    known_affine,
    known_shift,
    not_raw_error,
    pair_error,
    suggested_pair,
)
from napari_lowdose.widgets.result_layer import is_result, layer_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import napari.viewer
    from napari.components import LayerList

    from napari_lowdose.noise2noise.pair_checks import PairNote
    from napari_lowdose.pairs.register import Registration
    from napari_lowdose.pairs.view_map import Matrix
    from napari_lowdose.widgets.jobs import Job, JobRunner
    from napari_lowdose.widgets.noise2noise.form import Noise2NoiseForm, PairCard

NEIGHBOURS = (
    "One movie: its neighbouring frames are the pairs. This is valid only if little moves between "
    "frames. Each frame is then denoised separately."
)
NO_PROBLEMS = "No problems found."
Layers = tuple[Image | None, Image | None]


class ChosenPair(QObject):
    """The two layers of the form, which are checked whenever they change.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    form : Noise2NoiseForm
    card : PairCard
        Shows the findings.
    runner : JobRunner
        Runs the check as soon as it is idle.
    parent : QObject

    Attributes
    ----------
    layers : (Image or None, Image or None)
    running : bool
        Whether a run is in progress: the choice of layers is then kept.
    exposures : mapping from str to float
        Statistics of the first exposure from `about_exposures`; empty until they are known.
    """

    chosen = Signal()
    """The user has chosen other layers."""
    changed = Signal()
    """The findings on the pair have changed, or are not known yet."""
    checked = Signal()
    """The pair has been checked."""

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
        card.register_requested.connect(self.register)
        runner.finished.connect(self.check)

    # ------------------------------------------------------------ which layers

    def reset_choices(self) -> None:
        """Update the choices of image layers."""
        for combo in (self.form.first_combo, self.form.second_combo):
            with combo.changed.blocked():  # a combo box whose layer is gone takes another one
                combo.reset_choices()
        if self.running:
            return
        first, second = self.layers
        gone = first not in self.viewer.layers or second not in self.viewer.layers
        if gone or first is second or not self._by_hand:
            self._fill_in(*suggested_pair(self.viewer.layers))
        self._update_layers()

    def choose(self, first: Image, second: Image) -> None:
        """Choose two layers as the pair."""
        self._fill_in(first, second)
        self._by_hand = True
        self._chosen()
        self._fill_in_shift(first, second)  # it may have been measured since

    def selection_changed(self, event: Any = None) -> None:
        """Choose the two images that are selected in the layer list, if there are two."""
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
        if self._update_layers():
            self.chosen.emit()

    def _update_layers(self) -> bool:
        """Use the layers of the form as the pair; return whether they have changed."""
        pair = self.form.first, self.form.second
        if pair[0] is self.layers[0] and pair[1] is self.layers[1]:
            return False
        self.disconnect_layers()
        # A set: one movie chosen twice must not be connected twice.
        for layer in {each for each in pair if each is not None}:
            layer.events.data.connect(self.data_changed)
        self.layers = pair
        if pair[0] is not None and pair[1] is not None:
            self._fill_in_shift(*pair)
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
        """Discard the findings on the pair, and check it again."""
        self.form.show_stack(self.is_stack(), self.neighbours())
        self._check_due = True
        self.exposures = {}
        if reason := self.layer_error():
            self.card.show_findings(reason, "refuse")
        elif not self.running:
            self.card.show_findings("checking the pair …")
        self.changed.emit()

    def layer_error(self) -> str:
        """Return why no network can be trained on these layers, judged without reading them."""
        return pair_error(*self.layers, self.is_stack())

    @property
    def refusal(self) -> str:
        """Why no network can be trained on the pair; empty if nothing is known against it."""
        return self.layer_error() or self.card.refusal

    @property
    def is_checked(self) -> bool:
        """Whether the card describes the current pair."""
        return bool(self.layer_error()) or not self._check_due

    def is_stack(self) -> bool:
        """Whether the first layer is a stack of frames."""
        first = self.layers[0]
        return first is not None and not first.rgb and layer_pixels(first).ndim > 2

    def neighbours(self) -> bool:
        """Whether the pair is one movie, whose neighbouring frames are the pairs."""
        return self.layers[0] is self.layers[1] and self.is_stack()

    def pixels(self) -> tuple[Any, Any]:
        """Return the two arrays for training."""
        first, second = (layer_pixels(layer) for layer in self.layers if layer is not None)
        return (first[:-1], second[1:]) if self.neighbours() else (first, second)

    def frame(self) -> tuple[int, ...]:
        """Return the index of the pair in view, in a stack of pairs."""
        first = self.layers[0]
        if first is None or not self.is_stack():
            return ()
        view = frame_in_view(self.viewer.dims, first)
        if self.neighbours():
            view = (min(view[0], len(layer_pixels(first)) - 2), *view[1:])
        return view

    # ---------------------------------------------------------------- the check

    def check(self) -> None:
        """Check the pair, after any running job."""
        if not self._check_due or self.running or self.runner.busy or self.layer_error():
            return
        self._check_due = False
        files = {each.name: each.source.path for each in self.layers if each is not None}
        self.runner.run(
            pair_check_steps(*self.pixels(), self.form.shift.value, files, self.form.affine),
            functools.partial(self._show_check, self.layers),
            self._check_ended,
        )

    def _show_check(self, layers: Layers, steps: list[PairCheckStep]) -> None:
        if layers != self.layers or self._check_due:  # about an earlier pair or earlier data
            return
        self.exposures = steps[-1].exposures
        notes = steps[-1].notes
        if self.neighbours():
            self.card.show_findings(NEIGHBOURS, "note", notes)
        else:
            self.card.show_findings("" if notes else NO_PROBLEMS, "good", notes)
        self.changed.emit()

    def _check_ended(self, job: Job) -> None:
        if job.outcome == "failed":
            self.card.show_findings(str(job.error), "warn")
        elif job.outcome == "stopped":  # by a run: check again afterwards
            self._check_due = True
        if self.is_checked:
            self.checked.emit()

    # ------------------------------------------------------------- registering

    def register(self) -> None:
        """Register the chosen pair, and choose the two new layers."""
        first, second = self.layers
        if first is None or second is None or self.running:
            return
        self.card.register_button.setEnabled(False)
        self.runner.run(
            register_steps(*self.pixels()),
            functools.partial(self._registered, first, second),
            self._register_ended,
        )

    def _registered(self, first: Image, second: Image, steps: list[RegisterStep]) -> None:
        made = add_registered(self.viewer.layers, first, second, steps[-1])
        self.choose(*made)

    def _register_ended(self, job: Job) -> None:
        self.card.register_button.setEnabled(True)
        if job.outcome == "failed":
            self.card.show_findings(str(job.error), "warn")


@dataclass(frozen=True, kw_only=True)
class PairCheckStep(Step):
    """Findings on a pair.

    Attributes
    ----------
    notes : tuple of PairNote
    exposures : mapping from str to float
        Statistics of the first exposure from `about_exposures`; empty if it is unusable.
    """

    notes: tuple[PairNote, ...]
    exposures: dict[str, float] = field(default_factory=dict)


def pair_check_steps(
    first: Any,
    second: Any,
    shift: tuple[float, float],
    files: Mapping[str, str | None] | None = None,
    affine: Matrix | None = None,
) -> Iterator[PairCheckStep]:
    """Check a pair; only a few frames of lazy arrays (dask) are read.

    Parameters
    ----------
    first, second : (..., Y, X) array
    shift : (float, float)
        Known shift (dy, dx) of the second exposure against the first, pixels.
    files : mapping from str to str, optional
        File of each layer, by the name of the layer.
    affine : 2 x 3 matrix, optional
        Known map from the first exposure to the second, in place of the shift.
    """
    from napari_lowdose.noise2noise.exposure_statistics import about_exposures
    from napari_lowdose.noise2noise.pair_checks import PairNote, check_pair

    results = [name for name, path in (files or {}).items() if _is_result_file(path)]
    notes = [PairNote("refuse", not_raw_error(name), "result") for name in results]
    notes += [
        # A smooth partner may be intended in a script; here it is most likely a mistake
        replace(note, level="refuse") if note.kind == "smooth" else note
        for note in check_pair(first, second, shift, affine)
    ]
    notes.sort(key=lambda note: note.level != "refuse")
    unusable = any(note.kind in ("unusable", "shape") for note in notes)
    about = {} if unusable else about_exposures(np.asarray(first[(0,) * (first.ndim - 2)]))
    found = PairCheckStep(fraction=0.5, message="pair checked", notes=tuple(notes), exposures=about)
    yield found
    # While the user reads the notes, so that the first preview comes sooner
    from napari_lowdose.noise2noise.training import warm_up

    warm_up()
    yield replace(found, fraction=1.0)


def _is_result_file(path: str | None) -> bool:
    """Whether a TIFF was denoised by this package, according to its metadata."""
    from napari_lowdose.io.tiff import read_tiff

    if path is None or Path(path).suffix.lower() not in (".tif", ".tiff"):
        return False
    with suppress(OSError, ValueError):  # a folder, or a compression that needs another reader
        return any("engine" in record for record in read_tiff(path).history)
    return False


@dataclass(frozen=True, kw_only=True)
class RegisterStep(Step):
    """Two registered exposures.

    Attributes
    ----------
    first, second : (..., Y, X) arrays
        Cropped to the common area; lazy if the input was lazy.
    registration : Registration
    """

    first: Any
    second: Any
    registration: Registration


def register_steps(first: Any, second: Any) -> Iterator[RegisterStep]:
    """Register two arrays; only a few frames of lazy arrays (dask) are read."""
    from napari_lowdose.pairs.register import register_pair

    one, other, registration = register_pair(first, second)
    yield RegisterStep(
        fraction=1, message="registered", first=one, second=other, registration=registration
    )


def add_registered(
    layers: LayerList, first: Image, second: Image, step: RegisterStep
) -> tuple[Image, Image]:
    """Add two registered arrays as layers, aligned with the first layer.

    Parameters
    ----------
    layers : LayerList
    first, second : Image
        The layers before registration.
    step : RegisterStep

    Returns
    -------
    (Image, Image)
    """
    whole, left = step.registration.integer_shift, step.registration.fraction
    corner = (float(max(0, -whole[0])), float(max(0, -whole[1])))
    behind = (corner[0] - left[0], corner[1] - left[1])
    made = add_pair(
        layers,
        first,
        [
            (
                data,
                f"{layer.name} registered",
                origin,
                {"contrast_limits": layer.contrast_limits, "colormap": layer.colormap},
            )
            for layer, data, origin in ((first, step.first, corner), (second, step.second, behind))
        ],
        left,
        step.registration.affine,
    )
    first.visible = second.visible = False
    return made
