"""Frames of an image stack or of a pair of stacks: their index, their name and their pixels."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ImageOrPair:
    """One array (..., Y, X), or the two exposures of a pair.  No pixel is read on construction.

    Attributes
    ----------
    exposures : tuple of one or two (..., Y, X) arrays
    """

    exposures: tuple[Any, ...]

    @property
    def given(self) -> Any:
        """The array, or the tuple of two arrays."""
        return self.exposures if len(self.exposures) == 2 else self.exposures[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(self.exposures[0].shape)

    @property
    def leading(self) -> tuple[int, ...]:
        """Shape without rows and columns."""
        return self.shape[:-2]

    @property
    def n_frames(self) -> int:
        """Number of frames, or of pairs of frames."""
        return math.prod(self.leading)

    @property
    def in_memory(self) -> bool:
        """Whether every exposure is a NumPy array."""
        return all(isinstance(exposure, np.ndarray) for exposure in self.exposures)

    @property
    def is_dask(self) -> bool:
        """Whether any exposure is a dask array."""
        dask = sys.modules.get("dask.array")  # not loaded: nobody has such an array
        return dask is not None and any(isinstance(e, dask.Array) for e in self.exposures)

    def frames(self, index: Index) -> tuple[NDArray[Any], ...]:
        """Read the frame at `index`: one (Y, X) array, or the two of a pair."""
        return tuple(np.asarray(exposure[index]) for exposure in self.exposures)

    def first_guess(self) -> NDArray[np.float32]:
        """Return the (first) input as float32, or NaN if it is lazy."""
        if isinstance(self.exposures[0], np.ndarray):
            return self.exposures[0].astype(np.float32)
        # Reading a lazy movie here would read it twice
        return np.full(self.shape, np.nan, np.float32)

    def about(self) -> dict[str, Any]:
        """Return shape and dtype as JSON-ready values, for a pair those of both exposures."""
        each = [{"shape": list(e.shape), "dtype": str(e.dtype)} for e in self.exposures]
        return dict(zip(("first", "second"), each, strict=True)) if len(each) == 2 else each[0]


def frame_index(number: int, leading: tuple[int, ...]) -> Index:
    """Return the index of frame `number` along the leading axes.

    Examples
    --------
    >>> frame_index(4, (2, 3))
    (1, 1)
    """
    return tuple(map(int, np.unravel_index(number, leading))) if leading else ()


def frame_name(number: int, leading: tuple[int, ...]) -> str:
    """Return a frame's name for messages, or "" for a single frame.

    Examples
    --------
    >>> frame_name(4, (2, 3)), frame_name(0, ())
    ('frame 5 of 6', '')
    """
    n_frames = math.prod(leading)
    return f"frame {number + 1} of {n_frames}" if n_frames > 1 else ""


def spread_over(leading: tuple[int, ...], most: int = 5) -> list[Index]:
    """Return the indices of a few frames spread over a stack, including the first and the last.

    Parameters
    ----------
    leading : tuple of int
        Shape of the stack without rows and columns.
    most : int
        Maximum number of frames.

    Examples
    --------
    >>> spread_over((9,))
    [(0,), (2,), (4,), (6,), (8,)]
    """
    n_frames = math.prod(leading)
    numbers = np.linspace(0, n_frames - 1, min(most, n_frames)).astype(int)
    return [frame_index(number, leading) for number in numbers]


def evenly_spaced(n: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `n`, including 0 and the last.

    Examples
    --------
    >>> evenly_spaced(12, 4), evenly_spaced(3, 4)
    ([0, 4, 7, 11], [0, 1, 2])
    """
    return [int(k) for k in np.linspace(0, n - 1, min(n, most)).round()]


def is_constant(frame: NDArray[Any]) -> bool:
    """Whether all pixels are equal and fit into float32.

    Examples
    --------
    >>> is_constant(np.zeros((4, 4))), is_constant(np.full((4, 4), np.inf))
    (True, False)
    """
    if not frame.size or frame.dtype.kind not in "iuf":
        return False
    lowest = frame.min()
    return bool(lowest == frame.max() and abs(float(lowest)) <= np.finfo(np.float32).max)
