"""The layout of two views as a person drew it, without a measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_lowdose.pairs.split_layout import SplitLayout

if TYPE_CHECKING:
    from napari_lowdose.pairs.split_layout import Region


def layout_as_drawn(
    views: tuple[Region, Region], mirrored: Literal["x", "y"] | None, shape: tuple[int, int]
) -> SplitLayout:
    """Return the layout of two rectangles, cut to one size at their first corners.

    Parameters
    ----------
    views : two of (y0, y1, x0, x1)
        The first view first.
    mirrored : {"x", "y"} or None
    shape : (int, int)
        (Y, X) of the whole frame.

    Returns
    -------
    SplitLayout
        With no shift and a gain of 1: neither was measured.

    Raises
    ------
    ValueError
        If a rectangle is empty.

    Examples
    --------
    >>> layout_as_drawn(((0, 64, 0, 60), (0, 70, 64, 128)), None, (70, 128)).regions
    ((0, 64, 0, 60), (0, 64, 64, 124))
    """
    height = min(y1 - y0 for y0, y1, _, _ in views)
    width = min(x1 - x0 for _, _, x0, x1 in views)
    if height < 1 or width < 1:
        raise ValueError("one of the drawn rectangles is empty: draw it around a view.")
    first, second = ((y0, y0 + height, x0, x0 + width) for y0, _, x0, _ in views)
    beside = abs(second[2] - first[2]) >= abs(second[0] - first[0])
    return SplitLayout(
        axis="side by side" if beside else "above",
        regions=(first, second),
        views=views,
        mirrored=mirrored,
        shift=(0.0, 0.0),
        shift_error=(float("nan"), float("nan")),
        integer_shift=(0, 0),
        fraction=(0.0, 0.0),
        gain=1.0,
        offset=0.0,
        correlation=float("nan"),
        noise_corrected_correlation=float("nan"),
        distortion=None,
        shape=shape,
    )
