"""Isolated outliers: cosmic rays, hot pixels and dead pixels.

An outlier stands out from its neighbours by more than the noise there, and is sharper than
anything that the optics can show: the pixels around it have no part in it.  Both are measured by
order statistics, so that outliers do not raise the bar for each other.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.imaging.centred import centred

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.floating[Any]]
    Limits = tuple[NDArray[np.float64], NDArray[np.float64]]  # at some levels of brightness

SAMPLE = 2**14  # pixels that the noise is measured on
LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)  # quantiles of the level: noise rises with it
USUAL, TAIL = 0.9, 0.99  # quantiles of the sharpness: outliers are fewer than 1 %
TIMES = 2.5  # the tail, and TIMES_BEYOND times what it is beyond the usual: both are 8 standard
TIMES_BEYOND = 4.2  # deviations of Gaussian noise; the second is more where the tail is heavy
QUANTA = 3  # of counted pixels that are added, as the noise of few counts is skew
LEAST_QUANTA = 6
SHARE_OF_NEIGHBOURS = 0.15  # of an outlier's excess, at most: a PSF of 2 px gives them a third
LARGEST = 6  # pixels of a cosmic ray's track
MOST = 2e-3  # of the pixels: more of them are events that are counted, and not outliers
EVENTS = 8.0  # times the typical event, from which on it is no event
BAND = 64  # rows at a time, which stay in the processor's cache
NEXT = [(-1, 0), (1, 0), (0, -1), (0, 1)]
RING_1 = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
RING_2 = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if max(abs(y), abs(x)) == 2]


def find_outliers(frame: NDArray[Any]) -> NDArray[np.bool_]:
    """Find isolated pixels that neither scene nor noise explains.

    Parameters
    ----------
    frame : (Y, X) array
        Any integer or floating dtype, finite.

    Returns
    -------
    (Y, X) bool array
        True at cosmic rays, hot pixels and dead pixels: up to six that touch, and fewer than one in
        a hundred pixels.  Spots as wide as a PSF of 2 pixels or more, saturated areas, lines, and
        the single counts of a sparse exposure are none.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 64))
    >>> frame[10, 20:22] = 4095
    >>> np.argwhere(find_outliers(frame)).tolist()
    [[10, 20], [10, 21]]
    """
    if min(frame.shape) < 5:
        return np.zeros(frame.shape, bool)
    padded = np.pad(centred(frame)[1], 2, mode="reflect")
    rng = np.random.default_rng(0)
    n = min(SAMPLE, frame.size)
    sample = rng.integers(0, frame.shape[0], n), rng.integers(0, frame.shape[1], n)
    near = np.sort(_around(padded, *sample, NEXT), axis=0)
    level = (near[1] + near[2]) / 2
    edges = [round(q * n) for q in LEVELS]
    order = np.argpartition(level, edges[1:-1])
    parts = [order[a:b] for a, b in pairwise(edges)]
    middle = padded[sample[0] + 2, sample[1] + 2]
    hot = _limits(middle - near[1], level, parts)
    dead = _limits(near[2] - middle, -level, parts[::-1])

    bands = [
        _standing_out(padded[first : first + BAND + 4], first, hot, dead)
        for first in range(0, frame.shape[0], BAND)
    ]
    found = np.zeros(frame.shape, bool)
    for sign, limits, of_bands in (
        (1, hot, [b[0] for b in bands]),
        (-1, dead, [b[1] for b in bands]),
    ):
        y, x = np.concatenate(of_bands, axis=1)
        if y.size:
            isolated = _isolated(padded, y, x, sign, limits)
            found[y[isolated], x[isolated]] = True
    return found


def _standing_out(padded: Image, first: int, hot: Limits, dead: Limits) -> list[NDArray[np.intp]]:
    """Return where pixels of a band are brighter, or darker, than those next to them.

    Of the four the two in the middle count: one or two may be outliers too.
    """
    middle = padded[2:-2, 2:-2]
    up, down = padded[1:-3, 2:-2], padded[3:-1, 2:-2]
    left, right = padded[2:-2, 1:-3], padded[2:-2, 3:-1]
    one = np.maximum(np.minimum(up, down), np.minimum(left, right))
    other = np.minimum(np.maximum(up, down), np.maximum(left, right))
    pixels = []
    for sign, beside, limits in (
        (1, np.minimum(one, other), hot),
        (-1, np.maximum(one, other), dead),
    ):
        sharp = middle - beside if sign == 1 else beside - middle
        at = np.flatnonzero(sharp > limits[1][0])
        at = at[sharp.ravel()[at] > _limit(sign * beside.ravel()[at], *limits)]
        y, x = np.divmod(at, middle.shape[1])
        pixels.append(np.stack([y + first, x]))
    return pixels


def _isolated(
    padded: Image,
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    sign: int,
    limits: Limits,
) -> NDArray[np.bool_]:
    """Choose among pixels that stand out those that are alone, or a few together."""
    background = np.median(_around(padded, y, x, RING_2), axis=0) * sign
    excess = padded[y + 2, x + 2] * sign - background
    around = _around(padded, y, x, RING_1) * sign - background
    shared = np.sort(around, axis=0)[:-2].mean(axis=0)  # but for two, which may be outliers too
    isolated: NDArray[np.bool_] = excess > _limit(background, *limits)
    isolated &= shared < SHARE_OF_NEIGHBOURS * excess

    # All that touch are outliers, or none is.
    number = np.full([n - 4 for n in padded.shape], -1, np.int32)
    number[y, x] = np.arange(y.size)
    touching = _around(np.pad(number, 2, mode="reflect"), y, x, RING_1)
    isolated &= ~((touching < 0) & (around > excess / 2)).any(axis=0)
    neighbour, pixel = np.nonzero(touching >= 0)
    edges = (np.ones(pixel.size), (pixel, touching[neighbour, pixel]))
    pairs = scipy.sparse.coo_array(edges, (y.size, y.size))
    _, part = scipy.sparse.csgraph.connected_components(pairs, directed=False)
    isolated &= (np.bincount(part) <= LARGEST)[part] & ~np.isin(part, part[~isolated])

    if np.count_nonzero(isolated) > MOST * number.size or limits[1][0] == 0:
        event = np.median(excess[isolated] if isolated.any() else excess)
        limit = _limit(background, *limits)
        isolated &= excess > EVENTS * np.minimum(event, np.where(limit > 0, limit, np.inf))
    return isolated


def _around(
    padded: NDArray[Any], y: NDArray[np.intp], x: NDArray[np.intp], ring: list[tuple[int, int]]
) -> NDArray[Any]:
    """Return the neighbours of some pixels, (neighbours, pixels)."""
    return np.stack([padded[y + 2 + dy, x + 2 + dx] for dy, dx in ring])


def _limits(sharp: Image, level: Image, parts: list[NDArray[np.intp]]) -> Limits:
    """Return how sharp chance and structure make a pixel, at some levels of brightness."""
    positive = sharp[sharp > 0]
    quantum = float(positive.min()) if positive.size else 0.0
    levels = np.array([np.median(level[part]) for part in parts], np.float64)
    ranks = [[int(q * (len(part) - 1)) for q in (USUAL, TAIL)] for part in parts]
    usual, tail = np.transpose(
        [np.partition(sharp[part], rank)[rank] for part, rank in zip(parts, ranks, strict=True)]
    )
    limits = np.maximum(TIMES * tail, tail + TIMES_BEYOND * (tail - usual))
    limits = np.maximum.accumulate(np.maximum(limits, limits.max() / 8))
    return levels, np.maximum(limits + QUANTA * quantum, LEAST_QUANTA * quantum)


def _limit(
    level: Image, levels: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate the limits; beyond the brightest level they rise with the level."""
    above = np.maximum(level - levels[-1], 0)
    rise = 1 + above / max(levels[-1] - levels[0] + limits[-1], np.finfo(np.float32).tiny)
    limit: NDArray[np.float64] = np.interp(level, levels, limits) * rise
    return limit


def replace_outliers(frame: NDArray[Any], outliers: NDArray[np.bool_]) -> NDArray[Any]:
    """Replace outliers by the median of their neighbours.

    Parameters
    ----------
    frame : (Y, X) array
    outliers : (Y, X) bool array
        From `find_outliers`.

    Returns
    -------
    (Y, X) array
        Of the same dtype; the frame itself where there are no outliers.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.array([[1, 2, 3], [4, 4095, 6], [7, 8, 9]], np.uint16)
    >>> replace_outliers(frame, frame > 1000)
    array([[1, 2, 3],
           [4, 5, 6],
           [7, 8, 9]], dtype=uint16)
    """
    y, x = np.nonzero(outliers)
    if not y.size or y.size == frame.size:
        return frame
    result = frame.copy()
    radius = 1
    while y.size:
        reach = np.arange(-radius, radius + 1)
        dy, dx = (each.ravel() for each in np.meshgrid(reach, reach, indexing="ij"))
        rows, columns = y[:, None] + dy, x[:, None] + dx
        inside = (rows >= 0) & (rows < frame.shape[0]) & (columns >= 0) & (columns < frame.shape[1])
        rows, columns = rows.clip(0, frame.shape[0] - 1), columns.clip(0, frame.shape[1] - 1)
        good = inside & ~outliers[rows, columns]
        values = frame[rows, columns]
        order = np.lexsort((values, ~good), axis=1)  # the good ones first, each by its value
        values = np.take_along_axis(values, order, axis=1)
        n_good = good.sum(axis=1)
        enough = n_good >= min(3, frame.size - np.count_nonzero(outliers))
        low, high = (
            np.take_along_axis(values, middle[:, None], axis=1)[:, 0]
            for middle in (np.maximum(n_good - 1, 0) // 2, n_good // 2)
        )
        half = (high - low) // 2 if frame.dtype.kind in "iu" else (high - low) / 2
        result[y[enough], x[enough]] = (low + half)[enough]
        y, x, radius = y[~enough], x[~enough], 2 * radius
    return result
