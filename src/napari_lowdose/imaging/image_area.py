"""The part of a frame that holds image: no info bar, no dead border, no padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BY_CHANCE = 1e-9  # probability that a sparse scene leaves all lines of a border empty
BESIDE = 32  # rows beside a border
NEXT = 4  # rows next to it
DARK_SCENE = 0.5  # of their pixels are as dark as the border: no border, but a scene that fades
FLAT = 0.9  # of the neighbours in a row of an info bar without letters are equal at least
NO_LETTERS = 0.35  # of its rows have none, at least
BETWEEN_LETTERS = 0.2  # of a row of letters is bare, at least
OF_IMAGE = 0.6  # of the neighbours in a row of the image are equal at most: there is noise
SHORTEST_BAR = 8  # rows
LARGEST_BAR = 0.4  # of the frame
SMALLEST = 8  # rows and columns that are left


def image_area(frame: NDArray[Any]) -> tuple[slice, slice]:
    """Find the rows and columns of a frame that hold image.

    Parameters
    ----------
    frame : (Y, X) array
        Any real dtype.

    Returns
    -------
    rows, columns : slice
        Without a border of constant lines (dead pixels, padding) and without the info bar of a
        scanning electron microscope below or above, which is flat but for text and scale bar.
        The whole frame where there is neither.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 64))
    >>> frame[-16:] = 0
    >>> frame[-10:-4, 5:30:3] = 255
    >>> image_area(frame)
    (slice(0, 48, None), slice(0, 64, None))
    """
    whole = slice(0, frame.shape[0]), slice(0, frame.shape[1])
    if min(frame.shape) < SMALLEST:
        return whole
    rows, columns = whole
    # Within a border there may be an info bar, and beside it a border again.
    for _ in range(2):
        rows = _without(rows, *_bars(frame[rows, columns]))
        rows = _without(rows, *_borders(frame[rows, columns]))
        columns = _without(columns, *_borders(frame[rows, columns].T))
    if min(rows.stop - rows.start, columns.stop - columns.start) < SMALLEST:
        return whole
    return rows, columns


def _without(lines: slice, first: int, last: int) -> slice:
    return slice(lines.start + first, lines.stop - last)


def _borders(frame: NDArray[Any]) -> tuple[int, int]:
    """Return how many of the first and of the last rows are a border."""
    constant = (frame[:, 0] == frame[:, -1]) & (frame[:, 0] == frame[:, frame.shape[1] // 2])
    at = np.flatnonzero(constant)
    constant[at] = (frame[at] == frame[at, :1]).all(axis=1)
    if constant.all():
        return 0, 0
    return (
        _border(frame, int(constant.argmin())),
        _border(frame[::-1], int(constant[::-1].argmin())),
    )


def _border(frame: NDArray[Any], height: int) -> int:
    """Return `height`, of constant rows, or 0 where they are a part of the scene that is dark."""
    if not height:
        return 0
    as_dark = frame[height : height + BESIDE] == frame[height - 1, 0]
    by_chance = as_dark.mean() ** (height * frame.shape[1])
    return height if by_chance < BY_CHANCE and as_dark[:NEXT].mean() < DARK_SCENE else 0


def _bars(frame: NDArray[Any]) -> tuple[int, int]:
    """Return the height of the info bars at the top and at the bottom."""
    equal = (frame[:, 1:] == frame[:, :-1]).mean(axis=1)
    return _bar(frame, equal), _bar(frame[::-1], equal[::-1])


def _bar(frame: NDArray[Any], equal: NDArray[np.float64]) -> int:
    """Return the height of the bar that a frame begins with: flat rows, and letters between."""
    most = int(LARGEST_BAR * len(frame))
    flat = equal > FLAT
    if np.count_nonzero(flat[:most]) < NO_LETTERS * SHORTEST_BAR:
        return 0
    values, counts = np.unique(frame[:most][flat[:most]], return_counts=True)
    bare = (frame == values[counts.argmax()]).mean(axis=1)
    in_bar = max(BETWEEN_LETTERS, 2 * np.median(bare[most:]))
    bar = flat | (bare > in_bar)
    height = int(bar.argmin())
    beside = slice(height, height + SHORTEST_BAR)
    is_bar = (
        SHORTEST_BAR <= height <= most
        and flat[:height].mean() > NO_LETTERS
        and np.median(equal[beside]) < OF_IMAGE
        and bare[beside].mean() < DARK_SCENE * in_bar
    )
    return height if is_bar else 0
