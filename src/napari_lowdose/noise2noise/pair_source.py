"""Base of the engines that make the pairs of a training themselves, out of one image or movie."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from napari_lowdose.engine import Engine
from napari_lowdose.noise2noise.noise2noise import Noise2Noise

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from napari_lowdose.engine import Step
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.model import Noise2NoiseModel

__all__ = ["PairSource", "training_of"]


@dataclass(frozen=True)
class PairSource(Engine):
    """Noise2Noise with the pairs of one image or movie; subclasses write `training_steps`.

    Parameters
    ----------
    engine : Noise2Noise
        Parameters of the training.
    """

    takes = "image"
    trains = True

    engine: Noise2Noise = field(default_factory=Noise2Noise)

    def training_steps(self, image: Any) -> Iterator[Step]:
        """Train a network step by step; see `Noise2Noise.training_steps`.

        Parameters
        ----------
        image : (..., Y, X) array

        Yields
        ------
        Step, TrainingStep
            The last one has a `model`.
        """
        raise NotImplementedError

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return self.engine.neighbours(number, n_frames)

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the expected fraction of the total time that training takes."""
        return self.engine.preparation_share(given)

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Train a network; see `Engine.prepare`."""
        last = None
        for step in self.training_steps(given.exposures[0]):
            last = step if step.model is not None else last
            yield step
        assert last is not None  # the last step has a network
        return self.result_of(last, given)

    def result_of(self, step: Any, given: ImageOrPair, seconds: float = math.inf) -> Engine:
        """Return the engine for the result of a training; see `Noise2Noise.result_of`."""
        return self.engine.result_of(step, given, seconds)

    @property
    def time_budget(self) -> float | None:
        """Time for the training, seconds."""
        return self.engine.time_budget

    def train(self, image: Any) -> Noise2NoiseModel:
        """Train a network to the end.

        Parameters
        ----------
        image : (..., Y, X) array

        Returns
        -------
        Noise2NoiseModel

        Raises
        ------
        ValueError
            If the image is not suitable.
        """
        model: Any = None
        engine = self.with_training(dataclasses.replace(self.engine, fallback=False))
        for step in engine.training_steps(image):
            model = step.model
        assert model is not None  # the last step has one
        return model  # type: ignore[no-any-return]

    def with_pixel_size(self, pixel_size: tuple[float, float] | None, unit: str | None) -> Self:
        """Return an engine that stores this pixel size with the network."""
        return self.with_training(self.engine.with_pixel_size(pixel_size, unit))

    def with_channel_axis(self, axis: int | None) -> Self:
        """Return an engine that trains a network for each channel along this axis."""
        return self.with_training(self.engine.with_channel_axis(axis))

    def with_model(self, model: Any) -> Engine:
        """Return the network, or the method that was better; see `Engine.with_model`."""
        return self.engine.with_model(model)

    def with_training_of(self, model: Any) -> Self:
        """Return an engine that trains as long as `model` was trained."""
        return self.with_training(self.engine.with_training_of(model))

    def with_training(self, engine: Noise2Noise) -> Self:
        """Return an engine with other parameters of the training."""
        return dataclasses.replace(self, engine=engine)

    def summary(self, records: Sequence[Mapping[str, Any]], model: Any) -> list[str]:
        """Summarise the length of the training and the gain; see `Engine.summary`."""
        return self.engine.summary(records, model)

    def load_model(self, path: Any) -> Any:
        """Load a network from a file; see `Noise2NoiseModel.load`."""
        return self.engine.load_model(path)

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions, with the parameters of the training."""
        own, training = super().about(), self.engine.about()
        return {**own, "parameters": training["parameters"] | own["parameters"]}


def training_of(engine: Noise2Noise | PairSource) -> Noise2Noise:
    """Return the parameters of the training, without those of where the pairs come from."""
    return engine.engine if isinstance(engine, PairSource) else engine
