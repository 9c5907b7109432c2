"""The channels of a stack of pairs, each of which has its own network.

One network for channels of different brightness learns the dim one at the cost of the bright one.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import evenly_spaced
from napari_lowdose.noise2noise.normalised_frames import brightness_levels, differ_in_brightness
from napari_lowdose.noise2noise.valid_pixels import standardise, valid_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lowdose.noise2noise.valid_pixels import Standardised

    Pair = tuple[Standardised, Standardised]

__all__ = ["channel_axis_of", "in_channel", "of_channel"]

_MOST = 8  # channels that are recognised by their brightness
_FRAMES = 3  # of each channel, evenly spread, that are compared
_SAME = 0.9  # correlation, without the noise, above which frames show the same scene


def channel_axis_of(first: Any, second: Any, axis: int | None = None) -> int | None:
    """Return the leading axis of the channels of a pair; None if there are none.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        NumPy or lazy.  A few frames are read.
    axis : int, optional
        The axis, if it is known.  By default, channels are recognised if frames along one axis
        differ more than threefold in contrast, and are alike along all others; not if all show
        the same scene, as in a movie whose light changes.

    Raises
    ------
    ValueError
        If the pair has no such leading axis.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wave = 50 + 30 * np.sin(np.arange(64) / 5) * np.ones((64, 1))
    >>> scene = np.broadcast_to([wave, 20 * wave.T], (3, 2, 64, 64))  # (T, C, Y, X)
    >>> first, second = rng.poisson(scene), rng.poisson(scene)
    >>> channel_axis_of(first, second)
    1
    """
    leading = first.shape[:-2]
    if axis is not None:
        if axis >= len(leading):
            raise ValueError(
                f"channel_axis is {axis}, and the pair of shape {first.shape} has "
                f"{len(leading) or 'no'} leading axes, counted from 0: leave channel_axis out, or "
                "choose the pair with the channels."
            )
        return axis if leading[axis] > 1 and _usable(first, second, axis) else None
    candidates = (n for n, length in enumerate(leading) if 1 < length <= _MOST)
    return next((n for n in candidates if _differ_along(first, second, n)), None)


def of_channel(stack: Any, axis: int, channel: int) -> Any:
    """Return one channel of a stack, without the axis of the channels."""
    return stack[(slice(None),) * axis + (channel,)]


def in_channel(index: Sequence[int], axis: int, channel: int) -> tuple[int, ...]:
    """Return the index in the whole stack of a frame of one channel."""
    return (*index[:axis], channel, *index[axis:])


def _differ_along(first: Any, second: Any, axis: int) -> bool:
    """Return whether the frames differ in brightness along one axis, and only along it."""
    pairs = _sample(first, second, axis)
    firsts = [[pair[0] for pair in each if pair is not None] for each in pairs]
    if not firsts[0] or any(None in each for each in pairs):
        return False
    means = np.array([[one.mean for one in each] for each in firsts])
    deviations = np.array([[one.deviation for one in each] for each in firsts])
    if not differ_in_brightness(means.ravel(), deviations.ravel()):
        return False
    levels = brightness_levels(deviations.ravel()).reshape(deviations.shape)
    alike = (levels == levels[:, :1]).all() and levels.any()
    # A movie whose light changes shows the same scene, for which one network is better
    return bool(alike) and not all(_same_scene(a[0], b[0]) for a, b in pairwise(pairs))


def _same_scene(one: Pair | None, other: Pair | None) -> bool:
    """Return whether two pairs show the same scene, by their correlation without the noise."""
    if one is None or other is None or one[0].image.shape != other[0].image.shape:
        return False

    def common(a: Pair, b: Pair) -> float:
        return float(np.mean(np.multiply(a[0].image, b[1].image, dtype=np.float64)))

    powers = common(one, one) * common(other, other)
    return powers > 0 and common(one, other) > _SAME * math.sqrt(powers)


def _usable(first: Any, second: Any, axis: int) -> bool:
    """Return whether each channel has a frame to train on."""
    return all(any(each) for each in _sample(first, second, axis))


def _sample(first: Any, second: Any, axis: int) -> list[list[Pair | None]]:
    """Return some standardised pairs of each channel; None if an exposure is constant."""
    found: list[list[Pair | None]] = []
    for channel in range(first.shape[axis]):
        exposures = [of_channel(each, axis, channel) for each in (first, second)]
        leading = exposures[0].shape[:-2]
        n = math.prod(leading)
        found.append([])
        for k in evenly_spaced(n, _FRAMES):
            at = np.unravel_index(k, leading) if leading else ()
            valid = valid_pixels(*(np.asarray(each[at]) for each in exposures))
            one, two = map(standardise, valid.frames)
            found[-1].append(None if any(valid.constant) else (one, two))
    return found
