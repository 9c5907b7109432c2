"""Reading frames of a zarr array, with errors that name missing and damaged frames."""

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


def as_zarr_frames(array: Any) -> Any:
    """Wrap a zarr array on disk in `ZarrFrames`; return any other array unchanged."""
    in_folder = hasattr(array, "store_path") and hasattr(array.store, "root")
    return ZarrFrames(array) if in_folder and array.ndim >= 2 else array


class ZarrFrames:
    """A lazy view of a zarr array with reordered axes, where missing chunks are errors.

    zarr fills missing chunks with a constant.  A lost file would then look like a black frame, so
    reading a missing chunk raises an error here.

    Parameters
    ----------
    array : zarr.Array
        An array in a folder, with two or more axes.
    order : tuple of int, optional
        Order of the axes, rows and columns last; by default as they are stored.

    Raises
    ------
    DamagedFrame
        On indexing, if a chunk is missing or cannot be decoded.
    """

    def __init__(self, array: Any, order: tuple[int, ...] | None = None) -> None:
        self._array = array
        self._order = order = order or tuple(range(array.ndim))
        self.ndim = array.ndim
        self.dtype = array.dtype
        self.shape = tuple(array.shape[axis] for axis in order)
        self.chunks = tuple(array.chunks[axis] for axis in order)

    def lazy(self) -> Any:
        """Return a dask array with the chunks of the zarr array."""
        import dask.array as da

        # name=False: to make a name, dask would hash the array
        return da.from_array(self, chunks=self.chunks, name=False)  # type: ignore[no-untyped-call]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole array."""
        return np.asarray(self[()], dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part of the array; `index` holds integers, slices and an ellipsis."""
        index = index if isinstance(index, tuple) else (index,)
        left_out = [slice(None)] * (self.ndim - len(index) + (... in index))
        ellipsis = index.index(...) if ... in index else len(index)
        index = (*index[:ellipsis], *left_out, *index[ellipsis + 1 :])
        # Slices only, as integers would remove axes before they can be transposed
        slices = [_as_slice(k, n) for k, n in zip(index, self.shape, strict=True)]
        ranges = [range(*k.indices(n)) for k, n in zip(slices, self.shape, strict=True)]
        stored = [slice(None)] * self.ndim
        for axis, part in zip(self._order, slices, strict=True):
            stored[axis] = part
        if all(ranges):
            self._check_chunks(ranges)
        try:
            block = np.asarray(self._array[tuple(stored)])
        except Exception as error:  # codecs raise exceptions of any type on a damaged file
            raise DamagedFrame(
                f"{self._name(ranges)}the zarr array is damaged here, copy it again ({error})."
            ) from error
        squeezed = tuple(slice(None) if isinstance(k, slice) else 0 for k in index)
        return block.transpose(self._order)[squeezed]

    def _check_chunks(self, ranges: list[range]) -> None:
        """Raise if the file of a chunk does not exist; `ranges` are not empty."""
        root = getattr(self._array.store, "root", None)
        if root is None:  # not in a folder
            return
        file_shape = self._array.shards or self._array.chunks  # a file holds a shard or a chunk
        spans: list[Any] = [()] * self.ndim
        for axis, along in zip(self._order, ranges, strict=True):
            side = file_shape[axis]
            spans[axis] = range(min(along) // side, max(along) // side + 1)
        for coordinates in itertools.product(*spans):
            key = self._array.metadata.encode_chunk_key(coordinates)
            if not Path(root, self._array.path, key).is_file():
                raise DamagedFrame(
                    f"{self._name(ranges)}the chunk {key} of the zarr array is missing: copy the "
                    "array again. (If the frame is empty on purpose, write it with "
                    "write_empty_chunks.)"
                )

    def _name(self, ranges: list[range]) -> str:
        """Return the frame numbers as the start of a message; empty for a single image."""
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
