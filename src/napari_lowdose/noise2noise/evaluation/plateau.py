r"""Learning curve on the held-out tiles: end training when little further gain is expected.

The validation loss approaches its limit about inversely to the number of steps,
:math:`L(n) = L_\infty + c / n`.  The mean loss over the latest part of the curve and over the part
before it give c, and with it the expected gain of further steps.  The estimate depends on steps
and held-out tiles only, not on time, so a busy machine trains the same network.
"""

from __future__ import annotations

import math

_MIN_GAIN = 0.1  # smallest expected gain that is worth further training, dB
_MIN_STEPS = 300  # no plateau is detected before
_IN_A_ROW = 2  # number of consecutive evaluations that must agree, because one is noisy
_PART = (
    3 / 4
)  # the latest part begins at this fraction of all steps, the earlier part at its square
# Mean of 1 / n over the earlier part minus that over the latest part, if the latter ends at n = 1
_MEAN_FALL = math.log(1 / _PART) / (1 - _PART) * (1 / _PART - 1)
_SOON = 1.1  # the earliest end, relative to all steps so far: within the next evaluations
_UNCERTAIN = 2.0  # factor of uncertainty of c, early in the training
_PATIENCE = 1 / 3  # fraction of all steps without a better loss, if the gain is unknown


class LearningCurve:
    """Validation losses so far, and the expected gain of further training.

    Parameters
    ----------
    most : int
        Maximum number of steps.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._losses: list[tuple[int, float]] = []  # steps, loss
        self._error: float | None = None  # mean squared error in units of the noise variance
        self._best_loss, self._best_step = math.inf, 0
        self._in_a_row = 0

    def add(self, step: int, loss: float, gain: tuple[float, float] | None) -> None:
        """Add an evaluation.

        Parameters
        ----------
        step : int
            Number of steps so far.
        loss : float
            Validation loss, 1 - Pearson correlation, Eq. (4).
        gain : (float, float) or None
            95 % confidence interval of the PSNR gain, dB.
        """
        self._losses.append((step, loss))
        if loss < self._best_loss:
            self._best_loss, self._best_step = loss, step
        if gain is not None and math.isfinite(gain[0]):
            # The mean of the errors, not of the gains: the upper limit of the gain may be infinite
            self._error = sum(10 ** (-limit / 10) for limit in gain) / 2
        expected = self.expected_gain()
        too_little = expected is not None and expected < _MIN_GAIN
        self._in_a_row = self._in_a_row + 1 if too_little else 0

    @property
    def flat(self) -> bool:
        """Whether the curve has reached a plateau."""
        step = self._losses[-1][0] if self._losses else 0
        if step <= _MIN_STEPS:
            return False
        if self._error is None:
            return step - self._best_step > _PATIENCE * step
        return self._in_a_row >= _IN_A_ROW

    def expected_gain(self) -> float | None:
        """Return the expected gain of training to the last step, dB; None if unknown."""
        removable = self._removable_error()
        if removable is None:
            return None
        step = self._losses[-1][0]
        # Fraction of the present error that would be removed
        share = removable * (1 / step - 1 / max(self._most, step))
        return -10 * math.log10(1 - share) if share < 1 else math.inf

    def end(self) -> tuple[int, int, int] | None:
        """Return the step at which training will end: earliest, expected and latest.

        None while it is unknown.
        """
        removable = self._removable_error()
        if removable is None:
            return None
        step = self._losses[-1][0]
        ends = []
        for factor in (1 / _UNCERTAIN, 1, _UNCERTAIN):
            # The end n solves: factor * removable * (1 / n - 1 / most) = fraction of _MIN_GAIN
            least = (
                (1 - 10 ** (-_MIN_GAIN / 10)) / (factor * removable) if removable > 0 else math.inf
            )
            ends.append(round(1 / (1 / self._most + least)))
        soon = round(_SOON * step)
        earliest = (max(step, _MIN_STEPS), max(soon, _MIN_STEPS), max(soon, _MIN_STEPS))
        lowest, expected, highest = (
            min(self._most, max(found, each)) for found, each in zip(ends, earliest, strict=True)
        )
        return lowest, expected, highest

    def _removable_error(self) -> float | None:
        """Return the fraction of the error that infinite training would remove, times the steps."""
        if self._error is None:
            return None
        step, loss = self._losses[-1]
        latest = [each for at, each in self._losses if at > _PART * step]
        earlier = [each for at, each in self._losses if _PART**2 * step < at <= _PART * step]
        if not earlier:
            return None
        fall = sum(earlier) / len(earlier) - sum(latest) / len(latest)
        # With the correlation r of output and partner I, the mean squared error is
        # Var S - r^2 Var I, and the noise variance about (1 - r^2) Var I
        correlation = 1 - loss
        if not 0 < correlation < 1 or not self._error > 0:
            return None
        error = 2 * correlation * fall / (1 - correlation**2)
        return error / self._error / _MEAN_FALL * step
