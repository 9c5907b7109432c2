"""Notice from frame to frame whether the eigenpatches still fit the scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_lowdose.reucid.known_eigenpatches import KnownStep

MIN_SHARE = 0.03  # change of the logarithm of the share that the eigenpatches explain
MIN_CHANGE = 0.1  # change of the logarithms of their signal-to-noise ratios
# The same in units of the mean step from frame to frame: noise stays below 3.6 of them.
STEPS = 5.0
MEMORY = 0.1  # weight of the newest step in that mean


class SceneChange:
    """Compares each frame with the first one that was denoised with the same eigenpatches.

    Two numbers are compared: the share of the frame that the eigenpatches explain, which falls
    when other structure appears, and their signal-to-noise ratios, which show another specimen or
    dose.  How much they vary from frame to frame in an unchanged scene is learnt on the way.
    """

    def __init__(self) -> None:
        self._numbers = _Number(MIN_SHARE), _Number(MIN_CHANGE)

    def restart(self) -> None:
        """Compare with the next frame, because it has other eigenpatches."""
        for number in self._numbers:
            number.first = None

    def is_seen(self, step: KnownStep) -> bool:
        """Return whether the scene has changed, according to the result of the next frame."""
        values = math.log(max(step.share, 1e-9)), step.change
        far = [number.is_far(value) for number, value in zip(self._numbers, values, strict=True)]
        return any(far)


class _Number:
    """A number that varies from frame to frame.

    Parameters
    ----------
    least : float
        Smallest change that counts.
    """

    def __init__(self, least: float) -> None:
        self.first: float | None = None
        self._least = least
        self._last = self._mean_step = 0.0
        self._n_steps = 0

    def is_far(self, value: float) -> bool:
        """Return whether the next value is far from the first."""
        if self.first is None:
            self.first = self._last = value
            return False
        far = abs(value - self.first) > max(self._least, STEPS * self._mean_step)
        self._n_steps += 1
        weight = max(MEMORY, 1 / self._n_steps)
        self._mean_step += weight * (abs(value - self._last) - self._mean_step)
        self._last = value
        return far
