"""Rotation and magnification between two views: what a shift alone cannot bring into register."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILES = 3  # a side, at most
SMALLEST = 48  # px, side of a tile
FEWEST = 4  # tiles in which a shift is known
WORST = 1.0  # px: a tile whose shift is not known to this says nothing


@dataclass(frozen=True)
class Distortion:
    """How the second view is turned and enlarged against the first.

    Attributes
    ----------
    rotation, rotation_error : float
        Degrees, counter-clockwise as displayed, and one standard error.
    magnification, magnification_error : float
        1 is the same size.
    at_corners : float
        What both together displace the corners by, pixels.
    significant : bool
        Whether that is more than three standard errors.
    """

    rotation: float
    rotation_error: float
    magnification: float
    magnification_error: float
    at_corners: float
    significant: bool


def distortion(first: NDArray[Any], second: NDArray[Any]) -> Distortion | None:
    """Return rotation and magnification from the shifts of tiles, or None if they tell nothing.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        In register to about a pixel.

    Returns
    -------
    Distortion or None
    """
    places, shifts, errors = _tile_shifts(first, second)
    if len(places) < FEWEST:
        return None
    # dy = c + m y - r x,  dx = d + m x + r y: rows for dy and dx of every tile
    y, x = np.transpose(places)
    one, none = np.ones_like(y), np.zeros_like(y)
    design = np.concatenate(
        [np.stack([one, none, y, -x], axis=1), np.stack([none, one, x, y], axis=1)]
    )
    sigma = np.concatenate([errors[:, 0], errors[:, 1]])
    measured = np.concatenate([shifts[:, 0], shifts[:, 1]])
    weighted = design / sigma[:, None]
    covariance = np.linalg.pinv(weighted.T @ weighted)
    fit = covariance @ weighted.T @ (measured / sigma)
    misfit = (((measured - design @ fit) / sigma) ** 2).sum() / (len(measured) - 4)
    error = np.sqrt(np.diag(covariance) * max(1.0, misfit))[2:]
    enlarged, turned = fit[2:]
    corner = np.hypot(*first.shape[-2:]) / 2
    size = float(np.hypot(enlarged, turned))
    return Distortion(
        rotation=float(np.degrees(turned)),
        rotation_error=float(np.degrees(error[1])),
        magnification=float(1 + enlarged),
        magnification_error=float(error[0]),
        at_corners=float(corner * size),
        significant=bool(size > 3 * error.max()),
    )


def _tile_shifts(
    first: NDArray[Any], second: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return where tiles tell a shift, from the middle, the shifts and errors, (N, 2) each."""
    from napari_lowdose.pairs.shift_fraction import shift_fraction

    height, width = first.shape[-2:]
    rows, columns = (max(1, min(TILES, side // SMALLEST)) for side in (height, width))
    found = []
    for top in range(rows):
        for left in range(columns):
            y = slice(top * height // rows, (top + 1) * height // rows)
            x = slice(left * width // columns, (left + 1) * width // columns)
            tile = shift_fraction(first[:, y, x], second[:, y, x])
            sure = 0 < min(tile.error) and max(tile.error) < WORST
            if sure and max(map(abs, tile.shift)) < 4 * WORST:
                middle = np.array([y.start - height / 2, x.start - width / 2]) + tile.centre
                found.append((middle, tile.shift, tile.error))
    table = np.array(found, float).reshape(-1, 3, 2)
    return table[:, 0], table[:, 1], table[:, 2]
