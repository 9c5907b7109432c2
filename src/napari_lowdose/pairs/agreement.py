"""Where two exposures agree best: the shift between them, if any, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.scene_shift import SMALLEST, NotRegisteredError, scene_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frame = NDArray[np.float32]
    Blocks = NDArray[np.float64]

__all__ = ["Agreement", "agreement", "aligned", "block_sums", "cells", "in_errors"]

_SURE = 5.0  # standard errors
_FIELD = 512  # pixels: side of the middle that is looked at first
_REACH = 0.25  # of the frame: the largest shift that is looked for
_BORDER = 8  # pixels mirrored, and cut off, where a fraction of a pixel is shifted
_LEAST_FRACTION = 0.05  # pixels
_CELL = 4  # pixels: side of the cells in whose means structure is looked for
_LEAST_SHIFT = 0.3  # pixels: less does no harm worth a warning


@dataclass(frozen=True)
class Agreement:
    """Where the two agree best.

    `found` is None where they agree nowhere, or `trouble` says why they cannot be compared.
    `off` says that it is surely not where it was said to be.
    """

    found: tuple[float, float] | None
    off: bool = False
    trouble: NotRegisteredError | None = None


def agreement(one: Frame, two: Frame, said: tuple[float, float]) -> Agreement:
    """Find where two frames agree, by what registers them too.

    Parameters
    ----------
    one, two : (Y, X) float32 array
    said : (float, float)
        (dy, dx) at which they are taken to agree, pixels.

    Returns
    -------
    Agreement
    """
    here = (round(said[0]), round(said[1]))
    pair = aligned(one, two, here)
    if min(pair[0].shape) < SMALLEST:
        return Agreement(said)
    reach = (int(_REACH * pair[0].shape[0]), int(_REACH * pair[0].shape[1]))
    middle = tuple(slice(max(0, n - _FIELD) // 2, (n + min(n, _FIELD)) // 2) for n in pair[0].shape)
    # Of a large frame the middle, and all of it only where that says nothing
    whole = tuple(slice(0, n) for n in pair[0].shape)
    for field in [middle] if middle == whole else [middle, whole]:
        try:
            scene = scene_shift(pair[0][field][None], pair[1][field][None], reach)
            break
        except NotRegisteredError as error:
            trouble = error
    else:
        if trouble.kind == "different":
            return Agreement(said if _coarse_agreement(*pair) > _SURE else None)
        return Agreement(None, trouble=trouble)
    found = (here[0] + scene.shift[0], here[1] + scene.shift[1])
    distance = math.hypot(found[0] - said[0], found[1] - said[1])
    if distance < _SURE * math.hypot(*scene.error):
        return Agreement(said)
    return Agreement(found, off=distance > _LEAST_SHIFT)


def aligned(one: Frame, two: Frame, shift: tuple[float, float]) -> tuple[Frame, Frame]:
    """Cut both to the common field; the rest of a pixel by Fourier, which keeps noise white."""
    whole = [round(axis) for axis in shift]
    for axis, by in enumerate(whole):
        n = one.shape[axis] - abs(by)
        one = np.take(one, range(max(-by, 0), max(-by, 0) + n), axis)
        two = np.take(two, range(max(by, 0), max(by, 0) + n), axis)
    rest = [axis - by for axis, by in zip(shift, whole, strict=True)]
    if math.hypot(*rest) > _LEAST_FRACTION:
        from scipy.ndimage import fourier_shift

        mirrored = np.pad(two, _BORDER, mode="symmetric")
        moved = np.fft.ifft2(fourier_shift(np.fft.fft2(mirrored), [-axis for axis in rest])).real
        two = moved[2 * _BORDER : -2 * _BORDER, 2 * _BORDER : -2 * _BORDER].astype(np.float32)
        one = one[_BORDER:-_BORDER, _BORDER:-_BORDER]
    return one, two


def _coarse_agreement(one: Frame, two: Frame) -> float:
    """Return the correlation of all that is coarse, in its standard error under white noise."""
    means = [cells(frame, 2 * _CELL) for frame in (one, two)]
    a, b = (mean - mean.mean() for mean in means)
    power = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / math.sqrt(power) * math.sqrt(a.size) if power else 0.0


def cells(frame: Frame, side: int) -> NDArray[np.float64]:
    """Return the means over cells of a frame."""
    rows, columns = (length // side for length in frame.shape)
    cut = frame[: rows * side, : columns * side].reshape(rows, side, columns, side)
    means: NDArray[np.float64] = cut.mean(axis=(1, 3), dtype=np.float64)
    return means


def block_sums(image: NDArray[Any], n: int) -> Blocks:
    """Sum over n by n blocks of an image."""
    sums: Any = image
    for axis in (1, 0):  # rows are contiguous: along them first
        length = image.shape[axis]
        sums = np.add.reduceat(sums, np.arange(n) * length // n, axis=axis, dtype=np.float64)
    blocks: Blocks = sums.ravel()
    return blocks


def in_errors(blocks: Blocks) -> float:
    """Return the mean of the blocks in its standard errors."""
    deviation = float(blocks.std(ddof=1))
    if deviation == 0:
        return 0.0
    return float(blocks.mean()) / deviation * math.sqrt(len(blocks))
