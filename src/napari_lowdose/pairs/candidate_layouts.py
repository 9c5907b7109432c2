"""Candidate layouts of two views in a camera frame, from its dark gap and margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.pairs.split_layout import cut_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.pairs.split_layout import Region

    Frames = NDArray[np.float32]
    Mirror = Literal["x", "y"] | None

Axis = Literal["side by side", "above"]
AXES: tuple[Axis, Axis] = ("side by side", "above")

SMALLEST = 48  # px: least side of a view
MOST_GAPS = 2  # dark strips that are tried as the gap, the widest first
MOST_UNEQUAL = 3  # largest ratio of the widths of the two views

SAME_LEVEL = 5.0  # standard errors up to which a column is as dark as the darkest
STRAY_LIGHT = 0.03  # of the light in the views: a gap may be brighter than the darkest column by it
STRUCTURE = 4.0  # standard errors from which on a covariance of neighbouring pixels is structure
NARROWEST = 2  # px: least width of a strip
EDGE_CONTRAST = 0.1  # of the light in the views: least step at the edge of a view
EDGE_WIDTH = 5  # px beside a strip in which the step is measured
MOST_STRIPS = 4  # inside the frame; more belong to the scene, such as gaps between columns of atoms


@dataclass(frozen=True)
class CandidateLayout:
    """Two rectangles that may be the views, and a possible reversal of the second.

    Attributes
    ----------
    axis : {"side by side", "above"}
    views : two of (y0, y1, x0, x1)
        Rectangles, pixels. Their sizes may differ.
    mirrored : {"x", "y"} or None
        Axis along which the second view is reversed.
    gap : bool
        Whether a dark gap separates the views.
    drawn : bool
        Whether the user gave the rectangles.
    """

    axis: Axis
    views: tuple[Region, Region]
    mirrored: Mirror
    gap: bool = False
    drawn: bool = False

    def same_size(self) -> tuple[Region, Region]:
        """Return both rectangles cropped to their common size, from corners that correspond."""
        (a0, a1, b0, b1), (c0, c1, d0, d1) = self.views
        height, width = min(a1 - a0, c1 - c0), min(b1 - b0, d1 - d0)
        first = (a0, a0 + height, b0, b0 + width)
        y0 = c1 - height if self.mirrored == "y" else c0
        x0 = d1 - width if self.mirrored == "x" else d0
        return first, (y0, y0 + height, x0, x0 + width)

    def cut(self, frames: Frames) -> tuple[Frames, Frames]:
        """Cut both views, (T, Y', X') each, out of (T, Y, X) frames."""
        first, second = self.same_size()
        return cut_out(frames, first), cut_out(frames, second, self.mirrored)


def candidate_layouts(
    mean: NDArray[Any], layout: Any, mirrored: Literal["auto", "x", "y"] | bool | None
) -> list[CandidateLayout]:
    """Return the layouts that are compatible with a frame and with the options of `split_frame`.

    Parameters
    ----------
    mean : (Y, X) array
        Mean of the frames.
    layout, mirrored
        As in `split_frame`, but not a `SplitLayout`.

    Returns
    -------
    list of CandidateLayout
        Empty if the frame is too small for two views.

    Raises
    ------
    ValueError
        If `layout` or `mirrored` is invalid.
    """
    if not (isinstance(mirrored, bool) or mirrored in (None, "auto", "x", "y")):
        raise ValueError(f'mirrored must be "auto", "x", "y", True or False, not {mirrored!r}.')
    if isinstance(layout, str):
        if layout != "auto" and layout not in AXES:
            raise ValueError(
                f'layout must be "auto", "side by side", "above" or two rectangles, not {layout!r}.'
            )
        axes = [axis for axis in AXES if layout in ("auto", axis)]
        places = [(axis, views, gap) for axis in axes for views, gap in _views_along(mean, axis)]
    else:
        views = _rectangles(layout, mean.shape)
        places = [(_axis_of(views), views, False)]
    candidates = []
    for axis, views, gap in places:
        along: Mirror = "x" if axis == "side by side" else "y"
        reversals: tuple[Mirror, ...] = (None, "x", "y")
        if mirrored in ("x", "y"):
            reversals = (mirrored,)
        elif mirrored != "auto":
            reversals = (along,) if mirrored else (None,)
        drawn = not isinstance(layout, str)
        candidates += [CandidateLayout(axis, views, each, gap, drawn) for each in reversals]
    return candidates


def _rectangles(layout: Any, shape: tuple[int, ...]) -> tuple[Region, Region]:
    """Check two rectangles that the user gave."""
    try:
        first, second = (tuple(map(int, region)) for region in layout)
        sizes = [(y1 - y0, x1 - x0) for y0, y1, x0, x1 in (first, second)]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"two rectangles must be ((y0, y1, x0, x1), (y0, y1, x0, x1)), not {layout!r}."
        ) from None
    for (y0, y1, x0, x1), size in zip((first, second), sizes, strict=True):
        if min(y0, x0) < 0 or y1 > shape[0] or x1 > shape[1]:
            raise ValueError(
                f"the rectangle {(y0, y1, x0, x1)} exceeds the frame of {shape[0]} x {shape[1]} "
                "pixels."
            )
        if min(size) < SMALLEST:
            raise ValueError(
                f"the rectangle {(y0, y1, x0, x1)} is too small: at least {SMALLEST} x {SMALLEST} "
                "pixels are needed."
            )
    return first, second  # type: ignore[return-value]


def _axis_of(views: tuple[Region, Region]) -> Axis:
    """Return the axis along which the centres of two rectangles are further apart."""
    (y0, y1, x0, x1), (v0, v1, u0, u1) = views
    beside = abs((u0 + u1) - (x0 + x1)) >= abs((v0 + v1) - (y0 + y1))
    return "side by side" if beside else "above"


def _views_along(mean: NDArray[Any], axis: Axis) -> list[tuple[tuple[Region, Region], bool]]:
    """Return possible pairs of views along an axis, and whether a gap separates them."""
    if axis == "above":
        return [
            (tuple(_transposed(view) for view in views), gap)  # type: ignore[misc]
            for views, gap in _views_along(mean.T, "side by side")
        ]
    start, stop = lit_columns(mean)
    inside = [strip for strip in dark_strips(mean) if start < strip[0] and strip[1] < stop]
    widest = sorted(inside, key=lambda strip: strip[0] - strip[1])[:MOST_GAPS]
    parts = [((start, a), (b, stop), True) for a, b in widest]
    # Without a visible gap, the views are two equal halves.
    middle = (start + stop) // 2
    parts.append(((start, middle), (middle + (stop - start) % 2, stop), False))
    places = []
    for left, right, gap in parts:
        widths = [b - a for a, b in (left, right)]
        if min(widths) < SMALLEST or max(widths) > MOST_UNEQUAL * min(widths):
            continue
        # The margins above and below may differ between the views.
        views = [(*lit_columns(mean[:, a:b].T), a, b) for a, b in (left, right)]
        if min(view[1] - view[0] for view in views) >= SMALLEST:
            places.append(((views[0], views[1]), gap))
    return places


def _transposed(region: Region) -> Region:
    y0, y1, x0, x1 = region
    return x0, x1, y0, y1


def dark_strips(frame: NDArray[Any]) -> list[tuple[int, int]]:
    """Find strips of columns without light and structure, such as gaps and margins.

    Parameters
    ----------
    frame : (Y, X) array
        One frame, or better the mean of many.

    Returns
    -------
    list of (int, int)
        First column and the column after the last of each strip, from left to right. Strips that
        touch the border of the frame are margins.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 90)).astype(float)
    >>> frame[:, 40:50] = 0
    >>> dark_strips(frame)
    [(40, 50)]
    """
    frame = np.asarray(frame, float)
    height, width = frame.shape
    level = frame.mean(0)
    difference = frame - level
    # Neighbouring pixels of a column have structure in common, but not their noise.
    covariance = (difference[1:] * difference[:-1]).mean(0)
    noise = np.maximum((np.diff(frame, axis=0) ** 2).mean(0) / 2, np.finfo(float).tiny)
    smooth = np.convolve(np.pad(level, 1, mode="edge"), np.ones(3) / 3, "valid")
    darkest = smooth.min()
    light = np.median(level) - darkest
    error = np.sqrt(noise[smooth.argmin()] / height)
    if light < 2 * SAME_LEVEL * error:
        return []
    dim = level - darkest < max(SAME_LEVEL * error, STRAY_LIGHT * light)
    flat = covariance < STRUCTURE * noise / np.sqrt(height) + (STRAY_LIGHT * light) ** 2
    dark = np.concatenate([[False], dim & flat, [False]])
    changes = np.flatnonzero(np.diff(dark.astype(int)))
    strips = [(int(a), int(b)) for a, b in zip(changes[::2], changes[1::2], strict=True)]
    strips = [
        (a, b)
        for a, b in strips
        if b - a >= NARROWEST
        and (a == 0 or _is_edge(frame[:, a:b], frame[:, max(0, a - EDGE_WIDTH) : a], light))
        and (b == width or _is_edge(frame[:, a:b], frame[:, b : b + EDGE_WIDTH], light))
    ]
    inside = [(a, b) for a, b in strips if a > 0 and b < width]
    return [strip for strip in strips if len(inside) <= MOST_STRIPS or strip not in inside]


def _is_edge(dark: NDArray[Any], beside: NDArray[Any], light: float) -> bool:
    """Return whether most rows are brighter beside a strip: the edge of a view, not of a cell."""
    brighter = beside.mean(1) - dark.mean()
    # Percentile that is the lower confidence limit of the median. In the dark it is negative.
    lower_limit = 50 - 50 * SAME_LEVEL / np.sqrt(len(brighter))
    certain = np.percentile(brighter, max(lower_limit, 5)) > 0
    return bool(certain and np.median(brighter) > EDGE_CONTRAST * light)


def lit_columns(frame: NDArray[Any]) -> tuple[int, int]:
    """Return the range of columns between the dark margins of a frame.

    Parameters
    ----------
    frame : (Y, X) array

    Returns
    -------
    (int, int)
        First column, and the column after the last.
    """
    width = frame.shape[1]
    start, stop = 0, width
    for first, last in dark_strips(frame):
        if first == 0:
            start = last
        elif last == width:
            stop = first
    return start, stop
