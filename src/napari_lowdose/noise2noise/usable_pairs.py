"""Which pairs of a movie can be trained on: not those that are black, constant or repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import frame_name, is_constant
from napari_lowdose.imaging.image_checks import check_pixels
from napari_lowdose.noise2noise.gain_matching import common_signal
from napari_lowdose.noise2noise.sound_pixels import COARSEST, SMALLEST, sound_pixels
from napari_lowdose.noise2noise.standardised import standardised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.sound_pixels import SoundPixels
    from napari_lowdose.noise2noise.standardised import Standardised

__all__ = ["FrameChoice", "UsablePairs", "check_exposure", "listed", "usable_pairs"]

_NAMED = 5  # frames, of more only the number is told
_COPY = 1e-6  # of the variance: two exposures that differ by less are one
_DARK = 0.5  # of the median contrast: a frame below it that shows no scene is dark
_SCENE = 4.0  # standard errors
_REASONS = {
    "constant": "black or constant in one exposure",
    "dark": "dark in one exposure",
    "repeated": "the same as an earlier frame",
    "same": "the same in both exposures",
}


@dataclass
class FrameChoice:
    """Which frames of a movie are no use, and why.

    Parameters
    ----------
    leading : tuple of int
        Shape of the movie without rows and columns.

    Attributes
    ----------
    left_out : dict from str to list of int
        Numbers of the frames, by reason.
    """

    leading: tuple[int, ...]
    left_out: dict[str, list[int]] = field(default_factory=dict)
    _known: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()), repr=False)

    def leave_out(self, number: int, reason: str) -> None:
        """Leave out a frame; `reason` is "constant", "dark", "repeated" or "same"."""
        self.left_out.setdefault(reason, []).append(number)

    def is_usable(self, number: int, sound: SoundPixels) -> bool:
        """Look at a pair of frames, and leave it out if nothing can be learnt from it.

        Parameters
        ----------
        number : int
            Counted from 0 over the leading axes.
        sound : SoundPixels
            Of the pair.
        """
        # What an earlier frame was, of this exposure: an aborted or late read-out gives it again
        prints = [hash(frame.tobytes()) for frame in sound.frames]
        repeated = any(one in known for one, known in zip(prints, self._known, strict=True))
        for one, known in zip(prints, self._known, strict=True):
            known.add(one)
        if any(sound.constant):
            self.leave_out(number, "constant")
        elif repeated:
            self.leave_out(number, "repeated")
        elif are_one(*map(standardised, sound.frames)):
            self.leave_out(number, "same")
        else:
            return True
        return False

    def __bool__(self) -> bool:
        """Whether any frame was left out."""
        return any(self.left_out.values())

    def __str__(self) -> str:
        """Name the frames and why they are no use."""
        return ", ".join(
            f"{listed(sorted(numbers), self.leading)} ({_REASONS[reason]})"
            for reason, numbers in self.left_out.items()
            if numbers
        )


def listed(numbers: list[int], leading: tuple[int, ...]) -> str:
    """Return what some frames, counted from 0, are called for a person.

    Examples
    --------
    >>> listed([1, 4], (6,))
    'frames 2 and 5 of 6'
    """
    n = math.prod(leading)
    if len(numbers) == 1:
        return frame_name(numbers[0], leading) or "the frame"
    if len(numbers) > _NAMED:
        return f"{len(numbers)} of {n} frames"
    *others, last = (str(number + 1) for number in numbers)
    return f"frames {', '.join(others)} and {last} of {n}"


def are_one(first: Standardised, second: Standardised) -> bool:
    """Tell whether one exposure is the other but for gain and offset."""
    a, b = first.image, second.image
    product = float(np.mean(np.multiply(a, b, dtype=np.float64)))
    powers = [float(np.mean(np.square(each, dtype=np.float64))) for each in (a, b)]
    return product**2 >= (1 - _COPY) * powers[0] * powers[1]


@dataclass
class UsablePairs:
    """Pairs of a movie that can be trained on, each frame standardised.

    Attributes
    ----------
    exposures : (P, 2, y, x) float32 array
        Each frame with a mean of 0 and a standard deviation of 1.
    means, deviations : (P, 2) arrays
        What they had before.
    sound : (P, y, x) bool array
        False at the outliers of either exposure, and outside the image.
    choice : FrameChoice
        What was left out.
    n_outliers : int
    """

    exposures: NDArray[np.float32]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    sound: NDArray[np.bool_]
    choice: FrameChoice
    n_outliers: int

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.exposures)

    def of(self, pair: int) -> tuple[Standardised, Standardised]:
        """Return the two frames of a pair."""
        from napari_lowdose.noise2noise.standardised import Standardised

        first, second = (
            Standardised(image, float(mean), float(deviation))
            for image, mean, deviation in zip(
                self.exposures[pair], self.means[pair], self.deviations[pair], strict=True
            )
        )
        return first, second

    def keep(self, wanted: list[int]) -> None:
        """Forget all pairs but those, in place: of a long movie there is no memory for two."""
        for name in ("exposures", "means", "deviations", "sound"):
            values = getattr(self, name)
            for to, number in enumerate(wanted):
                if to != number:
                    values[to] = values[number]
            setattr(self, name, values[: len(wanted)])


def usable_pairs(first: Any, second: Any, every: int) -> UsablePairs:
    """Read the pairs that can be trained on.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        NumPy or lazy; leading axes are pairs.
    every : int
        Take one pair of so many.

    Returns
    -------
    UsablePairs

    Raises
    ------
    ValueError
        If a frame has NaN or infinite pixels, cannot be held in 32 bits, or if no pair can be
        trained on.
    """
    leading, shape = first.shape[:-2], first.shape[-2:]
    chosen = range(0, math.prod(leading), every)
    # Read frame by frame into its place: of a long movie there is no memory for two
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
        sound = sound_pixels(*frames)
        if not pairs.choice.is_usable(number, sound):
            continue
        at = len(numbers)
        for which, frame in enumerate(sound.frames):
            image, mean, deviation = standardised(frame)
            pairs.exposures[at, which][sound.area] = image
            pairs.means[at, which], pairs.deviations[at, which] = mean, deviation
        pairs.sound[at][sound.area] = ~np.logical_or(*sound.outliers)
        pairs.n_outliers += sound.n_outliers
        areas.append(sound.area)
        numbers.append(number)
    if not numbers:
        raise ValueError(f"there is no pair to train on: {pairs.choice}.")
    pairs.keep(list(range(len(numbers))))
    _leave_out_dark(pairs, numbers)
    _cut(pairs, areas)
    return pairs


def check_exposure(
    exposure: str, frame: NDArray[Any], number: int, leading: tuple[int, ...]
) -> None:
    """Raise if a frame cannot be used, and say which; in a movie a constant one may be.

    Parameters
    ----------
    exposure : str
        "first" or "second".
    frame : (Y, X) array
    number : int
        Counted from 0 over the leading axes.
    leading : tuple of int
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
        if not name:
            raise ValueError(f"Of the {exposure} exposure: {error}") from error
        raise ValueError(f"in the {exposure} exposure, {name}: {error}") from error


def _leave_out_dark(pairs: UsablePairs, numbers: list[int]) -> None:
    """Leave out what was exposed behind a closed shutter: noise, and no scene in it."""
    faint = (pairs.deviations < _DARK * np.median(pairs.deviations, axis=0)).any(axis=1)
    dark = [
        int(pair)
        for pair in np.flatnonzero(faint)
        if common_signal(*pairs.exposures[pair]) < _SCENE
    ]
    for pair in dark:
        pairs.choice.leave_out(numbers[pair], "dark")
    if dark:
        pairs.keep([pair for pair in range(len(pairs)) if pair not in set(dark)])


def _cut(pairs: UsablePairs, areas: list[tuple[slice, slice]]) -> None:
    """Cut all to the image area that the pairs have in common, where that is large enough."""
    rows, columns = (
        slice(max(each[axis].start for each in areas), min(each[axis].stop for each in areas))
        for axis in (0, 1)
    )
    if min(along.stop - along.start for along in (rows, columns)) >= SMALLEST:
        pairs.exposures = pairs.exposures[..., rows, columns]
        pairs.sound = pairs.sound[..., rows, columns]
