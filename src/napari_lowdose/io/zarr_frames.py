"""Frames of a zarr array: rows and columns last, and what is damaged is named."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import frame_name

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DamagedFrame(ValueError):
    """A frame that cannot be read; the message names it."""


def checked(array: Any) -> Any:
    """Return a zarr array in a folder as `ZarrFrames`; anything else as it is."""
    in_folder = hasattr(array, "store_path") and hasattr(array.store, "root")
    return ZarrFrames(array) if in_folder and array.ndim >= 2 else array


class ZarrFrames:
    """A zarr array whose axes are in another order; nothing of it is read before it is used.

    Zarr reads a chunk that is missing as if it were empty.  Here it is an error: a file that was
    lost and a frame that is black look the same.

    Parameters
    ----------
    array : zarr.Array
        In a folder.
    order : sequence of int, optional
        The axes of the array in the order that they are to have here; rows and columns last.

    Raises
    ------
    DamagedFrame
        On reading what is missing or cannot be decoded.
    """

    def __init__(self, array: Any, order: tuple[int, ...] | None = None) -> None:
        self._array = array
        self._order = order = order or tuple(range(array.ndim))
        self.ndim = array.ndim
        self.dtype = array.dtype
        self.shape = tuple(array.shape[axis] for axis in order)
        self.chunks = tuple(array.chunks[axis] for axis in order)

    def lazy(self) -> Any:
        """Return a dask array of it, in the array's own chunks."""
        import dask.array as da

        return da.from_array(self, chunks=self.chunks, name=False)  # type: ignore[no-untyped-call]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all of it."""
        return np.asarray(self[()], dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part of it, cut by whole numbers and slices."""
        index = index if isinstance(index, tuple) else (index,)
        left = [slice(None)] * (self.ndim - len(index) + (... in index))
        at = index.index(...) if ... in index else len(index)
        index = (*index[:at], *left, *index[at + 1 :])
        parts = [_as_slice(k, n) for k, n in zip(index, self.shape, strict=True)]
        ranges = [range(*k.indices(n)) for k, n in zip(parts, self.shape, strict=True)]
        stored = [slice(None)] * self.ndim
        for axis, part in zip(self._order, parts, strict=True):
            stored[axis] = part
        if all(ranges):
            self._refuse_missing(ranges)
        try:
            block = np.asarray(self._array[tuple(stored)])
        except Exception as error:  # a codec raises anything at all on a damaged file
            raise DamagedFrame(
                f"{self._name(ranges)}the zarr array is damaged here, copy it again ({error})."
            ) from error
        squeezed = tuple(slice(None) if isinstance(k, slice) else 0 for k in index)
        return block.transpose(self._order)[squeezed]

    def _refuse_missing(self, ranges: list[range]) -> None:
        root = getattr(self._array.store, "root", None)
        if root is None:  # not in a folder
            return
        sides = self._array.shards or self._array.chunks  # of what a file holds
        spans: list[Any] = [()] * self.ndim
        for axis, along in zip(self._order, ranges, strict=True):
            spans[axis] = range(min(along) // sides[axis], max(along) // sides[axis] + 1)
        for place in itertools.product(*spans):
            key = self._array.metadata.encode_chunk_key(place)
            if not Path(root, self._array.path, key).is_file():
                raise DamagedFrame(
                    f"{self._name(ranges)}the chunk {key} of the zarr array is missing: copy the "
                    "array again. (A frame that is empty on purpose has to be written with "
                    "write_empty_chunks.)"
                )

    def _name(self, ranges: list[range]) -> str:
        """Return which frames these are, for the beginning of a sentence."""
        leading = self.shape[:-2]
        first, last = (
            int(np.ravel_multi_index([end(along) for along in ranges[:-2]], leading))
            if leading
            else 0
            for end in (min, max)
        )
        name = frame_name(last, leading)
        if not name:
            return ""
        if first != last:
            name = name.replace("frame ", f"frames {first + 1} to ")
        return f"{name}: "


def _as_slice(part: Any, n: int) -> slice:
    if isinstance(part, slice):
        return part
    if not -n <= part < n:
        raise IndexError(f"index {part} is out of bounds for an axis of {n}")
    return slice(part % n, part % n + 1)
