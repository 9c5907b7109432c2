"""Two exposures in register: cut to what both show, no pixel interpolated."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import frame_name
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.io.arrays import as_image, sliceable
from napari_lowdose.pairs.scene_shift import SMALLEST, common_field, scene_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shift = tuple[float, float]

FRAMES = 64  # of a movie that are looked at
PIXELS = 2**24  # of them together


@dataclass(frozen=True)
class Registration:
    """How far the scene is displaced between two exposures, and how sure that is.

    ``shift = integer_shift + fraction``: what lies at (y, x) in the first lies at
    (y + dy, x + dx) in the second.

    Attributes
    ----------
    shift : (float, float)
        (dy, dx), pixels.
    shift_error : (float, float)
        One standard error of it, and by how much parts of the image differ in it.
    integer_shift : (int, int)
        What `cut` takes away, by cutting at whole pixels.
    fraction : (float, float)
        What remains, at most half a pixel: for ``Noise2Noise(shift=registration.fraction)``.
    correlation : float
        Pearson's correlation of the two exposures in place, noise included.
    noise_corrected_correlation : float
        The same without the noise: 1 if both show the same scene.
    gain, offset : float
        The second exposure is about ``gain * first + offset``, in place.
    shape : (int, int)
        (Y, X) of the exposures before they are cut.
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

    def cut(self, first: Any, second: Any) -> tuple[Any, Any]:
        """Cut two movies, exposed like the two that were registered, to their common field.

        Parameters
        ----------
        first, second : (..., Y, X) arrays
            What is lazy stays lazy.

        Returns
        -------
        first, second : (..., Y', X') arrays

        Raises
        ------
        ValueError
            If their frames are of another size.
        """
        first, second = as_image(first, "the first"), as_image(second, "the second")
        for movie in (first, second):
            if tuple(movie.shape[-2:]) != self.shape:
                raise ValueError(
                    f"frames of {movie.shape[-2]} x {movie.shape[-1]} pixels cannot be cut as "
                    f"those of {self.shape[0]} x {self.shape[1]} were."
                )
        one, other = common_field(self.shape, self.integer_shift)
        return sliceable(first)[(..., *one)], sliceable(second)[(..., *other)]


def register_pair(
    first: Any, second: Any, *, max_shift: int | tuple[int, int] | None = None
) -> tuple[Any, Any, Registration]:
    """Cut two exposures of one scene to the field that both show.

    The cut is at whole pixels: interpolating would blur the noise of one exposure, which falsifies
    everything that is learnt from comparing it.  The fraction of a pixel that remains is known,
    and `Noise2Noise` applies it to the network's output.

    The shift is found in three steps: whole pixels by the correlation of all that both show;
    a fraction of a pixel by the upsampled correlation (Guizar-Sicairos et al. 2008) of windowed,
    mean-free views; and the rest by weighted least squares on the difference of the two.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        Leading axes are frames of the same geometry, which are taken together: at most 64 of
        them are looked at, and of what is lazy (dask, zarr) no others are read.
    max_shift : int or (int, int), optional
        The largest shift (dy, dx) that is looked for, whole pixels; one number for both.  By
        default all that leave a third of each side in common.

    Returns
    -------
    first, second : (..., Y', X') arrays
        The common field of both.
    registration : Registration

    Raises
    ------
    ValueError
        If the two are of different shape, smaller than 24 pixels, or nothing is common to them
        that chance would not make; if the second looks mirrored, rotated or reversed in contrast;
        or if parts of the image are displaced by different shifts.

    Warns
    -----
    UserWarning
        If one exposure holds the noise of the other, as the mean of both does.

    References
    ----------
    M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Opt. Lett. 33, 156 (2008).

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
    if tuple(first.shape) != tuple(second.shape):
        turned = tuple(first.shape[-2:]) == tuple(second.shape[-2:])[::-1]
        raise ValueError(
            f"the two exposures differ in shape, {tuple(first.shape)} and {tuple(second.shape)}: "
            + (
                "the second looks transposed or rotated by 90 degrees; turn it back."
                if turned
                else "give two of the same scene, of the same size."
            )
        )
    shape = (int(first.shape[-2]), int(first.shape[-1]))
    if min(shape) < SMALLEST:
        raise ValueError(
            f"exposures of {shape[0]} x {shape[1]} pixels are too small to be registered: at "
            f"least {SMALLEST} x {SMALLEST} are needed."
        )
    reach = None if max_shift is None else _whole_pixels(max_shift)
    one, other = some_frames(first, second)
    registration = registered(one, other, reach)
    _warn_if_dependent(*registration.cut(one, other))
    return (*registration.cut(first, second), registration)


def _whole_pixels(max_shift: Any) -> tuple[int, int]:
    """Return the largest shift along both axes, from one number or two."""
    try:
        given = np.asarray(max_shift)
        both = np.broadcast_to(given.astype(float), (2,))
        good = given.dtype.kind in "iuf" and all(
            0 <= each == np.rint(each) < 2**31 for each in both
        )
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "max_shift is one whole number of pixels, or two (dy, dx), of 0 or more, or None, not "
            f"{max_shift!r}."
        )
    return int(both[0]), int(both[1])


def _warn_if_dependent(first: NDArray[Any], second: NDArray[Any]) -> None:
    from napari_lowdose.pairs.dependent import made_of_the_other

    made = made_of_the_other(first[0], second[0])
    if made is not None:
        warnings.warn(
            f"the {made} exposure holds the noise of the other, as the mean or sum of both does: "
            "they are no pair to train on.",
            UserWarning,
            stacklevel=3,
        )


def registered(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None = None
) -> Registration:
    """Return how far the scene is displaced.

    Parameters
    ----------
    first, second : (T, Y, X) array
        In memory.
    max_shift : (int, int), optional

    Returns
    -------
    Registration

    Raises
    ------
    NotRegisteredError
        As `scene_shift` does.
    """
    found = scene_shift(first, second, max_shift)
    shift, estimate = np.array(found.shift), found.estimate
    whole = np.rint(shift).astype(int)
    fraction = shift - whole
    return Registration(
        shift=found.shift,
        shift_error=found.error,
        integer_shift=(int(whole[0]), int(whole[1])),
        fraction=(float(fraction[0]), float(fraction[1])),
        correlation=estimate.peak.correlation,
        noise_corrected_correlation=estimate.peak.noise_corrected_correlation,
        gain=estimate.gain,
        offset=estimate.offset,
        shape=(first.shape[-2], first.shape[-1]),
    )


def some_frames(*movies: Any) -> tuple[NDArray[np.float32], ...]:
    """Read the same evenly spaced frames of each movie: (..., Y, X) to (T, Y, X) float32 in memory.

    Parameters
    ----------
    *movies : (..., Y, X) arrays
        Of the same leading axes.

    Returns
    -------
    tuple of (T, Y, X) float32 array
        At most 64 frames, and fewer if they are large.

    Raises
    ------
    ValueError
        If pixels are NaN or infinite.
    """
    leading = tuple(movies[0].shape[:-2])
    total = int(np.prod(leading, dtype=int))
    room = max(1, PIXELS // int(np.prod(movies[0].shape[-2:])))
    number = min(total, FRAMES, room)
    chosen = np.unique(np.linspace(0, total - 1, number).astype(int))
    indices = [np.unravel_index(frame, leading) if leading else () for frame in chosen]
    read = []
    for movie in movies:
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
