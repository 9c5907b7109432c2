"""Train a network for each channel of a stack of pairs, all of them at the same time."""

from __future__ import annotations

import math
import operator
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.channels import in_channel, of_channel
from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain
from napari_lowdose.noise2noise.training import training_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari_lowdose.noise2noise.config import TrainingConfig, UNetConfig
    from napari_lowdose.noise2noise.model import Noise2NoiseModel
    from napari_lowdose.noise2noise.training_step import TrainingStep

_UNKNOWN = GainInterval(-math.inf, math.inf)


def channel_training_steps(
    first: Any,
    second: Any,
    axis: int,
    network_config: UNetConfig,
    config: TrainingConfig,
    start: Noise2NoiseModel | None,
    begun: float,
    reserve: float = 0.0,
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
            if current.advance():
                yield together.step(current)
    finally:
        for each in trainings:
            each.steps.close()
    together.warn_of_no_gain(config.use)


@dataclass
class _Training:
    """The training of one channel, and its newest step."""

    channel: int
    steps: Any
    seconds: float = 0.0
    step: TrainingStep | None = None
    validation_loss: float | None = None
    gain: GainInterval = _UNKNOWN
    ended: bool = False

    def advance(self) -> bool:
        """Train up to the next step; return whether there is one."""
        begun = time.perf_counter()
        try:
            self.step = next(self.steps)
        except StopIteration:
            self.ended = True
            return False
        except ValueError as error:
            raise ValueError(f"in channel {self.channel + 1}: {error}") from error
        finally:
            self.seconds += time.perf_counter() - begun
        if self.step.validation_loss is not None:
            self.validation_loss = self.step.validation_loss
            self.gain = self.step.told_gain.least if self.step.told_gain else _UNKNOWN
        return True


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

    def step(self, current: _Training) -> TrainingStep:
        """Return the newest step of one channel as a step of all."""
        new, trainings = current.step, self._trainings
        assert new is not None
        steps = [each.step for each in trainings if each.step is not None]
        judged = [each.validation_loss for each in trainings if each.validation_loss is not None]
        told = ToldGain(tuple(each.gain for each in trainings), self._doubt)
        all_judged = new.validation_loss is not None and len(judged) == len(trainings)
        # Each training estimates its end from its pace so far, beside the others
        left = [step.seconds_left for step in steps if not step.last]
        ranges = [step.seconds_range for step in steps if step.seconds_range and not step.last]
        known = [seconds for seconds in left if seconds is not None]
        lows, highs = zip(*ranges, strict=True) if ranges else ((), ())
        return replace(
            new,
            fraction=sum(step.fraction for step in steps) / len(trainings),
            message=new.message.replace("training", f"training {len(trainings)} networks", 1),
            seconds_left=max(known, default=0.0) if len(known) == len(left) else None,
            seconds_range=(max(lows), max(highs)) if ranges else None,
            epoch=_mean(step.epoch for step in steps),
            n_steps=sum(step.n_steps for step in steps),
            loss=_mean(step.loss for step in steps),
            validation_loss=_mean(judged) if all_judged else None,
            told_gain=told if all_judged and told.amount else None,
            model=self.model(),
            last=len(steps) == len(trainings) and all(step.last for step in steps),
            index=() if new.image is None else in_channel(new.index, self._axis, current.channel),
        )

    def model(self) -> Noise2NoiseModel | None:
        """Return the networks of all channels as one model; None if one is missing."""
        models = [each.step.model for each in self._trainings if each.step and each.step.model]
        if len(models) < len(self._trainings):
            return None
        if not self._models or any(map(operator.is_not, models, self._models)):
            self._models = models
            axis, record = self._axis, self._record([model.record for model in models])
            self._model = replace(
                models[0], record=record, channels=tuple(models), channel_axis=axis, state=None
            )
        return self._model

    def warn_of_no_gain(self, use: str) -> None:
        """Warn of each channel whose network is no better than what it was given."""
        model = self.model()
        told = None if model is None else ToldGain.of_record(model.record)
        without, what = 10 * math.log10(2), "the mean of its two exposures"
        if use == "first":
            without, what = 0.0, "its first exposure"
        for channel in [] if told is None else told.no_better_than(without):
            warnings.warn(
                f"Channel {channel} gains nothing: its result is no better than {what}, which is "
                f"{without:.1f} dB. Train for longer, or leave this channel as it is.",
                UserWarning,
                stacklevel=2,
            )

    def _record(self, records: list[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the record of all trainings: that of the first channel, and what differs."""
        gains = [ToldGain.of_record(record) for record in records]
        told = ToldGain(tuple(gain.least if gain else _UNKNOWN for gain in gains), self._doubt)
        return {
            **records[0],
            **(told.for_record() if told.amount else {"gain_db": None}),
            "n_steps": sum(record["n_steps"] for record in records),
            "epochs": _mean(record["epochs"] for record in records),
            "validation_loss": _mean(record["validation_loss"] for record in records),
            "channels": [dict(record) for record in records],
        }


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
