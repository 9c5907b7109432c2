"""Some frames of a movie, as a movie of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import frame_name
from napari_lowdose.image_or_pair import frame_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class PartOfMovie:
    """An array (N, Y, X) of which nothing is read before it is used.

    Parameters
    ----------
    movie : (..., Y, X) array
    numbers : sequence of int
        Which of its frames.

    Attributes
    ----------
    frame_names : sequence of str
        What each frame is called in the whole movie.

    Examples
    --------
    >>> part = PartOfMovie(np.arange(24).reshape(2, 3, 2, 2), [1, 4])
    >>> part.shape, part[(1,)].tolist(), part.frame_names[1]
    ((2, 2, 2), [[16, 17], [18, 19]], 'frame 5 of 6')
    """

    ndim = 3

    def __init__(self, movie: Any, numbers: Sequence[int]) -> None:
        self._movie, self._numbers = movie, numbers
        self._leading = tuple(movie.shape[:-2])
        self.shape = (len(numbers), *movie.shape[-2:])
        self.dtype = movie.dtype
        self.frame_names = _Names(self._leading, numbers)

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read one frame."""
        (k,) = index
        return np.asarray(self._movie[frame_index(self._numbers[k], self._leading)])


class _Names:
    """Made when asked for: a long movie has many."""

    def __init__(self, leading: tuple[int, ...], numbers: Sequence[int]) -> None:
        self._leading, self._numbers = leading, numbers

    def __getitem__(self, k: int) -> str:
        return frame_name(self._numbers[k], self._leading)
