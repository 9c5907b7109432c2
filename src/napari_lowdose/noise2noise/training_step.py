"""What training yields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_lowdose.engine import Step

if TYPE_CHECKING:
    from napari_lowdose.noise2noise.model import Noise2NoiseModel


@dataclass(frozen=True, kw_only=True)
class TrainingStep(Step):
    """How far training has come; every second or two with a preview as its `image`.

    Attributes
    ----------
    epoch : float
        Epochs so far, over all continuations.  In one epoch as many pixels are seen as the
        training pairs have.
    n_steps : int
        Steps of the optimiser so far, over all continuations.
    loss : float
        1 - Pearson correlation of output and partner, Eq. (4); the mean since the last
        TrainingStep.
    validation_loss : float or None
        The same on tiles that training never saw.  None where it was not evaluated at this
        step.
    gain : (float, float) or None
        95 % interval of the gain in PSNR over one exposure, dB, from the held-out tiles.  An
        infinite upper end means 'at least'.  None as long as it is not known.
    model : Noise2NoiseModel or None
        The best so far, to keep if training is stopped here.
    device : str
        What the training runs on, for a person.
    last : bool
        Whether training ends with this step.
    seconds_range : (float, float) or None
        Where training ends by itself: the least and the most that `seconds_left` may be.
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

    @property
    def time_left(self) -> str:
        """The estimated time to the end for a person: "3 min left", or "2 to 5 min left"."""
        if self.seconds_range is None:
            return super().time_left
        return f"{duration_range(*self.seconds_range)} left"

    @property
    def trained(self) -> str:
        """How far the network is trained, for a person: "12 steps", "3 epochs"."""
        return how_far(self.epoch, self.n_steps)


def how_far(epochs: float, n_steps: int) -> str:
    """Return for how long a network was trained; less than an epoch is told in steps.

    Examples
    --------
    >>> how_far(0.02, 12), how_far(0.5, 1), how_far(1.2, 600), how_far(90.1, 360)
    ('12 steps', '1 step', '1 epoch', '90 epochs')
    """
    number, unit = (n_steps, "step") if epochs < 1 else (round(epochs), "epoch")
    return f"{number} {unit}{'s' * (number != 1)}"


def duration_range(least: float, most: float) -> str:
    """Return between what times something ends, no more exact than it is known.

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
    """Return a time in its largest unit, of seconds every fifth."""
    if seconds <= 55:
        return max(5, 5 * (math.ceil(seconds / 5) if up else round(seconds / 5))), "s"
    size, unit = (60, "min") if seconds < 5400 else (3600, "h")
    return max(1, math.ceil(seconds / size) if up else round(seconds / size)), unit
