"""The last frames of a running source."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.live.feed import LiveFrame


class RingBuffer:
    """The last n raw frames, of one shape and dtype.

    Parameters
    ----------
    n : int
        Maximum number of frames, at least 1.

    Attributes
    ----------
    n : int
    nbytes : int
        Memory of the frames so far, bytes.

    Examples
    --------
    >>> from napari_lowdose.live.feed import LiveFrame
    >>> buffer = RingBuffer(2)
    >>> for number in range(3):
    ...     buffer.put(LiveFrame(np.full((4, 4), number), number, 0.0))
    >>> buffer.last(2)[:, 0, 0].tolist()
    [1, 2]
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._frames: deque[LiveFrame] = deque(maxlen=n)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def nbytes(self) -> int:
        """Memory of the frames so far, bytes."""
        with self._lock:
            return sum(frame.pixels.nbytes for frame in self._frames)

    def put(self, frame: LiveFrame) -> None:
        """Append a frame, and drop the oldest one if the buffer is full.

        A frame of another shape or dtype empties the buffer first.
        """
        with self._lock:
            last = self._frames[-1].pixels if self._frames else frame.pixels
            if (last.shape, last.dtype) != (frame.pixels.shape, frame.pixels.dtype):
                self._frames.clear()
            self._frames.append(frame)

    def frames(self, n: int | None = None) -> list[LiveFrame]:
        """Return the last n frames, by default all, the oldest one first."""
        with self._lock:
            return list(self._frames)[-n if n else None :]

    def last(self, n: int | None = None) -> NDArray[np.generic]:
        """Return a copy of the pixels of the last n frames, (T, Y, X), the oldest one first.

        Raises
        ------
        ValueError
            If there is no frame yet.
        """
        frames = self.frames(n)
        if not frames:
            raise ValueError("There is no frame yet.")
        return np.stack([frame.pixels for frame in frames])
