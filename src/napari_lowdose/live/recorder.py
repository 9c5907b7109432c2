"""Record the raw and the denoised frames of a running source, without ever holding it up.

Frames wait in a queue of limited size for a thread that writes them.  Frames for which the disk is
too slow are left out, and their numbers are kept.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lowdose.live.growing_zarr import GrowingZarr, check_free
from napari_lowdose.streaming.output_folder import is_empty

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.live.feed import LiveFrame
    from napari_lowdose.live.live_run import LiveStep

MAX_BYTES = 256 * 2**20  # by default, of the frames that wait to be written
TIME_TO_CLOSE = 60.0  # seconds, by default


class Recorder:
    """Recording of a running source into OME-Zarr.

    Parameters
    ----------
    path : path
        Folder, ``.zarr``.  If both raw and denoised frames are recorded, "_raw" and "_clean" are
        added to its name.
    raw : bool
        Record the raw frames, with their values and dtype; see `put_raw`.
    clean : bool
        Record the denoised frames, float32; see `put_clean`.
    max_bytes : int
        Maximum memory of the frames that wait to be written, bytes.

    Attributes
    ----------
    raw, clean : Track or None
        What is written so far, and what is missing.
    pixel_size : (float, float) or None
        Height and width of a pixel, in `unit`; set by the run, for movies that begin from now on.
    unit : str or None
    error : Exception or None
        Error that has ended the recording.  What was written before it stays.
    writing : bool
        False once the recording has ended and everything is written.

    Raises
    ------
    FileExistsError
        If anything is at the path.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from napari_lowdose.live.feed import LiveFrame
    >>> recorder = Recorder(Path(tempfile.mkdtemp(), "movie.zarr"))
    >>> for number in range(3):
    ...     recorder.put_raw(LiveFrame(np.zeros((64, 64), "uint16"), number, 0.0))
    >>> recorder.close()
    '3 frames'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        raw: bool = True,
        clean: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not raw and not clean:
            raise ValueError("Choose what to record: the raw frames, the denoised ones, or both.")
        path, both = Path(path).resolve(), raw and clean
        self.raw = Track(_with_ending(path, "_raw") if both else path) if raw else None
        self.clean = Track(_with_ending(path, "_clean") if both else path) if clean else None
        for track in self._tracks():
            check_free(track.path)
        self.pixel_size: tuple[float, float] | None = None
        self.unit: str | None = None
        self.error: Exception | None = None
        self._max_bytes = max_bytes
        self._queue: deque[_Waiting] = deque()
        self._n_bytes = 0  # of the queue
        self._deadline: float | None = None  # None until it is closed
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    @property
    def writing(self) -> bool:
        """False once the recording has ended and everything is written."""
        return self._thread.is_alive()

    @property
    def summary(self) -> str:
        """What is written so far, and what is missing, in one line."""
        parts = [track.summary() for track in self._tracks()]
        if len(parts) == 2:
            parts = [f"raw: {parts[0]}", f"denoised: {parts[1]}"]
        if self.error is not None:
            parts.append(str(self.error))
        return "; ".join(parts)

    def put_raw(self, frame: LiveFrame) -> None:
        """Record a raw frame; return at once.

        Parameters
        ----------
        frame : LiveFrame
        """
        if self.raw is not None:
            self._put(self.raw, frame, frame.pixels, None)

    def put_clean(self, step: LiveStep, engine: Engine | None = None) -> None:
        """Record a denoised frame; return at once.

        Parameters
        ----------
        step : LiveStep
            Nothing is recorded if it has no image.
        engine : Engine, optional
            Engine that has denoised it, for the record in the metadata.
        """
        if self.clean is not None and step.image is not None:
            self._put(self.clean, step.frame, step.image, engine)

    def close(self, timeout: float = TIME_TO_CLOSE, *, wait: bool = True) -> str:
        """End the recording.

        Parameters
        ----------
        timeout : float
            Time to write the frames that wait, seconds; those that are left then are missed.
        wait : bool
            If False, return at once; `writing` says when everything is written.

        Returns
        -------
        str
            `summary`
        """
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + timeout
            self._changed.notify_all()
        if wait:
            self._thread.join(timeout + 1.0)  # not for ever, if the disk does not answer
            if self.writing:
                return f"{self.summary}; the disk does not answer: the last frames may be missing"
        return self.summary

    def _tracks(self) -> list[Track]:
        return [track for track in (self.raw, self.clean) if track is not None]

    def _put(
        self, track: Track, frame: LiveFrame, pixels: NDArray[Any], engine: Engine | None
    ) -> None:
        with self._changed:
            if self._deadline is not None:
                return
            full = self._queue and self._n_bytes + pixels.nbytes > self._max_bytes
            if full or self.error is not None:
                track.miss(frame.number)
                return
            calibration = self.pixel_size, self.unit
            self._queue.append(_Waiting(track, frame, pixels, calibration, engine))
            self._n_bytes += pixels.nbytes
            self._changed.notify_all()

    def _write(self) -> None:
        """Write the frames of the queue until the recording is closed."""
        try:
            while (waiting := self._next()) is not None:
                waiting.track.write(waiting)
        except Exception as error:  # kept for the reader, as the live view goes on
            assert waiting is not None
            self._end(error, waiting)
        else:
            self._end(None)

    def _next(self) -> _Waiting | None:
        """Wait for a frame; None if the recording is closed, and there is none or no time left."""
        with self._changed:
            while not self._queue and self._deadline is None:
                self._changed.wait()
            if not self._queue or (self._deadline and time.monotonic() > self._deadline):
                return None
            waiting = self._queue.popleft()
            self._n_bytes -= waiting.pixels.nbytes
            return waiting

    def _end(self, error: Exception | None, *unwritten: _Waiting) -> None:
        with self._changed:
            self.error = error
            for waiting in (*unwritten, *self._queue):
                waiting.track.miss(waiting.frame.number)
            self._queue.clear()
        for track in self._tracks():
            try:
                track.close(error)
            except Exception as another:  # the disk is full
                self.error = self.error or another


class Track:
    """The raw or the denoised frames of a recording.

    Parameters
    ----------
    path : Path
        Folder of the first movie.

    Attributes
    ----------
    paths : list of Path
        Folders of the movies so far: frames of another shape or dtype have one of their own.
    n_written, n_missed : int
        Number of frames that are written, and of those that are missing because the disk was too
        slow or failed.
    missed : list of [int, int]
        Numbers of the missing frames, as ranges: first and last number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.paths: list[Path] = []
        self.n_written = self.n_missed = 0
        self.missed: list[list[int]] = []
        self._movies: dict[Any, GrowingZarr] = {}
        self._engine: Engine | None = None
        self._history: list[dict[str, Any]] = []
        self._clock = time.time() - time.perf_counter()

    def summary(self) -> str:
        """Return what is written, in a few words."""
        missed = f", {self.n_missed} missed" if self.n_missed else ""
        return f"{self.n_written} frames{missed}"

    def miss(self, number: int) -> None:
        """Count a frame that is not written."""
        self.n_missed += 1
        if self.missed and self.missed[-1][1] == number - 1:
            self.missed[-1][1] = number
        else:
            self.missed.append([number, number])

    def write(self, waiting: _Waiting) -> None:
        """Append a frame to the movie of its shape and dtype."""
        frame, pixels = waiting.frame, waiting.pixels
        if waiting.engine is not None and waiting.engine is not self._engine:
            self._engine = waiting.engine
            self._history = _with_engine(self._history, waiting.engine, frame)
            for movie in self._movies.values():
                movie.update(history=self._history)
        kind = pixels.shape, pixels.dtype
        if kind not in self._movies:
            self._movies[kind] = self._begin(waiting)
        self._movies[kind].append(pixels, frame.number, frame.arrived + self._clock, frame.name)
        self.n_written += 1

    def close(self, error: Exception | None) -> None:
        """Finish the movies."""
        about: dict[str, Any] = {"n_missed": self.n_missed, "missed": self.missed}
        if error is not None:
            about["error"] = str(error)
        for movie in self._movies.values():
            movie.close(recording=about)

    def _begin(self, waiting: _Waiting) -> GrowingZarr:
        path, k = self.path, 1
        while self.paths and not is_empty(path):
            k += 1
            path = _with_ending(self.path, f"_{k}")
        pixel_size, unit = waiting.calibration
        shape, dtype = waiting.pixels.shape, waiting.pixels.dtype
        movie = GrowingZarr.create(
            path, shape, dtype, pixel_size=pixel_size, unit=unit, history=self._history
        )
        self.paths.append(path)
        return movie


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A frame that waits to be written."""

    track: Track
    frame: LiveFrame
    pixels: NDArray[Any]
    calibration: tuple[tuple[float, float] | None, str | None]
    engine: Engine | None


def _with_engine(
    history: list[dict[str, Any]], engine: Engine, frame: LiveFrame
) -> list[dict[str, Any]]:
    """Return the history with a record of the engine, which denoised from `frame` on.

    A network that is trained further has one record, its last.
    """
    raw = {"shape": list(frame.pixels.shape), "dtype": str(frame.pixels.dtype)}
    record = {**engine.about(), "input": raw, "first_frame": frame.number}
    if engine.model is not None:
        record["training"] = dict(engine.model.record)
    if history and history[-1]["engine"] == record["engine"]:
        return [*history[:-1], {**record, "first_frame": history[-1]["first_frame"]}]
    return [*history, record]


def _with_ending(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.stem}{ending}{path.suffix}")
