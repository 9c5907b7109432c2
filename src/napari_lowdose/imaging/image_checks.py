"""Checks of images and frames before they are denoised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.centred import centred, sample
from napari_lowdose.imaging.image_area import constant_rows
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Saturation: more than this share of the pixels at the maximum, and this many times as many as at
# the next lower value.
SATURATED_SHARE = 1e-3
PILE_UP_FACTOR = 4
# If more rows than this are constant, they belong to the scene
MAX_DEAD_ROWS_SHARE = 0.05
CHANCE_LIMIT = 1e-6  # rows that are constant by chance with more than this probability are not dead
NEIGHBOUR_ROWS = 8  # rows on each side that show how sparse the scene is
# Rounding of a float32 result, relative to the contrast: warn above the first, refuse above the
# second, where fewer than 16 grey levels are left.
WARN_ROUNDING = 1e-3
MAX_ROUNDING = 1 / 16
SAMPLE_SIZE = 2**14  # pixels from which the contrast is measured


def check_shape(image: Any) -> None:
    """Check that an image or stack has rows, columns and at least one frame.

    Parameters
    ----------
    image : (..., Y, X) array

    Raises
    ------
    ValueError
        If it has fewer than two axes, or is empty.
    """
    if image.ndim < 2:
        raise ValueError(
            f"an image needs at least two axes (Y, X), this array has shape {image.shape}."
        )
    if 0 in image.shape:
        raise ValueError(f"the image is empty: its shape is {image.shape}.")


def check_image(image: Any) -> None:
    """Check the shape and dtype of an image or stack of frames, without reading its pixels.

    Parameters
    ----------
    image : (..., Y, X) array
        Lazy arrays are not computed.

    Raises
    ------
    ValueError
        If the image is not greyscale: fewer than two axes, empty, boolean, complex, RGB, or not
        numeric.
    """
    check_shape(image)
    kind = image.dtype.kind
    if kind == "b":
        raise ValueError("the image is boolean (a mask): choose the image it was made from.")
    if kind == "c":
        raise ValueError("the image is complex: denoise its real part, modulus or phase instead.")
    if kind not in "iuf":
        raise ValueError(f"the image has dtype {image.dtype}, which is not a number per pixel.")
    if image.ndim >= 3 and image.shape[-1] in (3, 4):
        raise ValueError(
            f"shape {image.shape} looks like RGB: split the channels, or convert to grey, "
            "before denoising."
        )


def check_same_shape(first: Any, second: Any) -> None:
    """Check that the two exposures of a pair have the same shape.

    Parameters
    ----------
    first, second : (..., Y, X) array

    Raises
    ------
    ValueError
        If they differ; the message says whether the second looks transposed.
    """
    one, other = tuple(first.shape), tuple(second.shape)
    if one == other:
        return
    transposed = one[-2:] == other[-2:][::-1] != one[-2:][::-1]
    raise ValueError(
        f"the two exposures must have the same shape, not {one} and {other}: "
        + (
            "the second looks transposed or rotated by 90 degrees; turn it back."
            if transposed
            else "crop both to the same field, and give as many frames of each."
        )
    )


def check_pixels(frame: NDArray[Any], smallest: int, max_rounding: float = MAX_ROUNDING) -> None:
    """Check that a frame can be denoised.

    Parameters
    ----------
    frame : (Y, X) array
        Any integer or floating dtype.
    smallest : int
        Minimum height and width, pixels.
    max_rounding : float
        Maximum rounding of a float32 result, as a fraction of the contrast.

    Raises
    ------
    ValueError
        If the frame is too small, has NaN or infinite pixels, is constant, or cannot be
        represented in float32.
    """
    if min(frame.shape) < smallest:
        raise ValueError(
            f"the image of {frame.shape[0]} x {frame.shape[1]} pixels is too small: at least "
            f"{smallest} x {smallest} are needed."
        )
    if frame.dtype.kind == "f":
        n_bad = frame.size - np.count_nonzero(np.isfinite(frame))
        if n_bad:
            raise ValueError(
                f"{n_bad} of {frame.size} pixels are NaN or infinite: fill them in or crop them "
                "away first."
            )
    lowest, highest = frame.min(), frame.max()
    if lowest == highest:
        raise ValueError(f"the image is constant (every pixel is {lowest}): nothing to denoise.")
    limit, tiny = float(np.finfo(np.float32).max) / 2, float(np.finfo(np.float32).tiny)
    largest = max(abs(float(lowest)), abs(float(highest)))
    # Python numbers: a difference of NumPy integers may overflow
    if largest > limit or float(highest.item() - lowest.item()) < 2 * tiny:
        raise ValueError(
            f"the pixels range from {lowest:.3g} to {highest:.3g}, which a 32-bit result cannot "
            "hold: scale the image first."
        )
    offset, contrast, step = _float32_rounding(frame)
    if step > max_rounding * contrast:
        raise ValueError(
            f"the offset of the image, {offset:.6g}, is so large against its contrast, "
            f"{contrast:.3g}, that a 32-bit result cannot hold both: take the offset off first."
        )


def warn_of_pixels(frame: NDArray[Any]) -> None:
    """Warn about pixels where the result may be misleading.

    Parameters
    ----------
    frame : (Y, X) array
        A frame that has passed `check_pixels`.

    Warns
    -----
    UserWarning
        If pixels are saturated, rows are dead, or a float32 result is rounded visibly.
    """
    offset, contrast, step = _float32_rounding(frame)
    if step > WARN_ROUNDING * contrast:
        warn(
            f"the offset of the image, {offset:.6g}, is so large against its contrast, "
            f"{contrast:.3g}, that a 32-bit result is rounded to {step:.3g}: take the offset off "
            "first.",
            stacklevel=2,
        )
    _warn_if_saturated(frame, frame.max())
    _warn_if_rows_dead(frame)


def _float32_rounding(frame: NDArray[Any]) -> tuple[float, float, float]:
    """Return offset and contrast of a frame, and the spacing of float32 numbers at the offset."""
    offset, difference = centred(sample(frame, SAMPLE_SIZE)[np.newaxis])
    difference.sort()
    # Quantiles, as a single hot pixel must not count as contrast
    lowest, highest = difference[0, [at := difference.size // 200, -1 - at]]
    contrast = float(highest - lowest) or float(frame.max().item() - frame.min().item())
    return float(offset), contrast, float(np.spacing(np.float32(abs(offset))))


def _warn_if_saturated(frame: NDArray[Any], highest: Any) -> None:
    n_highest = np.count_nonzero(frame == highest)
    if n_highest <= SATURATED_SHARE * frame.size:
        return
    # In an unsaturated image values become rarer towards the maximum.
    second = frame[frame < highest].max()
    if n_highest > PILE_UP_FACTOR * np.count_nonzero(frame == second):
        warn(
            f"{n_highest / frame.size:.1%} of the pixels are at the maximum, {highest}: they look "
            "saturated, and their true intensity cannot be restored.",
            stacklevel=2,
        )


def _warn_if_rows_dead(frame: NDArray[Any]) -> None:
    constant = constant_rows(frame)
    n_constant = np.count_nonzero(constant)
    if not 0 < n_constant <= max(1, MAX_DEAD_ROWS_SHARE * len(frame)):
        return
    rows = map(int, np.flatnonzero(constant))
    dead = [row for row in rows if not _is_empty_by_chance(frame, constant, row)]
    if dead:
        warn(
            f"the image has {len(dead)} constant row{'s' if len(dead) > 1 else ''} (the first is "
            f"row {dead[0]}), which look dead: they are denoised as if they were data.",
            stacklevel=3,
        )


def _is_empty_by_chance(frame: NDArray[Any], constant: NDArray[np.bool_], row: int) -> bool:
    """Return whether the scene around a row is so sparse that some rows are constant by chance."""
    near = slice(max(0, row - NEIGHBOUR_ROWS), row + NEIGHBOUR_ROWS + 1)
    neighbours = frame[near][~constant[near]]
    equal = float(np.mean(neighbours == frame[row, 0])) if neighbours.size else 1.0
    return bool(len(frame) * equal ** frame.shape[1] > CHANCE_LIMIT)
