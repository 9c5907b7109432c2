"""Use no more threads than there are cores that other programs leave free.

The threads of PyTorch wait for one another at the end of every operation, and spin meanwhile.  If
one of them has no core, all others wait: with one other busy program, two threads on two cores are
several times slower than one.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE = 1.0  # seconds between two looks at the load
_BUSY = 0.4  # of a core: less may be a window that is painted


class SpareCores:
    """Counts the cores that other programs leave free, about every second.

    Examples
    --------
    >>> cores = SpareCores()
    >>> with cores.used():
    ...     n = torch.get_num_threads()
    >>> 1 <= n <= torch.get_num_threads()
    True
    """

    def __init__(self) -> None:
        self._n_cores = psutil.cpu_count() or 1
        self._process = psutil.Process()
        self._before = self._times()
        self.n_spare = self._n_cores

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Limit the threads of PyTorch to the spare cores."""
        self._look()
        n = torch.get_num_threads()
        if n <= self.n_spare:
            yield
            return
        torch.set_num_threads(self.n_spare)
        try:
            yield
        finally:
            torch.set_num_threads(n)

    def _look(self) -> None:
        """Count the spare cores again, unless that was less than a second ago."""
        if time.perf_counter() - self._before[0] < _PAUSE:
            return
        now = self._times()
        elapsed, busy, own = (b - a for a, b in zip(self._before, now, strict=True))
        self._before = now
        others = max(busy - own, 0.0) / elapsed  # cores
        self.n_spare = max(1, int(self._n_cores - others + 1 - _BUSY))

    def _times(self) -> tuple[float, float, float]:
        """Return the time, and the processor time of all programs and of this one, seconds."""
        system, own = psutil.cpu_times(), self._process.cpu_times()
        idle = system.idle + getattr(system, "iowait", 0.0)
        # `guest` is in `user` already
        busy = sum(system) - idle - getattr(system, "guest", 0.0)
        return time.perf_counter(), busy - getattr(system, "guest_nice", 0.0), own.user + own.system
