"""Repeats of one scene in register, each with each: a stack of N serves as all its pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.io.arrays import as_image, sliceable
from napari_lowdose.pairs.register import registered, some_frames
from napari_lowdose.pairs.scene_shift import SMALLEST, NotRegisteredError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.float64]

REACH = 4  # frames: each is compared with so many after it, which drift has not yet carried far


@dataclass(frozen=True)
class StackRegistration:
    """Where the scene lies in each frame of a stack.

    Attributes
    ----------
    positions : (N, 2) array
        (dy, dx) of the scene in each frame relative to the first frame, pixels.
    errors : (N, 2) array
        One standard error of them, relative to the first frame.
    integer_shifts : (N, 2) integer array
        What `cut` cuts away.
    shape : (int, int)
        (Y, X) of the frames before they are cut.
    """

    positions: Positions
    errors: Positions
    integer_shifts: NDArray[np.int64]
    shape: tuple[int, int]

    def cut(self, frames: Any) -> Any:
        """Cut a stack of frames, at whole pixels, to the field that all of them show.

        Parameters
        ----------
        frames : (N, Y, X) array
            What is lazy stays lazy.

        Returns
        -------
        (N, Y', X') array

        Raises
        ------
        ValueError
            If it is no stack of as many frames of that size.
        """
        frames = as_image(frames, "the stack")
        if tuple(frames.shape) != (len(self.integer_shifts), *self.shape):
            raise ValueError(
                f"a stack of shape {tuple(frames.shape)} cannot be cut as one of "
                f"{(len(self.integer_shifts), *self.shape)} was."
            )
        low, high = self.integer_shifts.min(0), self.integer_shifts.max(0)
        (height, width), frames = self.shape - (high - low), sliceable(frames)
        cut = [
            frame[y : y + height, x : x + width]
            for frame, (y, x) in zip(frames, (self.integer_shifts - low).tolist(), strict=True)
        ]
        if isinstance(frames, np.ndarray):
            return np.stack(cut)
        import dask.array as da

        return da.stack(cut)  # type: ignore[no-untyped-call]

    def pairs(self, reach: int | None = 1) -> list[tuple[int, int]]:
        """Return which frames make a pair.

        Parameters
        ----------
        reach : int, optional
            How far apart the two of a pair may be: 1 for neighbours; None for all pairs.
        """
        number = len(self.positions)
        furthest = number if reach is None else reach
        return [(i, j) for i in range(number) for j in range(i + 1, min(number, i + 1 + furthest))]

    def fraction(self, i: int, j: int) -> tuple[float, float]:
        """Return the shift of frame j relative to frame i that is left after `cut`, pixels."""
        left = self.positions - self.integer_shifts
        dy, dx = left[j] - left[i]
        return float(dy), float(dx)

    def as_pairs(self, frames: Any, reach: int | None = 1) -> tuple[Any, Any, Positions]:
        """Return a stack as pairs to train on.

        Parameters
        ----------
        frames : (N, Y, X) array
            Not yet cut.
        reach : int, optional
            As in `pairs`.

        Returns
        -------
        first, second : (P, Y', X') arrays
            In register to a whole pixel.
        fractions : (P, 2) array
            (dy, dx) that are left between the two of each pair, less than a pixel.
        """
        one, other = (list(side) for side in zip(*self.pairs(reach), strict=True))
        cut = self.cut(frames)
        fractions = np.array([self.fraction(i, j) for i, j in zip(one, other, strict=True)])
        return cut[one], cut[other], fractions


def register_stack(frames: Any) -> tuple[Any, StackRegistration]:
    """Cut a stack of repeats, that drift, to the field that all of them show.

    Each frame is registered with the four before and after it, and the positions are those that
    fit all these shifts best: errors do not add up along the stack.

    Parameters
    ----------
    frames : (N, Y, X) array
        Two at least; read a few at a time.

    Returns
    -------
    frames : (N, Y', X') array
        Cut at whole pixels: no pixel is interpolated.
    registration : StackRegistration
        Positions, and ``registration.as_pairs(frames, reach)``.

    Raises
    ------
    ValueError
        If it is no stack, or a frame has nothing in common with those around it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import samples
    >>> first, second, truth = samples.nuclei_pair()
    >>> drifting = np.stack([first[4:200, 0:196], second[3:199, 2:198], first[2:198, 4:200]])
    >>> cut, registration = register_stack(drifting)
    >>> registration.integer_shifts.tolist(), cut.shape
    ([[0, 0], [1, -2], [2, -4]], (3, 194, 192))
    >>> registration.pairs(), registration.pairs(reach=None)
    ([(0, 1), (1, 2)], [(0, 1), (0, 2), (1, 2)])
    """
    frames = as_image(frames, "the stack")
    check_image(frames)
    if frames.ndim != 3 or len(frames) < 2:
        raise ValueError(
            f"a stack of repeats has the axes (N, Y, X) and two frames at least, this array has "
            f"shape {tuple(frames.shape)}."
        )
    shape = (int(frames.shape[-2]), int(frames.shape[-1]))
    if min(shape) < SMALLEST:
        raise ValueError(
            f"frames of {shape[0]} x {shape[1]} pixels are too small to be registered: at least "
            f"{SMALLEST} x {SMALLEST} are needed."
        )
    positions, errors = _positions(frames)
    integer_shifts = np.rint(positions).astype(np.int64)
    registration = StackRegistration(positions, errors, integer_shifts, shape)
    if (np.array(shape) - np.ptp(integer_shifts, axis=0)).min() < SMALLEST:
        raise ValueError(
            "the frames drift so far that no field is common to all of them: give fewer frames."
        )
    return registration.cut(frames), registration


def _positions(frames: Any) -> tuple[Positions, Positions]:
    """Return the positions that fit the shifts of all neighbours best, and their errors."""
    number = len(frames)
    rows, shifts, errors = [], [], []
    recent: dict[int, NDArray[np.float32]] = {}
    for later in range(number):
        recent[later] = some_frames(frames[later])[0]
        recent.pop(later - REACH - 1, None)
        for earlier in range(max(0, later - REACH), later):
            try:
                found = registered(recent[earlier], recent[later])
            except NotRegisteredError:
                continue  # others may tell where this frame lies
            row = np.zeros(number)
            row[later], row[earlier] = 1, -1
            rows.append(row[1:])  # the first frame is the origin
            shifts.append(found.shift)
            errors.append(found.shift_error)
    design = np.array(rows).reshape(-1, number - 1)
    if np.linalg.matrix_rank(design) < number - 1:
        raise ValueError(
            "some frames show nothing in common with those around them: they cannot be registered; "
            "leave them out."
        )
    positions, sigma = np.zeros((number, 2)), np.zeros((number, 2))
    for axis in (0, 1):
        weight = 1 / np.array(errors)[:, axis]
        covariance = np.linalg.inv((design * weight[:, None] ** 2).T @ design)
        positions[1:, axis] = covariance @ design.T @ (weight**2 * np.array(shifts)[:, axis])
        sigma[1:, axis] = np.sqrt(np.diag(covariance))
    return positions, sigma
