"""Train on a pair, then apply the network to it or to another image.

Temporary: `Noise2Noise.prepare` is to train, and `Run` to apply the network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel, TrainingStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lowdose.engine import Step

TRAINING = 0.9  # approximate fraction of the work that is training


@dataclass(frozen=True, eq=False)
class TrainThenApply:
    """An engine that trains on a pair and denoises any image; training can be ended early.

    Parameters
    ----------
    engine : Noise2Noise
    pair : (first, second)
        The training pair, (..., Y, X) each.
    enough : threading.Event
        Set it to end the training and apply the best network so far.
    """

    takes = "either"

    engine: Noise2Noise
    pair: tuple[Any, Any]
    enough: threading.Event = dataclasses.field(default_factory=threading.Event)

    def steps(self, image: Any) -> Iterator[Step]:
        """Train on the pair, then denoise `image`, which may be the pair itself."""
        model: Noise2NoiseModel | None = None
        whole = isinstance(image, tuple) and all(
            one is other for one, other in zip(image, self.pair, strict=True)
        )
        # `steps` reserves a part of the time budget for denoising the pair
        steps = self.engine.steps(self.pair) if whole else self.engine.training_steps(*self.pair)
        one_frame = (image[0] if isinstance(image, tuple) else image).ndim == 2
        with contextlib.closing(steps):  # type: ignore[type-var]
            for step in steps:
                if not isinstance(step, TrainingStep):
                    yield step
                    continue
                model = step.model or model
                fraction = step.fraction if whole else TRAINING * step.fraction
                yield replace(step, fraction=fraction, index=() if one_frame else step.index)
                if self.enough.is_set():
                    break
            else:
                if whole:
                    return
        if model is None:  # ended within the first second
            return
        for applied in model.steps(image):
            yield replace(applied, fraction=TRAINING + (1 - TRAINING) * applied.fraction)
