"""Split a camera frame that shows one scene twice into a pair."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.io.arrays import as_image
from napari_lowdose.pairs.candidate_layouts import SMALLEST, CandidateLayout, candidate_layouts
from napari_lowdose.pairs.layout_drift import warn_if_drifted
from napari_lowdose.pairs.measured_map import measure_map
from napari_lowdose.pairs.register import measure_registration, read_some_frames
from napari_lowdose.pairs.scene_shift import NotRegisteredError
from napari_lowdose.pairs.split_layout import Distortion, Region, SplitLayout
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.pairs.measured_map import MeasuredMap
    from napari_lowdose.pairs.register import Registration
    from napari_lowdose.pairs.view_map import Matrix

    Frames = NDArray[np.float32]

SAME_SCENE = 0.9  # least noise-corrected correlation of two views of the same scene
DRAWN_SAME_SCENE = 0.6  # the same for rectangles that the user drew
LARGEST_SHIFT = 1 / 3  # of each side of a view
GAP_FACTOR = 1.1  # on the correlation: candidates with a dark gap are preferred
COMPARED = 256  # px: longest side at which candidates are compared
COMPARED_FRAMES = 8
REMAINING_SHIFT = 4  # px: searched after both views are cropped to their common field


def split_frame(
    frame: Any,
    layout: Literal["auto", "side by side", "above"] | tuple[Region, Region] | SplitLayout = "auto",
    *,
    mirrored: Literal["auto", "x", "y"] | bool | None = "auto",
) -> tuple[Any, Any, SplitLayout]:
    """Split a camera frame that shows one scene twice, as behind a beamsplitter, into a pair.

    Parameters
    ----------
    frame : (..., Y, X) array
        One frame, or a movie whose layout is measured on up to 64 frames together.
    layout : {"auto", "side by side", "above"}, two rectangles, or SplitLayout
        Position of the two views.  By default, the axis, the views, the gap and the margins are
        found automatically.  Two rectangles (y0, y1, x0, x1) give the views in pixels.  A layout
        that was measured before is used unchanged, after a comparison with these frames.
    mirrored : {"auto", "x", "y"} or bool, optional
        Whether the second view is reversed along x or y; found automatically by default.  True
        means reversed along the axis on which the views are next to each other, None as False that
        it is not reversed.

    Returns
    -------
    first, second : (..., Y', X') arrays
        The field common to both views, cropped at whole pixels without interpolation.  The second
        is mirrored back if necessary.  Lazy arrays if `frame` is lazy.
    layout : SplitLayout
        Regions, shift and its error. ``layout.split(movie)`` splits other frames of the same
        camera.

    Raises
    ------
    ValueError
        If the frame or the rectangles are too small, the two parts do not show the same scene, or
        a parameter is invalid.

    Warns
    -----
    UserWarning
        If rotation or magnification displaces the corners of the second view by more than 0.3
        pixels, two given rectangles correlate less than two views of one scene, or the views have
        drifted since a given layout was measured.

    Examples
    --------
    >>> from napari_lowdose import samples, split_frame
    >>> frame, truth = samples.beamsplitter_frame()
    >>> first, second, layout = split_frame(frame)
    >>> layout.axis, layout.gap, layout.mirrored
    ('side by side', 24, None)
    >>> dy, dx = layout.shift  # simulated with 1.3 and -2.6
    >>> abs(dy - 1.3) < 0.1 and abs(dx + 2.6) < 0.1
    True
    """
    frame = as_image(frame, "the frame")
    check_image(frame)
    if isinstance(layout, SplitLayout):
        warn_if_drifted(layout, frame)
        return (*layout.split(frame), layout)
    frames = _without_outliers(*read_some_frames(frame))
    candidates = candidate_layouts(frames.mean(0), layout, mirrored)
    if not candidates:
        raise ValueError(
            f"a frame of {frame.shape[-2]} x {frame.shape[-1]} pixels is too small for two views: "
            f"each needs at least {SMALLEST} x {SMALLEST} pixels."
        )
    found = _measure_layout(frames, _best_candidate(frames, candidates))
    _warn_if_distorted(found)
    return (*found.split(frame), found)


def _without_outliers(frames: Frames) -> Frames:
    """Fill in outliers and bright lines; dark lines may be the gap between the views."""
    from napari_lowdose.imaging.outliers import find_outliers, replace_outliers
    from napari_lowdose.pairs.fixed_pattern import without_constant_lines

    frames = without_constant_lines(frames, bright=True)
    return np.stack([replace_outliers(frame, find_outliers(frame)) for frame in frames])


def _best_candidate(frames: Frames, candidates: list[CandidateLayout]) -> CandidateLayout:
    """Return the candidate whose two views correlate best."""
    if len(candidates) == 1:
        return candidates[0]
    few = frames[:: max(1, -(-len(frames) // COMPARED_FRAMES))]
    return max(candidates, key=lambda candidate: _score(few, candidate))


def _score(frames: Frames, candidate: CandidateLayout) -> float:
    """Return the highest correlation of the two views, binned for speed."""
    from napari_lowdose.pairs.block_statistics import binned
    from napari_lowdose.pairs.fixed_pattern import without_lines
    from napari_lowdose.pairs.integer_shift import overlap_correlation

    first, second = candidate.cut(frames)
    factor = -(-max(first.shape[-2:]) // COMPARED)
    dy, dx = _largest_shift(candidate)
    reach = (-(-dy // factor), -(-dx // factor))
    first, second = (without_lines(binned(view, factor)) for view in (first, second))
    return float(overlap_correlation(first, second, reach).max()) * (
        GAP_FACTOR if candidate.gap else 1.0
    )


def _largest_shift(candidate: CandidateLayout) -> tuple[int, int]:
    y0, y1, x0, x1 = candidate.same_size()[0]
    return int((y1 - y0) * LARGEST_SHIFT), int((x1 - x0) * LARGEST_SHIFT)


def _measure_layout(frames: Frames, candidate: CandidateLayout) -> SplitLayout:
    """Register the two views and crop them to their common field."""
    integer = np.array(_coarse_shift(candidate, *candidate.cut(frames)))
    # The shift of the cropped views is more precise, and may round to another integer shift. Then
    # they are cropped again.
    for _ in range(3):
        exact = replace(
            candidate, views=_common_regions(candidate, (int(integer[0]), int(integer[1])))
        )
        first, second = exact.cut(frames)
        if min(first.shape[-2:]) < SMALLEST // 2:
            raise ValueError(_mismatch_message(candidate, None))
        found = _compare_views(candidate, first, second)
        shift = integer + np.array(found.shift)
        nearest = np.rint(shift).astype(int)
        if (nearest == integer).all():
            break
        integer = nearest
    if found.same_scene < SAME_SCENE:
        warn(
            "the noise-corrected correlation of the two rectangles is only "
            f"{found.same_scene:.2f} (1 for the same scene): detail that only one of them shows "
            "will be lost.",
            stacklevel=3,
        )
    return SplitLayout(
        axis=candidate.axis,
        regions=exact.views,
        views=candidate.views,
        mirrored=candidate.mirrored,
        shift=(float(shift[0]), float(shift[1])),
        shift_error=found.shift_error,
        integer_shift=(int(integer[0]), int(integer[1])),
        fraction=(float(shift[0] - integer[0]), float(shift[1] - integer[1])),
        gain=found.gain,
        offset=found.offset,
        correlation=found.correlation,
        noise_corrected_correlation=found.same_scene,
        distortion=None if found.measured is None else _distortion(found.measured),
        shape=(frames.shape[-2], frames.shape[-1]),
        affine=found.affine,
    )


def _coarse_shift(candidate: CandidateLayout, first: Frames, second: Frames) -> tuple[int, int]:
    """Return the shift in whole pixels; a second view that is turned may have several."""
    largest = _largest_shift(candidate)
    try:
        return _register_views(candidate, first, second, largest).integer_shift
    except NotRegisteredError:  # it differs between parts of the view
        from napari_lowdose.pairs.integer_shift import integer_shift

        dy, dx = integer_shift(first, second, largest)
        measured = measure_map(first, second, (float(dy), float(dx)))
        if measured is None or not measured.is_needed:
            raise
        return round(measured.shift[0]), round(measured.shift[1])


class _Comparison(NamedTuple):
    """Two views, cropped to their common field at whole pixels, compared.

    Attributes
    ----------
    shift, shift_error : (float, float)
        Remaining shift (dy, dx), at the centre if there is an affine map, pixels.
    gain, offset, correlation, same_scene : float
        `same_scene` is the noise-corrected correlation.
    measured : MeasuredMap or None
    affine : Matrix or None
        The affine map, if the views differ by more than a shift.
    """

    shift: tuple[float, float]
    shift_error: tuple[float, float]
    gain: float
    offset: float
    correlation: float
    same_scene: float
    measured: MeasuredMap | None
    affine: Matrix | None


def _compare_views(candidate: CandidateLayout, first: Frames, second: Frames) -> _Comparison:
    """Measure the shift between two cropped views, or their affine map."""
    from napari_lowdose.pairs.correlation_peak import correlation_peak
    from napari_lowdose.pairs.fixed_pattern import without_lines

    measured = measure_map(first, second)
    if measured is not None and measured.is_needed:
        found: MeasuredMap | Registration = measured
        offset = float(second.mean(dtype=float) - measured.gain * first.mean(dtype=float))
        affine, same_scene = measured.view_map.matrix, measured.noise_corrected_correlation
    else:
        peak = correlation_peak(without_lines(first), without_lines(second))
        affine, same_scene = None, peak.noise_corrected_correlation
    if same_scene < (DRAWN_SAME_SCENE if candidate.drawn else SAME_SCENE):
        raise ValueError(_mismatch_message(candidate, same_scene))
    if affine is None:
        found = _register_views(candidate, first, second, (REMAINING_SHIFT, REMAINING_SHIFT))
        offset = found.offset
    return _Comparison(
        found.shift,
        found.shift_error,
        found.gain,
        offset,
        found.correlation,
        same_scene,
        measured,
        affine,
    )


def _distortion(measured: MeasuredMap) -> Distortion:
    return Distortion(
        rotation=float(np.degrees(measured.rotation)),
        rotation_error=float(np.degrees(measured.rotation_error)),
        magnification=measured.magnification,
        magnification_error=measured.magnification_error,
        at_corners=measured.at_corners,
        significant=measured.significant,
        residual=measured.residual,
    )


def _register_views(
    candidate: CandidateLayout, first: Frames, second: Frames, max_shift: tuple[int, int]
) -> Registration:
    try:
        return measure_registration(first, second, max_shift)
    except NotRegisteredError as error:
        if error.kind == "parts":
            raise
        raise ValueError(_mismatch_message(candidate, None)) from error


def _common_regions(candidate: CandidateLayout, shift: tuple[int, int]) -> tuple[Region, Region]:
    """Return the field common to both views in pixels of the frame, for an integer shift."""
    first, second = candidate.same_size()
    sides = []
    for axis, reverse in ((0, "y"), (1, "x")):
        lo, hi = 2 * axis, 2 * axis + 1
        start, stop = candidate.views[0][lo], candidate.views[0][hi]
        other_start, other_stop = candidate.views[1][lo], candidate.views[1][hi]
        if candidate.mirrored == reverse:
            # Along a reversed axis, the sum of corresponding pixel coordinates is constant.
            total = first[lo] + second[hi] - 1 - shift[axis]
            a, b = max(start, total - other_stop + 1), min(stop, total - other_start + 1)
            sides.append((a, b, total - b + 1, total - a + 1))
        else:
            # Otherwise their difference is constant.
            apart = second[lo] - first[lo] + shift[axis]
            a, b = max(start, other_start - apart), min(stop, other_stop - apart)
            sides.append((a, b, a + apart, b + apart))
    (y0, y1, v0, v1), (x0, x1, u0, u1) = sides
    return (y0, y1, x0, x1), (v0, v1, u0, u1)


def _mismatch_message(candidate: CandidateLayout, correlation: float | None) -> str:
    (y0, y1, x0, x1), (v0, v1, u0, u1) = candidate.views
    regions = f"the parts [{y0}:{y1}, {x0}:{x1}] and [{v0}:{v1}, {u0}:{u1}] (rows, columns)"
    problem = (
        "have nothing in common above the noise"
        if correlation is None
        else f"have a noise-corrected correlation of only {max(correlation, 0):.2f} (1 for the "
        "same scene)"
    )
    return (
        f"no two views of one scene were found: {regions} {problem}; check that this is a frame "
        "of a beamsplitter, and give the two rectangles of the views (layout=...)."
    )


def _warn_if_distorted(layout: SplitLayout) -> None:
    found = layout.distortion
    if layout.affine is None or found is None:
        return
    warn(
        f"the second view is rotated by {found.rotation:.2f} ± {found.rotation_error:.2f} degrees "
        f"and magnified {found.magnification:.4f} ± {found.magnification_error:.4f} times, which "
        f"displaces its corners by {found.at_corners:.1f} pixels (the affine map is right to "
        f"{found.residual:.2f}): give affine=layout.affine to Noise2Noise, or detail there will be "
        "lost.",
        stacklevel=3,
    )
