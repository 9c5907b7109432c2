"""Preparation of a frame for denoising: image area, outliers and intensities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.imaging.centred import centred
from napari_lowdose.imaging.image_area import image_area
from napari_lowdose.imaging.image_checks import check_pixels, warn_of_pixels
from napari_lowdose.imaging.outliers import outliers_of_centred, replace_outliers
from napari_lowdose.reucid.patch_stacks import SMALLEST_IMAGE
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray


TINY, HUGE = 1e-24, 1e24  # mean squares outside are inaccurate in float32


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame prepared for denoising.

    Attributes
    ----------
    frame : (Y, X) array
        The unchanged input.
    area : (slice, slice)
        Rows and columns of the image area.  Pixels outside it, such as an info bar, are not
        denoised.
    outliers : (m, n) bool array
        Outlier mask within the area.
    mended : (m, n) array
        Pixels of the area, with outliers replaced by their neighbours.
    offset, scale : float
        `mended` is ``image * scale + offset``.
    image : (m, n) float32 array
        Pixels of unit power.
    """

    frame: NDArray[Any]
    area: tuple[slice, slice]
    outliers: NDArray[np.bool_]
    mended: NDArray[Any]
    offset: float
    scale: float
    image: NDArray[np.float32]

    @property
    def n_outliers(self) -> int:
        """Number of outlier pixels."""
        return int(np.count_nonzero(self.outliers))

    def restore(
        self,
        canvas: NDArray[np.float32],
        terrain: NDArray[np.int32],
        outliers: Literal["remove", "keep"],
    ) -> NDArray[np.float32]:
        """Return the whole frame, denoised where patches cover it, in the units of the input.

        Parameters
        ----------
        canvas : (m, n) float32 array
            Sum of the patches.
        terrain : (m, n) int32 array
            Number of patches that cover each pixel.
        outliers : "remove" or "keep"
            Give outliers their denoised values, or restore those of the input.
        """
        image = reconstruct(canvas, terrain, self.offset, self.scale, self.mended)
        return self.place(image, outliers)

    def rescale(
        self, image: NDArray[np.float32], outliers: Literal["remove", "keep"]
    ) -> NDArray[np.float32]:
        """Return the whole frame in the units of the input, from a denoised `image`.

        Parameters
        ----------
        image : (m, n) float32 array
            Denoised pixels of unit power; changed in place.
        outliers : "remove" or "keep"
            As in `restore`.
        """
        image *= np.float32(self.scale)
        image += np.float32(self.offset)
        return self.place(image, outliers)

    def place(
        self, image: NDArray[np.float32], outliers: Literal["remove", "keep"]
    ) -> NDArray[np.float32]:
        """Return the whole frame with a denoised image area.

        Parameters
        ----------
        image : (m, n) float32 array
            Denoised area, in the units of the input; changed in place.
        outliers : "remove" or "keep"
            As in `restore`.
        """
        if outliers == "keep":
            image[self.outliers] = self.frame[self.area][self.outliers]
        if image.shape == self.frame.shape:
            return image
        whole = self.frame.astype(np.float32)
        whole[self.area] = image  # an info bar keeps its values
        return whole

    def warn(self, outliers: Literal["remove", "keep"]) -> None:
        """Warn of outliers, of pixels outside the image area and of unsuitable pixel values."""
        warn_of_pixels(self.mended)
        rows, columns = self.area
        if self.image.shape != self.frame.shape:
            warn(
                f"only rows {rows.start} to {rows.stop - 1} and columns {columns.start} to "
                f"{columns.stop - 1} hold image: the rest, an info bar or a dead border, is left "
                "as it is.",
                stacklevel=2,
            )
        n = self.n_outliers
        if n:
            y, x = np.argwhere(self.outliers)[0]
            fate = (
                "replaced in the result (outliers='keep' keeps their values)"
                if outliers == "remove"
                else "unchanged in the result"
            )
            warn(
                f"{n} outlier pixel{'s' * (n > 1)} (first at row {y + rows.start}, column "
                f"{x + columns.start}), which neither scene nor noise explains: left out, and "
                f"{fate}.",
                stacklevel=2,
            )


def prepare(frame: NDArray[Any]) -> Prepared:
    """Find the image area of a frame, replace outliers and scale to unit power.

    Parameters
    ----------
    frame : (Y, X) array

    Raises
    ------
    ValueError
        If the frame cannot be denoised.
    """
    check_pixels(frame, SMALLEST_IMAGE)
    return _prepare(frame, image_area(frame))


def prepare_area(frame: NDArray[Any], area: tuple[slice, slice]) -> Prepared:
    """Prepare a frame as `prepare`, but with a known image area.

    Parameters
    ----------
    frame : (Y, X) array
    area : (slice, slice)
        Rows and columns of the image area.

    Raises
    ------
    ValueError
        If the frame cannot be denoised.
    """
    check_pixels(frame, SMALLEST_IMAGE)
    return _prepare(frame, area)


def _prepare(frame: NDArray[Any], area: tuple[slice, slice]) -> Prepared:
    inside = frame[area]
    median, pixels = centred(inside)
    outliers = outliers_of_centred(pixels)
    mended = replace_outliers(inside, outliers)
    if mended is not inside:  # without its outliers the image may be constant
        check_pixels(mended, SMALLEST_IMAGE)
        median, pixels = centred(mended)
    return Prepared(frame, area, outliers, mended, *_to_unit_power(median, pixels))


def prepared_images(frames: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
    """Prepare frames of a movie, and skip those that cannot be denoised.

    Parameters
    ----------
    frames : iterable of (Y, X) array

    Yields
    ------
    (m, n) float32 array

    Raises
    ------
    ValueError
        If no frame is suitable.  The message is that of the first frame.
    """
    error, suitable = None, 0
    for frame in frames:
        try:
            image = prepare(frame).image
        except ValueError as reason:
            error = error or reason
            continue
        suitable += 1
        yield image
    if suitable:
        return
    raise error or ValueError("there is no frame from which to choose the patch size.")


def standardise(frame: NDArray[Any]) -> tuple[float, float, NDArray[np.float32]]:
    """Subtract the mean and scale to unit power.

    The result does not depend on the offset of a camera.

    Parameters
    ----------
    frame : (Y, X) array

    Returns
    -------
    offset, scale : float
        `frame` is ``image * scale + offset``.
    image : (Y, X) float32 array
    """
    return _to_unit_power(*centred(frame))


def _to_unit_power(
    median: float, pixels: NDArray[np.float32]
) -> tuple[float, float, NDArray[np.float32]]:
    """Standardise `pixels`, the difference of a frame to its median, in place."""
    peak = 1.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean, power = _mean_and_power(pixels)
    if not TINY < power < HUGE:  # squares of float32 values may have overflowed
        peak = float(max(pixels.max(), -pixels.min()))
        pixels /= np.float32(peak)
        mean, power = _mean_and_power(pixels)
    scale = np.sqrt(power)
    pixels -= np.float32(mean)
    pixels *= np.float32(1 / scale)
    return median + peak * mean, peak * scale, pixels


def _mean_and_power(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean, and the mean square of the difference to it."""
    # float32 along the rows is accurate enough, and fast.  The median, here 0, is within a standard
    # deviation of the mean, so that the difference of the squares is accurate, too.
    mean = float(pixels.mean(axis=1).mean(dtype=np.float64))
    squares = np.einsum("ij,ij->i", pixels, pixels) / np.float32(pixels.shape[1])
    return mean, float(squares.mean(dtype=np.float64)) - mean**2


def reconstruct(
    canvas: NDArray[np.float32],
    terrain: NDArray[np.int32],
    offset: float,
    scale: float,
    frame: NDArray[Any],
) -> NDArray[np.float32]:
    """Divide the canvas by the patch terrain; pixels without patches keep the input values."""
    covered = terrain > 0
    everywhere = covered.all()
    # Stacks that a stopped run has not reached may leave pixels without patches.
    counts = terrain if everywhere else np.maximum(terrain, 1)
    image = np.asarray(canvas / counts.astype(np.float32), np.float32)
    image *= np.float32(scale)
    image += np.float32(offset)
    if not everywhere:
        image[~covered] = frame[~covered]
    return image
