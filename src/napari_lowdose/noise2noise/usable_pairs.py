"""Select the pairs of a movie that are usable for training.

Black, constant, dark and repeated frames are excluded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import frame_name, is_constant
from napari_lowdose.imaging.image_checks import check_pixels
from napari_lowdose.noise2noise.context import neighbours_within
from napari_lowdose.noise2noise.gain_matching import common_signal
from napari_lowdose.noise2noise.valid_pixels import (
    COARSEST,
    SMALLEST,
    Standardised,
    ValidPixels,
    standardise,
    valid_pixels,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FrameChoice", "UsablePairs", "check_exposure", "frame_list", "usable_pairs"]

_MAX_NAMED = 5  # of more frames, only the number is given
_SAME = 1e-6  # maximum difference of two exposures that are the same, as a fraction of the variance
_DARK = 0.5  # contrast relative to the median, below which a frame without a scene is dark
_SCENE = 4.0  # minimum common signal of a frame that shows a scene, standard errors
_REASONS = {
    "constant": "black or constant in one exposure",
    "dark": "dark in one exposure",
    "repeated": "the same as an earlier frame",
    "same": "the same in both exposures",
}


@dataclass
class FrameChoice:
    """Frames of a movie that are excluded from training.

    Parameters
    ----------
    leading : tuple of int
        Shape of the movie without rows and columns.

    Attributes
    ----------
    left_out : dict from str to list of int
        Numbers of the excluded frames by reason: "constant", "dark", "repeated" or "same".
    """

    leading: tuple[int, ...]
    left_out: dict[str, list[int]] = field(default_factory=dict)
    _hashes: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()), repr=False)

    def leave_out(self, number: int, reason: str) -> None:
        """Exclude a frame; `reason` is "constant", "dark", "repeated" or "same"."""
        self.left_out.setdefault(reason, []).append(number)

    def is_usable(self, number: int, valid: ValidPixels) -> bool:
        """Return whether a pair of frames is usable, and exclude it if not.

        Parameters
        ----------
        number : int
            Number of the frame, counted from 0 over the leading axes.
        valid : ValidPixels
            The two frames.
        """
        # Each exposure is compared with its own earlier frames.  In pairs of consecutive frames,
        # the second of one pair may be the first of the next.
        hashes = [hash(frame.tobytes()) for frame in valid.frames]
        repeated = any(one in known for one, known in zip(hashes, self._hashes, strict=True))
        for one, known in zip(hashes, self._hashes, strict=True):
            known.add(one)
        if any(valid.constant):
            self.leave_out(number, "constant")
        elif repeated:  # an aborted or late read-out delivers the previous frame again
            self.leave_out(number, "repeated")
        elif are_same(*map(standardise, valid.frames)):
            self.leave_out(number, "same")
        else:
            return True
        return False

    def __bool__(self) -> bool:
        """Whether any frame is excluded."""
        return any(self.left_out.values())

    def __str__(self) -> str:
        """List the excluded frames with the reasons."""
        return ", ".join(
            f"{frame_list(sorted(numbers), self.leading)} ({_REASONS[reason]})"
            for reason, numbers in self.left_out.items()
            if numbers
        )


def frame_list(numbers: list[int], leading: tuple[int, ...]) -> str:
    """Format frame numbers for messages; `numbers` count from 0, the text from 1.

    Examples
    --------
    >>> frame_list([1, 4], (6,))
    'frames 2 and 5 of 6'
    """
    n = math.prod(leading)
    if len(numbers) == 1:
        return frame_name(numbers[0], leading) or "the frame"
    if len(numbers) > _MAX_NAMED:
        return f"{len(numbers)} of {n} frames"
    *others, last = (str(number + 1) for number in numbers)
    return f"frames {', '.join(others)} and {last} of {n}"


def are_same(first: Standardised, second: Standardised) -> bool:
    """Return whether two exposures are the same up to gain and offset."""
    a, b = first.image, second.image
    product = float(np.mean(np.multiply(a, b, dtype=np.float64)))
    powers = [float(np.mean(np.square(each, dtype=np.float64))) for each in (a, b)]
    return product**2 >= (1 - _SAME) * powers[0] * powers[1]


@dataclass
class UsablePairs:
    """Standardised frames of the pairs that are usable for training.

    Attributes
    ----------
    exposures : (P, 2, y, x) float32 array
        First and second exposure of each pair, with a mean of 0 and a standard deviation of 1.
    means, deviations : (P, 2) arrays
        Mean and standard deviation of the original frames.
    valid : (P, y, x) bool array
        False outside the image area, and at outliers of either exposure.
    choice : FrameChoice
        The excluded frames.
    n_outliers : int
        Number of outliers in all frames.
    numbers : list of int
        Number of each pair, counted from 0 over the leading axes.
    n_chosen : int
        Number of pairs to train on.  The others, which follow them, are only context.
    corner : (int, int)
        Pixel (y, x) of the original frames at which these begin.
    """

    exposures: NDArray[np.float32]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    valid: NDArray[np.bool_]
    choice: FrameChoice
    n_outliers: int
    numbers: list[int] = field(default_factory=list)
    n_chosen: int = 0
    corner: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.exposures)

    def of(self, pair: int) -> tuple[Standardised, Standardised]:
        """Return the two frames of a pair."""
        first, second = (
            Standardised(image, float(mean), float(deviation))
            for image, mean, deviation in zip(
                self.exposures[pair], self.means[pair], self.deviations[pair], strict=True
            )
        )
        return first, second

    def keep(self, wanted: list[int]) -> None:
        """Keep only some pairs; in place, because a copy of a long movie may not fit in memory."""
        for name in ("exposures", "means", "deviations", "valid"):
            values = getattr(self, name)
            for to, number in enumerate(wanted):
                if to != number:
                    values[to] = values[number]
            setattr(self, name, values[: len(wanted)])
        if self.numbers:
            self.numbers = [self.numbers[number] for number in wanted]


def usable_pairs(first: Any, second: Any, every: int, context: int = 0) -> UsablePairs:
    """Read the pairs that are usable for training.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        NumPy or lazy; leading axes are pairs.
    every : int
        Read every n-th pair.
    context : int
        Read this number of pairs before and after each of them, too.

    Returns
    -------
    UsablePairs

    Raises
    ------
    ValueError
        If a frame has NaN or infinite pixels or cannot be represented in float32, or if no pair
        is usable.
    """
    leading, shape = first.shape[:-2], first.shape[-2:]
    pairs_to_train = range(0, math.prod(leading), every)
    chosen = [*pairs_to_train, *_around(pairs_to_train, leading, context)]
    # Each frame is read into its place: a copy of a long movie may not fit in memory
    pairs = UsablePairs(
        np.zeros((len(chosen), 2, *shape), np.float32),
        np.empty((len(chosen), 2)),
        np.empty((len(chosen), 2)),
        np.zeros((len(chosen), *shape), bool),
        FrameChoice(leading),
        n_outliers=0,
    )
    numbers: list[int] = []
    areas = []
    for number in chosen:
        index = np.unravel_index(number, leading)
        frames = [np.asarray(exposure[index]) for exposure in (first, second)]
        for name, frame in zip(("first", "second"), frames, strict=True):
            check_exposure(name, frame, number, leading)
        valid = valid_pixels(*frames)
        if not pairs.choice.is_usable(number, valid):
            continue
        at = len(numbers)
        for which, frame in enumerate(valid.frames):
            image, mean, deviation = standardise(frame)
            pairs.exposures[at, which][valid.area] = image
            pairs.means[at, which], pairs.deviations[at, which] = mean, deviation
        pairs.valid[at][valid.area] = ~np.logical_or(*valid.outliers)
        pairs.n_outliers += valid.n_outliers
        areas.append(valid.area)
        numbers.append(number)
    if not numbers:
        raise ValueError(f"there is no pair to train on: {pairs.choice}.")
    pairs.keep(list(range(len(numbers))))
    pairs.numbers = numbers
    _leave_out_dark(pairs)
    pairs.n_chosen = sum(number % every == 0 for number in pairs.numbers)
    _crop(pairs, areas)
    return pairs


def _around(chosen: range, leading: tuple[int, ...], context: int) -> list[int]:
    """Return the numbers of the pairs around the chosen ones along the first axis."""
    if not context:
        return []
    stride = math.prod(leading[1:])
    found = {
        other * stride + number % stride
        for number in chosen
        for other in neighbours_within(number // stride, leading[0], context)
    }
    return sorted(found.difference(chosen))


def check_exposure(
    exposure: str, frame: NDArray[Any], number: int, leading: tuple[int, ...]
) -> None:
    """Raise if a frame is not usable.  Constant frames are allowed in a movie.

    Parameters
    ----------
    exposure : {"first", "second"}
        For the message.
    frame : (Y, X) array
    number : int
        Number of the frame, counted from 0 over the leading axes.
    leading : tuple of int
        Shape of the movie without rows and columns.

    Raises
    ------
    ValueError
        As `check_pixels`; the message names the exposure and the frame.
    """
    name = frame_name(number, leading)
    if name and not np.isfinite(frame).all():
        raise ValueError(
            f"the {exposure} exposure has NaN or infinite pixels in {name}: fill them in or crop "
            "them away first."
        )
    if name and is_constant(frame):
        return
    try:
        check_pixels(frame, SMALLEST, COARSEST)
    except ValueError as error:
        where = f"{exposure} exposure, {name}" if name else f"{exposure} exposure"
        raise ValueError(f"in the {where}: {error}") from error


def _leave_out_dark(pairs: UsablePairs) -> None:
    """Exclude frames that only show the noise of the camera, behind a closed shutter."""
    faint = (pairs.deviations < _DARK * np.median(pairs.deviations, axis=0)).any(axis=1)
    # Low contrast alone is no reason: it may be a dim channel
    dark = [
        int(pair)
        for pair in np.flatnonzero(faint)
        if common_signal(*pairs.exposures[pair]) < _SCENE
    ]
    for pair in dark:
        pairs.choice.leave_out(pairs.numbers[pair], "dark")
    if dark:
        pairs.keep([pair for pair in range(len(pairs)) if pair not in set(dark)])


def _crop(pairs: UsablePairs, areas: list[tuple[slice, slice]]) -> None:
    """Crop all pairs to their common image area, unless it is too small."""
    rows, columns = (
        slice(max(each[axis].start for each in areas), min(each[axis].stop for each in areas))
        for axis in (0, 1)
    )
    if min(along.stop - along.start for along in (rows, columns)) >= SMALLEST:
        pairs.exposures = pairs.exposures[..., rows, columns]
        pairs.valid = pairs.valid[..., rows, columns]
        pairs.corner = rows.start, columns.start
