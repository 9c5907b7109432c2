"""Frames per second and latency of a live run, as text."""

from __future__ import annotations

import statistics
from collections import deque

WINDOW = 2.0  # seconds over which rates are averaged
LATEST = 31  # frames whose latencies count


class LiveRates:
    """Counts the frames that are shown.

    Attributes
    ----------
    n_shown : int
        Number of frames so far.

    Examples
    --------
    >>> rates = LiveRates()
    >>> rates.text(now=0.0, n_in=0)
    'waiting for the first frame …'
    >>> for _ in range(50):
    ...     rates.shown(latency=0.04)
    >>> print(rates.text(now=2.0, n_in=60))
    30 frames/s in, 25 shown, 5 dropped
    40 ms behind the source
    >>> rates.text(now=4.0, n_in=60)
    'waiting for the next frame … (60 so far)'
    """

    def __init__(self) -> None:
        self.n_shown = 0
        self._counts: deque[tuple[float, int, int]] = deque()
        self._latencies: deque[float] = deque(maxlen=LATEST)

    def shown(self, latency: float) -> None:
        """Count a frame that arrived `latency` seconds ago."""
        self.n_shown += 1
        self._latencies.append(latency)

    def text(self, now: float, n_in: int) -> str:
        """Return the rates of the last two seconds.

        Parameters
        ----------
        now : float
            Time, seconds.
        n_in : int
            Number of frames that have arrived so far.
        """
        if not n_in:
            self._counts.clear()  # the first frame may come late
        self._counts.append((now, n_in, self.n_shown))
        while now - self._counts[0][0] > WINDOW:
            self._counts.popleft()
        begun, n_before, n_shown_before = self._counts[0]
        if not n_in:
            return "waiting for the first frame …"
        if n_in == n_before and now - begun >= WINDOW / 2:
            return f"waiting for the next frame … ({n_in} so far)"
        seconds = max(now - begun, 1e-9)
        came = (n_in - n_before) / seconds
        shown = min((self.n_shown - n_shown_before) / seconds, came)  # one may be on its way
        rates = f"{_rate(came)} frames/s in, {_rate(shown)} shown, {_rate(came - shown)} dropped"
        behind = statistics.median(self._latencies) if self._latencies else 0.0
        return f"{rates}\n{1000 * behind:.0f} ms behind the source"


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 9.95 else f"{rate:.1f}".removesuffix(".0")
