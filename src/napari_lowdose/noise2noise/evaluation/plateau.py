r"""When training ends by itself: the held-out tiles promise too little from more of it.

While a network learns, the error that more training would still remove falls about as one over the
number of steps, and the loss with it, :math:`L(n) = L_\infty + c / n`.  The newest part of the
curve against the part before it, each a mean over several evaluations, gives c, and so what any
number of further steps would gain.  All of it depends on steps and held-out tiles, never on the
clock: a busy machine trains the same network.
"""

from __future__ import annotations

import math

_ENOUGH = 0.1  # dB: less is not worth more training
_SOONEST = 300  # steps before a plateau is believed
_IN_A_ROW = 2  # evaluations that promise too little
_PART = 3 / 4  # the newest part begins at this share of all steps, the part before at its square
# Mean of 1 / n over the part before minus that over the newest, where the newest ends at n = 1
_BETWEEN = math.log(1 / _PART) / (1 - _PART) * (1 / _PART - 1)
_SOON = 1.1  # times all steps: the next evaluations may say so
_UNCERTAIN = 2.0  # factor by which c is wrong, early on
_PATIENCE = 1 / 3  # of all steps without a better loss, where no gain is known


class LearningCurve:
    """What the held-out tiles said so far, and what they promise.

    Parameters
    ----------
    most : int
        Steps at which training ends at the latest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._losses: list[tuple[int, float]] = []  # steps, loss
        self._error: float | None = None  # of the result, in units of the noise variance
        self._best_loss, self._best_step = math.inf, 0
        self._in_a_row = 0

    def add(self, step: int, loss: float, gain: tuple[float, float] | None) -> None:
        """Take in an evaluation.

        Parameters
        ----------
        step : int
            Steps so far.
        loss : float
            1 - Pearson correlation with the partner.
        gain : (float, float) or None
            95 % interval of the gain, dB.
        """
        self._losses.append((step, loss))
        if loss < self._best_loss:
            self._best_loss, self._best_step = loss, step
        if gain is not None and math.isfinite(gain[0]):
            # The middle of the interval, which is finite where the gain is 'at least'
            self._error = sum(10 ** (-limit / 10) for limit in gain) / 2
        promise = self.promise()
        too_little = promise is not None and promise < _ENOUGH
        self._in_a_row = self._in_a_row + 1 if too_little else 0

    @property
    def flat(self) -> bool:
        """Whether training may end here."""
        step = self._losses[-1][0] if self._losses else 0
        if step <= _SOONEST:
            return False
        if self._error is None:
            return step - self._best_step > _PATIENCE * step
        return self._in_a_row >= _IN_A_ROW

    def promise(self) -> float | None:
        """Return what training to the last step would gain, dB; None while it is unknown."""
        lacking = self._lacking()
        if lacking is None:
            return None
        step = self._losses[-1][0]
        share = lacking * (1 / step - 1 / max(self._most, step))  # of the error that is left
        return -10 * math.log10(1 - share) if share < 1 else math.inf

    def end(self) -> tuple[int, int, int] | None:
        """Return at which step training ends, probably: lowest, expected, highest.

        None while it is unknown.
        """
        lacking = self._lacking()
        if lacking is None:
            return None
        step = self._losses[-1][0]
        ends = []
        for factor in (1 / _UNCERTAIN, 1, _UNCERTAIN):
            # Where lacking * (1 / n - 1 / most) is no longer enough
            enough = (1 - 10 ** (-_ENOUGH / 10)) / (factor * lacking) if lacking > 0 else math.inf
            ends.append(round(1 / (1 / self._most + enough)))
        soon = round(_SOON * step)
        least = (max(step, _SOONEST), max(soon, _SOONEST), max(soon, _SOONEST))
        lowest, expected, highest = (
            min(self._most, max(found, each)) for found, each in zip(ends, least, strict=True)
        )
        return lowest, expected, highest

    def _lacking(self) -> float | None:
        """Return the share of the error that more training would remove, times steps so far."""
        if self._error is None:
            return None
        step, loss = self._losses[-1]
        newest = [each for at, each in self._losses if at > _PART * step]
        before = [each for at, each in self._losses if _PART**2 * step < at <= _PART * step]
        if not before:
            return None
        fall = sum(before) / len(before) - sum(newest) / len(newest)
        # The error is var S - r^2 var I with the correlation r, and the noise about (1 - r^2) var I
        correlation = 1 - loss
        if not 0 < correlation < 1 or not self._error > 0:
            return None
        error = 2 * correlation * fall / (1 - correlation**2)
        return error / self._error / _BETWEEN * step
