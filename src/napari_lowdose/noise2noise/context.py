"""Context of a frame: the frames before and after it, as further input of the network.

A neighbour that does not exist, is black or repeated, or shows another scene, is replaced by the
frame itself.  In a part of the training crops neighbours are replaced, too, so that the network
knows such input.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.valid_pixels import standardise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_lowdose.engine import Neighbours
    from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames
    from napari_lowdose.noise2noise.usable_pairs import UsablePairs

_COMPLETE = 5  # training crops with all neighbours, for each one without the earlier ones, each
# without the later ones, and each without any
_COMMON = 0.5  # minimum share of the scene that a neighbour has in common with the frame
_ERRORS = 2.0  # standard errors by which that share may be larger than measured
_WINDOW = 512  # side of the central part that is compared, pixels
_SAME = 1 - 1e-5  # correlation above which two frames are the same, in any units


def neighbours_within(number: int, n_frames: int, context: int) -> list[int]:
    """Return the numbers of the frames up to `context` before and after a frame.

    Examples
    --------
    >>> neighbours_within(0, 9, 2), neighbours_within(4, 9, 1)
    ([1, 2], [3, 5])
    """
    window = range(max(0, number - context), min(n_frames, number + context + 1))
    return [other for other in window if other != number]


def is_of_use(frames: Iterable[NDArray[Any]], others: Iterable[NDArray[Any]]) -> bool:
    """Return whether a neighbour is another exposure of about the same scene.

    The scene in common is the covariance of each pixel in one frame with the eight pixels around
    it in the other, which have independent noise.  It must be at least half of that within each
    frame, unless the noise is too strong to tell.  So black frames, frames behind a closed
    shutter, and frames beyond a cut are of no use; nor are repeated frames.

    Parameters
    ----------
    frames, others : iterable of (Y, X) arrays
        The exposures of the frame and of its neighbour, in the same order.
    """
    across = within = within_other = variance = 0.0
    for frame, other in zip(frames, others, strict=True):
        if np.array_equal(frame, other) or not np.ptp(other):
            return False
        (one, around), (two, around_two) = map(_pixels_and_rings, (frame, other))
        within += float(np.vdot(one, around))
        within_other += float(np.vdot(two, around_two))
        across += float(np.vdot(one, around_two) + np.vdot(two, around)) / 2
        variance += float(one.var() * around_two.var()) * one.size
    return across + _ERRORS * math.sqrt(variance) > _COMMON * max(within, within_other)


def central_part(frame: NDArray[Any], side: int = _WINDOW) -> NDArray[Any]:
    """Return the central part of a frame, so that large frames cost no more time."""
    middle = tuple(slice(max(0, (n - side) // 2), (n + side + 1) // 2) for n in frame.shape)
    return frame[middle]


def _pixels_and_rings(
    frame: NDArray[Any],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the standardised pixels without the border, and the sums of the eight around each."""
    from scipy.ndimage import uniform_filter

    image = standardise(central_part(frame)).image
    inner = (slice(1, -1), slice(1, -1))
    return image[inner], (9 * uniform_filter(image, 3) - image)[inner]


def frames_around(pairs: UsablePairs, leading: tuple[int, ...], context: int) -> NDArray[np.int_]:
    """Return the frames that are input for each pair to train on, itself in the middle.

    Parameters
    ----------
    pairs : UsablePairs
    leading : tuple of int
        Shape of the movie without rows and columns.
    context : int

    Returns
    -------
    (P, F) array of int
        Places in `pairs.exposures`.
    """

    @functools.cache  # each is a neighbour of the other
    def fit(one: int, other: int) -> bool:
        both = pairs.exposures[one], pairs.exposures[other]
        # A camera that repeats frames may make the partner of a frame its neighbour
        return not _share_a_frame(*both) and is_of_use(*both)

    place = {number: at for at, number in enumerate(pairs.numbers)}
    stride = math.prod(leading[1:])
    found = np.empty((pairs.n_chosen, 2 * context + 1), int)
    for at, number in enumerate(pairs.numbers[: pairs.n_chosen]):
        for channel, distance in enumerate(range(-context, context + 1)):
            other = place.get(number + distance * stride, at)
            usable = other != at and fit(min(at, other), max(at, other))
            found[at, channel] = other if usable else at
    return found


def _share_a_frame(pair: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether the first exposure of a pair is the second of another, or the reverse."""
    return any(
        np.corrcoef(one.ravel(), two.ravel())[0, 1] > _SAME
        for one, two in zip(pair, other[::-1], strict=True)
    )


def variants(around: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return the frames around each pair in several variants to train on.

    Half of them are in reverse order: a crop is also turned, and motion may have any direction.
    In some of them neighbours are replaced.

    Parameters
    ----------
    around : (P, F) array of int

    Returns
    -------
    (P', F) array of int
        Unchanged if F is 1.
    """
    distance = np.arange(around.shape[1]) - around.shape[1] // 2
    if len(distance) == 1:
        return around
    itself = around[:, distance == 0]
    gaps = (distance < 0, distance > 0, distance != 0)
    incomplete = [np.where(gap, itself, around) for gap in gaps]
    forward = np.concatenate([around] * _COMPLETE + incomplete)
    return np.concatenate([forward, forward[:, ::-1]])


def with_neighbours(
    frames: NormalisedFrames, context: int, neighbours: Neighbours | None
) -> tuple[NDArray[np.float32], ...]:
    """Return the input of the network for a frame, or for both of a pair.

    Parameters
    ----------
    frames : NormalisedFrames
        The frame.
    context : int
    neighbours : mapping or None
        The frames around it as they were given, by their distance in time.

    Returns
    -------
    tuple of (F, y, x) float32 arrays
        The frame is in the middle.
    """
    usable = {}
    for distance, given in (neighbours or {}).items():
        if all(np.isfinite(each).all() for each in given):
            other = frames.normalised_alike(given)
            if is_of_use(frames.inputs, other):
                usable[distance] = other
    window = range(-context, context + 1)
    channels = [usable.get(distance, frames.inputs) for distance in window]
    return tuple(np.stack(of_exposure) for of_exposure in zip(*channels, strict=True))
