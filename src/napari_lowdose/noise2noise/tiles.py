"""Cut a frame into tiles that overlap, so that each can be worked on by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Tile(NamedTuple):
    """One tile of a frame.

    Attributes
    ----------
    read : (slice, slice)
        The part of the frame that is needed: the tile and what overlaps.
    write : (slice, slice)
        The part of the frame that comes from this tile.
    inner : (slice, slice)
        The same part within `read`.
    """

    read: tuple[slice, slice]
    write: tuple[slice, slice]
    inner: tuple[slice, slice]


def tiles(shape: tuple[int, int], side: int, overlap: int, period: int = 1) -> Iterator[Tile]:
    """Yield tiles that cover a frame exactly once.

    Parameters
    ----------
    shape : (int, int)
        Of the frame, (Y, X).
    side : int
        Of a tile without the overlap, at most; rounded down to a multiple of `period`.
    overlap : int
        How many pixels beyond it are read on every side, at least; fewer at the frame's border.
    period : int
        What all corners must be multiples of, so that a network that halves the image sees
        the same grid in every tile.

    Yields
    ------
    Tile

    Examples
    --------
    >>> [tile.read[1] for tile in tiles((8, 20), side=8, overlap=2)]
    [slice(0, 10, None), slice(6, 18, None), slice(14, 20, None)]
    """
    side = max(side - side % period, period)
    overlap = -(-overlap // period) * period
    for y0 in range(0, shape[0], side):
        for x0 in range(0, shape[1], side):
            rows = _along(y0, side, overlap, shape[0])
            columns = _along(x0, side, overlap, shape[1])
            yield Tile(*zip(rows, columns, strict=True))


def _along(start: int, side: int, overlap: int, length: int) -> tuple[slice, slice, slice]:
    stop = min(start + side, length)
    first, last = max(start - overlap, 0), min(stop + overlap, length)
    return slice(first, last), slice(start, stop), slice(start - first, stop - first)
