"""Train on layers and show the progress in result layers."""

from __future__ import annotations

import itertools
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel, PairStep, TrainingStep
from napari_lowdose.noise2noise.pair_source import PairSource, training_of
from napari_lowdose.noise2noise.train_and_apply import TrainAndApply
from napari_lowdose.widgets.layer_run import LayerRun, snapshot
from napari_lowdose.widgets.python_script import DEFAULT_NETWORK_FILE, Axes, training_script
from napari_lowdose.widgets.result_layer import (
    PARTIAL,
    contrast_limits,
    layer_pixels,
    without_partial,
)
from napari_lowdose.widgets.trained_network import network_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain
    from napari_lowdose.widgets.trained_network import TrainedNetwork


class PairRun(LayerRun):
    """A `LayerRun` that trains a network first, with previews in the result layer.

    Parameters
    ----------
    layers : LayerList
        Layer list for the results.
    sources : tuple of one or two Image
        The pair, or the layer that `engine` makes the pairs of.
    engine : Noise2Noise or PairSource
    frame : tuple of int, optional
        Index of the frame to denoise in a stack; all by default.  Training always uses all.
    start : TrainedNetwork, optional
        The network that `engine.start` was taken from.
    with_disagreement, with_residual : bool
        Layers to add at the end.

    Attributes
    ----------
    model : Noise2NoiseModel or None
        The best network so far.
    last : TrainingStep or None
        The newest step of the training.
    scene : str
        Name of the scene, from the names of the layers.
    gain : ToldGain or None
        The gain over one exposure or the counted image, as far as it is known.
    instead : str
        Name of the method without training that the result is by, while it is better than the
        network; empty otherwise.
    disagreement : Image or None
    """

    def __init__(
        self,
        layers: LayerList,
        sources: tuple[Image, ...],
        engine: Noise2Noise | PairSource,
        frame: tuple[int, ...] = (),
        *,
        start: TrainedNetwork | None = None,
        with_disagreement: bool = False,
        with_residual: bool = False,
    ) -> None:
        self.scene = common_name(sources[0].name, sources[-1].name)
        # The same snapshots for training and result, so that both use the same pixels.
        pixels = tuple(snapshot(layer_pixels(each)) for each in sources)
        self.training = TrainAndApply(engine, pixels)
        super().__init__(
            layers,
            (sources[0], sources[1]) if len(sources) > 1 else sources[0],
            self.training,
            frame,
            with_residual,
            name=f"{self.scene}{_where(frame)} Noise2Noise",
            pixels=pixels,
        )
        self._start = start
        self._trained_data = tuple(each.data for each in sources)
        self._axes = Axes.from_layer(sources[0])
        self.model: Noise2NoiseModel | None = None
        self.last: TrainingStep | None = None
        self.gain: ToldGain | None = None
        self.instead = ""
        self.disagreement: Image | None = None
        self._with_disagreement = with_disagreement
        self._disagreements: NDArray[np.float32] | None = None
        self._applied = False

    @property
    def engine(self) -> Noise2Noise | PairSource:
        """The engine as it was run."""
        return self.training.engine

    @property
    def training_ended(self) -> bool:
        """Whether the network is being applied, or will be after the current step."""
        return self._applied or self.training.enough.is_set()

    @property
    def sources_changed(self) -> bool:
        """Whether a layer of the pair was removed or its data replaced since the start."""
        # Replaced data are another object.  Changes in place do no harm, because of the snapshot.
        if any(each not in self._layers for each in self.sources):
            return True
        return not self.was_trained_on(self.sources)

    def was_trained_on(
        self, sources: Sequence[Image | None], engine: Noise2Noise | PairSource | None = None
    ) -> bool:
        """Whether these layers were given to this run, with unchanged data.

        With `engine`, also whether it makes the pairs of them in the same way.
        """
        if len(sources) != len(self.sources) or not all(map(operator.is_, sources, self.sources)):
            return False
        if engine is not None and _how(engine) != _how(self.engine):
            return False
        return all(map(operator.is_, (each.data for each in self.sources), self._trained_data))

    def show(self, steps: Sequence[Step]) -> None:
        """Show the newest image, and keep the network and its gain."""
        for step in steps:
            if isinstance(step, TrainingStep):
                self.last = step
                self.instead = "" if step.instead is None else step.instead.name
                self.gain = step.told_gain or self.gain
                self.model = step.model or self.model
            elif self.last is not None:  # the steps before the training make the pairs
                self._applied = True
            if isinstance(step, PairStep) and step.disagreement is not None:
                self._remember_disagreement(step)
        before = self._limits
        super().show(steps)
        self._follow_contrast(before)

    def end(self) -> None:
        """Mark the result as finished if the run is; add the requested layers."""
        super().end()
        if self.result is None or self.result_removed:
            return
        if self._with_disagreement and self._disagreements is not None:
            limits = (0.0, contrast_limits(self._disagreements[self._any_frame()])[1])
            partial = "" if self.run.finished else PARTIAL
            name = f"{without_partial(self.result.name)} disagreement{partial}"
            self.disagreement = self._add(
                self._disagreements, name, limits, colormap="magma", visible=False
            )
            self._layers.selection.active = self.result

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(self.engine.about().get("parameters", {}))

    def describe(self, **changes: Any) -> None:
        """Write the record of the run into the metadata of the result layer."""
        record: dict[str, Any] = self.engine.about()
        if self.model is not None:
            # The applied one knows whether another method made the result
            record["training"] = dict((self.run.model or self.model).record)
        super().describe(**(record | changes))

    def script(self) -> str:
        """Return the Python script that reproduces the result."""
        engine, start = self.engine, self._start
        path = None
        if start is not None and self._continues(start):
            engine = with_training(engine, start=None)  # one training with the epochs of both
        elif start is not None:
            path = network_file(start.model) or DEFAULT_NETWORK_FILE
        return training_script(
            engine,
            self.paths,
            self.frame,
            self.model,
            path,
            self._name,
            network_file(self.model),
            self._axes,
            instead=self.instead,
        )

    def _continues(self, start: TrainedNetwork) -> bool:
        """Whether this training continues the one of `start`, unchanged."""
        before = start.run
        if not isinstance(before, PairRun) or not all(
            map(operator.is_, before._trained_data, self._trained_data)
        ):
            return False
        alike = _comparable(before.engine) == _comparable(self.engine)
        return alike and (before._start is None or before._continues(before._start))

    def _remember_disagreement(self, step: PairStep) -> None:
        if self._with_disagreement:
            if self._disagreements is None:
                self._disagreements = np.zeros(self.run.image.shape, np.float32)
            self._disagreements[step.index] = step.disagreement

    def _follow_contrast(self, before: tuple[float, float]) -> None:
        """Adapt the contrast limits to the sharper previews, unless the user has changed them."""
        if self.result is None or self.result_removed or before == (0.0, 1.0):
            return
        if tuple(self.result.contrast_limits) == before:
            image = self.run.image[self._any_frame()]
            if not np.isnan(image).any():
                self._limits = contrast_limits(image)
                self.result.contrast_limits_range = (float(image.min()), float(image.max()))
                self.result.contrast_limits = self._limits

    def _any_frame(self) -> tuple[int, ...]:
        return training_of(self.engine).preview if self._input.ndim > 2 else ()


def common_name(first: str, second: str) -> str:
    """Return a name for the scene of two layers.

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


def with_training(engine: Noise2Noise | PairSource, **changes: Any) -> Noise2Noise | PairSource:
    """Return an engine with changed parameters of the training."""
    training = replace(training_of(engine), **changes)
    return engine.with_training(training) if isinstance(engine, PairSource) else training


def _comparable(engine: Noise2Noise | PairSource) -> Noise2Noise | PairSource:
    """Return the engine without start, duration and preview of the training."""
    return with_training(engine, start=None, epochs=None, time_budget=None, preview=())


def _how(engine: Noise2Noise | PairSource) -> Any:
    """Return where the pairs come from, to compare it."""
    return with_training(engine, **vars(Noise2Noise())) if isinstance(engine, PairSource) else None


def _where(frame: tuple[int, ...]) -> str:
    return f" {list(frame)}" if frame else ""
