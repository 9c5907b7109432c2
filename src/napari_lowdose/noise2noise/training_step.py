"""Progress of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_lowdose.engine import Step
from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain

if TYPE_CHECKING:
    from napari_lowdose.noise2noise.baseline import Baseline
    from napari_lowdose.noise2noise.model import Noise2NoiseModel


@dataclass(frozen=True, kw_only=True)
class TrainingStep(Step):
    """Progress report of a training; about every two seconds its `image` is a preview.

    Attributes
    ----------
    epoch : float
        Epochs so far, over all continuations.  One epoch draws as many pixels as the training
        pairs have.
    n_steps : int
        Optimiser steps so far, over all continuations.
    loss : float
        1 - Pearson correlation of output and partner, Eq. (4); the mean since the last
        TrainingStep.
    validation_loss : float or None
        Loss on the held-out tiles; None if it was not evaluated at this step.
    gain : (float, float) or None
        95 % confidence interval of the PSNR gain over one exposure, dB, from the held-out
        tiles; with channels, of the one that gains least.  An infinite upper limit means 'at
        least'.  None while it is unknown.  `told_gain` is for display.
    model : Noise2NoiseModel or None
        The best network so far, to keep if training is stopped here.
    device : str
        Name of the device, for display.
    last : bool
        Whether training ends with this step.
    seconds_range : (float, float) or None
        Lower and upper limit of `seconds_left`, if training ends at a plateau.
    instead : Baseline or None
        A method without training that is better than the network so far, by the held-out tiles.
        None if the network is better.
    instead_gain : (float, float) or None
        95 % confidence interval of its PSNR gain over one exposure, dB.
    pass_seconds : float
        Expected time to apply the network to one exposure, seconds.
    doubt : str
        Why the gain cannot be trusted, from the checks of the pair; empty if it can.
    channels : tuple of TrainingStep
        The newest steps of the channels, if each has its own network.
    """

    epoch: float
    n_steps: int
    loss: float
    validation_loss: float | None = None
    gain: tuple[float, float] | None = None
    model: Noise2NoiseModel | None = None
    device: str = ""
    last: bool = False
    seconds_range: tuple[float, float] | None = None
    instead: Baseline | None = None
    instead_gain: tuple[float, float] | None = None
    pass_seconds: float = 0.0
    doubt: str = ""
    channels: tuple[TrainingStep, ...] = ()

    @property
    def told_gain(self) -> ToldGain | None:
        """The gain of the result so far, for each channel, and why it cannot be trusted.

        None if it was not measured at this step.
        """
        if self.channels and self.gain is None:
            return None
        told = []
        for each in self.channels or (self,):
            limits = each.gain if each.instead is None else each.instead_gain
            told.append(
                GainInterval(-math.inf, math.inf) if limits is None else GainInterval(*limits)
            )
        by = [each.instead.name if each.instead else "" for each in self.channels]
        gain = ToldGain(tuple(told), self.doubt, tuple(by) if any(by) else ())
        return gain if gain.amount else None

    @property
    def time_left(self) -> str:
        """Estimated time left, for display: "3 min left" or "2 to 5 min left"."""
        if self.seconds_range is None:
            return super().time_left
        return f"{duration_range(*self.seconds_range)} left"

    @property
    def trained(self) -> str:
        """Length of the training so far, for display: "12 steps" or "3 epochs"."""
        return training_length(self.epoch, self.n_steps)


def training_length(epochs: float, n_steps: int) -> str:
    """Format the length of a training: in steps below one epoch, else in epochs.

    Examples
    --------
    >>> training_length(0.02, 12), training_length(0.5, 1)
    ('12 steps', '1 step')
    >>> training_length(1.2, 600), training_length(90.1, 360)
    ('1 epoch', '90 epochs')
    """
    number, unit = (n_steps, "step") if epochs < 1 else (round(epochs), "epoch")
    return f"{number} {unit}{'s' * (number != 1)}"


def duration_range(least: float, most: float) -> str:
    """Format a range of durations, rounded to its precision.

    Parameters
    ----------
    least, most : float
        Seconds.

    Examples
    --------
    >>> duration_range(110, 290), duration_range(8, 31), duration_range(40, 150)
    ('2 to 5 min', '10 to 35 s', '40 s to 3 min')
    >>> duration_range(170, 180), duration_range(3000, 9000), duration_range(0, 2)
    ('about 3 min', '50 min to 3 h', 'about 5 s')
    """
    low, high = _rounded(least), _rounded(most, up=True)
    if low == high:
        return f"about {high[0]} {high[1]}"
    if low[1] == high[1]:
        return f"{low[0]} to {high[0]} {high[1]}"
    return f"{low[0]} {low[1]} to {high[0]} {high[1]}"


def _rounded(seconds: float, up: bool = False) -> tuple[int, str]:
    """Return a time in its largest unit; seconds are rounded to multiples of 5."""
    if seconds <= 55:
        return max(5, 5 * (math.ceil(seconds / 5) if up else round(seconds / 5))), "s"
    size, unit = (60, "min") if seconds < 5400 else (3600, "h")
    return max(1, math.ceil(seconds / size) if up else round(seconds / size)), unit
