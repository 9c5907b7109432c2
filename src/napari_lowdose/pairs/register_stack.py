"""Register a stack of repeated exposures, to use its frames as pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.io.arrays import as_image, sliceable
from napari_lowdose.pairs.register import measure_registration, read_some_frames
from napari_lowdose.pairs.scene_shift import (
    SMALLEST,
    NotRegisteredError,
    check_size,
    common_field,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.float64]

REACH = 4  # frames before and after each frame that it is registered with: the drift is small
NEAR = 4  # px around an expected shift that are searched
WRONG_PEAK = 1.5  # px: a shift that differs by more from the others may be another peak
CONTRADICTS = 5.0  # standard errors, likewise


@dataclass(frozen=True)
class StackRegistration:
    """Position of the scene in each frame of a stack.

    Attributes
    ----------
    positions : (N, 2) array
        (dy, dx) of the scene relative to the first frame, pixels.
    errors : (N, 2) array
        Standard errors of the positions, pixels. Those of the first frame are zero.
    integer_shifts : (N, 2) integer array
        Part of the shifts that `cut` removes by cropping, pixels.
    shape : (int, int)
        (Y, X) of the frames before cropping, pixels.
    """

    positions: Positions
    errors: Positions
    integer_shifts: NDArray[np.int64]
    shape: tuple[int, int]

    def cut(self, frames: Any) -> Any:
        """Crop a stack, at whole pixels, to the field that is common to all frames.

        Parameters
        ----------
        frames : (N, Y, X) array
            A lazy array (dask, zarr) stays lazy.

        Returns
        -------
        (N, Y', X') array
            No pixel is interpolated.

        Raises
        ------
        ValueError
            If the shape differs from that of the registered stack.
        """
        frames = as_image(frames, "the stack")
        if tuple(frames.shape) != (len(self.integer_shifts), *self.shape):
            raise ValueError(
                f"a stack of shape {tuple(frames.shape)} cannot be cropped with the shifts of a "
                f"stack of shape {(len(self.integer_shifts), *self.shape)}: register it by itself."
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
        """Return the indices (i, j) of the frames that form pairs.

        Parameters
        ----------
        reach : int or None
            Largest distance between the frames of a pair: 1 for neighbours, None for all pairs.

        Returns
        -------
        list of (int, int)
        """
        number = len(self.positions)
        furthest = number if reach is None else reach
        return [(i, j) for i in range(number) for j in range(i + 1, min(number, i + 1 + furthest))]

    def fraction(self, i: int, j: int) -> tuple[float, float]:
        """Return the shift of frame j relative to frame i that remains after `cut`, pixels."""
        remaining = self.positions - self.integer_shifts
        dy, dx = remaining[j] - remaining[i]
        return float(dy), float(dx)

    def as_pairs(self, frames: Any, reach: int | None = 1) -> tuple[Any, Any, Positions]:
        """Return the frames of a stack as training pairs.

        Parameters
        ----------
        frames : (N, Y, X) array
            Stack before cropping.
        reach : int or None
            As in `pairs`.

        Returns
        -------
        first, second : (P, Y', X') arrays
            Exposures of each pair, registered at whole pixels.
        fractions : (P, 2) array
            Remaining shift (dy, dx) of each pair, less than a pixel.
        """
        one, other = (list(side) for side in zip(*self.pairs(reach), strict=True))
        cut = self.cut(frames)
        fractions = np.array([self.fraction(i, j) for i, j in zip(one, other, strict=True)])
        return cut[one], cut[other], fractions


def register_stack(frames: Any) -> tuple[Any, StackRegistration]:
    """Register a drifting stack of repeated exposures and crop it to the common field.

    Each frame is registered with the four frames before and after it.  The positions are the
    weighted least-squares fit to all these shifts, so that errors do not accumulate along the
    stack.  Frames further apart are registered where the nearest ones expect them, and shifts that
    contradict the others are left out [1]_.  A crystal may drift by up to half a unit cell between
    successive frames.

    Parameters
    ----------
    frames : (N, Y, X) array
        At least two frames. A lazy array (dask, zarr) is read frame by frame.

    Returns
    -------
    frames : (N, Y', X') array
        The common field, cropped at whole pixels without interpolation.
    registration : StackRegistration
        Positions; ``registration.as_pairs(frames, reach)`` returns the frames as pairs.

    Raises
    ------
    ValueError
        If the array is not a stack, a side is shorter than 24 pixels, a frame has nothing in
        common with its neighbours, or no field is common to all frames.

    References
    ----------
    .. [1] B. H. Savitzky et al., "Image registration of low signal-to-noise cryo-STEM data",
       Ultramicroscopy 191, 56 (2018).

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
            "a stack of repeated exposures needs axes (N, Y, X) and at least two frames, not shape "
            f"{tuple(frames.shape)}."
        )
    check_size(frames.shape)
    shape = (int(frames.shape[-2]), int(frames.shape[-1]))
    positions, errors = _positions(frames)
    integer_shifts = np.rint(positions).astype(np.int64)
    registration = StackRegistration(positions, errors, integer_shifts, shape)
    if (np.array(shape) - np.ptp(integer_shifts, axis=0)).min() < SMALLEST:
        raise ValueError(
            "the drift is so large that no field is common to all frames: give fewer frames."
        )
    return registration.cut(frames), registration


def _positions(frames: Any) -> tuple[Positions, Positions]:
    """Fit the positions to the shifts between neighbouring frames; return them and their errors."""
    number = len(frames)
    pairs: list[_PairShift] = []
    recent: dict[int, NDArray[np.float32]] = {}
    rough: dict[int, NDArray[np.float64]] = {0: np.zeros(2)}  # positions so far
    for later in range(number):
        recent[later] = read_some_frames(frames[later])[0]
        recent.pop(later - REACH - 1, None)  # keep only a few frames in memory
        # The nearest frame first: it has drifted the least, so that its peak is the right one of a
        # lattice. The others are registered where this one expects them.
        for earlier in reversed(range(max(0, later - REACH), later)):
            expected = None
            if later in rough and earlier in rough:
                expected = rough[later] - rough[earlier]
            try:
                shift, error = _shift(recent[earlier], recent[later], expected)
            except NotRegisteredError:
                continue  # other neighbours may still determine the position of this frame
            pairs.append(_PairShift(earlier, later, shift, error))
            if later not in rough and earlier in rough:
                rough[later] = rough[earlier] + shift
    return _fitted(number, pairs)


class _PairShift(NamedTuple):
    """Measured shift (dy, dx) of a later frame against an earlier one, and its standard error."""

    earlier: int
    later: int
    shift: NDArray[np.float64]
    error: NDArray[np.float64]


def _shift(
    earlier: NDArray[np.float32], later: NDArray[np.float32], expected: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shift and its error; near the expected shift, if that is known."""
    if expected is None:
        found = measure_registration(earlier, later)
        return np.array(found.shift), np.array(found.shift_error)
    at = np.rint(expected).astype(int)
    one, other = common_field((earlier.shape[-2], earlier.shape[-1]), (int(at[0]), int(at[1])))
    first, second = earlier[(..., *one)], later[(..., *other)]
    if min(first.shape[-2:]) < SMALLEST:
        raise NotRegisteredError("different", "no common field")
    found = measure_registration(first, second, (NEAR, NEAR))
    return at + np.array(found.shift), np.array(found.shift_error)


def _fitted(number: int, pairs: list[_PairShift]) -> tuple[Positions, Positions]:
    """Fit the positions, without shifts that contradict the others (a -> b -> c is not a -> c)."""
    while True:
        positions, sigma = _least_squares(number, pairs)
        apart = [
            np.abs(positions[pair.later] - positions[pair.earlier] - pair.shift).max()
            / max(WRONG_PEAK, CONTRADICTS * pair.error.max())
            for pair in pairs
        ]
        worst = int(np.argmax(apart))
        rest = pairs[:worst] + pairs[worst + 1 :]
        if apart[worst] < 1 or not _connected(number, rest):
            return positions, sigma
        pairs = rest  # one at a time: a wrong shift displaces the fit for the right ones


def _design(number: int, pairs: list[_PairShift]) -> NDArray[np.float64]:
    design = np.zeros((len(pairs), number))
    for row, pair in zip(design, pairs, strict=True):
        row[pair.later], row[pair.earlier] = 1, -1
    return design[:, 1:]  # the first frame is the origin


def _connected(number: int, pairs: list[_PairShift]) -> bool:
    """Return whether the shifts determine all positions, in a single group of frames."""
    return bool(np.linalg.matrix_rank(_design(number, pairs)) == number - 1)


def _least_squares(number: int, pairs: list[_PairShift]) -> tuple[Positions, Positions]:
    if not _connected(number, pairs):
        raise ValueError(
            "some frames have nothing in common with their neighbours and cannot be registered: "
            "leave them out."
        )
    design = _design(number, pairs)
    positions, sigma = np.zeros((number, 2)), np.zeros((number, 2))
    for axis in (0, 1):
        weight = 1 / np.array([pair.error[axis] for pair in pairs])
        covariance = np.linalg.inv((design * weight[:, None] ** 2).T @ design)
        shifts = np.array([pair.shift[axis] for pair in pairs])
        positions[1:, axis] = covariance @ design.T @ (weight**2 * shifts)
        sigma[1:, axis] = np.sqrt(np.diag(covariance))
    return positions, sigma
