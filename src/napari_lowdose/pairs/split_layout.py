"""Where the two views of a split camera frame lie, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_lowdose.io.arrays import as_image, sliceable

if TYPE_CHECKING:
    from napari_lowdose.pairs.distortion import Distortion

Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class SplitLayout:
    """Where two views of one scene lie on a sensor, and how they differ.

    Attributes
    ----------
    axis : {"side by side", "above"}
        Whether the second view lies to the right of the first or below it.
    regions : two of (y0, y1, x0, x1)
        What is cut out: the field that both views show, in whole pixels.
    views : two of (y0, y1, x0, x1)
        The views themselves, up to the gap and the margins, as far as these are darker.
    mirrored : {"x", "y"} or None
        The axis along which the second view is reversed.
    shift, shift_error : (float, float)
        (dy, dx) by which the scene is displaced in the second view (turned back if it is
        mirrored) relative to the first, counted from the corners of `views`, and one standard
        error, pixels.
    integer_shift : (int, int)
        What of the shift is cut away.
    fraction : (float, float)
        What remains between the two regions, at most half a pixel: for
        ``Noise2Noise(shift=layout.fraction)``.
    gain, offset : float
        The second region is about ``gain * first + offset``.
    correlation, noise_corrected_correlation : float
        Pearson's correlation of the two regions, and that of the scenes without the noise.
    distortion : Distortion or None
        Rotation and magnification between the views; None where the light does not tell.
    shape : (int, int)
        (Y, X) of the whole frame.
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
        """Pixels between the two views."""
        first, second = self.views
        return second[2] - first[3] if self.axis == "side by side" else second[0] - first[1]

    @property
    def likeness(self) -> float:
        """Former name of `noise_corrected_correlation`, for scripts written for 0.1.0."""
        return self.noise_corrected_correlation

    def split(self, movie: Any) -> tuple[Any, Any]:
        """Cut the two views out of every frame, without touching a pixel.

        Parameters
        ----------
        movie : (..., Y, X) array
            Frames of the camera; what is lazy stays lazy.

        Returns
        -------
        first, second : (..., Y', X') arrays
            Of the same shape; the second turned back if it is mirrored.

        Raises
        ------
        ValueError
            If the frames are of another size than the one that was measured.
        """
        movie = as_image(movie, "the movie")
        if tuple(movie.shape[-2:]) != self.shape:
            raise ValueError(
                f"frames of {movie.shape[-2]} x {movie.shape[-1]} pixels cannot be split as those "
                f"of {self.shape[0]} x {self.shape[1]} were: measure their layout anew."
            )
        return cut_out(movie, self.regions[0]), cut_out(movie, self.regions[1], self.mirrored)


def cut_out(movie: Any, region: Region, mirrored: Literal["x", "y"] | None = None) -> Any:
    """Return a region of every frame, turned back if it is mirrored.

    Parameters
    ----------
    movie : (..., Y, X) array
    region : (y0, y1, x0, x1)
    mirrored : {"x", "y"}, optional

    Returns
    -------
    (..., y1 - y0, x1 - x0) array
        Lazy if the movie is.
    """
    y0, y1, x0, x1 = region
    part = sliceable(movie)[..., y0:y1, x0:x1]
    if mirrored is None:
        return part
    return part[..., ::-1] if mirrored == "x" else part[..., ::-1, :]
