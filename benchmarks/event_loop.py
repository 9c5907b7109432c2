"""Delay of a timer in the event loop of the user interface, and a pair of images to load it."""

from __future__ import annotations

import time

import numpy as np
from qtpy.QtCore import QTimer

TICK = 0.005  # seconds


class Stalls:
    """Times and delays of the timer."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._waits: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(round(1000 * TICK))
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._times.append(now)
        self._waits.append(now - self._last - TICK)
        self._last = now

    def stop(self) -> tuple[np.ndarray, np.ndarray]:
        self._timer.stop()
        return np.array(self._times), np.array(self._waits)


def crystal(side: int, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    truth = 2 + np.sin(x * 2 * np.pi / 16) * np.sin(y * 2 * np.pi / 16)
    return np.random.default_rng(seed).poisson(5 * truth).astype(np.uint16)
