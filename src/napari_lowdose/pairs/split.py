"""One camera frame with two views of one scene, split into a pair."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.io.arrays import as_image
from napari_lowdose.pairs.register import registered, some_frames
from napari_lowdose.pairs.scene_shift import NotRegisteredError
from napari_lowdose.pairs.split_layout import SplitLayout, cut_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.pairs.register import Registration

    Frames = NDArray[np.float32]
    Mirror = Literal["x", "y"] | None

Region = tuple[int, int, int, int]
Axis = Literal["side by side", "above"]
AXES: tuple[Axis, Axis] = ("side by side", "above")

SMALLEST = 48  # px, side of a view
MOST_GAPS = 2  # dark strips that are tried as the gap, the widest first
MOST_UNEQUAL = 3  # times as wide as the other, at most, a view may be
SAME_SCENE = 0.9  # least noise-corrected correlation of two views of the same scene
COMPARED = 256  # px a side, at which layouts are compared
COMPARED_FRAMES = 8
PERHAPS = 0.6  # the same, for two rectangles that the user drew
FURTHEST = 1 / 3  # of a side: views displaced by more are no views of one scene
A_GAP_COUNTS = 1.1  # times: two parts with a gap between are preferred by this much
NEARBY = 4  # px in which the shift is looked for where both views are cut in place
CORNER = 0.3  # px: what a rotation or magnification may displace the corners by


@dataclass(frozen=True)
class _Guess:
    """Two rectangles that may be the views, and how the second may be reversed."""

    axis: Axis
    views: tuple[Region, Region]
    mirrored: Mirror
    gap: bool = False
    drawn: bool = False

    def same_size(self) -> tuple[Region, Region]:
        """Return what both rectangles have in common in size, from their facing corners."""
        (a0, a1, b0, b1), (c0, c1, d0, d1) = self.views
        height, width = min(a1 - a0, c1 - c0), min(b1 - b0, d1 - d0)
        first = (a0, a0 + height, b0, b0 + width)
        y0 = c1 - height if self.mirrored == "y" else c0
        x0 = d1 - width if self.mirrored == "x" else d0
        return first, (y0, y0 + height, x0, x0 + width)

    def cut(self, frames: Frames) -> tuple[Frames, Frames]:
        first, second = self.same_size()
        return cut_out(frames, first), cut_out(frames, second, self.mirrored)


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
        One frame, or a movie: its layout is measured on up to 64 frames together.
    layout : {"auto", "side by side", "above"}, two rectangles, or SplitLayout
        Where the two views are.  By default found: along which axis they lie, where each is, what
        gap is between and which margins are around.  Two rectangles (y0, y1, x0, x1) say it in
        pixels; a layout measured before is used as it is.
    mirrored : {"auto", "x", "y"} or bool
        Whether the second view is reversed along x or y; by default found.  True means along the
        axis on which the views lie next to each other.

    Returns
    -------
    first, second : (..., Y', X') arrays
        The field that both views show, cut at whole pixels, no pixel interpolated; the second
        turned back if it is mirrored.  Lazy if `frame` is.
    layout : SplitLayout
        Regions, shift, its error, and ``layout.split(movie)`` for other frames of the same
        camera.

    Raises
    ------
    ValueError
        If the two parts do not show the same scene.

    Warns
    -----
    UserWarning
        If one view is turned or enlarged against the other by more than 0.3 pixels at the
        corners, or two rectangles resemble each other less than two views of one scene do.

    Examples
    --------
    >>> from napari_lowdose import samples, split_frame
    >>> frame, truth = samples.beamsplitter_frame()
    >>> first, second, layout = split_frame(frame)
    >>> layout.axis, layout.gap, layout.mirrored
    ('side by side', 24, None)
    >>> dy, dx = layout.shift  # the simulation says 1.3 and -2.6
    >>> abs(dy - 1.3) < 0.1 and abs(dx + 2.6) < 0.1
    True
    """
    frame = as_image(frame, "the frame")
    check_image(frame)
    if isinstance(layout, SplitLayout):
        return (*layout.split(frame), layout)
    frames = _sound(*some_frames(frame))
    guesses = _guesses(frames.mean(0), layout, mirrored)
    if not guesses:
        raise ValueError(
            f"a frame of {frame.shape[-2]} x {frame.shape[-1]} pixels is too small to hold two "
            f"views: each needs at least {SMALLEST} x {SMALLEST}."
        )
    found = _measured(frames, _best(frames, guesses))
    _warn_if_distorted(found)
    return (*found.split(frame), found)


def _sound(frames: Frames) -> Frames:
    """Return frames without outliers and bright lines, which are not of the scene."""
    from napari_lowdose.imaging.outliers import find_outliers, replace_outliers
    from napari_lowdose.pairs.fixed_pattern import without_constant_lines

    frames = without_constant_lines(frames, bright=True)
    return np.stack([replace_outliers(frame, find_outliers(frame)) for frame in frames])


def _guesses(
    mean: NDArray[Any], layout: Any, mirrored: Literal["auto", "x", "y"] | bool | None
) -> list[_Guess]:
    """Return the layouts to be tried."""
    if isinstance(layout, str):
        if layout != "auto" and layout not in AXES:
            raise ValueError(
                f'a layout is "auto", "side by side", "above" or two rectangles, not {layout!r}.'
            )
        axes = [axis for axis in AXES if layout in ("auto", axis)]
        places = [(axis, views, gap) for axis in axes for views, gap in _places(mean, axis)]
    else:
        views = _rectangles(layout, mean.shape)
        places = [(_axis_of(views), views, False)]
    guesses = []
    for axis, views, gap in places:
        along: Mirror = "x" if axis == "side by side" else "y"
        reversals: tuple[Mirror, ...] = (None, "x", "y")
        if mirrored in ("x", "y"):
            reversals = (mirrored,)
        elif mirrored != "auto":
            reversals = (along,) if mirrored else (None,)
        drawn = not isinstance(layout, str)
        guesses += [_Guess(axis, views, reversal, gap, drawn) for reversal in reversals]
    return guesses


def _rectangles(layout: Any, shape: tuple[int, ...]) -> tuple[Region, Region]:
    try:
        first, second = (tuple(map(int, region)) for region in layout)
        sizes = [(y1 - y0, x1 - x0) for y0, y1, x0, x1 in (first, second)]
    except (TypeError, ValueError):
        raise ValueError(
            f"two rectangles are ((y0, y1, x0, x1), (y0, y1, x0, x1)), not {layout!r}."
        ) from None
    for (y0, y1, x0, x1), size in zip((first, second), sizes, strict=True):
        if min(y0, x0) < 0 or y1 > shape[0] or x1 > shape[1]:
            raise ValueError(
                f"the rectangle {(y0, y1, x0, x1)} reaches out of the frame of {shape[0]} x "
                f"{shape[1]} pixels."
            )
        if min(size) < SMALLEST:
            raise ValueError(
                f"the rectangle {(y0, y1, x0, x1)} is too small: at least {SMALLEST} x {SMALLEST} "
                "pixels are needed."
            )
    return first, second  # type: ignore[return-value]


def _axis_of(views: tuple[Region, Region]) -> Axis:
    (y0, y1, x0, x1), (v0, v1, u0, u1) = views
    beside = abs((u0 + u1) - (x0 + x1)) >= abs((v0 + v1) - (y0 + y1))
    return "side by side" if beside else "above"


def _places(mean: NDArray[Any], axis: Axis) -> list[tuple[tuple[Region, Region], bool]]:
    """Return where two views may lie along an axis, and whether a gap says so."""
    from napari_lowdose.pairs.dark_strips import dark_strips, lit

    if axis == "above":
        return [
            (tuple(_transposed(view) for view in views), gap)  # type: ignore[misc]
            for views, gap in _places(mean.T, "side by side")
        ]
    start, stop = lit(mean)
    inside = [strip for strip in dark_strips(mean) if start < strip[0] and strip[1] < stop]
    widest = sorted(inside, key=lambda strip: strip[0] - strip[1])[:MOST_GAPS]
    middle = (start + stop) // 2
    parts = [((start, a), (b, stop), True) for a, b in widest]
    parts.append(((start, middle), (middle + (stop - start) % 2, stop), False))
    places = []
    for left, right, gap in parts:
        widths = [b - a for a, b in (left, right)]
        if min(widths) < SMALLEST or max(widths) > MOST_UNEQUAL * min(widths):
            continue
        views = [(*lit(mean[:, a:b].T), a, b) for a, b in (left, right)]
        if min(view[1] - view[0] for view in views) >= SMALLEST:
            places.append(((views[0], views[1]), gap))
    return places


def _transposed(region: Region) -> Region:
    y0, y1, x0, x1 = region
    return x0, x1, y0, y1


def _best(frames: Frames, guesses: list[_Guess]) -> _Guess:
    """Return the guess whose two views agree best."""
    if len(guesses) == 1:
        return guesses[0]
    some = frames[:: max(1, -(-len(frames) // COMPARED_FRAMES))]
    return max(guesses, key=lambda guess: _agreement(some, guess))


def _agreement(frames: Frames, guess: _Guess) -> float:
    from napari_lowdose.pairs.fixed_pattern import without_lines
    from napari_lowdose.pairs.integer_shift import binned, overlap_correlation

    first, second = guess.cut(frames)
    by = -(-max(first.shape[-2:]) // COMPARED)
    dy, dx = _furthest(guess)
    reach = (-(-dy // by), -(-dx // by))
    first, second = (without_lines(binned(view, by)) for view in (first, second))
    return float(overlap_correlation(first, second, reach).max()) * (
        A_GAP_COUNTS if guess.gap else 1.0
    )


def _furthest(guess: _Guess) -> tuple[int, int]:
    y0, y1, x0, x1 = guess.same_size()[0]
    return int((y1 - y0) * FURTHEST), int((x1 - x0) * FURTHEST)


def _measured(frames: Frames, guess: _Guess) -> SplitLayout:
    """Register the two views of a guess, and cut as much as both show."""
    from napari_lowdose.pairs.correlation_peak import correlation_peak
    from napari_lowdose.pairs.distortion import distortion
    from napari_lowdose.pairs.fixed_pattern import without_lines

    coarse = _registered(guess, *guess.cut(frames), _furthest(guess))
    shape = (frames.shape[-2], frames.shape[-1])
    whole = np.array(coarse.integer_shift)
    for _ in range(3):
        exact = replace(guess, views=_common(guess, (int(whole[0]), int(whole[1]))))
        first, second = exact.cut(frames)
        if min(first.shape[-2:]) < SMALLEST // 2:
            raise ValueError(_different(guess, None))
        peak = correlation_peak(without_lines(first), without_lines(second), coarse.fraction)
        similarity = peak.noise_corrected_correlation
        if similarity < (PERHAPS if guess.drawn else SAME_SCENE):
            raise ValueError(_different(guess, similarity))
        found = _registered(guess, first, second, (NEARBY, NEARBY))
        shift = whole + np.array(found.shift)
        nearest = np.rint(shift).astype(int)
        if (nearest == whole).all():
            break
        whole = nearest
    if similarity < SAME_SCENE:
        warnings.warn(
            f"the two rectangles resemble each other only to {similarity:.2f} (1 is the "
            "same scene): what only one of them shows will be lost.",
            UserWarning,
            stacklevel=3,
        )
    return SplitLayout(
        axis=guess.axis,
        regions=exact.views,
        views=guess.views,
        mirrored=guess.mirrored,
        shift=(float(shift[0]), float(shift[1])),
        shift_error=found.shift_error,
        integer_shift=(int(whole[0]), int(whole[1])),
        fraction=(float(shift[0] - whole[0]), float(shift[1] - whole[1])),
        gain=found.gain,
        offset=found.offset,
        correlation=found.correlation,
        noise_corrected_correlation=similarity,
        distortion=distortion(first, second),
        shape=shape,
    )


def _registered(
    guess: _Guess, first: Frames, second: Frames, max_shift: tuple[int, int]
) -> Registration:
    try:
        return registered(first, second, max_shift)
    except NotRegisteredError as error:
        if error.kind == "parts":
            raise
        raise ValueError(_different(guess, None)) from error


def _common(guess: _Guess, whole: tuple[int, int]) -> tuple[Region, Region]:
    """Return the field that both views show, in the frame's pixels, cut at `whole` pixels."""
    first, second = guess.same_size()
    sides = []
    for axis, reverse in ((0, "y"), (1, "x")):
        lo, hi = 2 * axis, 2 * axis + 1
        start, stop = guess.views[0][lo], guess.views[0][hi]
        other_start, other_stop = guess.views[1][lo], guess.views[1][hi]
        if guess.mirrored == reverse:  # a + b is the same for all pixels a and their images b
            both = first[lo] + second[hi] - 1 - whole[axis]
            a, b = max(start, both - other_stop + 1), min(stop, both - other_start + 1)
            sides.append((a, b, both - b + 1, both - a + 1))
        else:
            apart = second[lo] - first[lo] + whole[axis]
            a, b = max(start, other_start - apart), min(stop, other_stop - apart)
            sides.append((a, b, a + apart, b + apart))
    (y0, y1, v0, v1), (x0, x1, u0, u1) = sides
    return (y0, y1, x0, x1), (v0, v1, u0, u1)


def _different(guess: _Guess, similarity: float | None) -> str:
    """Return in a sentence that the views do not show the same scene, and what to do."""
    (y0, y1, x0, x1), (v0, v1, u0, u1) = guess.views
    where = f"the parts [{y0}:{y1}, {x0}:{x1}] and [{v0}:{v1}, {u0}:{u1}] (rows, columns)"
    how = (
        "have nothing in common above the noise"
        if similarity is None
        else f"resemble each other only to {max(similarity, 0):.2f} (1 is the same scene)"
    )
    return (
        f"no two views of one scene were found: {where} {how}; is this a frame of a beamsplitter, "
        "and if so, between which two rectangles (layout=...) are the views?"
    )


def _warn_if_distorted(layout: SplitLayout) -> None:
    found = layout.distortion
    if found is None or not found.significant or found.at_corners <= CORNER:
        return
    warnings.warn(
        f"the second view is turned by {found.rotation:.2f} ± {found.rotation_error:.2f} degrees "
        f"and enlarged {found.magnification:.4f} ± {found.magnification_error:.4f} times, which "
        f"displaces its corners by {found.at_corners:.1f} pixels: detail there will be lost unless "
        "the optics are adjusted or a smaller field is cut.",
        UserWarning,
        stacklevel=3,
    )
