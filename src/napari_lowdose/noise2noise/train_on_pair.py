"""Train a network on one pair and apply it to another image, for example a whole movie."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.engine import Engine, Step

if TYPE_CHECKING:
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.noise2noise import Noise2Noise
    from napari_lowdose.noise2noise.training_step import TrainingStep


@dataclass(frozen=True, eq=False)
class TrainOnPair(Engine):
    """Train on one pair and apply the network to another image; training can be ended early.

    Parameters
    ----------
    engine : Noise2Noise
    pair : (first, second)
        The training exposures, (..., Y, X) each.
    enough : threading.Event
        Set this event to end the training and apply the best network so far.
    """

    title = "Noise2Noise"
    takes = "either"
    trains = True

    engine: Noise2Noise
    pair: tuple[Any, Any]
    enough: threading.Event = field(default_factory=threading.Event)

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the expected fraction of the total time that training takes."""
        return self.engine.preparation_share(given)

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return self.engine.neighbours(number, n_frames)

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Train on the training pair; see `Engine.prepare`."""
        begun = time.perf_counter()
        last: TrainingStep | None = None  # with a network
        denoises_pair = len(given.exposures) == 2 and all(
            one is other for one, other in zip(given.exposures, self.pair, strict=True)
        )
        # When the pair itself is denoised, the engine reserves time for it in the time budget
        training: Any = (
            self.engine.prepare(given) if denoises_pair else self.engine.training_steps(*self.pair)
        )
        with contextlib.closing(training):
            for step in training:
                last = step if step.model is not None else last
                yield step if given.leading else replace(step, index=())
                if last is not None and self.enough.is_set():
                    break
        assert last is not None  # the last step of training has a network
        left = math.inf
        if denoises_pair and self.engine.time_budget and not self.enough.is_set():
            left = self.engine.time_budget - (time.perf_counter() - begun)
        return self.engine.result_of(last, given, seconds=left)

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions of the engine."""
        return self.engine.about()
