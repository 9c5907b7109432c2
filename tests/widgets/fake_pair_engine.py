"""A training that takes no time, and a network that averages: what a test of the widget needs."""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_lowdose.engine import Engine, Step
from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel, PairStep, TrainingStep
from napari_lowdose.noise2noise.config import PRESETS


@dataclass(frozen=True, eq=False)
class FakeModel(Noise2NoiseModel):
    """Half of one exposure; of a pair the mean, and half of the difference as disagreement."""

    at: Callable[[int], None] = field(default=lambda frame: None, repr=False)

    def prepare(self, given: Any) -> Generator[Step, None, Engine]:
        return self
        yield

    def applied_to(self, leading: Any, shape: Any) -> Any:
        return self

    def frame_steps(self, *exposures: Any, **around: Any) -> Iterator[Step]:
        self.at(0)
        yield Step(fraction=0.5, message="applying the network")
        if len(exposures) == 1:
            yield Step(fraction=1, message="done", image=np.float32(exposures[0]) / 2)
            return
        one, two = (np.float32(each) for each in exposures)
        yield PairStep(
            fraction=1, message="done", image=(one + two) / 2, disagreement=abs(one - two) / 2
        )


@dataclass(frozen=True)
class FakeNoise2Noise(Noise2Noise):
    """`n_epochs` epochs with a preview each; `at` runs in the thread before each."""

    n_epochs: int = 4
    pause: float = 0.02
    at: Callable[[int], None] = field(default=lambda epoch: None, repr=False, compare=False)
    at_frame: Callable[[int], None] = field(default=lambda n: None, repr=False, compare=False)

    def training_steps(
        self, first: Any, second: Any, shift: Any = None, **how: Any
    ) -> Iterator[TrainingStep]:
        before = 0 if self.start is None else self.start.record["epochs"]
        yield TrainingStep(
            fraction=0, message="looking at the pair", epoch=before, n_steps=0, loss=float("nan")
        )
        frame = np.asarray(first[self.preview or (0,) * (first.ndim - 2)], np.float32)
        for n in range(1, self.n_epochs + 1):
            self.at(n)
            time.sleep(self.pause)
            epoch = before + n
            record = {"epochs": epoch, "n_steps": 10 * epoch, "gain_db": [9.0, 9.0 + 4 / epoch]}
            model = FakeModel(
                architecture=PRESETS["fast"], weights={}, offset=0, scale=1, record=record,
                at=self.at_frame,
            )  # fmt: skip
            yield TrainingStep(
                fraction=n / self.n_epochs, message=f"training: epoch {epoch}",
                image=frame * np.float32(0.9 + 0.01 * n), index=self.preview, epoch=epoch,
                n_steps=10 * epoch, loss=1 / epoch, validation_loss=1.1 / epoch,
                gain=(9.0, 9.0 + 4 / epoch), model=model, device="CPU (none at all)",
                last=n == self.n_epochs,
            )  # fmt: skip

    def prepare(self, given: Any) -> Generator[Step, None, Engine]:
        model = None
        for step in self.training_steps(*given.exposures):
            model = step.model
            yield step
        assert model is not None
        return model
