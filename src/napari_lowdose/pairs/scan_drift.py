"""Drift of the scene while a frame is scanned: the shift changes from row to row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.measured_map import Tile, tile_shifts
from napari_lowdose.pairs.view_map import ViewMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shift = tuple[float, float]

LEAST_RANGE = 0.5  # px: a smaller drift does little harm
SIGNIFICANT = 5.0  # standard errors
FEWEST = 3  # rows of tiles, and tiles in each of them
ALONG_ROWS = 0.5  # of the change from row to row: largest change along the rows


@dataclass(frozen=True)
class ScanDrift:
    """Shift of a second exposure against a first one, in bands of rows.

    Attributes
    ----------
    rows : (N,) array
        Centre of each band, pixels.
    shifts, errors : (N, 2) array
        Shift (dy, dx) of each band and its standard error, pixels.
    """

    rows: NDArray[np.float64]
    shifts: NDArray[np.float64]
    errors: NDArray[np.float64]

    @property
    def top(self) -> Shift:
        """Shift (dy, dx) of the uppermost band, pixels."""
        return float(self.shifts[0, 0]), float(self.shifts[0, 1])

    @property
    def bottom(self) -> Shift:
        """Shift (dy, dx) of the lowermost band, pixels."""
        return float(self.shifts[-1, 0]), float(self.shifts[-1, 1])

    @property
    def range(self) -> float:
        """Largest difference between the shifts of two bands, pixels."""
        return max(math.dist(one, other) for one in self.shifts for other in self.shifts)


def scan_drift(
    first: NDArray[Any], second: NDArray[Any], at: tuple[int, int] | None = None
) -> ScanDrift | None:
    """Find out whether the shift between two scans changes from row to row.

    A scan takes seconds, and a drifting scene shears and stretches it.  The parts of a row are
    scanned at almost the same time, so that their shift is the same; a rotation changes it along
    the rows as well.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
    at : (int, int), optional
        Shift (dy, dx) to a few pixels; found by correlation by default.

    Returns
    -------
    ScanDrift or None
        None if the shift is the same in all rows, or changes along the rows as well.
    """
    from napari_lowdose.pairs.integer_shift import integer_shift

    dy, dx = integer_shift(first, second) if at is None else at
    tiles = tile_shifts(first, second, ViewMap.shift((float(dy), float(dx))), search=True)
    rows = _groups(tiles, "row")
    if len(rows) < FEWEST:
        return None
    drift = ScanDrift(*(np.array(column) for column in zip(*rows, strict=True)))
    # The columns, as far as the rows do not explain them
    by_row = {tile.row: shift for tile, shift in zip(tiles, _of_its_row(tiles), strict=True)}
    rest = [tile._replace(shift=tile.shift - by_row[tile.row]) for tile in tiles]
    columns = np.array([shift for _, shift, _ in _groups(rest, "column")] or [[0.0, 0.0]])
    along = float(np.hypot(*np.ptp(columns, axis=0)))
    known = drift.range > SIGNIFICANT * float(np.hypot(*np.median(drift.errors, axis=0)))
    return drift if known and drift.range > max(LEAST_RANGE, along / ALONG_ROWS) else None


def _groups(tiles: list[Tile], which: str) -> list[tuple[float, Any, Any]]:
    """Return place, median shift and its error for each row or column with enough tiles."""
    found = []
    for number in sorted({getattr(tile, which) for tile in tiles}):
        group = [tile for tile in tiles if getattr(tile, which) == number]
        if len(group) < FEWEST:
            continue
        shifts = np.array([tile.shift for tile in group])
        errors = np.array([tile.error for tile in group])
        scatter = 1.4826 * np.median(np.abs(shifts - np.median(shifts, axis=0)), axis=0)
        error = np.maximum(scatter, np.median(errors, axis=0)) / math.sqrt(len(group))
        place = float(np.mean([tile.position[int(which == "column")] for tile in group]))
        found.append((place, np.median(shifts, axis=0), error))
    return found


def _of_its_row(tiles: list[Tile]) -> list[Any]:
    """Return the median shift of the row of each tile."""
    return [
        np.median([other.shift for other in tiles if other.row == tile.row], axis=0)
        for tile in tiles
    ]
