"""Detection of info bars, dead borders and padding, to find the image area of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A border of constant rows must be very improbable in a scene as sparse as the rows beside it
CHANCE_LIMIT = 1e-9
BORDER_NEIGHBOURS = 32  # rows beside a border
# If more than this share of the adjacent pixels is as dark as the border, the scene fades to black
DARK_SHARE = 0.5
ADJACENT_ROWS = 4
# An info bar has flat rows without letters (minimum share of equal neighbours in a row, minimum
# share of such rows) and rows of letters (minimum share of background in a row).
FLAT_SHARE = 0.9
FLAT_ROWS_SHARE = 0.35
BACKGROUND_SHARE = 0.2
NOISY_SHARE = 0.6  # maximum share of equal neighbours in a row of the image, which has noise
MIN_BAR_HEIGHT = 8  # rows
MAX_BAR_SHARE = 0.4  # of the height of the frame
MIN_SIZE = 8  # rows and columns of the image area


def image_area(frame: NDArray[Any]) -> tuple[slice, slice]:
    """Find the rows and columns of a frame that contain image.

    Excluded are borders of constant rows or columns (dead pixels, padding), and the info bar of a
    scanning electron microscope at the top or bottom, which is flat except for text and a scale
    bar.

    Parameters
    ----------
    frame : (Y, X) array
        Any real dtype.

    Returns
    -------
    rows, columns : slice
        The full frame if there is no border and no bar.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).poisson(20, (64, 64))
    >>> frame[-16:] = 0
    >>> frame[-10:-4, 5:30:3] = 255
    >>> image_area(frame)
    (slice(0, 48, None), slice(0, 64, None))
    """
    full = slice(0, frame.shape[0]), slice(0, frame.shape[1])
    if min(frame.shape) < MIN_SIZE:
        return full
    rows, columns = full
    # A border may enclose an info bar, and the image beside the bar may have a border again
    for _ in range(2):
        before = rows, columns
        rows = _trim(rows, *_bars(frame[rows, columns]))
        rows = _trim(rows, *_borders(frame[rows, columns]))
        columns = _trim(columns, *_borders(frame[rows, columns].T))
        if (rows, columns) == before:
            break
    if min(rows.stop - rows.start, columns.stop - columns.start) < MIN_SIZE:
        return full
    return rows, columns


def _trim(lines: slice, first: int, last: int) -> slice:
    return slice(lines.start + first, lines.stop - last)


def _borders(frame: NDArray[Any]) -> tuple[int, int]:
    """Return the heights of the borders at the top and at the bottom."""
    constant = constant_rows(frame)
    if constant.all():
        return 0, 0
    return (
        _border(frame, int(constant.argmin())),
        _border(frame[::-1], int(constant[::-1].argmin())),
    )


def constant_rows(frame: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of the rows of which all pixels are equal.

    Parameters
    ----------
    frame : (Y, X) array

    Returns
    -------
    (Y,) bool array
    """
    # Compare three pixels of each row first: most rows differ there
    constant: NDArray[np.bool_] = frame[:, 0] == frame[:, -1]
    constant &= frame[:, 0] == frame[:, frame.shape[1] // 2]
    candidates = np.flatnonzero(constant)
    constant[candidates] = (frame[candidates] == frame[candidates, :1]).all(axis=1)
    return constant


def _border(frame: NDArray[Any], height: int) -> int:
    """Return `height`, a number of constant rows, or 0 if they are a dark part of the scene."""
    if not height:
        return 0
    is_dark = frame[height : height + BORDER_NEIGHBOURS] == frame[height - 1, 0]
    by_chance = is_dark.mean() ** (height * frame.shape[1])
    return height if by_chance < CHANCE_LIMIT and is_dark[:ADJACENT_ROWS].mean() < DARK_SHARE else 0


def _bars(frame: NDArray[Any]) -> tuple[int, int]:
    """Return the heights of the info bars at the top and at the bottom."""
    equal = _share(frame[:, 1:] == frame[:, :-1])
    return _bar(frame, equal), _bar(frame[::-1], equal[::-1])


def _share(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of True in each row; several times as fast as the mean of bools."""
    counts = np.bitwise_count(np.packbits(mask, axis=1)).sum(axis=1, dtype=np.intp)
    return np.asarray(counts / mask.shape[1])


def _bar(frame: NDArray[Any], equal: NDArray[np.float64]) -> int:
    """Return the height of an info bar at the start of a frame: flat rows and rows of letters."""
    max_height = int(MAX_BAR_SHARE * len(frame))
    flat = equal > FLAT_SHARE
    if np.count_nonzero(flat[:max_height]) < FLAT_ROWS_SHARE * MIN_BAR_HEIGHT:
        return 0
    values, counts = np.unique(frame[:max_height][flat[:max_height]], return_counts=True)
    background = _share(frame == values[counts.argmax()])
    # Rows of letters have more background than the image, which may have such pixels too
    bar_limit = max(BACKGROUND_SHARE, 2 * np.median(background[max_height:]))
    bar = flat | (background > bar_limit)
    height = int(bar.argmin())
    beside = slice(height, height + MIN_BAR_HEIGHT)
    is_bar = (
        MIN_BAR_HEIGHT <= height <= max_height
        and flat[:height].mean() > FLAT_ROWS_SHARE
        and np.median(equal[beside]) < NOISY_SHARE
        and background[beside].mean() < DARK_SHARE * bar_limit
    )
    return height if is_bar else 0
