"""Frames of very different brightness: the channels of a specimen, a movie that bleaches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Level", "brightness_levels", "differ_in_brightness", "nearest_level"]

_CONTRAST = 3.0  # times: frames that differ by more are each normalised by itself
_BRIGHTNESS = 4.0  # standard deviations within a frame: the same
_GAP = 1.5  # times the contrast: from one level to the next
_MOST_LEVELS = 8


class Level(NamedTuple):
    """Frames of about the same contrast: a channel, or all frames of a movie.

    Attributes
    ----------
    contrast : float
        Standard deviation of a frame of the first exposure.
    gain, offset : float
        Of the second exposure against the first.
    """

    contrast: float
    gain: float
    offset: float


def differ_in_brightness(means: NDArray[np.float64], deviations: NDArray[np.float64]) -> bool:
    """Tell whether frames differ so much that one normalisation for all would lose the dim ones.

    Parameters
    ----------
    means, deviations : (P,) arrays
        Of the frames.
    """
    return bool(
        deviations.max() > _CONTRAST * deviations.min()
        or np.ptp(means) > _BRIGHTNESS * np.median(deviations)
    )


def brightness_levels(deviations: NDArray[np.float64]) -> NDArray[np.int_]:
    """Sort frames into levels, wherever their contrasts leave a gap.

    A channel is a level; a movie that bleaches, frame by frame, is one level however far.

    Parameters
    ----------
    deviations : (P,) array
        Standard deviation of each frame.

    Returns
    -------
    (P,) array of int
        The level of each frame, 0 for the faintest.

    Examples
    --------
    >>> import numpy as np
    >>> brightness_levels(np.array([90.0, 8.0, 100.0, 9.0])).tolist()
    [1, 0, 1, 0]
    """
    order = np.argsort(deviations)
    steps = np.diff(np.log(deviations[order]))
    largest = np.argsort(steps)[::-1][: _MOST_LEVELS - 1]
    rises = np.zeros(len(deviations), int)
    rises[1:][[k for k in largest if steps[k] > math.log(_GAP)]] = 1
    levels = np.empty(len(deviations), int)
    levels[order] = np.cumsum(rises)
    return levels


def nearest_level(levels: Sequence[Level], contrast: float, of_second: bool = False) -> Level:
    """Return the level of the most similar contrast.

    Parameters
    ----------
    levels : sequence of Level
    contrast : float
        Standard deviation of a frame.
    of_second : bool
        Whether it is one of the second exposure.
    """
    known = [level.contrast * (level.gain if of_second else 1.0) for level in levels]
    apart = np.abs(np.log(np.maximum(contrast, np.finfo(float).tiny) / np.abs(known)))
    return levels[int(apart.argmin())]
