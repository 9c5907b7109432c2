# mypy: allow-untyped-calls
"""Protect the input of a run from later changes of the layer data."""

from __future__ import annotations

import threading
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COPY_BYTES = 2**26  # bytes to copy at once: more would block the user interface
MAX_FRAMES_BYTES = 2**28  # bytes of larger or lazy data to keep once they are read


def snapshot(pixels: Any) -> Any:
    """Return a snapshot of `pixels`.

    Parameters
    ----------
    pixels : (..., Y, X) array
        NumPy or dask.

    Returns
    -------
    (..., Y, X) array
        A copy of small arrays in memory.  For other arrays, a dask array that copies each frame
        when it is first read, and returns that copy afterwards.  If there are too many frames
        to keep, it refuses to read a frame that has changed.
    """
    lazy = not isinstance(pixels, np.ndarray) or isinstance(pixels, np.memmap)
    if not lazy and pixels.nbytes <= MAX_COPY_BYTES:
        return np.array(pixels, subok=True)  # keeps a mask, which the engine refuses
    leading = tuple(pixels.shape[:-2])
    return da.map_blocks(
        _FramesAsRead(pixels).read,
        chunks=(*((1,) * n for n in leading), *((n,) for n in pixels.shape[-2:])),
        dtype=pixels.dtype,
        meta=getattr(pixels, "_meta", np.empty((0,) * pixels.ndim, pixels.dtype)),
        name=f"snapshot-{uuid.uuid4().hex}",
    )


class _FramesAsRead:
    def __init__(self, movie: Any) -> None:
        self._movie = movie
        self._frames: dict[tuple[int, ...], NDArray[Any]] = {}
        self._checksums: dict[tuple[int, ...], int] = {}
        self._kept = 0
        self._lock = threading.Lock()

    def read(self, block_id: tuple[int, ...]) -> NDArray[Any]:
        """Return one frame, as a block of the movie."""
        index = tuple(block_id[:-2])
        with self._lock:
            frame = self._frames[index] if index in self._frames else self._read(index)
        return frame[(np.newaxis,) * len(index)]

    def _read(self, index: tuple[int, ...]) -> NDArray[Any]:
        read = self._movie[index]
        if isinstance(read, da.Array):
            read = read.compute()
        frame: NDArray[Any] = np.array(read, order="C", subok=True)
        checksum = zlib.crc32(np.asarray(frame).data)
        if self._checksums.setdefault(index, checksum) != checksum:
            raise ValueError(
                "the input has changed since it was denoised: denoise it again before you change "
                "its eigenpatches."
            )
        if self._kept + frame.nbytes <= MAX_FRAMES_BYTES:
            self._kept += frame.nbytes
            self._frames[index] = frame
        return frame
