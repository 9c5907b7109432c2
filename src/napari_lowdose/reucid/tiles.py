"""Tiles of an image, processed in parallel."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Corner = tuple[int, int]
    T = TypeVar("T")


def tile_step(length: int, tile: int) -> int:
    """Return the distance between equal tiles that are at most `tile` long."""
    return math.ceil(length / math.ceil(length / tile))


def tile_corners(shape: Sequence[int], step: Sequence[int]) -> list[Corner]:
    """Return the first row and column of each tile."""
    return [(y, x) for y in range(0, shape[0], step[0]) for x in range(0, shape[1], step[1])]


def over_tiles(
    of_tile: Callable[[Corner], T], corners: Sequence[Corner], per_thread: int = 1
) -> Iterator[tuple[float, list[tuple[Corner, T]]]]:
    """Process tiles on all cores.

    Parameters
    ----------
    of_tile : callable
        Function of the corner of a tile.
    corners : sequence of (int, int)
    per_thread : int
        Tiles of a batch, for each core.  Cancelling waits for a batch only.

    Yields
    ------
    fraction : float
        Fraction of the tiles that are done.
    batch : list of (corner, result)
        In order, so that sums over tiles are always the same.
    """
    n_threads = os.cpu_count() or 1
    size = per_thread * n_threads
    with ThreadPoolExecutor(n_threads) as pool:
        for first in range(0, len(corners), size):
            batch = corners[first : first + size]
            results = list(zip(batch, pool.map(of_tile, batch), strict=True))
            yield min(1.0, (first + size) / len(corners)), results
