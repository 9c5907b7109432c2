"""Context of a frame: the frames before and after it, as further input of the network.

A neighbour that does not exist, is black or repeated, or shows another scene, is replaced by the one
on the other side, and if that is of no use either, by the frame itself.  In the training some
neighbours are replaced at random, so that the network knows such input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.gain_matching import same_scene
from napari_lowdose.noise2noise.valid_pixels import standardise

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Neighbours
    from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames

# Of the crops of a training, shares without the frames before, after, and on both sides
_COMPLETE, _ONE_SIDED, _ALONE = 5, 1, 1
_MIN_SIDE = 10


def neighbours_within(number: int, n_frames: int, context: int) -> list[int]:
    """Return the numbers of the frames up to `context` before and after a frame.

    Examples
    --------
    >>> neighbours_within(0, 9, 2), neighbours_within(4, 9, 1)
    ([1, 2], [3, 5])
    """
    window = range(max(0, number - context), min(n_frames, number + context + 1))
    return [other for other in window if other != number]


def chosen_distances(usable: Collection[int], context: int) -> list[int]:
    """Return the distance of the frame in each channel of the input.

    Parameters
    ----------
    usable : collection of int
        Distances of the neighbours that can be used, negative for earlier frames.
    context : int

    Examples
    --------
    >>> chosen_distances([-2, -1, 1, 2], 2), chosen_distances([-1], 2)
    ([-2, -1, 0, 1, 2], [0, -1, 0, -1, 0])
    """
    return [
        next((d for d in (distance, -distance) if d in usable), 0)
        for distance in range(-context, context + 1)
    ]


def shows_the_same(frame: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether a neighbour is of use: another exposure of about the same scene."""
    if np.array_equal(frame, other):
        return False
    return same_scene(standardise(frame).image, standardise(other).image)


def with_gaps(around: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return variants of the frames around each pair, some with neighbours replaced.

    Parameters
    ----------
    around : (P, F) array of int

    Returns
    -------
    (P', F) array of int
    """
    context = around.shape[1] // 2
    if not context:
        return around
    past, future = range(-context, 0), range(1, context + 1)
    variants = (
        ([*past, *future], _COMPLETE), (past, _ONE_SIDED), (future, _ONE_SIDED), ((), _ALONE),
    )  # fmt: skip
    return np.concatenate(
        [
            around[:, np.array(chosen_distances(usable, context)) + context]
            for usable, times in variants
            for _ in range(times)
        ]
    )


def frames_around(pairs: Any, leading: tuple[int, ...], context: int) -> NDArray[np.int_]:
    """Return the frames that are input for each pair, the pair itself in the middle.

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
    place = {number: k for k, number in enumerate(pairs.numbers)}
    stride = int(np.prod(leading[1:])) if leading else 1
    found = []
    for k, number in enumerate(pairs.numbers[: pairs.n_chosen]):
        others = {}
        for distance in range(-context, context + 1):
            other = place.get(number + distance * stride)
            if distance and other is not None and all(
                shows_the_same(pairs.exposures[k, e], pairs.exposures[other, e]) for e in (0, 1)
            ):
                others[distance] = other
        found.append([others.get(d, k) for d in chosen_distances(others, context)])
    return np.array(found)


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
        The frames around it by their distance in time, as they were given.

    Returns
    -------
    tuple of (F, y, x) float32 arrays
        The frame is in the middle.
    """
    others: dict[int, tuple[NDArray[np.float32], ...]] = {}
    for distance, given in (neighbours or {}).items():
        if not all(np.isfinite(each).all() and np.ptp(each) for each in given):
            continue
        other = frames.normalised_alike(given)
        if all(map(shows_the_same, frames.inputs, other)):
            others[distance] = other
    channels = [others.get(d, frames.inputs) for d in chosen_distances(others, context)]
    return tuple(np.stack(of_exposure) for of_exposure in zip(*channels, strict=True))
