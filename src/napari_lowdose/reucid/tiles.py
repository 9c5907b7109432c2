"""Tiles of an image, processed in parallel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from napari_lowdose.threads import N_THREADS, in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Corner = tuple[int, int]
    S = TypeVar("S")
    T = TypeVar("T")


def tile_step(length: int, tile: int) -> int:
    """Return the distance between equal tiles that are at most `tile` long."""
    return math.ceil(length / math.ceil(length / tile))


def tile_corners(shape: Sequence[int], step: Sequence[int]) -> list[Corner]:
    """Return the first row and column of each tile."""
    return [(y, x) for y in range(0, shape[0], step[0]) for x in range(0, shape[1], step[1])]


def over_tiles(
    of_tile: Callable[[S], T], tiles: Sequence[S], per_thread: int = 1
) -> Iterator[tuple[float, list[tuple[S, T]]]]:
    """Process tiles on all cores.

    Parameters
    ----------
    of_tile : callable
        Function of a tile.
    tiles : sequence
        For example the corners of the tiles.
    per_thread : int
        Tiles of a batch, for each core.  Cancelling waits for a batch only.

    Yields
    ------
    fraction : float
        Fraction of the tiles that are done.
    batch : list of (tile, result)
        In order, so that sums over tiles are always the same.
    """
    size = per_thread * N_THREADS
    for first in range(0, len(tiles), size):
        batch = tiles[first : first + size]
        results = list(zip(batch, in_parallel(of_tile, batch), strict=True))
        yield min(1.0, (first + size) / len(tiles)), results
