"""Measure the affine map between two views from the shifts of tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.pairs.view_map import ViewMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.float64]

TILES = 6  # along each axis, at most
SMALLEST_TILE = 48  # px: least side of a tile
FEWEST_TILES = 4  # with a known shift
FEWEST_AFFINE = 7  # with fewer tiles, only rotation and magnification are measured
LARGEST_ERROR = 1.0  # px: shifts of tiles with a larger error are ignored
LARGEST_DISTORTION = 0.03  # displacement of a point per distance from the centre
MARGIN = 2  # px that are searched in addition
STRAY = 5.0  # standard errors from the map beyond which a tile is ignored, and
LEAST_STRAY = 0.5  # px
ROUNDS = 3
LEAST_TURN = 0.5  # px: displacement of the corners from which on tiles are measured again
REFINED_FRAMES = 8
LEAST_CORNER = 0.3  # px: if the corners are displaced by less, a shift is enough
LARGEST_RESIDUAL = 0.3  # px: tiles of views that an affine map describes agree with it to this
MOST_IGNORED = 0.25  # of the tiles
CHANCE = 0.001  # that a shift alone is taken for more


@dataclass(frozen=True)
class MeasuredMap:
    """Result of `measure_map`.

    Attributes
    ----------
    view_map : ViewMap
    shift, shift_error : (float, float)
        Displacement (dy, dx) of the centre of the view, and its standard error, pixels.
    rotation, rotation_error : float
        Angle, counter-clockwise as displayed, and its standard error, radians.
    magnification, magnification_error : float
        1 for the same size, and its standard error.
    at_corners : float
        Largest displacement of a corner of the view against its centre, pixels.
    residual : float
        Root mean square distance of the tiles from the map, along one axis, weighted as in the
        fit, pixels.
    noise : float
        The same as expected from the noise alone, pixels.
    n_tiles, n_ignored : int
        Tiles with a known shift, and those of them that contradict the others.
    gain : float
        Brightness of the second view relative to the first.
    correlation, noise_corrected_correlation : float
        Medians of the tiles.
    significant : bool
        Whether the map is more than a shift, beyond the errors.
    """

    view_map: ViewMap
    shift: tuple[float, float]
    shift_error: tuple[float, float]
    rotation: float
    rotation_error: float
    magnification: float
    magnification_error: float
    at_corners: float
    residual: float
    noise: float
    n_tiles: int
    n_ignored: int
    gain: float
    correlation: float
    noise_corrected_correlation: float
    significant: bool

    @property
    def is_needed(self) -> bool:
        """Whether the map describes the two views, and a shift does not."""
        limit = max(LARGEST_RESIDUAL, 2 * self.noise)
        return (
            self.significant
            and self.at_corners > LEAST_CORNER
            and self.residual < limit
            and self.n_ignored <= MOST_IGNORED * self.n_tiles
        )


def measure_map(
    first: NDArray[Any], second: NDArray[Any], start: tuple[float, float] = (0.0, 0.0)
) -> MeasuredMap | None:
    """Measure the affine map from the first view to the second.

    Tiles are registered on raw pixels: each tile of the second view is cut out where the map so
    far expects it.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Views of the same shape, for example of many frames, or of a bead image.
    start : (float, float)
        Shift (dy, dx) of the second view at the centre, to a few pixels.

    Returns
    -------
    MeasuredMap or None
        None if the shift of fewer than four tiles is known.
    """
    shape = first.shape[-2:]
    expected = ViewMap.shift(start)
    found = None
    for turn in range(ROUNDS):
        found = _fitted(tile_shifts(first, second, expected, search=turn == 0), shape)
        if found is None:
            return None
        moved = _at_corners(expected, shape) - _at_corners(found.view_map, shape)
        expected = found.view_map
        if turn and np.abs(moved).max() < 1:  # the same tiles would be cut out
            break
    if found is None or not found.significant or found.at_corners < LEAST_TURN:
        return found
    # A tile that is turned or larger biases its own shift, so what is left is measured once more
    few = slice(None, None, max(1, -(-len(first) // REFINED_FRAMES)))
    aligned = found.view_map.resample(second[few])
    tiles = tile_shifts(first[few], aligned, ViewMap.shift((0.0, 0.0)), search=False)
    refined = _fitted([tile.after(found.view_map) for tile in tiles], shape)
    if refined is None:
        return found
    of_raw = ("gain", "correlation", "noise_corrected_correlation")  # resampling smooths noise
    return replace(refined, **{name: getattr(found, name) for name in of_raw})


class Tile(NamedTuple):
    """A tile with a well-known shift.

    Attributes
    ----------
    row, column : int
        Place among the tiles.
    position, shift, error : (2,) array
        Position of its structure in the first view, and its shift, (y, x) in pixels.
    gain, correlation, noise_corrected_correlation : float
    """

    row: int
    column: int
    position: Table
    shift: Table
    error: Table
    gain: float
    correlation: float
    noise_corrected_correlation: float

    def after(self, view_map: ViewMap) -> Tile:
        """Return the tile with the shift that it has if the second view was resampled."""
        return self._replace(shift=view_map.points(self.position + self.shift) - self.position)


def tile_shifts(
    first: NDArray[Any], second: NDArray[Any], expected: ViewMap, search: bool
) -> list[Tile]:
    """Measure the shifts of tiles; those without a well-known shift are left out.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
    expected : ViewMap
        Each tile of the second view is cut out where this map expects it.
    search : bool
        Search around there, further out the further away from the centre.
    """
    from napari_lowdose.pairs.integer_shift import integer_shift
    from napari_lowdose.pairs.subpixel_shift import subpixel_shift

    sides = np.array(first.shape[-2:])
    number = np.clip(sides // SMALLEST_TILE, 1, TILES)
    found = []
    for tile in np.ndindex(*number):
        low, high = np.array(tile) * sides // number, (np.array(tile) + 1) * sides // number
        at = np.rint(expected.displacement((low + high - 1) / 2)).astype(int)
        if search and (parts := _parts(first, second, low, high, at)):
            distance = float(np.hypot(*((low + high - sides) / 2)))
            reach = int(np.ceil(LARGEST_DISTORTION * distance)) + MARGIN
            at = at + integer_shift(*parts, (reach, reach))
        parts = _parts(first, second, low, high, at)
        if parts is None:
            continue
        here = subpixel_shift(*parts)
        known = 0 < min(here.error) and max(here.error) < LARGEST_ERROR
        if known and max(map(abs, here.shift)) < 4 * LARGEST_ERROR:
            # The shift is that at the structure in the tile, not at the centre of the tile
            position = np.maximum(low, -at) + np.array(here.centre) - 0.5
            found.append(
                Tile(
                    tile[0],
                    tile[1],
                    position,
                    at + np.array(here.shift),
                    np.array(here.error),
                    here.gain,
                    here.peak.correlation,
                    here.peak.noise_corrected_correlation,
                )
            )
    return found


def _parts(
    first: NDArray[Any], second: NDArray[Any], low: Table, high: Table, at: Table
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Cut a tile out of both views, displaced in the second; None if too little of it is there."""
    # Both parts shrink alike where the second view ends
    (y0, x0), (y1, x1) = np.maximum(low, -at), np.minimum(high, np.array(first.shape[-2:]) - at)
    if min(y1 - y0, x1 - x0) < SMALLEST_TILE // 2:
        return None
    dy, dx = at
    return first[:, y0:y1, x0:x1], second[:, y0 + dy : y1 + dy, x0 + dx : x1 + dx]


def _fitted(tiles: list[Tile], shape: tuple[int, ...]) -> MeasuredMap | None:
    """Fit the map by weighted least squares; tiles that contradict the others are ignored."""
    from scipy.stats import chi2

    if len(tiles) < FEWEST_TILES:
        return None
    _, _, positions, shifts, errors, *others = (
        np.array(column) for column in zip(*tiles, strict=True)
    )
    centre = (np.array(shape) - 1) / 2
    good = np.ones(len(positions), bool)
    for _ in range(4):
        if good.sum() < FEWEST_TILES:
            return None
        affine = good.sum() >= FEWEST_AFFINE
        design = _design(positions - centre, affine)  # (N, 2, parameters)
        weighted = design[good] / errors[good][..., None]
        covariance = np.linalg.pinv(np.einsum("nap,naq->pq", weighted, weighted))
        fit = covariance @ np.einsum("nap,na->p", weighted, shifts[good] / errors[good])
        residuals = shifts - design @ fit
        limit = np.maximum(LEAST_STRAY, STRAY * errors)
        # A median is not pulled away by the strays themselves, a fit may be
        still = (np.abs(residuals) <= np.maximum(limit, 3 * np.median(np.abs(residuals)))).all(1)
        if (still == good).all():
            break
        good = still
    freedom = max(1, 2 * int(good.sum()) - len(fit))
    chi_square = float(((residuals[good] / errors[good]) ** 2).sum()) / freedom
    noise = float(1 / np.sqrt((1 / errors[good] ** 2).mean()))
    # Above 1, the tiles differ by more than their errors: the errors of the fit are enlarged,
    # never reduced
    covariance *= max(1.0, chi_square)
    linear = np.array([[fit[2], fit[3]], [fit[4], fit[5]]] if affine else
                      [[fit[2], -fit[3]], [fit[3], fit[2]]])  # fmt: skip
    view_map = ViewMap.of(np.eye(2) + linear, fit[:2] - linear @ centre)
    magnification, rotation = np.trace(linear) / 2, (linear[1, 0] - linear[0, 1]) / 2
    share = (covariance[2, 2] + covariance[5, 5] + 2 * covariance[2, 5]) / 4 if affine else 0.0
    turn = (covariance[3, 3] + covariance[4, 4] - 2 * covariance[3, 4]) / 4 if affine else 0.0
    errors_of = np.sqrt([share, turn] if affine else np.diag(covariance)[2:4])
    certainty = fit[2:] @ np.linalg.pinv(covariance[2:, 2:]) @ fit[2:]
    return MeasuredMap(
        view_map=view_map,
        shift=(float(fit[0]), float(fit[1])),
        shift_error=(float(covariance[0, 0] ** 0.5), float(covariance[1, 1] ** 0.5)),
        rotation=float(rotation),
        rotation_error=float(errors_of[1]),
        magnification=float(1 + magnification),
        magnification_error=float(errors_of[0]),
        at_corners=float(np.hypot(*(_at_corners(view_map, shape) - fit[:2]).T).max()),
        residual=float(np.sqrt(chi_square) * noise),
        noise=noise,
        n_tiles=len(good),
        n_ignored=int((~good).sum()),
        gain=float(np.average(others[0][good], weights=1 / (errors[good] ** 2).sum(axis=1))),
        correlation=float(np.median(others[1][good])),
        noise_corrected_correlation=float(np.median(others[2][good])),
        significant=bool(certainty > chi2.isf(CHANCE, len(fit) - 2)),
    )


def _design(positions: Table, affine: bool) -> Table:
    """Return the linear model of the shift of each tile: (N, 2, 6), or (N, 2, 4) if not affine.

    Affine: dy = ty + a y + b x, dx = tx + c y + d x.  Otherwise a = d is the magnification and
    c = -b the rotation.
    """
    y, x = positions.T
    one, zero = np.ones_like(y), np.zeros_like(y)
    if affine:
        rows = [[one, zero, y, x, zero, zero], [zero, one, zero, zero, y, x]]
    else:
        rows = [[one, zero, y, -x], [zero, one, x, y]]
    return np.transpose(np.array(rows), (2, 0, 1))


def _at_corners(view_map: ViewMap, shape: tuple[int, ...]) -> Table:
    """Return the displacement of the four corners, (4, 2), pixels."""
    bottom, right = shape[-2] - 1, shape[-1] - 1
    return view_map.displacement([[0, 0], [0, right], [bottom, 0], [bottom, right]])
