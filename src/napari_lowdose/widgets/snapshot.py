# mypy: allow-untyped-calls
"""The pixels of a layer as they were when a run took them, whatever becomes of them since."""

from __future__ import annotations

import threading
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COPIED = 2**26  # bytes that are copied at once: more would hold up the user interface
KEPT = 2**28  # bytes of larger or lazy data that are kept, once read


def snapshot(pixels: Any) -> Any:
    """Return `pixels` as they are now.

    Parameters
    ----------
    pixels : (..., Y, X) array
        NumPy or dask.

    Returns
    -------
    (..., Y, X) array
        A copy of what is in memory and small.  Of anything else a dask array that copies each
        frame when it is first read, and gives that copy ever after, or, where it was not kept
        because there are too many, refuses to read a frame that has changed.
    """
    lazy = not isinstance(pixels, np.ndarray) or isinstance(pixels, np.memmap)
    if not lazy and pixels.nbytes <= COPIED:
        return np.array(pixels, subok=True)  # a mask stays, and is refused
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
        if self._kept + frame.nbytes <= KEPT:
            self._kept += frame.nbytes
            self._frames[index] = frame
        return frame
