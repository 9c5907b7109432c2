"""Layout of two views in a camera frame: where they lie, and how they differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.io.arrays import as_image, sliceable
from napari_lowdose.pairs.split_layout_file import load_layout, save_layout

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

Region = tuple[int, int, int, int]

TILES = 3  # along each axis, at most
SMALLEST_TILE = 48  # px: least side of a tile
FEWEST_TILES = 4  # with a known shift
LARGEST_ERROR = 1.0  # px: shifts of tiles with a larger error are ignored


@dataclass(frozen=True)
class Distortion:
    """Rotation and magnification of the second view relative to the first.

    Attributes
    ----------
    rotation, rotation_error : float
        Angle, counter-clockwise as displayed, and its standard error, degrees.
    magnification, magnification_error : float
        Magnification, 1 for the same size, and its standard error.
    at_corners : float
        Displacement of the corners of the view by both together, pixels.
    significant : bool
        Whether it is larger than three standard errors.
    """

    rotation: float
    rotation_error: float
    magnification: float
    magnification_error: float
    at_corners: float
    significant: bool


@dataclass(frozen=True)
class SplitLayout:
    """Position of two views of one scene on a sensor, and their differences.

    Attributes
    ----------
    axis : {"side by side", "above"}
        "side by side" if the second view is to the right of the first, "above" if it is below.
    regions : two of (y0, y1, x0, x1)
        The field common to both views, which `split` cuts out, pixels.
    views : two of (y0, y1, x0, x1)
        The whole views without gap and dark margins, pixels.
    mirrored : {"x", "y"} or None
        Axis along which the second view is reversed.
    shift, shift_error : (float, float)
        Shift (dy, dx) of the scene in the second view, mirrored back, relative to the first, and
        its standard error, pixels. It is counted from the corners of `views`.
    integer_shift : (int, int)
        Part of the shift that is removed by cropping, pixels.
    fraction : (float, float)
        Remaining shift between the two regions, at most half a pixel: for
        ``Noise2Noise(shift=layout.fraction)``.
    gain, offset : float
        The second region is about ``gain * first + offset``.
    correlation, noise_corrected_correlation : float
        Pearson correlation of the two regions, with the noise and without it.
    distortion : Distortion or None
        Rotation and magnification between the views; None if they could not be measured.
    shape : (int, int)
        (Y, X) of the whole frame, pixels.
    """

    axis: Literal["side by side", "above"]
    regions: tuple[Region, Region]
    views: tuple[Region, Region]
    mirrored: Literal["x", "y"] | None
    shift: tuple[float, float]
    shift_error: tuple[float, float]
    integer_shift: tuple[int, int]
    fraction: tuple[float, float]
    gain: float
    offset: float
    correlation: float
    noise_corrected_correlation: float
    distortion: Distortion | None
    shape: tuple[int, int]

    @property
    def gap(self) -> int:
        """Width of the gap between the two views, pixels."""
        first, second = self.views
        return second[2] - first[3] if self.axis == "side by side" else second[0] - first[1]

    @property
    def likeness(self) -> float:
        """Former name of `noise_corrected_correlation`, for scripts written for 0.1.0."""
        return self.noise_corrected_correlation

    def split(self, movie: Any) -> tuple[Any, Any]:
        """Cut the two views out of every frame, without interpolation.

        Parameters
        ----------
        movie : (..., Y, X) array
            Frames of the same camera. A lazy array (dask, zarr) stays lazy.

        Returns
        -------
        first, second : (..., Y', X') arrays
            Views of the same shape, the second mirrored back if necessary.

        Raises
        ------
        ValueError
            If the size of the frames differs from that of the measured frame.
        """
        movie = as_image(movie, "the movie")
        if tuple(movie.shape[-2:]) != self.shape:
            raise ValueError(
                f"frames of {movie.shape[-2]} x {movie.shape[-1]} pixels cannot be split with a "
                f"layout measured on {self.shape[0]} x {self.shape[1]} pixels: measure their "
                "layout with split_frame."
            )
        return cut_out(movie, self.regions[0]), cut_out(movie, self.regions[1], self.mirrored)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the layout as JSON, to split later frames of the same camera.

        Parameters
        ----------
        path : path
            Usually with the suffix ``.json``.  An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written.  An existing file is then unchanged.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> from napari_lowdose import samples, split_frame
        >>> path = pathlib.Path(tempfile.mkdtemp(), "splitter.json")
        >>> _, _, layout = split_frame(samples.beamsplitter_frame()[0])
        >>> layout.save(path)
        >>> SplitLayout.load(path) == layout
        True
        """
        save_layout(path, asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SplitLayout:
        """Load a layout from a file written by `save`.

        Parameters
        ----------
        path : path

        Returns
        -------
        SplitLayout

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If the file is not a layout, is damaged, or has a newer format.
        """
        fields = load_layout(path)
        distortion = fields.pop("distortion")
        return cls(**fields, distortion=distortion and Distortion(**distortion))


def cut_out(movie: Any, region: Region, mirrored: Literal["x", "y"] | None = None) -> Any:
    """Cut a region out of every frame, and mirror it back if necessary.

    Parameters
    ----------
    movie : (..., Y, X) array
    region : (y0, y1, x0, x1)
        Rectangle, pixels.
    mirrored : {"x", "y"}, optional
        Axis along which the region is reversed.

    Returns
    -------
    (..., y1 - y0, x1 - x0) array
        A lazy array if the movie is lazy.
    """
    y0, y1, x0, x1 = region
    part = sliceable(movie)[..., y0:y1, x0:x1]
    if mirrored is None:
        return part
    return part[..., ::-1] if mirrored == "x" else part[..., ::-1, :]


def measure_distortion(first: NDArray[Any], second: NDArray[Any]) -> Distortion | None:
    """Measure rotation and magnification from the shifts of tiles.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
        Views that are registered to about a pixel.

    Returns
    -------
    Distortion or None
        None if the shift of fewer than four tiles is known.
    """
    positions, shifts, errors = _tile_shifts(first, second)
    if len(positions) < FEWEST_TILES:
        return None
    # Linear model with rotation r and magnification 1 + m, one equation for dy and dx of each
    # tile: dy = c + m y - r x, dx = d + m x + r y
    y, x = np.transpose(positions)
    one, zero = np.ones_like(y), np.zeros_like(y)
    design = np.concatenate(
        [np.stack([one, zero, y, -x], axis=1), np.stack([zero, one, x, y], axis=1)]
    )
    sigma = np.concatenate([errors[:, 0], errors[:, 1]])
    measured = np.concatenate([shifts[:, 0], shifts[:, 1]])
    weighted = design / sigma[:, None]
    covariance = np.linalg.pinv(weighted.T @ weighted)
    fit = covariance @ weighted.T @ (measured / sigma)
    # A reduced chi-square above 1 means that the tiles differ by more than their errors: the
    # errors of the fit are enlarged, never reduced.
    chi_square = (((measured - design @ fit) / sigma) ** 2).sum() / (len(measured) - 4)
    error = np.sqrt(np.diag(covariance) * max(1.0, chi_square))[2:]
    magnification, rotation = fit[2:]
    corner = np.hypot(*first.shape[-2:]) / 2
    size = float(np.hypot(magnification, rotation))
    return Distortion(
        rotation=float(np.degrees(rotation)),
        rotation_error=float(np.degrees(error[1])),
        magnification=float(1 + magnification),
        magnification_error=float(error[0]),
        at_corners=float(corner * size),
        significant=bool(size > 3 * error.max()),
    )


def _tile_shifts(
    first: NDArray[Any], second: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return positions relative to the centre, shifts and errors of N tiles, (N, 2) each, pixels.

    Tiles without a well-known shift are left out.
    """
    from napari_lowdose.pairs.subpixel_shift import subpixel_shift

    height, width = first.shape[-2:]
    rows, columns = (max(1, min(TILES, side // SMALLEST_TILE)) for side in (height, width))
    found = []
    for top in range(rows):
        for left in range(columns):
            y = slice(top * height // rows, (top + 1) * height // rows)
            x = slice(left * width // columns, (left + 1) * width // columns)
            tile = subpixel_shift(first[:, y, x], second[:, y, x])
            known = 0 < min(tile.error) and max(tile.error) < LARGEST_ERROR
            if known and max(map(abs, tile.shift)) < 4 * LARGEST_ERROR:
                # The shift is that at the structure in the tile, not at the centre of the tile.
                position = np.array([y.start - height / 2, x.start - width / 2]) + tile.centre
                found.append((position, tile.shift, tile.error))
    table = np.array(found, float).reshape(-1, 3, 2)
    return table[:, 0], table[:, 1], table[:, 2]
