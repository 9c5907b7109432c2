"""Where a camera frame is dark from edge to edge: the gap between two views, and the margins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_LEVEL = 5.0  # standard errors up to which a column is as dark as the darkest
STRAY_LIGHT = 0.03  # of the light in the views, up to which a gap may differ from the darkest
SMOOTH = 4.0  # standard errors up to which what neighbours share along a column is chance
NARROWEST = 2  # px
RIM = 0.1  # of the light in the views, that comes on at their rim at least
EDGE = 5  # px beside a strip, that are lit
TOO_MANY = 4  # strips inside: they are the scene's own, between its columns of atoms


def dark_strips(frame: NDArray[Any]) -> list[tuple[int, int]]:
    """Return the strips of columns without light or structure, from left to right.

    Parameters
    ----------
    frame : (Y, X) array
        The mean of many frames, if there are many.

    Returns
    -------
    list of (int, int)
        First column and the one after the last; those at the rim of the frame are margins.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 90)).astype(float)
    >>> frame[:, 40:50] = 0
    >>> dark_strips(frame)
    [(40, 50)]
    """
    frame = np.asarray(frame, float)
    height, width = frame.shape
    level = frame.mean(0)
    apart = frame - level
    # What two pixels share along a column is structure; what they do not is noise.
    shared = (apart[1:] * apart[:-1]).mean(0)
    noise = np.maximum((np.diff(frame, axis=0) ** 2).mean(0) / 2, np.finfo(float).tiny)
    smooth = np.convolve(np.pad(level, 1, mode="edge"), np.ones(3) / 3, "valid")
    darkest = smooth.min()
    light = np.median(level) - darkest
    quiet = np.sqrt(noise[smooth.argmin()] / height)
    if light < 2 * SAME_LEVEL * quiet:
        return []
    near = level - darkest < max(SAME_LEVEL * quiet, STRAY_LIGHT * light)
    flat = shared < SMOOTH * noise / np.sqrt(height) + (STRAY_LIGHT * light) ** 2
    dark = np.concatenate([[False], near & flat, [False]])
    changes = np.flatnonzero(np.diff(dark.astype(int)))
    strips = [(int(a), int(b)) for a, b in zip(changes[::2], changes[1::2], strict=True)]
    strips = [
        (a, b)
        for a, b in strips
        if b - a >= NARROWEST
        and (a == 0 or _light_comes_on(frame[:, a:b], frame[:, max(0, a - EDGE) : a], light))
        and (b == width or _light_comes_on(frame[:, a:b], frame[:, b : b + EDGE], light))
    ]
    inside = [(a, b) for a, b in strips if a > 0 and b < width]
    return [strip for strip in strips if len(inside) <= TOO_MANY or strip not in inside]


def _light_comes_on(dark: NDArray[Any], beside: NDArray[Any], light: float) -> bool:
    """Return whether most rows are brighter beside the strip: the rim of a view, not of a cell."""
    brighter = beside.mean(1) - dark.mean()
    # The lower end of where the median may lie; in the dark it would be below nought.
    lowest = 50 - 50 * SAME_LEVEL / np.sqrt(len(brighter))
    sure = np.percentile(brighter, max(lowest, 5)) > 0
    return bool(sure and np.median(brighter) > RIM * light)


def lit(frame: NDArray[Any]) -> tuple[int, int]:
    """Return the columns between the dark margins of a frame.

    Parameters
    ----------
    frame : (Y, X) array

    Returns
    -------
    (int, int)
        The first, and the one after the last.
    """
    width = frame.shape[1]
    start, stop = 0, width
    for first, last in dark_strips(frame):
        if first == 0:
            start = last
        elif last == width:
            stop = first
    return start, stop
