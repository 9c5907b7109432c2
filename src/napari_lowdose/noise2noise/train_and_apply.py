"""Train a network on one input and apply it to another, for example to one frame of the movie."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.engine import Engine, Step

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.noise2noise import Noise2Noise
    from napari_lowdose.noise2noise.pair_source import PairSource


@dataclass(frozen=True, eq=False)
class TrainAndApply(Engine):
    """Train on one input and apply the network to another; training can be ended early.

    Parameters
    ----------
    engine : Noise2Noise or PairSource
    pixels : tuple of one or two (..., Y, X) arrays
        The two exposures of the training, or the image or movie that the pairs are made of.
    enough : threading.Event
        Set this event to end the training and apply the best network so far.
    """

    title = "Noise2Noise"
    takes = "either"
    trains = True

    engine: Noise2Noise | PairSource
    pixels: tuple[Any, ...]
    enough: threading.Event = field(default_factory=threading.Event)

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the expected fraction of the total time that training takes."""
        return self.engine.preparation_share(given)

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return self.engine.neighbours(number, n_frames)

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Train the network; see `Engine.prepare`."""
        begun = time.perf_counter()
        last: Any = None  # the newest step with a network
        denoises_same = len(given.exposures) == len(self.pixels) and all(
            one is other for one, other in zip(given.exposures, self.pixels, strict=True)
        )
        # When the same pixels are denoised, the engine reserves time for it in the time budget
        training: Any = (
            self.engine.prepare(given)
            if denoises_same
            else self.engine.training_steps(*self.pixels)
        )
        with contextlib.closing(training):
            for step in training:
                last = step if step.model is not None else last
                yield step if given.leading else replace(step, index=())
                if last is not None and self.enough.is_set():
                    break
        assert last is not None  # the last step of training has a network
        left = math.inf
        budget = self.engine.time_budget
        if denoises_same and len(self.pixels) == 2 and budget and not self.enough.is_set():
            left = budget - (time.perf_counter() - begun)
        return self.engine.result_of(last, given, seconds=left)

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions of the engine."""
        return self.engine.about()
