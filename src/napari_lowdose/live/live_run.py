"""Denoise a running source, frame by frame, as long as it runs."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_lowdose.frames import is_constant
from napari_lowdose.image_or_pair import check_engine
from napari_lowdose.live.feed import Feed, IterableSource, LiveFrame, Source
from napari_lowdose.live.live_training import LiveTraining
from napari_lowdose.live.recorder import MAX_BYTES, TIME_TO_CLOSE, Recorder
from napari_lowdose.live.ring_buffer import RingBuffer
from napari_lowdose.live.running_mean import RunningMean
from napari_lowdose.live.split_views import SplitViews
from napari_lowdose.parameters import whole_number
from napari_lowdose.reucid import Reucid
from napari_lowdose.run import denoise_frame
from napari_lowdose.warned import OncePerKind, warnings_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.noise2noise import Noise2Noise

BUFFER = 32  # frames to keep by default
CONSTANT_FRAME = "the frame is constant: is the shutter closed?"


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveStep:
    """One frame of a running source, denoised.

    Attributes
    ----------
    frame : LiveFrame
        The raw frame.
    image : (Y, X) float32 array or None
        The denoised frame, in the units of the raw frame; None if it cannot be denoised.
    engine : str
        Title of the method that denoised it.
    message : str
        What the user should know now, for example how the training goes; may be empty.
    n_in, n_dropped : int
        Number of frames so far, and of those that were dropped because a newer one came.
    finished : float
        Time at which the image was finished, `time.perf_counter`, seconds.
    """

    frame: LiveFrame
    image: NDArray[np.float32] | None
    engine: str
    message: str
    n_in: int
    n_dropped: int
    finished: float

    @property
    def problem(self) -> str:
        """What is wrong with the frame; empty if `message` says something else."""
        return self.message if self.image is None or self.message == CONSTANT_FRAME else ""

    @property
    def latency(self) -> float:
        """Time from the arrival of the raw frame to its denoised image, seconds."""
        return self.finished - self.frame.arrived

    @property
    def fraction(self) -> float:
        """Always 0: a running source has no known end."""
        return 0.0


class LiveRun:
    """A running source and the engine that denoises it: iterate to advance.

    Parameters
    ----------
    frames : iterable of (Y, X) array, or Source
        An iterable is read in a thread of its own; it may wait for each frame.
    engine : Engine
        Method for single images: `Reucid`, or a trained network.
    newest : bool
        If True, the source never waits: frames for which there is no time are dropped.
        If False, every frame is denoised, and the source waits.
    n_buffer : int
        Number of last raw frames to keep, for training and to look back.
    independent : bool
        If True, each frame is denoised without what was found in earlier ones, as by `denoise`.
        Slower, and the result does not depend on where the run begins.

    Attributes
    ----------
    buffer : RingBuffer
        The last raw frames.
    feed : Feed
        Counts the frames.
    source : Source
    training : LiveTraining or None
    recorder : Recorder or None
        The recording, also after it has ended.

    Raises
    ------
    ValueError
        If the engine takes a pair, or is a network that sees neighbouring frames, or `frames` is a
        path.
    """

    def __init__(
        self,
        frames: Iterable[Any] | Source,
        engine: Engine | None = None,
        *,
        newest: bool = True,
        n_buffer: int = BUFFER,
        independent: bool = False,
    ) -> None:
        if isinstance(frames, (str, os.PathLike)):
            raise ValueError(
                f"The frames are a path, {str(frames)!r}: give "
                "napari_lowdose.live.source_for(path)."
            )
        engine = Reucid() if engine is None else engine
        check_engine(engine)
        if engine.takes == "pair":
            raise ValueError(
                "A running source gives single frames: start with Reucid() or a trained network, "
                "and call train() to train one on its last frames."
            )
        if engine.model is not None and engine.model.neighbours(1, 3):
            raise ValueError(
                "This network sees the frames before and after each frame, and those of a running "
                "source come one by one: use a network that was trained with context=0."
            )
        self.engine = engine
        self._independent = independent
        source: Any = frames if hasattr(frames, "start") else IterableSource(frames)
        self.source: Source = source
        self.feed = Feed(newest=newest)
        self.buffer = RingBuffer(whole_number("n_buffer", n_buffer, 1))
        self.training: LiveTraining | None = None
        self.recorder: Recorder | None = None
        self.feed.watch(self.buffer.put)
        self.feed.watch(self._record_raw)

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the raw frames at which the results begin; see `SplitViews`."""
        return self.engine.origin if isinstance(self.engine, SplitViews) else (0, 0)

    def train(self, engine: Noise2Noise | None = None, n_pairs: int = 1) -> None:
        """Train a network on the last frames, while the run goes on.

        From the moment at which it is better than `engine`, it denoises the frames.

        Parameters
        ----------
        engine : Noise2Noise, optional
            Parameters of the training.
        n_pairs : int
            Number of pairs of successive frames.

        Raises
        ------
        ValueError
            If the buffer is too small for the pairs, the engine averages frames, or the network
            would see neighbouring frames.
        """
        if isinstance(self.engine, RunningMean):
            raise ValueError(
                "A running mean cannot be compared with a network, because it mixes the frames: "
                "start with Reucid()."
            )
        if self.training is not None:
            self.training.close()
        self.training = LiveTraining(self.buffer, self.engine, engine, n_pairs)
        self.training.start()

    def stop_training(self) -> None:
        """End the training; the network so far goes on while it is the better one."""
        if self.training is not None:
            self.training.stop()

    def record(
        self,
        path: str | os.PathLike[str],
        *,
        raw: bool = True,
        clean: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> Recorder:
        """Record the frames from now on, before the run begins or while it goes on.

        An error of the disk ends the recording, not the run.

        Parameters
        ----------
        path, raw, clean, max_bytes
            See `Recorder`.

        Returns
        -------
        Recorder
            Tells how it goes.

        Raises
        ------
        FileExistsError
            If anything is at the path.
        OSError
            If the folder cannot be written.
        ValueError
            If the run has ended.
        """
        if self.feed.closed:
            raise ValueError("There is nothing to record: the run has ended. Start it again first.")
        recorder = Recorder(path, raw=raw, clean=clean, max_bytes=max_bytes)
        self.stop_recording(wait=False)
        self.recorder = recorder
        return recorder

    def stop_recording(self, timeout: float = TIME_TO_CLOSE, *, wait: bool = True) -> str:
        """End the recording, from any thread; so does the end of the run.

        Parameters
        ----------
        timeout, wait
            See `Recorder.close`.

        Returns
        -------
        str
            What is written, and what is missing; empty if nothing was recorded.
        """
        return "" if self.recorder is None else self.recorder.close(timeout, wait=wait)

    def stop(self) -> None:
        """End the run, from any thread."""
        self.feed.close()

    def __iter__(self) -> Iterator[LiveStep]:
        """Denoise frames until the source ends, or `stop` is called.

        Yields
        ------
        LiveStep

        Raises
        ------
        Exception
            The error with which the source ended.

        Warns
        -----
        UserWarning
            Of what may mislead in the frames; once and not with every frame, unless they are
            independent.
        """
        engine, shape = self.engine, None
        warn_once = OncePerKind()
        with ExitStack() as ending:  # the last one is called first
            ending.callback(self.stop_recording)
            self.source.start(self.feed)
            ending.callback(self.source.stop)
            ending.callback(self._close_training)
            ending.callback(self.feed.close)
            for frame in self.feed:
                with nullcontext() if self._independent else warnings_to(warn_once):
                    if frame.pixels.shape != shape:
                        engine, shape = self._engine_for(frame), frame.pixels.shape
                    chosen = (self.training and self.training.winner) or engine
                    image, message = _denoised(chosen, frame)
                if not message and self.training is not None:
                    message = self.training.message
                step = LiveStep(
                    frame=frame,
                    image=image,
                    engine=chosen.title,
                    message=message,
                    n_in=self.feed.n_in,
                    n_dropped=self.feed.n_dropped,
                    finished=time.perf_counter(),
                )
                if self.recorder is not None:
                    self.recorder.put_clean(step, self.engine if chosen is engine else chosen)
                yield step

    def _engine_for(self, frame: LiveFrame) -> Engine:
        engine = self.engine.with_pixel_size(*self._pixel_size(frame))
        return engine if self._independent else engine.for_live()

    def _close_training(self) -> None:
        if self.training is not None:
            self.training.close()

    def _record_raw(self, frame: LiveFrame) -> None:
        if self.recorder is not None:
            self.recorder.pixel_size, self.recorder.unit = self._pixel_size(frame)
            self.recorder.put_raw(frame)

    def _pixel_size(self, frame: LiveFrame) -> tuple[tuple[float, float] | None, str | None]:
        known = frame if frame.pixel_size is not None else self.source
        return known.pixel_size, known.unit


def _denoised(engine: Engine, frame: LiveFrame) -> tuple[NDArray[np.float32] | None, str]:
    """Return the denoised frame and an empty message, or None and what is wrong."""
    try:
        if is_constant(frame.pixels):  # a closed shutter
            same = engine.constant_frame(frame.pixels)
            return same, CONSTANT_FRAME
        return denoise_frame(engine, 0, (), (frame.pixels,)), ""
    except ValueError as error:  # the next frame may be better
        return None, str(error)


def denoise_live(
    frames: Iterable[Any] | Source,
    engine: Engine | None = None,
    *,
    newest: bool = False,
    train: Noise2Noise | None = None,
) -> Iterator[LiveStep]:
    """Denoise a running source, frame by frame.

    Parameters
    ----------
    frames : iterable of (Y, X) array, or Source
        An iterable is read in a thread of its own; it may wait for each frame.
    engine : Engine, optional
        Method for single images: by default ``Reucid()``.
    newest : bool
        Drop frames for which there is no time, so that the source never waits.  By default every
        frame is denoised.
    train : Noise2Noise, optional
        Train a network with these parameters on the first two frames meanwhile, and use it as
        soon as it is the better one.

    Yields
    ------
    LiveStep

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import denoise_live
    >>> rng = np.random.default_rng(0)
    >>> scene = 9 + 6 * np.cos(np.arange(64) / 2)
    >>> camera = (rng.poisson(scene, (64, 64)) for _ in range(3))
    >>> [step.image.shape for step in denoise_live(camera)]
    [(64, 64), (64, 64), (64, 64)]
    """
    run = LiveRun(frames, engine, newest=newest)
    if train is not None:
        run.train(train)
    yield from run
