"""Shift of the scene between two views, unaffected by patterns that are fixed to the sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.pairs.correlation_peak import CorrelationPeak
    from napari_lowdose.pairs.shift_consistency import ShiftConsistency
    from napari_lowdose.pairs.subpixel_shift import SubpixelShift

    _Pair = tuple[NDArray[Any], NDArray[Any]]

Shift = tuple[float, float]

SMALLEST = 24  # px: least side of a field whose shift can be measured
LARGEST = 1024  # px: longest side at which the integer shift is searched; larger views are binned
CERTAIN = 6.0  # standard errors of the common signal: a lower peak may be chance
LARGEST_REST = 0.6  # px: if more than this is left after cropping, the crop is repeated
SAME_SCENE = 0.9  # noise-corrected correlation; if it is lower, other orientations are tried
COMPATIBLE = 4.0  # standard errors: largest difference of shifts that agree
DOUBTFUL = 0.3  # px: if the quarters scatter by more, the halves are measured
DOUBTFUL_ERRORS = 4.0  # standard errors, likewise
UNCHECKED_FACTOR = 3.0  # on the error, if the field is too small to compare its quarters
STILL = 1.0  # px: a pattern with a smaller shift may be fixed to the sensor
LARGEST_ERROR = 2.0  # px: a shift with a larger error is rejected
TURNED = (
    "the second exposure looks {}: turn it back, or choose two exposures of the same orientation."
)
REVERSED = "the second exposure shows the scene with reversed contrast: invert one of the two."
NOTHING_IN_COMMON = (
    "the two exposures have nothing in common above the noise and cannot be registered: choose "
    "exposures of the same scene, or give more frames of them."
)


class NotRegisteredError(ValueError):
    """Two exposures cannot be registered.

    Parameters
    ----------
    kind : {"different", "parts", "turned", "reversed"}
        "different": they have nothing in common.  "parts": the shift differs between parts of the
        image.  "turned": one is mirrored or rotated.  "reversed": the contrast of one is reversed.
    message : str
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class SceneShift:
    """Shift of the scene between two views.

    Attributes
    ----------
    cropped : (2,) integer array
        Integer shift (dy, dx), pixels, at which both views were cropped to their common field.
    estimate : SubpixelShift
        Shift that remains after cropping.
    consistency : ShiftConsistency
        Agreement of the quarters of the field.
    """

    cropped: NDArray[Any]
    estimate: SubpixelShift
    consistency: ShiftConsistency

    @property
    def shift(self) -> Shift:
        """(dy, dx), pixels."""
        dy, dx = self.cropped + np.array(self.estimate.shift)
        return float(dy), float(dx)

    @property
    def error(self) -> Shift:
        """Standard error of the shift, pixels; includes the scatter of the quarters."""
        dy, dx = np.hypot(self.estimate.error, self.consistency.scatter)
        factor = 1.0 if self.consistency.checked else UNCHECKED_FACTOR
        return float(factor * dy), float(factor * dx)

    @property
    def doubtful(self) -> bool:
        """Whether a single part of the image may have determined the shift."""
        significant = DOUBTFUL_ERRORS * min(max(self.estimate.error), self.consistency.error)
        least = max(DOUBTFUL, significant)
        return self.consistency.conflict is not None or max(self.consistency.scatter) > least


def check_size(shape: tuple[int, ...]) -> None:
    """Check that frames are large enough to be registered.

    Parameters
    ----------
    shape : (..., Y, X)
        Shape of an exposure or stack, pixels.

    Raises
    ------
    ValueError
        If a side is shorter than 24 pixels.
    """
    height, width = shape[-2:]
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"frames of {height} x {width} pixels are too small to be registered: at least "
            f"{SMALLEST} x {SMALLEST} are needed."
        )


def common_field(
    shape: tuple[int, int], shift: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of each of two exposures that shows the common field.

    Parameters
    ----------
    shape : (int, int)
        (Y, X) of both exposures.
    shift : (int, int)
        Integer shift (dy, dx) of the scene in the second exposure, pixels.

    Returns
    -------
    first, second : (slice, slice)
        Empty slices if nothing is common.

    Examples
    --------
    >>> common_field((100, 100), (2, -3))
    ((slice(0, 98, None), slice(3, 100, None)), (slice(2, 100, None), slice(0, 97, None)))
    """
    # A negative stop would count from the other end, hence the outer max().
    one = [
        slice(max(0, -by), max(0, side - max(0, by))) for side, by in zip(shape, shift, strict=True)
    ]
    other = [
        slice(max(0, by), max(0, side + min(0, by))) for side, by in zip(shape, shift, strict=True)
    ]
    return (one[0], one[1]), (other[0], other[1])


def scene_shift(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None = None
) -> SceneShift:
    """Measure the shift of the scene between two views.

    Outliers, info bars, dead lines and the fixed patterns of pixels, rows and columns are excluded.
    The shift must be reproduced in the quarters of the field.

    Parameters
    ----------
    first, second : (T, Y, X) array
        Frames with the same shift, in memory.
    max_shift : (int, int), optional
        Largest shift (dy, dx) to search, pixels. By default, at least a third of each side
        overlaps.

    Returns
    -------
    SceneShift

    Raises
    ------
    NotRegisteredError
        If the two have nothing in common, the shift differs between parts of the image, or one is
        mirrored, rotated or reversed in contrast.
    """
    from napari_lowdose.pairs.fixed_pattern import (
        fixed_lines,
        share_pixels,
        without_lines,
        without_shared_pixels,
    )
    from napari_lowdose.pairs.integer_shift import contrast_reversed

    whole = views = _clean(first, second)
    if fixed_lines(*whole):
        views = without_lines(whole[0]), without_lines(whole[1])
        if _lines_belong_to_scene(whole, views, max_shift):
            views = whole
    if share_pixels(*views):
        views = without_shared_pixels(*views)
    found = _estimate(*views, max_shift)
    if found is None or found.doubtful:
        found = _estimate_from_halves(*views, max_shift) or found
    # An inverted lattice correlates at a shift of about half a unit cell.
    displaced = found is not None and max(map(abs, found.shift)) > STILL
    if displaced and contrast_reversed(*whole):
        raise NotRegisteredError("reversed", REVERSED)
    if (
        found is None
        or found.consistency.conflict
        or found.estimate.peak.noise_corrected_correlation < SAME_SCENE
    ):
        _raise_if_turned(*whole)
    if found is None:
        # A scene of stripes has no shift along the stripes, and correlates with its own inverse.
        # It is reversed only if the inverse has a peak of its own.
        if _crop_and_peak(views[0], -views[1], max_shift) is not None and contrast_reversed(*views):
            raise NotRegisteredError("reversed", REVERSED)
        raise NotRegisteredError("different", NOTHING_IN_COMMON)
    if found.consistency.conflict:
        raise _conflict_error(found.consistency.conflict)
    _raise_if_moved_beneath(*views, found)
    return found


def _lines_belong_to_scene(whole: _Pair, without: _Pair, max_shift: tuple[int, int] | None) -> bool:
    """Return whether rows and columns move with the scene, so that they help to find its shift."""
    from napari_lowdose.pairs.fixed_pattern import lines_move

    found = _crop_and_peak(*without, max_shift)
    if found is None:
        return True  # the lines are all that there is
    move = lines_move(*whole, found.shift)
    if move is not None:
        return move
    # The lines themselves do not show it: they are kept if the same shift becomes more precise.
    other = _crop_and_peak(*whole, max_shift)
    return other is not None and max(other.error) < max(found.error) and _compatible(found, other)


def _compatible(one: _CroppedPeak | SceneShift, other: _CroppedPeak | SceneShift) -> bool:
    """Return whether two shifts agree within their errors."""
    apart = np.abs(np.subtract(one.shift, other.shift))
    return bool((apart <= COMPATIBLE * np.hypot(one.error, other.error)).all())


def _raise_if_moved_beneath(first: NDArray[Any], second: NDArray[Any], found: SceneShift) -> None:
    """Raise an error if the shift is that of a fixed pattern, and a scene moves beneath it."""
    from napari_lowdose.pairs.shift_consistency import moved_beneath

    if max(map(abs, found.shift)) > STILL:
        return
    moved = moved_beneath(first, second, found.shift, found.estimate.gain)
    if moved is not None:
        raise NotRegisteredError(
            "parts",
            f"a pattern common to both exposures stands still, while a scene beneath it moved by "
            f"about {abs(moved[0]):.0f} px along y and {abs(moved[1]):.0f} px along x: first "
            "subtract the pattern of the sensor (a dark frame, or the mean of many frames).",
        )


def _raise_if_turned(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Raise an error if the second exposure agrees much better in another orientation."""
    from napari_lowdose.pairs.integer_shift import orientation_difference

    words = orientation_difference(first, second)
    if words == "reversed in contrast":
        raise NotRegisteredError("reversed", REVERSED)
    if words is not None:
        raise NotRegisteredError("turned", TURNED.format(words))


def _estimate_from_halves(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> SceneShift | None:
    """Return the shift on which at least two halves of the field agree, without the others.

    A misleading part, such as a time stamp, lies in some halves and leaves the others intact.
    Raises `NotRegisteredError` if two halves have clearly different shifts.
    """
    from napari_lowdose.pairs.shift_consistency import DIFFERENT, KNOWN

    middle, centre = (side // 2 for side in first.shape[-2:])
    halves = (np.s_[:, :middle], np.s_[:, middle:], np.s_[:, :, :centre], np.s_[:, :, centre:])
    estimates = []
    for half in halves:
        if min(first[half].shape[-2:]) < 2 * SMALLEST:
            return None
        found = _estimate(first[half], second[half], max_shift)
        if found is not None and not found.doubtful and max(found.estimate.error) < KNOWN:
            estimates.append(found)
    if len(estimates) < 2:
        return None
    best = min(estimates, key=lambda found: float(np.hypot(*found.estimate.error)))
    differences = [np.subtract(found.shift, best.shift) for found in estimates]
    largest = max(differences, key=lambda each: float(np.abs(each).max()))
    if np.abs(largest).max() > DIFFERENT:
        raise _conflict_error(largest)
    return best if all(_compatible(found, best) for found in estimates) else None


def _conflict_error(difference: Any) -> NotRegisteredError:
    return NotRegisteredError(
        "parts",
        f"the shift differs between parts of the image, by {abs(difference[0]):.1f} px along y and "
        f"{abs(difference[1]):.1f} px along x: a pattern is fixed to the sensor, or the scene is "
        "rotated, stretched or deformed; crop both exposures to a part that moves as one.",
    )


def _clean(first: NDArray[Any], second: NDArray[Any]) -> _Pair:
    """Crop both to the area that holds image, and fill in outliers and dead lines."""
    from napari_lowdose.imaging.image_area import image_area
    from napari_lowdose.imaging.outliers import find_outliers, replace_outliers
    from napari_lowdose.pairs.fixed_pattern import without_constant_lines, without_slopes

    areas = [image_area(view.mean(0)) for view in (first, second)]
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(*areas, strict=True)
    )
    if min(rows.stop - rows.start, columns.stop - columns.start) >= SMALLEST:
        first, second = first[:, rows, columns], second[:, rows, columns]
    one, other = (
        without_slopes(
            without_constant_lines(
                np.stack([replace_outliers(frame, find_outliers(frame)) for frame in view])
            )
        )
        for view in (first, second)
    )
    return one, other


@dataclass(frozen=True)
class _CroppedPeak:
    """Peak of the correlation of two views that are cropped at an integer shift."""

    cropped: NDArray[Any]
    peak: CorrelationPeak
    fields: _Pair

    @property
    def shift(self) -> Shift:
        dy, dx = self.cropped + np.array(self.peak.shift)
        return float(dy), float(dx)

    @property
    def error(self) -> Shift:
        return self.peak.error


def _crop_and_peak(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> _CroppedPeak | None:
    """Crop two views to their common field and find the peak, None if it is not significant."""
    from napari_lowdose.pairs.correlation_peak import correlation_peak

    shape = (first.shape[-2], first.shape[-1])
    integer = np.array(_integer_shift(first, second, max_shift))
    # Binned views give the integer shift only to within a bin: the crop is corrected.
    for _ in range(4):
        one, other = common_field(shape, (int(integer[0]), int(integer[1])))
        fields = first[(..., *one)], second[(..., *other)]
        if min(fields[0].shape[-2:]) < SMALLEST:
            return None
        peak = correlation_peak(*fields)
        if max(map(abs, peak.shift)) <= LARGEST_REST:
            break
        integer = integer + np.rint(peak.shift).astype(int)
    return _CroppedPeak(integer, peak, fields) if peak.certainty > CERTAIN else None


def _estimate(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> SceneShift | None:
    """Estimate the shift and its consistency, None if it is not significant."""
    from napari_lowdose.pairs.shift_consistency import shift_consistency
    from napari_lowdose.pairs.subpixel_shift import subpixel_shift

    start = _crop_and_peak(first, second, max_shift)
    if start is None:
        return None
    found = subpixel_shift(*start.fields, peak=start.peak)
    if not found.peak.certainty > CERTAIN or not max(found.error) < LARGEST_ERROR:
        return None
    return SceneShift(start.cropped, found, shift_consistency(*start.fields, found.shift))


def _integer_shift(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the integer shift; large views are binned first, for speed and memory."""
    from napari_lowdose.pairs.block_statistics import binned
    from napari_lowdose.pairs.integer_shift import integer_shift

    factor = -(-max(first.shape[-2:]) // LARGEST)
    if factor == 1:
        return integer_shift(first, second, max_shift)
    reach = None
    if max_shift is not None:
        reach = (-(-max_shift[0] // factor), -(-max_shift[1] // factor))
    dy, dx = integer_shift(binned(first, factor), binned(second, factor), reach)
    return factor * dy, factor * dx
