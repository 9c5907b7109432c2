"""Detection and replacement of isolated outliers: cosmic rays, hot pixels and dead pixels.

An outlier differs from its neighbours by more than the local noise.  It is also sharper than the
optics allow: none of its excess appears in the pixels around it.  Both are measured with order
statistics, so that outliers do not mask each other.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.imaging.centred import centred

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.floating[Any]]
    Limits = tuple[NDArray[np.float64], NDArray[np.float64]]  # levels of brightness, limits there

SAMPLE_SIZE = 2**14  # pixels from which the noise is measured
# The noise is measured in classes of brightness, because it usually increases with brightness
LEVEL_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
# The limits follow from two quantiles of the sharpness.  Outliers are fewer than 1 % of the pixels,
# so they do not change the quantiles.
TYPICAL_QUANTILE, TAIL_QUANTILE = 0.9, 0.99
# limit = max(TAIL_FACTOR * tail, tail + SPREAD_FACTOR * (tail - typical)).  For Gaussian noise both
# terms are 8 standard deviations; the second is larger if the distribution has a heavy tail.
TAIL_FACTOR = 2.5
SPREAD_FACTOR = 4.2
# Noise of few counts is skewed: add 3 quanta (the smallest step of counted pixels), at least 6
EXTRA_QUANTA = 3
MIN_QUANTA = 6
# Maximum share of an outlier's excess in its neighbours.  A PSF with a FWHM of 2 px gives them a
# third of it.
MAX_NEIGHBOUR_SHARE = 0.15
MAX_PIXELS = 6  # pixels in the track of a cosmic ray
# If more pixels than this share stand out, they are counted events; then only pixels of 8 times the
# typical event are outliers.
MAX_SHARE = 2e-3
EVENT_FACTOR = 8.0
BAND_PIXELS = 2**16  # pixels processed at a time, so that they stay in the processor's cache
NEAREST = [(-1, 0), (1, 0), (0, -1), (0, 1)]
RING_1 = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
RING_2 = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if max(abs(y), abs(x)) == 2]


def find_outliers(frame: NDArray[Any]) -> NDArray[np.bool_]:
    """Find isolated pixels that neither the scene nor the noise explains.

    Outliers are up to six touching pixels, and fewer than one in a hundred pixels.  Spots with a
    FWHM of 2 pixels or more, saturated areas, lines, and the single counts of a sparse exposure
    are not outliers.

    Parameters
    ----------
    frame : (Y, X) array
        Any integer or floating dtype; finite.

    Returns
    -------
    (Y, X) bool array
        True at cosmic rays, hot pixels and dead pixels.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 64))
    >>> frame[10, 20:22] = 4095
    >>> np.argwhere(find_outliers(frame)).tolist()
    [[10, 20], [10, 21]]
    """
    return outliers_of_centred(centred(frame)[1])


def outliers_of_centred(pixels: Image) -> NDArray[np.bool_]:
    """Find outliers as `find_outliers`, in pixels from `centred`.

    Parameters
    ----------
    pixels : (Y, X) float32 array

    Returns
    -------
    (Y, X) bool array
    """
    found = np.zeros(pixels.shape, bool)
    if min(pixels.shape) < 5:
        return found
    padded = np.pad(pixels, 2, mode="reflect")
    hot, dead = _noise_limits(padded)
    height = max(8, BAND_PIXELS // padded.shape[1])  # rows of a band
    bands = [
        _candidates(padded[first : first + height + 4], first, hot, dead)
        for first in range(0, pixels.shape[0], height)
    ]
    for sign, limits, of_bands in zip((1, -1), (hot, dead), zip(*bands, strict=True), strict=True):
        y, x = np.concatenate(of_bands, axis=1)
        if y.size:
            isolated = _isolated(padded, y, x, sign, limits)
            found[y[isolated], x[isolated]] = True
    return found


def _noise_limits(padded: Image) -> tuple[Limits, Limits]:
    """Return the limits of bright and of dark outliers, from a sample of the pixels."""
    height, width = padded.shape
    at = _sampled(height - 4, width - 4)
    pixels = padded.ravel()
    beside = (pixels.take(at + dy * width + dx) for dy, dx in NEAREST)
    darker, brighter = _middle_two(*beside)
    level = (darker + brighter) / 2
    order = np.argsort(level)
    edges = [round(q * len(at)) for q in LEVEL_QUANTILES]
    parts = [slice(*pair) for pair in pairwise(edges)]
    darker, brighter, middle = (x.take(order) for x in (darker, brighter, pixels.take(at)))
    levels = np.array([_middle_of_sorted(level[order[part]]) for part in parts])
    return (
        _limits(middle - darker, levels, parts),
        _limits(brighter - middle, -levels[::-1], parts[::-1]),
    )


def _middle_of_sorted(values: Image) -> float:
    """Return the median; that of NumPy sorts again."""
    return float(values[(values.size - 1) // 2] + values[values.size // 2]) / 2


@lru_cache(maxsize=4)  # of the frames of a movie
def _sampled(height: int, width: int) -> NDArray[np.intp]:
    """Return random positions in a frame with a border of 2 pixels."""
    rng, n = np.random.default_rng(0), min(SAMPLE_SIZE, height * width)
    y, x = rng.integers(0, height, n), rng.integers(0, width, n)
    return np.asarray((y + 2) * (width + 4) + x + 2)


def _candidates(padded: Image, first: int, hot: Limits, dead: Limits) -> list[NDArray[np.intp]]:
    """Return the pixels of a band that are much brighter, or darker, than their four neighbours.

    A bright pixel is compared with the second darkest of its neighbours, a dark pixel with the
    second brightest, because two of the neighbours may be outliers, too.
    """
    # In one row, with the pixels of the border: contiguous memory is twice as fast
    width, flat = padded.shape[1], padded.ravel()
    inside = range(2 * width, flat.size - 2 * width)
    middle, *beside = (
        flat[inside.start + shift : inside.stop + shift] for shift in (0, -width, width, -1, 1)
    )
    darker, brighter = _middle_two(*beside)
    pixels = []
    for sign, neighbour, limits in ((1, darker, hot), (-1, brighter, dead)):
        sharpness = middle - neighbour if sign == 1 else neighbour - middle
        lowest = limits[1][0]
        # The maximum first, because it is faster than to look where, and most bands have none
        at = np.flatnonzero(sharpness > lowest) if sharpness.max() > lowest else np.empty(0, int)
        at = at[sharpness[at] > _limit(sign * neighbour[at], *limits)]
        y, x = np.divmod(at, width)
        at = (x >= 2) & (x < width - 2)
        pixels.append(np.stack([y[at] + first, x[at] - 2]))
    return pixels


def _middle_two(up: Image, down: Image, left: Image, right: Image) -> tuple[Image, Image]:
    """Return the two middle values of four, by comparison only: much faster than sorting."""
    one, other, across = np.minimum(up, down), np.maximum(up, down), np.minimum(left, right)
    np.maximum(one, across, out=one)
    np.maximum(left, right, out=across)
    np.minimum(other, across, out=other)
    return np.minimum(one, other, out=across), np.maximum(one, other, out=one)


def _isolated(
    padded: Image,
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    sign: int,
    limits: Limits,
) -> NDArray[np.bool_]:
    """Select the isolated pixels, and small groups of pixels, among the candidates."""
    background = np.median(_around(padded, y, x, RING_2), axis=0) * sign
    excess = padded[y + 2, x + 2] * sign - background
    around = _around(padded, y, x, RING_1) * sign - background
    # Without the two brightest neighbours, which may be outliers, too
    shared = np.sort(around, axis=0)[:-2].mean(axis=0)
    isolated: NDArray[np.bool_] = excess > _limit(background, *limits)
    isolated &= shared < MAX_NEIGHBOUR_SHARE * excess

    # Touching candidates are outliers together or not at all: label connected groups
    number = np.full([n - 4 for n in padded.shape], -1, np.int32)
    number[y, x] = np.arange(y.size)
    touching = _around(np.pad(number, 2, mode="reflect"), y, x, RING_1)
    isolated &= ~((touching < 0) & (around > excess / 2)).any(axis=0)
    neighbour, pixel = np.nonzero(touching >= 0)
    edges = (np.ones(pixel.size), (pixel, touching[neighbour, pixel]))
    pairs = scipy.sparse.coo_array(edges, (y.size, y.size))
    _, part = scipy.sparse.csgraph.connected_components(pairs, directed=False)
    isolated &= (np.bincount(part) <= MAX_PIXELS)[part] & ~np.isin(part, part[~isolated])

    if np.count_nonzero(isolated) > MAX_SHARE * number.size or limits[1][0] == 0:
        event = np.median(excess[isolated] if isolated.any() else excess)
        limit = _limit(background, *limits)
        isolated &= excess > EVENT_FACTOR * np.minimum(event, np.where(limit > 0, limit, np.inf))
    return isolated


def _around(
    padded: NDArray[Any], y: NDArray[np.intp], x: NDArray[np.intp], ring: list[tuple[int, int]]
) -> NDArray[Any]:
    """Return the neighbours of some pixels, shape (neighbours, pixels)."""
    return np.stack([padded[y + 2 + dy, x + 2 + dx] for dy, dx in ring])


def _limits(sharpness: Image, levels: NDArray[np.float64], parts: list[slice]) -> Limits:
    """Return the maximum sharpness that noise and structure explain, per level of brightness."""
    in_order = [np.sort(sharpness[part]) for part in parts]
    typical, tail = np.transpose(
        [[x[int(q * (x.size - 1))] for q in (TYPICAL_QUANTILE, TAIL_QUANTILE)] for x in in_order]
    )
    positive = [x[at] for x in in_order if (at := np.searchsorted(x, 0, "right")) < x.size]
    quantum = float(min(positive, default=0.0))
    limits = np.maximum(TAIL_FACTOR * tail, tail + SPREAD_FACTOR * (tail - typical))
    limits = np.maximum.accumulate(np.maximum(limits, limits.max() / 8))
    return levels, np.maximum(limits + EXTRA_QUANTA * quantum, MIN_QUANTA * quantum)


def _limit(
    level: Image, levels: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate the limits; above the brightest level they increase with the level."""
    above = np.maximum(level - levels[-1], 0)
    rise = 1 + above / max(levels[-1] - levels[0] + limits[-1], np.finfo(np.float32).tiny)
    limit: NDArray[np.float64] = np.interp(level, levels, limits) * rise
    return limit


def replace_outliers(frame: NDArray[Any], outliers: NDArray[np.bool_]) -> NDArray[Any]:
    """Replace outliers by the median of their neighbours.

    The neighbourhood of 3 x 3 pixels is enlarged until at least three pixels in it are not
    outliers.

    Parameters
    ----------
    frame : (Y, X) array
        Any integer or floating dtype.
    outliers : (Y, X) bool array
        From `find_outliers`.

    Returns
    -------
    (Y, X) array
        Same dtype as `frame`; `frame` itself if there are no outliers.

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
        order = np.lexsort((values, ~good), axis=1)  # good neighbours first, in order of value
        values = np.take_along_axis(values, order, axis=1)
        n_good = good.sum(axis=1)
        enough = n_good >= min(3, frame.size - np.count_nonzero(outliers))
        low, high = (
            np.take_along_axis(values, middle[:, None], axis=1)[:, 0]
            for middle in (np.maximum(n_good - 1, 0) // 2, n_good // 2)
        )
        # Not (low + high) / 2: the sum of large integers overflows
        half = (high - low) // 2 if frame.dtype.kind in "iu" else (high - low) / 2
        result[y[enough], x[enough]] = (low + half)[enough]
        y, x, radius = y[~enough], x[~enough], 2 * radius
    return result
