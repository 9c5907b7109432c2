"""Pace of a training: time left, and times of the previews."""

from __future__ import annotations

import time

_FIRST_PREVIEWS = (1.0, 2.0, 4.0)  # seconds after the first step
_PREVIEW_PAUSE = 2.0  # minimum time between later previews, seconds
_PREVIEW_SHARE = 0.12  # maximum fraction of the time that previews take


class Pace:
    """Time that training has taken, and an estimate of the time left."""

    def __init__(self, begun: float, first_step: float, budget: float) -> None:
        self._begun, self._first_step, self._budget = begun, first_step, budget
        self.still_to_come = 0.0  # seconds of work after the last step

    def over(self) -> bool:
        """Whether the time budget is used up."""
        return time.perf_counter() - self._begun + self.still_to_come > self._budget

    def seconds_left(self, n_steps: int, done: int, now: float) -> float:
        """Return the time needed for the steps up to `n_steps` and for the work after them."""
        each = (now - self._first_step) / done
        left = max(0, n_steps - done) * each + self.still_to_come
        return max(0.0, min(left, self._budget - (now - self._begun)))

    def fraction(self, now: float, left: float) -> float:
        """Return the fraction of the training that is done, given the time left."""
        spent = now - self._begun
        return min(spent / (spent + left), 0.99) if spent + left > 0 else 0.0


class PreviewSchedule:
    """When to show previews: at 1, 2 and 4 s, then every 2 s or in a fixed share of the time."""

    def __init__(self, begun: float) -> None:
        self._begun = begun
        self._next = _FIRST_PREVIEWS[0]
        self._n_shown = 0
        self.cost = 0.0  # seconds that the last preview took

    def is_due(self, now: float) -> bool:
        """Whether it is time for a preview."""
        return now - self._begun > self._next

    def shown(self, begun: float, ended: float) -> None:
        """Plan the next one."""
        self.cost = ended - begun
        self._n_shown += 1
        # The first one includes start-up costs, so it does not predict the next
        share = 0.0 if self._n_shown == 1 else self.cost / _PREVIEW_SHARE
        elapsed = ended - self._begun
        early = [each for each in _FIRST_PREVIEWS if each > elapsed]
        self._next = early[0] if early else elapsed + max(_PREVIEW_PAUSE, share)
