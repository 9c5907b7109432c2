"""The shift of a scene between two views: of the scene, and not of what is fixed to the sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.pairs.correlation_peak import CorrelationPeak
    from napari_lowdose.pairs.repeatability import Repeat
    from napari_lowdose.pairs.shift_fraction import ShiftEstimate

    _Pair = tuple[NDArray[Any], NDArray[Any]]

Shift = tuple[float, float]

SMALLEST = 24  # px: a smaller field says nothing about shifts
LARGEST = 1024  # px a side, beyond which whole pixels are looked for in a binned view
CERTAIN = 6.0  # standard errors of the common signal, or chance may have made the peak
SETTLED = 0.6  # px: a shift further than this from what was cut away is cut again
ALIKE = 0.9  # noise-corrected correlation; below it, test for a mirrored or inverted second view
AGREED = 4.0  # standard errors up to which two halves agree
DOUBTFUL = 0.3  # px: where the parts of an image differ by more, its halves are asked
DOUBT_ERRORS = 4.0  # standard errors, likewise
UNCHECKED = 3.0  # times the error of a field too small for its parts to be asked
STILL = 1.0  # px: what is displaced by less may be fixed to the sensor
WORST = 2.0  # px: a shift that is not known to this is none
TURNED = (
    "the second exposure looks {}: turn it back, or choose two exposures of the same orientation."
)
REVERSED = "the second exposure shows the scene with its contrast reversed: invert one of the two."
NOTHING_IN_COMMON = (
    "the two exposures show nothing in common above the noise: they cannot be registered; give "
    "exposures of the same scene, or more frames of them."
)


class NotRegisteredError(ValueError):
    """Two exposures cannot be brought into register.

    Parameters
    ----------
    kind : {"different", "parts", "turned", "reversed"}
        Nothing is common to them; their parts are displaced by different shifts; one is mirrored
        or rotated, or its contrast reversed.
    message : str
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class SceneShift:
    """How far the scene is displaced.

    Attributes
    ----------
    cut_away : (2,) integer array
        (dy, dx) in whole pixels, at which both were cut to their common field.
    estimate : ShiftEstimate
        What is left there.
    repeat : Repeat
        Whether the quarters of the field agree.
    """

    cut_away: NDArray[Any]
    estimate: ShiftEstimate
    repeat: Repeat

    @property
    def shift(self) -> Shift:
        """(dy, dx), pixels."""
        dy, dx = self.cut_away + np.array(self.estimate.shift)
        return float(dy), float(dx)

    @property
    def error(self) -> Shift:
        """One standard error of it, and the scatter of the quarters."""
        dy, dx = np.hypot(self.estimate.error, self.repeat.scatter)
        unknown = 1.0 if self.repeat.asked else UNCHECKED
        return float(unknown * dy), float(unknown * dx)

    @property
    def doubtful(self) -> bool:
        """Whether one part of the image may have decided alone."""
        surely = DOUBT_ERRORS * min(max(self.estimate.error), self.repeat.error)
        least = max(DOUBTFUL, surely)
        return self.repeat.differs is not None or max(self.repeat.scatter) > least


def scene_shift(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None = None
) -> SceneShift:
    """Find how far a scene is displaced between two views.

    Outliers, info bars, dead lines, and patterns of the sensor's pixels, rows and columns are
    left out.  The shift must repeat on the quarters of the field.

    Parameters
    ----------
    first, second : (T, Y, X) array
        In memory.
    max_shift : (int, int), optional

    Returns
    -------
    SceneShift

    Raises
    ------
    NotRegisteredError
        If nothing is common to both, parts of them are displaced by different shifts, or one is
        mirrored, rotated or reversed in contrast.
    """
    from napari_lowdose.pairs.fixed_pattern import (
        fixed_lines,
        share_pixels,
        without_lines,
        without_shared_pixels,
    )
    from napari_lowdose.pairs.orientation import contrast_reversed

    whole = views = _scene_only(first, second)
    if fixed_lines(*whole):
        views = without_lines(whole[0]), without_lines(whole[1])
        if _lines_are_the_scenes(whole, views, max_shift):
            views = whole
    if share_pixels(*views):
        views = without_shared_pixels(*views)
    found = _estimate(*views, max_shift)
    if found is None or found.doubtful:
        found = _of_one_half(*views, max_shift) or found
    displaced = found is not None and max(map(abs, found.shift)) > STILL
    if displaced and contrast_reversed(*whole):
        raise NotRegisteredError("reversed", REVERSED)
    if (
        found is None
        or found.repeat.differs
        or found.estimate.peak.noise_corrected_correlation < ALIKE
    ):
        _refuse_if_turned(*whole)
    if found is None:
        # A scene of stripes has no shift along them, and agrees with itself inverted
        if _place(views[0], -views[1], max_shift) is not None and contrast_reversed(*views):
            raise NotRegisteredError("reversed", REVERSED)
        raise NotRegisteredError("different", NOTHING_IN_COMMON)
    if found.repeat.differs:
        raise _parts_differ(found.repeat.differs)
    _refuse_if_moved_beneath(*views, found)
    return found


def _lines_are_the_scenes(whole: _Pair, without: _Pair, max_shift: tuple[int, int] | None) -> bool:
    """Return whether rows and columns move with the scene, and so tell its shift too."""
    from napari_lowdose.pairs.fixed_pattern import lines_move

    found = _place(*without, max_shift)
    if found is None:
        return True
    move = lines_move(*whole, found.shift)
    if move is not None:
        return move
    other = _place(*whole, max_shift)
    return other is not None and max(other.error) < max(found.error) and _agree(found, other)


def _agree(one: _Place | SceneShift, other: _Place | SceneShift) -> bool:
    apart = np.abs(np.subtract(one.shift, other.shift))
    return bool((apart <= AGREED * np.hypot(one.error, other.error)).all())


def _refuse_if_moved_beneath(first: NDArray[Any], second: NDArray[Any], found: SceneShift) -> None:
    """Refuse what stands still on the sensor, if a scene moves beneath it."""
    from napari_lowdose.pairs.repeatability import moved_beneath

    if max(map(abs, found.shift)) > STILL:
        return
    moved = moved_beneath(first, second, found.shift, found.estimate.gain)
    if moved is not None:
        raise NotRegisteredError(
            "parts",
            f"what the two exposures share stands still, while a scene beneath it moved by about "
            f"{abs(moved[0]):.0f} px down or up and {abs(moved[1]):.0f} px along the rows: "
            "subtract the pattern of the sensor (a dark frame, or the mean of many) first.",
        )


def _refuse_if_turned(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Refuse a second exposure that agrees much better when it is turned back, or inverted."""
    from napari_lowdose.pairs.orientation import looks

    words = looks(first, second)
    if words == "reversed in contrast":
        raise NotRegisteredError("reversed", REVERSED)
    if words is not None:
        raise NotRegisteredError("turned", TURNED.format(words))


def _of_one_half(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> SceneShift | None:
    """Return the shift that two halves of the field agree on, if what misleads is in the others.

    Raises an error if two halves know different shifts.
    """
    from napari_lowdose.pairs.repeatability import FAR, KNOWN

    middle, centre = (side // 2 for side in first.shape[-2:])
    halves = (np.s_[:, :middle], np.s_[:, middle:], np.s_[:, :, :centre], np.s_[:, :, centre:])
    sure = []
    for half in halves:
        if min(first[half].shape[-2:]) < 2 * SMALLEST:
            return None
        found = _estimate(first[half], second[half], max_shift)
        if found is not None and not found.doubtful and max(found.estimate.error) < KNOWN:
            sure.append(found)
    if len(sure) < 2:
        return None
    best = min(sure, key=lambda found: float(np.hypot(*found.estimate.error)))
    apart = [np.subtract(found.shift, best.shift) for found in sure]
    furthest = max(apart, key=lambda each: float(np.abs(each).max()))
    if np.abs(furthest).max() > FAR:
        raise _parts_differ(furthest)
    return best if all(_agree(found, best) for found in sure) else None


def _parts_differ(by: Any) -> NotRegisteredError:
    return NotRegisteredError(
        "parts",
        f"the shift differs between parts of the image, by {abs(by[0]):.1f} px down and "
        f"{abs(by[1]):.1f} px along the rows: something is fixed to the sensor, or the scene is "
        "turned, stretched or moved in itself; crop both exposures to a part that moves as one.",
    )


def _scene_only(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the part that holds image in both, without outliers and dead lines."""
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
class _Place:
    """A shift in whole pixels, cut away, and the peak of the correlation there."""

    cut_away: NDArray[Any]
    peak: CorrelationPeak
    fields: _Pair

    @property
    def shift(self) -> Shift:
        dy, dx = self.cut_away + np.array(self.peak.shift)
        return float(dy), float(dx)

    @property
    def error(self) -> Shift:
        return self.peak.error


def _place(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> _Place | None:
    """Find the shift to a fraction of a pixel, or none if nothing is common to both."""
    from napari_lowdose.pairs.correlation_peak import correlation_peak

    shape = (first.shape[-2], first.shape[-1])
    whole = np.array(_coarse(first, second, max_shift))
    for _ in range(4):
        one, other = common_field(shape, (int(whole[0]), int(whole[1])))
        fields = first[(..., *one)], second[(..., *other)]
        if min(fields[0].shape[-2:]) < SMALLEST:
            return None
        peak = correlation_peak(*fields)
        if max(map(abs, peak.shift)) <= SETTLED:
            break
        whole = whole + np.rint(peak.shift).astype(int)
    return _Place(whole, peak, fields) if peak.certainty > CERTAIN else None


def _estimate(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> SceneShift | None:
    """Find the shift as well as the noise allows, and whether the parts of the field agree."""
    from napari_lowdose.pairs.repeatability import repeats
    from napari_lowdose.pairs.shift_fraction import shift_fraction

    place = _place(first, second, max_shift)
    if place is None:
        return None
    found = shift_fraction(*place.fields, peak=place.peak)
    if not found.peak.certainty > CERTAIN or not max(found.error) < WORST:
        return None
    return SceneShift(place.cut_away, found, repeats(*place.fields, found.shift))


def _coarse(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> tuple[int, int]:
    from napari_lowdose.pairs.integer_shift import binned, integer_shift

    by = -(-max(first.shape[-2:]) // LARGEST)
    if by == 1:
        return integer_shift(first, second, max_shift)
    reach = None if max_shift is None else (-(-max_shift[0] // by), -(-max_shift[1] // by))
    dy, dx = integer_shift(binned(first, by), binned(second, by), reach)
    return by * dy, by * dx


def common_field(
    shape: tuple[int, int], whole: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of each of two exposures that shows what the other shows too.

    Parameters
    ----------
    shape : (int, int)
        (Y, X) of both.
    integer_shift : (int, int)
        (dy, dx), the shift of the scene in the second in whole pixels.

    Returns
    -------
    first, second : (slice, slice)

    Examples
    --------
    >>> common_field((100, 100), (2, -3))
    ((slice(0, 98, None), slice(3, 100, None)), (slice(2, 100, None), slice(0, 97, None)))
    """
    one = [slice(max(0, -by), side - max(0, by)) for side, by in zip(shape, whole, strict=True)]
    other = [slice(max(0, by), side + min(0, by)) for side, by in zip(shape, whole, strict=True)]
    return (one[0], one[1]), (other[0], other[1])
