"""Register two exposures: crop both to their common field, without interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import frame_name
from napari_lowdose.imaging.image_checks import check_image, check_same_shape
from napari_lowdose.io.arrays import as_image, sliceable
from napari_lowdose.pairs.scene_shift import (
    NotRegisteredError,
    check_size,
    common_field,
    scene_shift,
)
from napari_lowdose.pairs.view_map import ViewMap
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.pairs.measured_map import MeasuredMap
    from napari_lowdose.pairs.view_map import Matrix

Shift = tuple[float, float]

FRAMES = 64  # of a movie that are read at most
PIXELS = 2**24  # that are read at most
_AGREEMENT = 0.5  # maximum distance of the shift and of the map at its centre, pixels


@dataclass(frozen=True)
class Registration:
    """Shift of the scene between two exposures.

    ``shift = integer_shift + fraction``: the scene at (y, x) in the first exposure is at
    (y + dy, x + dx) in the second.

    Attributes
    ----------
    shift : (float, float)
        (dy, dx), pixels.
    shift_error : (float, float)
        Standard error of the shift, pixels. Includes the scatter between parts of the image.
    integer_shift : (int, int)
        Part of the shift that `cut` removes by cropping, pixels.
    fraction : (float, float)
        Remaining shift, at most half a pixel: for ``Noise2Noise(shift=registration.fraction)``.
    correlation : float
        Pearson correlation of the aligned exposures, noise included.
    noise_corrected_correlation : float
        Correlation of the scenes without the noise: 1 if both are the same.
    gain, offset : float
        The aligned second exposure is about ``gain * first + offset``.
    shape : (int, int)
        (Y, X) of the exposures before cropping, pixels.
    affine : ((a, b, ty), (c, d, tx)) or None
        If the scene drifted within a scan, was rotated or magnified: map from the first exposure to
        the second after `cut`, for ``Noise2Noise(affine=registration.affine)``.  The shift is then
        that at the centre.
    """

    shift: Shift
    shift_error: Shift
    integer_shift: tuple[int, int]
    fraction: Shift
    correlation: float
    noise_corrected_correlation: float
    gain: float
    offset: float
    shape: tuple[int, int]
    affine: Matrix | None = None

    def cut(self, first: Any, second: Any) -> tuple[Any, Any]:
        """Crop two exposures or movies with the same shift to their common field.

        Parameters
        ----------
        first, second : (..., Y, X) arrays
            Lazy arrays (dask, zarr) stay lazy.

        Returns
        -------
        first, second : (..., Y', X') arrays
            No pixel is interpolated.

        Raises
        ------
        ValueError
            If the size of the frames differs from that of the registered exposures.
        """
        first, second = as_image(first, "the first"), as_image(second, "the second")
        for movie in (first, second):
            if tuple(movie.shape[-2:]) != self.shape:
                raise ValueError(
                    f"frames of {movie.shape[-2]} x {movie.shape[-1]} pixels cannot be cropped "
                    f"with a shift measured on {self.shape[0]} x {self.shape[1]} pixels: register "
                    "them by themselves."
                )
        one, other = common_field(self.shape, self.integer_shift)
        return sliceable(first)[(..., *one)], sliceable(second)[(..., *other)]


def register_pair(
    first: Any, second: Any, *, max_shift: int | tuple[int, int] | None = None
) -> tuple[Any, Any, Registration]:
    """Register two exposures of one scene and crop them to their common field.

    The exposures are cropped at whole pixels.  Interpolation would smooth the noise of one of them,
    and bias every comparison of the two.  `Noise2Noise` applies the remaining subpixel shift to the
    output of the network.

    The shift is measured in three steps: the integer shift from the cross-correlation, a subpixel
    shift from the upsampled cross-correlation [1]_, and its refinement by weighted least squares.
    Patterns that are fixed to the sensor are excluded.

    If the shift differs between parts of the image as an affine map does, because the scene drifted
    within a scan or was rotated, the map is measured from the shifts of tiles.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        Leading axes are frames with the same shift, which is measured on up to 64 of them. Of lazy
        arrays (dask, zarr), only these are read.
    max_shift : int or (int, int), optional
        Largest shift (dy, dx) to search, whole pixels; one number for both axes.  By default, at
        least a third of each side overlaps.

    Returns
    -------
    first, second : (..., Y', X') arrays
        The common field of both.
    registration : Registration

    Raises
    ------
    ValueError
        If the shapes differ, a side is shorter than 24 pixels, pixels are NaN or infinite,
        `max_shift` is invalid, the exposures have nothing in common above the noise, the second is
        mirrored, rotated or reversed in contrast, or the shift differs between parts of the image.

    Warns
    -----
    UserWarning
        If one exposure contains the noise of the other, such as the mean of both.

    References
    ----------
    .. [1] M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, "Efficient subpixel image registration
       algorithms", Opt. Lett. 33, 156 (2008).

    Examples
    --------
    >>> from napari_lowdose import register_pair, samples
    >>> first, second, truth = samples.nuclei_pair()
    >>> one, other, registration = register_pair(first[:-2, 3:], second[2:, :-3])
    >>> registration.integer_shift
    (-2, 3)
    >>> one.shape == (first.shape[0] - 4, first.shape[1] - 6)
    True
    """
    first = as_image(first, "the first exposure")
    second = as_image(second, "the second exposure")
    check_image(first)
    check_image(second)
    check_same_shape(first, second)
    check_size(first.shape)
    reach = None if max_shift is None else _whole_pixels(max_shift)
    one, other = read_some_frames(first, second)
    registration = _with_map(one, other, reach)
    _warn_if_dependent(*registration.cut(one, other))
    return (*registration.cut(first, second), registration)


def _with_map(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> Registration:
    """Measure the shift, or the affine map if the shift differs between parts of the image."""
    try:
        found = measure_registration(first, second, max_shift)
    except NotRegisteredError as error:
        measured = None if error.kind != "parts" else map_between(first, second, max_shift)
        if measured is None:
            raise
        gain, correlation = measured.gain, measured.correlation
        same_scene = measured.noise_corrected_correlation
        offset = float(second.mean(dtype=float) - gain * first.mean(dtype=float))
        at = (round(measured.shift[0]), round(measured.shift[1]))
    else:
        at, gain, offset = found.integer_shift, found.gain, found.offset
        correlation, same_scene = found.correlation, found.noise_corrected_correlation
        measured = map_between(first, second, at=at)
        if measured is None:
            return found
        # Its shifts of tiles know nothing of patterns that are fixed to the sensor
        if np.abs(np.subtract(measured.shift, found.shift)).max() > _AGREEMENT:
            return found
    # Counted from the corner of the common field in both exposures
    one, _ = common_field((first.shape[-2], first.shape[-1]), at)
    view_map = measured.view_map.counted_from((one[0].start, one[1].start))
    view_map = ViewMap.of(view_map.linear, view_map.offset - at)
    return Registration(
        shift=measured.shift,
        shift_error=measured.shift_error,
        integer_shift=at,
        fraction=(measured.shift[0] - at[0], measured.shift[1] - at[1]),
        correlation=correlation,
        noise_corrected_correlation=same_scene,
        gain=gain,
        offset=offset,
        shape=(first.shape[-2], first.shape[-1]),
        affine=view_map.matrix,
    )


def map_between(
    first: NDArray[Any],
    second: NDArray[Any],
    max_shift: tuple[int, int] | None = None,
    at: tuple[int, int] | None = None,
) -> MeasuredMap | None:
    """Measure the affine map between two exposures.

    Parameters
    ----------
    first, second : (T, Y, X) float32 array
    max_shift : (int, int), optional
        Largest shift (dy, dx) to search, pixels.
    at : (int, int), optional
        Shift (dy, dx) at the centre, to a few pixels; found by correlation by default.

    Returns
    -------
    MeasuredMap or None
        None if a shift describes the difference as well, or a map does not.
    """
    from napari_lowdose.pairs.integer_shift import integer_shift
    from napari_lowdose.pairs.measured_map import measure_map

    dy, dx = integer_shift(first, second, max_shift) if at is None else at
    measured = measure_map(first, second, (float(dy), float(dx)))
    return measured if measured is not None and measured.is_needed else None


def _whole_pixels(max_shift: Any) -> tuple[int, int]:
    """Return the largest shift along both axes, from one number or two."""
    try:
        given = np.asarray(max_shift)
        both = np.broadcast_to(given.astype(float), (2,))
        valid = given.dtype.kind in "iuf" and all(
            0 <= each == np.rint(each) < 2**31 for each in both
        )
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(
            "max_shift must be None, one whole number of pixels, or two (dy, dx), at least 0, not "
            f"{max_shift!r}."
        )
    return int(both[0]), int(both[1])


def _warn_if_dependent(first: NDArray[Any], second: NDArray[Any]) -> None:
    from napari_lowdose.pairs.agreement import derived_exposure

    derived = derived_exposure(first[0], second[0])
    if derived is not None:
        warn(
            f"the {derived} exposure contains the noise of the other, like the mean or sum of "
            "both: do not train on this pair.",
            stacklevel=3,
        )


def measure_registration(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None = None
) -> Registration:
    """Measure the shift between two views in memory, as `scene_shift` does.

    Parameters
    ----------
    first, second, max_shift
        As in `scene_shift`.

    Returns
    -------
    Registration

    Raises
    ------
    NotRegisteredError
        As in `scene_shift`.
    """
    found = scene_shift(first, second, max_shift)
    shift, estimate = np.array(found.shift), found.estimate
    integer = np.rint(shift).astype(int)
    fraction = shift - integer
    return Registration(
        shift=found.shift,
        shift_error=found.error,
        integer_shift=(int(integer[0]), int(integer[1])),
        fraction=(float(fraction[0]), float(fraction[1])),
        correlation=estimate.peak.correlation,
        noise_corrected_correlation=estimate.peak.noise_corrected_correlation,
        gain=estimate.gain,
        offset=estimate.offset,
        shape=(first.shape[-2], first.shape[-1]),
    )


def read_some_frames(*movies: Any, most: int = FRAMES) -> tuple[NDArray[np.float32], ...]:
    """Read the same evenly spaced frames of each movie into memory.

    Parameters
    ----------
    *movies : (..., Y, X) arrays
        Movies of the same shape.
    most : int
        Largest number of frames; fewer are read if they are large.

    Returns
    -------
    tuple of (T, Y, X) float32 array

    Raises
    ------
    ValueError
        If pixels are NaN or infinite.
    """
    leading = tuple(movies[0].shape[:-2])
    total = int(np.prod(leading, dtype=int))
    room = max(1, PIXELS // int(np.prod(movies[0].shape[-2:])))
    number = min(total, most, room)
    chosen = np.unique(np.linspace(0, total - 1, number).astype(int))
    indices = [np.unravel_index(frame, leading) if leading else () for frame in chosen]
    read = []
    for movie in movies:
        # One index at a time works for NumPy, dask and zarr arrays alike.
        frames = [np.asarray(movie[tuple(map(int, index))], np.float32) for index in indices]
        read.append(np.stack(frames))
        bad = ~np.isfinite(read[-1]).all(axis=(1, 2))
        if bad.any():
            name = frame_name(int(chosen[bad.argmax()]), leading)
            raise ValueError(
                f"{f'{name}: ' if name else ''}some pixels are NaN or infinite: fill them in or "
                "crop them away first."
            )
    return tuple(read)
