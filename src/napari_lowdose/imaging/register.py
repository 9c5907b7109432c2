"""Two exposures in register: cut to what both show, no pixel interpolated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.arrays import as_image
from napari_lowdose.imaging.frames import check_image
from napari_lowdose.imaging.sliceable import sliceable
from napari_lowdose.steps import frame_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.imaging.parts import Repeat
    from napari_lowdose.imaging.shift_fraction import ShiftEstimate

    _Pair = tuple[NDArray[Any], NDArray[Any]]

Shift = tuple[float, float]

FRAMES = 64  # of a movie that are looked at
PIXELS = 2**24  # of them together
SMALLEST = 24  # px: a smaller field says nothing about shifts
LARGEST = 1024  # px a side, beyond which whole pixels are looked for in a binned view
CERTAIN = 6.0  # standard errors of the common signal, or chance may have made the peak
SETTLED = 0.6  # px: a shift further than this from what was cut away is cut again


ALIKE = 0.9  # likeness below which it is asked whether the second is mirrored, or inverted
AGREED = 4.0  # standard errors up to which two halves agree
DOUBTFUL = 0.3  # px: where the parts of an image differ by more, its halves are asked
DOUBT_ERRORS = 4.0  # standard errors, likewise
STILL = 1.0  # px: what is displaced by less may be fixed to the sensor
WORST = 2.0  # px: a shift that is not known to this is none
TURNED = (
    "the second exposure looks {}: turn it back, or choose two exposures of the same orientation."
)
REVERSED = (
    "the second exposure shows the scene with its contrast reversed: invert one of the two."
)
NOTHING_IN_COMMON = (
    "the two exposures show nothing in common above the noise: they cannot be registered; give "
    "exposures of the same scene, or more frames of them."
)


class NotRegisteredError(ValueError):
    """Two exposures cannot be brought into register.

    Parameters
    ----------
    kind : {"different", "parts", "turned", "reversed"}
        Nothing is common to them; their parts are displaced by different shifts; one is mirrored
        or rotated, or its contrast reversed.
    message : str
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Registration:
    """How far the scene is displaced between two exposures, and how sure that is.

    ``shift = whole + fraction``: what lies at (y, x) in the first lies at (y + dy, x + dx) in
    the second.

    Attributes
    ----------
    shift : (float, float)
        (dy, dx), pixels.
    shift_error : (float, float)
        One standard error of it, and by how much parts of the image differ in it.
    whole : (int, int)
        What `cut` takes away, by cutting at whole pixels.
    fraction : (float, float)
        What remains, at most half a pixel: for ``Noise2Noise(shift=registration.fraction)``.
    correlation : float
        Pearson's correlation of the two exposures in place, noise included.
    likeness : float
        The same without the noise: 1 if both show the same scene.
    gain, offset : float
        The second exposure is about ``gain * first + offset``, in place.
    shape : (int, int)
        (Y, X) of the exposures before they are cut.
    """

    shift: Shift
    shift_error: Shift
    whole: tuple[int, int]
    fraction: Shift
    correlation: float
    likeness: float
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
        one, other = common_field(self.shape, self.whole)
        return sliceable(first)[(..., *one)], sliceable(second)[(..., *other)]


def register_pair(
    first: Any, second: Any, *, max_shift: tuple[int, int] | None = None
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
    max_shift : (int, int), optional
        The largest shift (dy, dx) that is looked for, pixels.  By default all that leave a third
        of each side in common.

    Returns
    -------
    first, second : (..., Y', X') arrays
        The common field of both.
    registration : Registration

    Raises
    ------
    ValueError
        If the two are of different shape, smaller than 24 pixels, or nothing is common to them
        that chance would not make.

    References
    ----------
    M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Opt. Lett. 33, 156 (2008).

    Examples
    --------
    >>> from napari_lowdose import register_pair, samples
    >>> first, second, truth = samples.nuclei_pair()
    >>> one, other, registration = register_pair(first[:-2, 3:], second[2:, :-3])
    >>> registration.whole
    (-2, 3)
    >>> one.shape == (first.shape[0] - 4, first.shape[1] - 6)
    True
    """
    first = as_image(first, "the first exposure")
    second = as_image(second, "the second exposure")
    check_image(first)
    check_image(second)
    if tuple(first.shape) != tuple(second.shape):
        raise ValueError(
            f"the two exposures differ in shape, {tuple(first.shape)} and {tuple(second.shape)}: "
            "give two of the same scene, of the same size."
        )
    shape = (int(first.shape[-2]), int(first.shape[-1]))
    if min(shape) < SMALLEST:
        raise ValueError(
            f"exposures of {shape[0]} x {shape[1]} pixels are too small to be registered: at "
            f"least {SMALLEST} x {SMALLEST} are needed."
        )
    one, other = some_frames(first, second)
    registration = registered(one, other, max_shift)
    return (*registration.cut(first, second), registration)


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
        If nothing is common to both, or parts of them are displaced by different shifts.
    """
    from napari_lowdose.imaging.fixed_pattern import (
        fixed_lines,
        share_pixels,
        without_lines,
        without_shared_pixels,
    )

    shape = (first.shape[-2], first.shape[-1])
    whole = views = _scene_only(first, second)
    if fixed_lines(*whole):
        views = without_lines(whole[0]), without_lines(whole[1])
        if _lines_are_the_scenes(whole, views, max_shift):
            views = whole
    if share_pixels(*views):
        views = without_shared_pixels(*views)
    found = _estimate(*views, max_shift)
    if found is None or found.doubtful:
        found = _of_one_half(*views, max_shift) or found
    if found is None or found.repeat.differs or found.estimate.peak.likeness < ALIKE:
        _refuse_if_turned(*whole)
    if found is None:
        raise NotRegisteredError("different", NOTHING_IN_COMMON)
    if found.repeat.differs:
        dy, dx = found.repeat.differs
        raise NotRegisteredError(
            "parts",
            f"the shift differs between parts of the image, by {abs(dy):.1f} px down and "
            f"{abs(dx):.1f} px along the rows: something is fixed to the sensor, or the scene is "
            "turned, stretched or moved in itself; crop both exposures to a part that moves as one.",
        )
    _refuse_if_moved_beneath(*views, found)
    return _registration(found, shape)


def _lines_are_the_scenes(whole: _Pair, without: _Pair, max_shift: tuple[int, int] | None) -> bool:
    """Return whether rows and columns move with the scene, and so tell its shift too."""
    from napari_lowdose.imaging.fixed_pattern import lines_move

    found = _estimate(*without, max_shift)
    if found is None:
        return True
    move = lines_move(*whole, found.shift)
    if move is not None:
        return move
    other = _estimate(*whole, max_shift)
    return (
        other is not None
        and max(other.estimate.error) < max(found.estimate.error)
        and _agree(found, other)
    )


def _agree(one: _Found, other: _Found) -> bool:
    error = np.hypot(one.estimate.error, other.estimate.error)
    return bool((np.abs(np.subtract(one.shift, other.shift)) <= AGREED * error).all())


def _refuse_if_moved_beneath(first: NDArray[Any], second: NDArray[Any], found: _Found) -> None:
    """Refuse what stands still on the sensor, if a scene moves beneath it."""
    from napari_lowdose.imaging.parts import moved_beneath

    if max(map(abs, found.shift)) > STILL:
        return
    moved = moved_beneath(first, second, found.shift, found.estimate.gain)
    if moved is not None:
        raise NotRegisteredError(
            "parts",
            f"what the two exposures share stands still, while a scene beneath it moved by about "
            f"{abs(moved[0]):.0f} px down or up and {abs(moved[1]):.0f} px along the rows: "
            "subtract the pattern of the sensor (a dark frame, or the mean of many) first.",
        )


def _refuse_if_turned(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Refuse a second exposure that agrees much better when it is turned back, or inverted."""
    from napari_lowdose.imaging.orientation import looks

    words = looks(first, second)
    if words == "reversed in contrast":
        raise NotRegisteredError("reversed", REVERSED)
    if words is not None:
        raise NotRegisteredError("turned", TURNED.format(words))


def _of_one_half(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> _Found | None:
    """Return the shift that two halves of the field agree on, if what misleads is in the others."""
    middle, centre = (side // 2 for side in first.shape[-2:])
    halves = (np.s_[:, :middle], np.s_[:, middle:], np.s_[:, :, :centre], np.s_[:, :, centre:])
    sure = []
    for half in halves:
        if min(first[half].shape[-2:]) < 2 * SMALLEST:
            return None
        found = _estimate(first[half], second[half], max_shift)
        if found is not None and not found.doubtful:
            sure.append(found)
    if len(sure) < 2:
        return None
    best = min(sure, key=lambda found: float(np.hypot(*found.estimate.error)))
    return best if all(_agree(found, best) for found in sure) else None


def _scene_only(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the part that holds image in both, without outliers and dead lines."""
    from napari_lowdose.imaging.fixed_pattern import without_constant_lines, without_slopes
    from napari_lowdose.imaging.image_area import image_area
    from napari_lowdose.imaging.outliers import find_outliers, replace_outliers

    areas = [image_area(view.mean(0)) for view in (first, second)]
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(*areas, strict=True)
    )
    if min(rows.stop - rows.start, columns.stop - columns.start) >= SMALLEST:
        first, second = first[:, rows, columns], second[:, rows, columns]
    one, other = (
        without_slopes(
            without_constant_lines(
                np.stack([replace_outliers(frame, find_outliers(frame)) for frame in view])
            )
        )
        for view in (first, second)
    )
    return one, other


@dataclass(frozen=True)
class _Found:
    """What `registered` found: a shift that was cut at whole pixels, and the estimate there."""

    cut_away: NDArray[Any]
    estimate: ShiftEstimate
    repeat: Repeat

    @property
    def shift(self) -> Shift:
        dy, dx = self.cut_away + np.array(self.estimate.shift)
        return float(dy), float(dx)

    @property
    def error(self) -> Shift:
        dy, dx = np.hypot(self.estimate.error, self.repeat.scatter)
        return float(dy), float(dx)

    @property
    def doubtful(self) -> bool:
        """Whether one part of the image may have decided alone."""
        least = max(DOUBTFUL, DOUBT_ERRORS * max(self.estimate.error))
        return self.repeat.differs is not None or max(self.repeat.scatter) > least


def _estimate(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> _Found | None:
    from napari_lowdose.imaging.parts import repeats
    from napari_lowdose.imaging.shift_fraction import shift_fraction

    shape = (first.shape[-2], first.shape[-1])
    whole = np.array(_coarse(first, second, max_shift))
    for _ in range(4):
        one, other = common_field(shape, (int(whole[0]), int(whole[1])))
        fields = first[(..., *one)], second[(..., *other)]
        if min(fields[0].shape[-2:]) < SMALLEST:
            return None
        found = shift_fraction(*fields)
        if max(map(abs, found.shift)) <= SETTLED:
            break
        whole = whole + np.rint(found.shift).astype(int)
    if not found.peak.certainty > CERTAIN or not max(found.error) < WORST:
        return None
    return _Found(whole, found, repeats(*fields, found.shift))


def _registration(found: _Found, shape: tuple[int, int]) -> Registration:
    shift, estimate = np.array(found.shift), found.estimate
    whole = np.rint(shift).astype(int)
    fraction = shift - whole
    return Registration(
        shift=(float(shift[0]), float(shift[1])),
        shift_error=found.error,
        whole=(int(whole[0]), int(whole[1])),
        fraction=(float(fraction[0]), float(fraction[1])),
        correlation=estimate.peak.correlation,
        likeness=estimate.peak.likeness,
        gain=estimate.gain,
        offset=estimate.offset,
        shape=shape,
    )


def _coarse(
    first: NDArray[Any], second: NDArray[Any], max_shift: tuple[int, int] | None
) -> tuple[int, int]:
    from napari_lowdose.imaging.whole_shift import binned, whole_shift

    by = -(-max(first.shape[-2:]) // LARGEST)
    if by == 1:
        return whole_shift(first, second, max_shift)
    reach = None if max_shift is None else (-(-max_shift[0] // by), -(-max_shift[1] // by))
    dy, dx = whole_shift(binned(first, by), binned(second, by), reach)
    return by * dy, by * dx


def common_field(
    shape: tuple[int, int], whole: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of each of two exposures that shows what the other shows too.

    Parameters
    ----------
    shape : (int, int)
        (Y, X) of both.
    whole : (int, int)
        (dy, dx), the shift of the scene in the second in whole pixels.

    Returns
    -------
    first, second : (slice, slice)

    Examples
    --------
    >>> common_field((100, 100), (2, -3))
    ((slice(0, 98, None), slice(3, 100, None)), (slice(2, 100, None), slice(0, 97, None)))
    """
    one = [slice(max(0, -by), side - max(0, by)) for side, by in zip(shape, whole, strict=True)]
    other = [slice(max(0, by), side + min(0, by)) for side, by in zip(shape, whole, strict=True)]
    return (one[0], one[1]), (other[0], other[1])


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
