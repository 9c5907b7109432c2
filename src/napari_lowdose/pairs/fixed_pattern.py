"""What is fixed to the sensor and not to the scene: the pixels' own offsets, rows and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Views = NDArray[np.float32]

BLOCKS = 8  # along each side: their scatter is the error of what pixels share
SURE = 5.0  # standard errors
LINES_SHARE = 0.3  # of the structure, from which on lines are asked whether they are the scene's
NEARLY = 0.85  # of the correlation: too little difference to tell which of two places is right
STEEP = 0.1  # of the variance: what is left without slopes that are worth taking off
CONSTANT = 0.05  # of the typical contrast along a row: a row that has less shows nothing
MOST_CONSTANT = 0.5  # of all rows: else the scene is empty


def share_pixels(first: Views, second: Views) -> bool:
    """Return whether two views share a pattern of single pixels that does not move.

    The covariance of the two in place, above what a cubic through that of 1, 2 and 3 pixels beside
    says: a scene is smooth over a pixel.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        As the sensor gave them.

    Returns
    -------
    bool
    """
    one, other = (view - view.mean((-2, -1), keepdims=True) for view in (first, second))
    spike, _ = covariance_spike(one, other, _block_means)
    error = spike.std(ddof=1) / np.sqrt(spike.size)
    return bool(spike.mean() > SURE * error > 0)


def covariance_spike(
    first: Views, second: Views, blocks: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Measure the covariance of two views that only single pixels share.

    It is the covariance at lag 0 in excess of a cubic through the covariance at lags of 1, 2 and 3
    pixels.  A scene is smooth over a pixel, so the excess is noise or a fixed pattern in both.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Views without their mean.
    blocks : callable
        Sums or averages a (Y, X) product of the views over blocks.  The scatter of the blocks is
        the error of the result.

    Returns
    -------
    spike, covariance : arrays
        The excess, and the covariance at lag 0, of each block.
    """
    height, width = first.shape[-2:]
    covariance = []
    for lag in range(4):
        products = []
        for a, b in ((first, second), (second, first)):
            across = np.einsum("tyx,tyx->yx", a[..., : width - lag], b[..., lag:])
            down = np.einsum("tyx,tyx->yx", a[:, : height - lag], b[:, lag:])
            # The same pixels at every lag, so that their own variations cancel
            products += [across[:, : width - 3], down[: height - 3]]
        covariance.append(np.mean([blocks(product) for product in products], axis=0))
    # A cubic that is symmetric about 0 in |lag| fits a cusp as well as a smooth maximum
    spike = covariance[0] - 3 * covariance[1] + 3 * covariance[2] - covariance[3]
    return spike, covariance[0]


def _block_means(image: Array) -> Array:
    """Return the means over blocks, one row of them."""
    rows, columns = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in image.shape)
    sums = np.add.reduceat(np.add.reduceat(image, rows[:-1], 0), columns[:-1], 1, dtype=float)
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns))).ravel()


def without_shared_pixels(first: Views, second: Views) -> tuple[Views, Views]:
    """Return two views of which no pixel of the sensor is in both.

    As on a chessboard: of the first the white pixels, of the second the black ones, and the other
    way round as further frames.  What is left out is the mean of its four neighbours.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array

    Returns
    -------
    first, second : (2 T, Y, X) float32 array
    """
    white = (np.add.outer(*map(np.arange, first.shape[-2:])) % 2).astype(bool)
    around = [_mean_of_neighbours(view) for view in (first, second)]
    return (
        np.concatenate([np.where(white, first, around[0]), np.where(white, around[0], first)]),
        np.concatenate([np.where(white, around[1], second), np.where(white, second, around[1])]),
    )


def _mean_of_neighbours(views: Views) -> Views:
    from scipy.ndimage import correlate

    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    return np.stack([correlate(view, cross, mode="mirror") for view in views])


def without_lines(views: Views) -> Views:
    """Take off what is the same all along a row or a column.

    Parameters
    ----------
    views : (..., Y, X) array

    Returns
    -------
    (..., Y, X) array
        Without its mean.
    """
    rows, columns = views.mean(-1, keepdims=True), views.mean(-2, keepdims=True)
    return np.asarray(views - rows - columns + views.mean((-2, -1), keepdims=True))


def fixed_lines(first: Views, second: Views) -> bool:
    """Return whether much of the structure is the same all along rows or columns, line by line.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array

    Returns
    -------
    bool
        It may be the sensor's, or the scene's: `lines_move` tells.
    """
    return bool(any(_lines_matter(first, second)))


def _lines_matter(first: Views, second: Views) -> tuple[bool, bool]:
    """Return whether rows, and columns, matter."""
    matter = [False, False]
    for view in (first.mean(0), second.mean(0)):
        left = without_lines(view)
        # What neighbours share is structure; what they do not is noise.
        shared = [float((a * b).mean(dtype=float)) for a, b in _neighbours(left)]
        structure = max(min(shared), 0.0)
        noise = float((left**2).mean(dtype=float)) - structure
        for axis, profile in enumerate((view.mean(1), view.mean(0))):
            lines = float(profile.var()) - noise / view.shape[1 - axis]
            matter[axis] |= lines > LINES_SHARE * (lines + structure)
    return matter[0], matter[1]


def _neighbours(image: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    return (image[1:], image[:-1]), (image[:, 1:], image[:, :-1])


def lines_move(first: Views, second: Views, shift: tuple[float, float]) -> bool | None:
    """Return whether rows and columns lie where the scene does, or where they were.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
    shift : (float, float)
        (dy, dx) of the scene in the second view, pixels.

    Returns
    -------
    bool or None
        None where the two cannot be told apart.
    """
    answers: list[bool | None] = []
    for axis, matters in enumerate(_lines_matter(first, second)):
        if matters:
            one, other = (view.mean((0, 2 - axis)) for view in (first, second))
            for profiles in ((one, other), (np.diff(one), np.diff(other))):
                answers.append(_follows(*profiles, shift[axis]))
    if False in answers:
        return False
    return True if any(answers) else None


def _follows(first: Array, second: Array, shift: float) -> bool | None:
    """Return whether two profiles agree better at a shift than in place."""
    places = np.arange(len(first), dtype=float)
    inside = (places + shift >= 0) & (places + shift <= len(first) - 1)
    one = first[inside]
    there, here = (
        float(np.corrcoef(one, other)[0, 1]) if one.std() * other.std() > 0 else 0.0
        for other in (np.interp(places[inside] + shift, places, second), second[inside])
    )
    if max(there, here) * np.sqrt(len(one)) < SURE or min(there, here) > NEARLY * max(there, here):
        return None
    return there > here


def without_slopes(views: Views) -> Views:
    """Take off the slopes of very uneven light down and along the rows; the mean stays.

    Parameters
    ----------
    views : (T, Y, X) float32 array

    Returns
    -------
    (T, Y, X) float32 array
        The same where the slopes are less than all the rest: they may be the scene's.
    """
    height, width = views.shape[-2:]
    level = views
    for ramp in (np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]):
        unit = (ramp / np.sqrt((ramp**2).sum() * height * width / ramp.size)).astype(np.float32)
        slope = np.einsum("tyx,yx->t", views, np.broadcast_to(unit, views.shape[-2:]))
        level = level - slope[:, None, None] * unit
    return level if level.var() < STEEP * views.var() else views


def without_constant_lines(views: Views, *, bright: bool = False) -> Views:
    """Fill rows and columns that are constant, dead or saturated, from those beside them.

    Parameters
    ----------
    views : (T, Y, X) float32 array
    bright : bool
        Only those that are brighter than the rest: a gap between two views is dark.

    Returns
    -------
    (T, Y, X) float32 array
        The same where there are none, or so many that it must be the scene.
    """
    for _ in (0, 1):
        views = _without_constant_rows(views, bright).transpose(0, 2, 1)
    return views


def _without_constant_rows(views: Views, bright: bool) -> Views:
    contrast = views.std(axis=(0, 2))
    constant = contrast < CONSTANT * np.median(contrast)
    if bright:
        levels = views.mean(axis=(0, 2))
        constant &= levels > np.median(levels)
    if not 0 < constant.sum() < MOST_CONSTANT * len(constant):
        return views
    alive, at = np.flatnonzero(~constant), np.flatnonzero(constant)
    # Not from the very next ones: with those they would share noise.
    place = np.searchsorted(alive, at)
    before = alive[np.clip(place - 2, 0, len(alive) - 2)]
    after = np.maximum(alive[np.clip(place + 1, 0, len(alive) - 1)], before + 1)
    share = np.clip((at - before) / (after - before), 0, 1).astype(np.float32)[:, None]
    filled = views.copy()
    filled[:, at] = (1 - share) * views[:, before] + share * views[:, after]
    return filled


__all__ = [
    "covariance_spike",
    "fixed_lines",
    "lines_move",
    "share_pixels",
    "without_constant_lines",
    "without_lines",
    "without_shared_pixels",
    "without_slopes",
]
