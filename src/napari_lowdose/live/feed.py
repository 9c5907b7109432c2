"""Frames on their way from a running source to one reader.

The source never waits for the reader: the reader takes the newest frame, and those that it had no
time for are dropped and counted.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_lowdose.io.arrays import as_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_WAIT = 0.5  # seconds; on Windows Ctrl-C does not end a wait without a limit


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A frame as the source gave it.

    Attributes
    ----------
    pixels : (Y, X) array
        Not changed by anyone after it was put.
    number : int
        Number of the frame since the start, from 0; dropped frames count.
    arrived : float
        Time at which it was put, `time.perf_counter`, seconds.
    name : str
        Name of its file, if it comes from one.
    pixel_size : (float, float) or None
        Height and width of a pixel in `unit`, if they may differ from frame to frame.
    unit : str or None
    """

    pixels: NDArray[Any]
    number: int
    arrived: float
    name: str = ""
    pixel_size: tuple[float, float] | None = None
    unit: str | None = None


class Feed:
    """Queue of one frame between a source and its reader.

    The source calls `put`, and `end` after its last frame, in any thread.  The reader iterates in
    one other thread.

    Parameters
    ----------
    newest : bool
        If True, `put` replaces a frame that is not read yet.  If False, `put` waits until it is
        read, so that no frame is dropped.

    Attributes
    ----------
    n_in, n_dropped : int
        Number of frames put, and of those that were replaced before they were read.
    newest : bool
        As given; a source that cannot wait, such as a microscope, sets it to True.
    closed : bool
        True once the reader wants no more frames; the source stops then.
    """

    def __init__(self, *, newest: bool = True) -> None:
        self.n_in = 0
        self.n_dropped = 0
        self.closed = False
        self.newest = newest
        self._frame: LiveFrame | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._watchers: list[Callable[[LiveFrame], None]] = []
        self._changed = threading.Condition()

    def watch(self, watcher: Callable[[LiveFrame], None]) -> None:
        """Call `watcher` with every frame, dropped ones included, in the thread of the source.

        It must return at once.
        """
        self._watchers.append(watcher)

    def put(
        self,
        pixels: NDArray[Any],
        name: str = "",
        pixel_size: tuple[float, float] | None = None,
        unit: str | None = None,
    ) -> None:
        """Hand over a frame.

        Parameters
        ----------
        pixels : (Y, X) array
            Not a buffer that the source fills again: give a copy of it.
        name, pixel_size, unit : optional
            See `LiveFrame`.
        """
        arrived = time.perf_counter()
        with self._changed:
            while not self.newest and self._frame is not None and not self.closed:
                self._changed.wait()
            if self.closed or self._ended:
                return
            frame = LiveFrame(pixels, self.n_in, arrived, name, pixel_size, unit)
            for watcher in self._watchers:  # before the reader, who may end the run with it
                watcher(frame)
            self.n_in += 1
            self.n_dropped += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no frame will follow, because of `error` if there was one."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Say that the reader wants no more frames; its iteration ends."""
        with self._changed:
            self.closed = True
            self._watchers.clear()  # a run that is over would keep its camera
            self._changed.notify_all()

    def __iter__(self) -> Iterator[LiveFrame]:
        """Yield the newest frame each time, until the source ends; wait for it if necessary.

        Raises
        ------
        Exception
            The error with which the source ended, after its last frame.
        """
        while True:
            with self._changed:
                while self._frame is None and not self._ended and not self.closed:
                    self._changed.wait(_WAIT)
                if self.closed:
                    return
                frame, self._frame = self._frame, None
                self._changed.notify_all()
            if frame is None:
                if self._error is not None:
                    raise self._error
                return
            yield frame


class Source(Protocol):
    """Origin of frames: a camera, a layer, a folder, any iterable.

    Attributes
    ----------
    pixel_size : tuple of float or None
        Height and width of a pixel; None if unknown.  Known after `start`.
    unit : str or None
        Unit of `pixel_size`, for example "nm".
    """

    pixel_size: tuple[float, float] | None
    unit: str | None

    def start(self, feed: Feed) -> None:
        """Begin to put frames; return at once."""

    def stop(self) -> None:
        """Put no more frames, and release the device or file; wait for a thread only briefly."""


class IterableSource:
    """Frames of a Python iterable, read in a thread of its own.

    Parameters
    ----------
    frames : iterable of (Y, X) array-like
        May wait for each frame, as a generator that reads a camera does.  The frames of a lazy
        movie (dask, zarr) are read one by one.
    """

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None

    def __init__(self, frames: Any) -> None:
        self._frames = frames

    def start(self, feed: Feed) -> None:
        """Begin to read; see `Source.start`."""
        self._feed = feed
        threading.Thread(target=self._read, args=(feed,), name="live source", daemon=True).start()

    def stop(self) -> None:
        """Stop before the next frame; see `Source.stop`."""
        self._feed.close()

    def _read(self, feed: Feed) -> None:
        try:
            for pixels in self._frames:
                if feed.closed:
                    break
                feed.put(np.asarray(as_image(pixels, "the frame")))
        except Exception as error:  # told to the reader
            feed.end(error)
        else:
            feed.end()
