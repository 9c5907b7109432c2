"""A training on a pair of layers, and the layers that show how far it has come."""

from __future__ import annotations

import itertools
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.denoise import engine_record
from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel, PairStep, TrainingStep
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.noise2noise.train_then_apply import TrainThenApply
from napari_lowdose.widgets.python_script import NOT_SAVED, Axes, training_script
from napari_lowdose.widgets.result_layer import PARTIAL, contrast_limits, pixels_of
from napari_lowdose.widgets.snapshot import snapshot
from napari_lowdose.widgets.trained_network import file_of_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.widgets.trained_network import TrainedNetwork


class PairRun(LayerRun):
    """A `LayerRun` that trains a network first, and shows the network's progress in the result.

    Parameters
    ----------
    layers : LayerList
        Where results are added.
    first, second : Image
        The pair.  Twice the same layer, a movie: neighbouring frames are the pairs, and each
        frame is denoised by itself.
    engine : Noise2Noise
    frame : tuple of int, optional
        Which frame of a stack of pairs to denoise; all of them by default.  Trained is on all.
    start : TrainedNetwork, optional
        Where `engine.start` comes from.
    with_disagreement, with_residual : bool
        Layers to add at the end.

    Attributes
    ----------
    model : Noise2NoiseModel or None
        The best network so far.
    last : TrainingStep or None
        The newest step of the training.
    scene : str
        What the pair shows, after the names of its layers.
    gain : (float, float) or None
        95 % interval of the gain over one exposure, dB.
    disagreement : Image or None
    """

    def __init__(
        self,
        layers: LayerList,
        first: Image,
        second: Image,
        engine: Noise2Noise,
        frame: tuple[int, ...] = (),
        *,
        start: TrainedNetwork | None = None,
        with_disagreement: bool = False,
        with_residual: bool = False,
    ) -> None:
        self.neighbours = first is second
        self.scene = common_name(first.name, second.name)
        movie = snapshot(pixels_of(first))
        pair = (movie, movie if self.neighbours else snapshot(pixels_of(second)))
        pixels = pair[:1] if self.neighbours else pair
        if self.neighbours:
            pair = (movie[:-1], movie[1:])
        self.training = TrainThenApply(engine, pair)
        super().__init__(
            layers,
            first if self.neighbours else (first, second),
            self.training,
            frame,
            with_residual,
            name=f"{self.scene}{_where(frame)} Noise2Noise",
            pixels=pixels,
        )
        self._start = start
        self._sources = (first, second)
        self._trained_data = (first.data, second.data)
        self._axes = Axes.of(first)
        self.model: Noise2NoiseModel | None = None
        self.last: TrainingStep | None = None
        self.gain: tuple[float, float] | None = None
        self.disagreement: Image | None = None
        self._with_disagreement = with_disagreement
        self._disagreements: NDArray[np.float32] | None = None
        self._applied = False

    @property
    def engine(self) -> Noise2Noise:
        """The engine as it was run."""
        return self.training.engine

    @property
    def training_ended(self) -> bool:
        """Whether the network is being applied, or will be after the step under way."""
        return self._applied or self.training.enough.is_set()

    @property
    def sources_changed(self) -> bool:
        """Whether a layer of the pair was removed, or has got other data, since the start."""
        gone = any(each not in self._layers for each in self._sources)
        return gone or not self.was_trained_on(*self._sources)

    def was_trained_on(self, first: Image | None, second: Image | None) -> bool:
        """Whether the two layers are the pair of this run, with the data that they had."""
        if first is not self._sources[0] or second is not self._sources[1]:
            return False
        now = (each.data for each in self._sources)
        return all(map(operator.is_, now, self._trained_data))

    def show(self, steps: Sequence[Step]) -> None:
        """Show the newest image, and remember the network and what the steps tell of it."""
        for step in steps:
            if isinstance(step, TrainingStep):
                self.last = step
                self.gain = step.gain or self.gain
                self.model = step.model or self.model
            else:
                self._applied = True
            if isinstance(step, PairStep) and step.disagreement is not None:
                self._remember_disagreement(step)
        before = self._limits
        super().show(steps)
        self._follow_contrast(before)

    def end(self) -> None:
        """Mark the result as finished if it is; add the layers that were asked for."""
        super().end()
        if self.result is None or self.result_removed:
            return
        if self._with_disagreement and self._disagreements is not None:
            limits = (0.0, contrast_limits(self._disagreements[self._any_frame()])[1])
            partial = "" if self.run.finished else PARTIAL
            name = f"{self.result.name.removesuffix(PARTIAL)} disagreement{partial}"
            self.disagreement = self._add(
                self._disagreements, name, limits, colormap="magma", visible=False
            )
            self._layers.selection.active = self.result

    def describe(self, **changes: Any) -> None:
        """Write what was done into the metadata of the result layer."""
        told: dict[str, Any] = engine_record(self.engine)
        if self.model is not None:
            told["training"] = dict(self.model.record)
        super().describe(**(told | changes))

    def script(self) -> str:
        """Return the Python script that makes the result."""
        engine, start = self.engine, self._start
        path = None
        if start is not None and self._goes_on_from(start):
            engine = replace(engine, start=None)  # one training, of as many epochs as both
        elif start is not None:
            path = file_of_network(start.model) or NOT_SAVED
        return training_script(
            engine,
            self.paths,
            self.frame,
            self.neighbours,
            self.model,
            path,
            self._name,
            file_of_network(self.model),
            self._axes,
        )

    def _goes_on_from(self, start: TrainedNetwork) -> bool:
        """Whether the two trainings are one that was interrupted."""
        before = start.run
        if not isinstance(before, PairRun) or not all(
            map(operator.is_, before._trained_data, self._trained_data)
        ):
            return False
        alike = _as_set(before.engine) == _as_set(self.engine)
        return alike and (before._start is None or before._goes_on_from(before._start))

    def _remember_disagreement(self, step: PairStep) -> None:
        if self._with_disagreement:
            if self._disagreements is None:
                self._disagreements = np.zeros(self.run.image.shape, np.float32)
            self._disagreements[step.index] = step.disagreement

    def _follow_contrast(self, before: tuple[float, float]) -> None:
        """Keep the contrast right as blur becomes detail, unless the person has changed it."""
        if self.result is None or self.result_removed or before == (0.0, 1.0):
            return
        if tuple(self.result.contrast_limits) == before:
            image = self.run.image[self._any_frame()]
            if not np.isnan(image).any():
                self._limits = contrast_limits(image)
                self.result.contrast_limits_range = (float(image.min()), float(image.max()))
                self.result.contrast_limits = self._limits

    def _any_frame(self) -> tuple[int, ...]:
        return self.engine.preview if self._input.ndim > 2 else ()


def common_name(first: str, second: str) -> str:
    """Return what to call the scene that two layers show.

    Examples
    --------
    >>> common_name("STEM, first", "STEM, second"), common_name("before", "after")
    ('STEM', 'before + after')
    """
    if first == second:
        return first
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    common = "".join(one for one, _ in alike).rstrip(" ,;:._-[(#")
    whole = first[len(common) :][:1].isalnum() and common[-1:].isalnum()  # within a word
    return common if len(common) > 2 and not whole else f"{first} + {second}"


def _as_set(engine: Noise2Noise) -> Noise2Noise:
    """Return the engine without what says how long, and from where on, it trains."""
    return replace(engine, start=None, epochs=None, time_budget=None, preview=())


def _where(frame: tuple[int, ...]) -> str:
    return f" {list(frame)}" if frame else ""
