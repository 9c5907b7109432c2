"""What an image must be before anything is done to it, in sentences for people."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SATURATED_SHARE = 1e-3  # of the pixels at the maximum, from which on it is said
PILE_UP = 4  # times as many as at the next lower value
DEAD_ROWS_SHARE = 0.05  # constant rows are dead if they are this rare, else the scene is sparse


def check_image(image: Any) -> None:
    """Check the shape and dtype of an image or stack of frames, without reading its pixels.

    Parameters
    ----------
    image : (..., Y, X) array

    Raises
    ------
    ValueError
        If it is no grey-level image: fewer than two axes, empty, boolean, complex, RGB, or
        not numeric.
    """
    if image.ndim < 2:
        raise ValueError(
            f"an image needs at least two axes (Y, X), this array has shape {image.shape}."
        )
    if 0 in image.shape:
        raise ValueError(f"the image is empty: its shape is {image.shape}.")
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


def check_frame(frame: NDArray[Any], smallest: int) -> None:
    """Check the pixels of one frame.

    Parameters
    ----------
    frame : (Y, X) array
    smallest : int
        The least height and width, pixels.

    Raises
    ------
    ValueError
        If it is too small, has NaN or infinite pixels, or is constant.

    Warns
    -----
    UserWarning
        If pixels are saturated, or rows are dead: it is denoised, but the result may
        mislead there.
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
    if largest > limit or float(highest) - float(lowest) < 2 * tiny:
        raise ValueError(
            f"the pixels range from {lowest:.3g} to {highest:.3g}, which a 32-bit result cannot "
            "hold: scale the image first."
        )
    _warn_if_saturated(frame, highest)
    _warn_if_rows_dead(frame)


def _warn_if_saturated(frame: NDArray[Any], highest: Any) -> None:
    n_highest = np.count_nonzero(frame == highest)
    if n_highest <= SATURATED_SHARE * frame.size:
        return
    # The values of an unsaturated image thin out towards its maximum: they do not pile up.
    second = frame[frame < highest].max()
    if n_highest > PILE_UP * np.count_nonzero(frame == second):
        warnings.warn(
            f"{n_highest / frame.size:.1%} of the pixels are at the maximum, {highest}: they look "
            "saturated, and their true intensity cannot be restored.",
            UserWarning,
            stacklevel=2,
        )


def _warn_if_rows_dead(frame: NDArray[Any]) -> None:
    constant = (frame == frame[:, :1]).all(axis=1)
    n_dead = np.count_nonzero(constant)
    if 0 < n_dead <= max(1, DEAD_ROWS_SHARE * len(frame)):
        first = int(np.flatnonzero(constant)[0])
        warnings.warn(
            f"the image has {n_dead} constant row{'s' if n_dead > 1 else ''} (the first is row "
            f"{first}), which look dead: they are denoised as if they were data.",
            UserWarning,
            stacklevel=2,
        )
