"""Affine map between two views of one scene: shift, rotation, magnification and shear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = tuple[float, float, float]
Matrix = tuple[Row, Row]

SPLINE = 3  # order; a lower one would blur


@dataclass(frozen=True)
class ViewMap:
    """Affine map from the pixels of a first view to those of a second.

    Attributes
    ----------
    matrix : ((a, b, ty), (c, d, tx))
        The scene at (y, x) in the first view is at (a y + b x + ty, c y + d x + tx) in the second,
        pixels.

    Examples
    --------
    >>> view_map = ViewMap(((1.0, 0.01, 2.0), (-0.01, 1.0, -3.0)))
    >>> view_map.points([[0, 0], [100, 100]]).tolist()
    [[2.0, -3.0], [103.0, 96.0]]
    >>> view_map.inverse.points([[2, -3]]).round(6).tolist()
    [[0.0, 0.0]]
    """

    matrix: Matrix

    @classmethod
    def of(cls, linear: Any, offset: Any) -> ViewMap:
        """Return the map ``linear @ (y, x) + offset``."""
        rows = np.column_stack([linear, offset]).tolist()
        return cls((tuple(rows[0]), tuple(rows[1])))

    @classmethod
    def shift(cls, shift: tuple[float, float]) -> ViewMap:
        """Return the map of a shift (dy, dx), pixels."""
        return cls.of(np.eye(2), shift)

    @property
    def linear(self) -> NDArray[np.float64]:
        """The 2 x 2 part of the matrix."""
        return np.array(self.matrix)[:, :2]

    @property
    def offset(self) -> NDArray[np.float64]:
        """The part of the map that is added, (ty, tx)."""
        return np.array(self.matrix)[:, 2]

    @property
    def inverse(self) -> ViewMap:
        """The map from the second view to the first."""
        back = np.linalg.inv(self.linear)
        return self.of(back, -back @ self.offset)

    def points(self, points: Any) -> NDArray[np.float64]:
        """Return where points of the first view are in the second.

        Parameters
        ----------
        points : (..., 2) array
            (y, x), pixels; the centre of the first pixel is (0, 0).

        Returns
        -------
        (..., 2) float64 array
        """
        return np.asarray(np.asarray(points, float) @ self.linear.T + self.offset)

    def displacement(self, points: Any) -> NDArray[np.float64]:
        """Return the displacement (dy, dx) of points of the first view, (..., 2), pixels."""
        return np.asarray(self.points(points) - np.asarray(points, float))

    def counted_from(self, corner: tuple[float, float]) -> ViewMap:
        """Return the map for parts of both views that begin at the same pixel (y, x)."""
        return self.of(self.linear, self.displacement(corner))

    def resample(self, images: NDArray[Any], order: int = SPLINE) -> NDArray[np.float32]:
        """Resample images of the second view onto the pixels of the first, with a spline.

        Interpolation smooths noise, and correlates it between neighbours.  Use it on denoised
        images, and on targets of a training, never on what is denoised.

        Parameters
        ----------
        images : (..., Y, X) array
        order : int
            Order of the spline.

        Returns
        -------
        (..., Y, X) float32 array
            Beyond the border of the second view, it is mirrored; see `inside`.
        """
        from scipy.ndimage import affine_transform

        found = np.empty(images.shape, np.float32)
        for at in np.ndindex(images.shape[:-2]):
            affine_transform(
                np.asarray(images[at], np.float32),
                self.linear,
                self.offset,
                output=found[at],
                order=order,
                mode="mirror",
            )
        return found

    def inside(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the pixels of the first view, (Y, X), whose place lies within the second."""
        grid = np.moveaxis(np.indices(shape[-2:]), 0, -1)
        places = self.points(grid)
        return np.asarray(((places >= 0) & (places <= np.array(shape[-2:]) - 1)).all(axis=-1))

    def mean(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
        """Return the mean of both views on the pixels of the first; there alone at the border.

        Parameters
        ----------
        first, second : (Y, X) array
            Denoised views of the same brightness.
        """
        mean = (first.astype(np.float32) + self.resample(second)) / np.float32(2)
        return np.where(self.inside(first.shape), mean, first).astype(np.float32)


def checked_matrix(matrix: Any) -> Matrix:
    """Return a matrix as tuples.

    Raises
    ------
    ValueError
        If it is not 2 x 3, or not close to a shift: within 10 degrees and 20 %.
    """
    try:
        rows = np.array(matrix, float)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.shape != (2, 3) or not np.isfinite(rows).all():
        raise ValueError(
            f"affine must be 2 x 3 numbers, such as layout.affine, not {matrix!r:.80}."
        )
    if np.abs(rows[:, :2] - np.eye(2)).max() > 0.2:
        raise ValueError("affine must be close to a shift: within 10 degrees and 20 %.")
    return ViewMap.of(rows[:, :2], rows[:, 2]).matrix
