"""The channels of a stack of pairs, each of which has its own network.

One network for channels of different brightness learns the dim one at the cost of the bright one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.normalised_frames import brightness_levels, differ_in_brightness
from napari_lowdose.noise2noise.valid_pixels import standardise, valid_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["channel_axis_of", "in_channel", "of_channel"]

_MOST = 8  # channels that are recognised by their brightness
_FRAMES = 3  # of each channel, evenly spread, that are compared


def channel_axis_of(first: Any, second: Any, axis: int | None = None) -> int | None:
    """Return the leading axis of the channels of a pair; None if there are none.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        NumPy or lazy.  A few frames are read.
    axis : int, optional
        The axis, if it is known.  By default, channels are recognised if frames along one axis
        differ more than threefold in contrast, and are alike along all others.

    Raises
    ------
    ValueError
        If the pair has no such leading axis.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = 50 + 30 * np.sin(np.arange(64) / 5) * np.ones((2, 1, 64, 1))  # (T, C, Y, X)
    >>> brightness = np.array([1, 20])[:, None, None]
    >>> first, second = (rng.poisson(brightness * scene) for _ in range(2))
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
    found = _statistics(first, second, axis)  # (C, n, 2)
    means, deviations = found[..., 0], found[..., 1]
    if not deviations.all() or not differ_in_brightness(means.ravel(), deviations.ravel()):
        return False
    levels = brightness_levels(deviations.ravel()).reshape(deviations.shape)
    return bool(levels.any() and (levels == levels[:, :1]).all())


def _usable(first: Any, second: Any, axis: int) -> bool:
    """Return whether each channel has a frame to train on."""
    return bool(_statistics(first, second, axis)[..., 1].any(axis=1).all())


def _statistics(first: Any, second: Any, axis: int) -> Any:
    """Return mean and standard deviation of some frames of each channel; 0 if one is constant."""
    found = []
    for channel in range(first.shape[axis]):
        exposures = [of_channel(each, axis, channel) for each in (first, second)]
        leading = exposures[0].shape[:-2]
        n = int(np.prod(leading))
        for k in sorted({int(k) for k in np.linspace(0, n - 1, min(n, _FRAMES)).round()}):
            at = np.unravel_index(k, leading) if leading else ()
            valid = valid_pixels(*(np.asarray(each[at]) for each in exposures))
            _, mean, deviation = standardise(valid.frames[0])
            found.append((mean, 0.0 if any(valid.constant) else deviation))
    return np.reshape(found, (first.shape[axis], -1, 2))
