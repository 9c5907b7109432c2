"""Find and remove patterns that are fixed to the sensor: offsets of pixels, rows and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.block_statistics import block_sums, z_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Views = NDArray[np.float32]

BLOCKS = 8  # along each axis: their scatter gives the error of the covariance
SIGNIFICANT = 5.0  # standard errors
LINES_SHARE = 0.3  # of the structure: fewer lines are ignored
AMBIGUOUS = 0.85  # ratio of two correlations that are too similar to decide between them
STEEP = 0.1  # of the variance: slopes are removed only if less than this remains
CONSTANT = 0.05  # of the median contrast along a row: a row with less is constant
MOST_CONSTANT = 0.5  # of all rows; if more are constant, the scene is empty there


def share_pixels(first: Views, second: Views) -> bool:
    """Return whether two views share a fixed pattern of single pixels.

    A scene is smooth over a pixel.  Its covariance at zero lag is therefore close to a cubic
    extrapolation from lags of 1, 2 and 3 pixels.  A pattern of single pixels adds a spike.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Unregistered views.

    Returns
    -------
    bool
    """
    one, other = (view - view.mean((-2, -1), keepdims=True) for view in (first, second))
    spike, _ = covariance_spike(one, other, BLOCKS)
    return z_score(spike) > SIGNIFICANT


def covariance_spike(first: Views, second: Views, n_blocks: int) -> tuple[Array, Array]:
    """Measure the covariance of two views that only single pixels share.

    It is the covariance at lag 0 in excess of a cubic through the covariance at lags of 1, 2 and 3
    pixels. A scene is smooth over a pixel, so the excess is noise or a fixed pattern in both.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Views without their mean.
    n_blocks : int
        Number of blocks along each side. Their scatter is the error of the result.

    Returns
    -------
    spike, covariance : (n_blocks * n_blocks,) arrays
        Contribution of each block to the excess, and to the covariance at lag 0. The sum over all
        blocks is the covariance per pixel, summed over T.
    """
    height, width = first.shape[-2:]
    covariance = []
    for lag in range(4):
        products = []
        for a, b in ((first, second), (second, first)):
            across = np.einsum("tyx,tyx->yx", a[..., : width - lag], b[..., lag:])
            down = np.einsum("tyx,tyx->yx", a[:, : height - lag], b[:, lag:])
            # The same pixels at every lag, so that their own variations cancel.
            products += [across[:, : width - 3], down[: height - 3]]
        sums = [block_sums(product, n_blocks) / product.size for product in products]
        covariance.append(np.mean(sums, axis=0))
    # Third difference: zero for a cubic through the four lags.
    spike = covariance[0] - 3 * covariance[1] + 3 * covariance[2] - covariance[3]
    return spike, covariance[0]


def without_shared_pixels(first: Views, second: Views) -> tuple[Views, Views]:
    """Return two views that have no pixel of the sensor in common.

    The pixels form a chessboard.  The first view keeps the white pixels and the second the black
    ones; T further frames hold the opposite choice.  Each missing pixel is replaced by the mean of
    its four neighbours.

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
    """Subtract the mean of every row and every column.

    Parameters
    ----------
    views : (..., Y, X) array

    Returns
    -------
    (..., Y, X) array
        Views with a mean of zero.
    """
    rows, columns = views.mean(-1, keepdims=True), views.mean(-2, keepdims=True)
    return np.asarray(views - rows - columns + views.mean((-2, -1), keepdims=True))


def fixed_lines(first: Views, second: Views) -> bool:
    """Return whether much of the structure consists of whole rows or columns.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array

    Returns
    -------
    bool
        True for a pattern of the sensor and for a scene of stripes; see `lines_move`.
    """
    return bool(any(_strong_lines(first, second)))


def _strong_lines(first: Views, second: Views) -> tuple[bool, bool]:
    """Return whether rows, and whether columns, are a large part of the structure."""
    strong = [False, False]
    for view in (first.mean(0), second.mean(0)):
        remainder = without_lines(view)
        # Neighbouring pixels have structure in common, but not their noise.
        shared = [float((a * b).mean(dtype=float)) for a, b in _neighbours(remainder)]
        structure = max(min(shared), 0.0)
        noise = float((remainder**2).mean(dtype=float)) - structure
        for axis, profile in enumerate((view.mean(1), view.mean(0))):
            # Averaging along a line reduces the noise, but some of it is left in the profile.
            lines = float(profile.var()) - noise / view.shape[1 - axis]
            strong[axis] |= lines > LINES_SHARE * (lines + structure)
    return strong[0], strong[1]


def _neighbours(image: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    return (image[1:], image[:-1]), (image[:, 1:], image[:, :-1])


def lines_move(first: Views, second: Views, shift: tuple[float, float]) -> bool | None:
    """Return whether rows and columns move with the scene or stay in place.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
    shift : (float, float)
        (dy, dx) of the scene in the second view, pixels.

    Returns
    -------
    bool or None
        True if they move, False if any of them stays, None if it cannot be decided.
    """
    answers: list[bool | None] = []
    for axis, strong in enumerate(_strong_lines(first, second)):
        if strong:
            one, other = (view.mean((0, 2 - axis)) for view in (first, second))
            # The differences suppress broad profiles, such as uneven illumination.
            for profiles in ((one, other), (np.diff(one), np.diff(other))):
                answers.append(_follows(*profiles, shift[axis]))
    if False in answers:
        return False
    return True if any(answers) else None


def _follows(first: Array, second: Array, shift: float) -> bool | None:
    """Return whether two profiles correlate better at a shift than in place, None if unclear."""
    places = np.arange(len(first), dtype=float)
    inside = (places + shift >= 0) & (places + shift <= len(first) - 1)
    one = first[inside]
    shifted, fixed = (
        float(np.corrcoef(one, other)[0, 1]) if one.std() * other.std() > 0 else 0.0
        for other in (np.interp(places[inside] + shift, places, second), second[inside])
    )
    best, worst = max(shifted, fixed), min(shifted, fixed)
    if best * np.sqrt(len(one)) < SIGNIFICANT or worst > AMBIGUOUS * best:
        return None
    return shifted > fixed


def without_slopes(views: Views) -> Views:
    """Subtract strong linear slopes along y and x, which are uneven illumination.

    Parameters
    ----------
    views : (T, Y, X) float32 array

    Returns
    -------
    (T, Y, X) float32 array
        Views with the same mean; unchanged unless the slopes dominate the variance, because weaker
        ones may belong to the scene.
    """
    height, width = views.shape[-2:]
    level = views
    for ramp in (np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]):
        unit = (ramp / np.sqrt((ramp**2).sum() * height * width / ramp.size)).astype(np.float32)
        slope = np.einsum("tyx,yx->t", views, np.broadcast_to(unit, views.shape[-2:]))
        level = level - slope[:, None, None] * unit
    return level if level.var() < STEEP * views.var() else views


def without_constant_lines(views: Views, *, bright: bool = False) -> Views:
    """Interpolate constant rows and columns, which are dead or saturated.

    Parameters
    ----------
    views : (T, Y, X) float32 array
    bright : bool
        Only those that are brighter than the median. Use it for frames with a dark gap.

    Returns
    -------
    (T, Y, X) float32 array
        Unchanged if there are none, or so many that they must belong to the scene.
    """
    for _ in (0, 1):  # rows, then columns
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
    intact, dead = np.flatnonzero(~constant), np.flatnonzero(constant)
    # Not from the adjacent lines: with their noise, neighbouring lines would be correlated.
    place = np.searchsorted(intact, dead)
    before = intact[np.clip(place - 2, 0, len(intact) - 2)]
    after = np.maximum(intact[np.clip(place + 1, 0, len(intact) - 1)], before + 1)
    weight = np.clip((dead - before) / (after - before), 0, 1).astype(np.float32)[:, None]
    filled = views.copy()
    filled[:, dead] = (1 - weight) * views[:, before] + weight * views[:, after]
    return filled
