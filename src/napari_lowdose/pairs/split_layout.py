"""Layout of two views in a camera frame: where they lie, and how they differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.io.arrays import as_image, sliceable
from napari_lowdose.pairs.split_layout_file import load_layout, save_layout
from napari_lowdose.pairs.view_map import Matrix, ViewMap

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

Region = tuple[int, int, int, int]


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
        Whether it is larger than its error.
    residual : float or None
        Root mean square distance of parts of the view from the affine map, along one axis, pixels.
        None if it is not known.
    """

    rotation: float
    rotation_error: float
    magnification: float
    magnification_error: float
    at_corners: float
    significant: bool
    residual: float | None = None


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
    affine : ((a, b, ty), (c, d, tx)) or None
        For ``Noise2Noise(affine=layout.affine)``: the pixel (y, x) of the first region shows the
        scene at (a y + b x + ty, c y + d x + tx) of the second, mirrored back.  None if `fraction`
        describes the difference to 0.3 pixels.
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
    affine: Matrix | None = None

    @property
    def view_map(self) -> ViewMap:
        """Map from the pixels of the first region to those of the second, mirrored back."""
        return ViewMap.shift(self.fraction) if self.affine is None else ViewMap(self.affine)

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

    def points(self, points: Any, *, to_first: bool = False) -> NDArray[np.float64]:
        """Map positions in the first view to those in the second, as for localised molecules.

        Parameters
        ----------
        points : (..., 2) array
            (y, x) in pixels of the whole frame; the centre of its first pixel is (0, 0).
        to_first : bool
            Map positions in the second view to those in the first instead.

        Returns
        -------
        (..., 2) float64 array
            (y, x) in pixels of the whole frame.

        Examples
        --------
        >>> from napari_lowdose import samples, split_frame
        >>> _, _, layout = split_frame(samples.beamsplitter_frame()[0])
        >>> second = layout.points([[100, 150]])  # 344 px apart, and shifted by 1.3 and -2.6
        >>> second.round().tolist(), layout.points(second, to_first=True).round(6).tolist()
        ([[101.0, 491.0]], [[100.0, 150.0]])
        """
        (y0, _, x0, _), (v0, v1, u0, u1) = self.regions
        corners = np.array([y0, x0]), np.array([v0, u0])
        reverse = np.array([self.mirrored == "y", self.mirrored == "x"])
        last = np.array([v1 - v0, u1 - u0]) - 1.0
        points = np.asarray(points, float)
        if to_first:
            within = points - corners[1]
            within = np.where(reverse, last - within, within)
            return np.asarray(self.view_map.inverse.points(within) + corners[0])
        within = self.view_map.points(points - corners[0])
        return np.asarray(np.where(reverse, last - within, within) + corners[1])

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
