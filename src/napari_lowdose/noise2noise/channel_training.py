"""Train a network for each channel of a stack of pairs, all of them at the same time."""

from __future__ import annotations

import operator
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.channels import in_channel, of_channel
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain, gain_record
from napari_lowdose.noise2noise.training import training_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari_lowdose.noise2noise.config import TrainingConfig, UNetConfig
    from napari_lowdose.noise2noise.model import Noise2NoiseModel
    from napari_lowdose.noise2noise.training_step import TrainingStep


def channel_training_steps(
    first: Any,
    second: Any,
    axis: int,
    network_config: UNetConfig,
    config: TrainingConfig,
    start: Noise2NoiseModel | None,
    begun: float,
    reserve: tuple[float, float] = (0.0, 0.0),
    *,
    doubt: str = "",
) -> Iterator[TrainingStep]:
    """Train a network for each channel, in turns, so that all can be used when training stops.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
    axis : int
        Leading axis of the channels.
    network_config, config, start, begun, reserve, doubt
        As for `training_steps`.

    Yields
    ------
    TrainingStep
        `model` has the networks of all channels; None until each has one.

    Raises
    ------
    ValueError
        If a channel has no usable pair, or `start` does not have the same channels.
    """
    n = first.shape[axis]
    if start is not None and len(start.channels) != n:
        raise ValueError(
            f"the pair has {n} channels, and the network to continue has "
            f"{len(start.channels) or 'none'}: train a new network, or continue on its own pair."
        )
    preview = config.preview[:axis] + config.preview[axis + 1 :]
    trainings = []
    for channel in range(n):
        steps = training_steps(
            of_channel(first, axis, channel),
            of_channel(second, axis, channel),
            network_config,
            replace(config, preview=preview),
            None if start is None else start.channels[channel],
            begun,
            reserve,
            doubt=doubt,
        )
        trainings.append(_Training(channel, steps))
    together = _Together(trainings, axis, doubt)
    try:
        while running := [each for each in trainings if not each.ended]:
            # The one that has had the least time
            current = min(running, key=lambda each: each.seconds)
            step = current.advance()
            if step is not None:
                yield together.step(step, current.channel)
    finally:
        for each in trainings:
            each.steps.close()


@dataclass
class _Training:
    """The training of one channel, and its newest step with the newest gain."""

    channel: int
    steps: Any
    seconds: float = 0.0
    step: TrainingStep | None = None
    ended: bool = False

    def advance(self) -> TrainingStep | None:
        """Train up to the next step, and return it; None if there is none."""
        begun = time.perf_counter()
        try:
            step: TrainingStep = next(self.steps)
        except StopIteration:
            self.ended = True
            return None
        except ValueError as error:
            raise ValueError(f"in channel {self.channel + 1}: {error}") from error
        finally:
            self.seconds += time.perf_counter() - begun
        before = self.step
        self.step = step
        if before is not None and step.validation_loss is None:
            self.step = replace(step, gain=before.gain, validation_loss=before.validation_loss)
        return step


class _Together:
    """The trainings of all channels as one.

    Parameters
    ----------
    trainings : list of _Training
    axis : int
        Leading axis of the channels.
    doubt : str
        See `ToldGain`.
    """

    def __init__(self, trainings: list[_Training], axis: int, doubt: str) -> None:
        self._trainings, self._axis, self._doubt = trainings, axis, doubt
        self._models: list[Noise2NoiseModel] = []
        self._model: Noise2NoiseModel | None = None

    def step(self, new: TrainingStep, channel: int) -> TrainingStep:
        """Return a step of one channel as a step of all."""
        n = len(self._trainings)
        steps = tuple(each.step for each in self._trainings if each.step is not None)
        losses = [each.validation_loss for each in steps if each.validation_loss is not None]
        evaluated = new.validation_loss is not None and len(losses) == n
        gains = [each.gain for each in steps if each.gain is not None]
        # Each training estimates its end from its pace so far, beside the others
        running = [each for each in steps if not each.last]
        left = [each.seconds_left for each in running if each.seconds_left is not None]
        ranges = [each.seconds_range for each in running if each.seconds_range is not None]
        lows, highs = zip(*ranges, strict=True) if ranges else ((), ())
        return replace(
            new,
            fraction=sum(each.fraction for each in steps) / n,
            message=new.message.replace("training", f"training {n} networks", 1),
            seconds_left=max(left, default=0.0) if len(left) == len(running) else None,
            seconds_range=(max(lows), max(highs)) if ranges else None,
            epoch=_mean(each.epoch for each in steps),
            n_steps=sum(each.n_steps for each in steps),
            loss=_mean(each.loss for each in steps),
            validation_loss=_mean(losses) if evaluated else None,
            gain=min(gains) if evaluated and gains else None,
            model=self._together(),
            last=len(steps) == n and not running,
            index=() if new.image is None else in_channel(new.index, self._axis, channel),
            instead=None,
            instead_gain=None,
            pass_seconds=max(each.pass_seconds for each in steps),
            channels=steps if len(steps) == n else (),
        )

    def _together(self) -> Noise2NoiseModel | None:
        """Return the networks of all channels as one model; None if one is missing."""
        models = [each.step.model for each in self._trainings if each.step and each.step.model]
        if len(models) < len(self._trainings):
            return None
        if not self._models or any(map(operator.is_not, models, self._models)):
            self._models = models
            self._model = replace(
                models[0],
                record=self._record([model.record for model in models]),
                channels=tuple(models),
                channel_axis=self._axis,
                state=None,
            )
        return self._model

    def _record(self, records: list[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the record of all trainings: that of the first channel, and what differs."""
        gains = [ToldGain.of_record(record) for record in records]
        limits = [None if gain is None else (gain.least.low, gain.least.high) for gain in gains]
        return {
            **records[0],
            **gain_record(limits, self._doubt),
            "n_steps": sum(record["n_steps"] for record in records),
            "epochs": _mean(record["epochs"] for record in records),
            "validation_loss": _mean(record["validation_loss"] for record in records),
            "channels": [dict(record) for record in records],
        }


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
