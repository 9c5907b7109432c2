"""Run an engine over the frames of an image, and write the results to a sink.

Arrays, dask, zarr, clusters, the command line and the widgets all use the same loop.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from napari_lowdose.engine import Engine, Neighbours, Step, map_yields, rescale_steps, seconds_left
from napari_lowdose.error_line import one_line
from napari_lowdose.frames import ImageOrPair, frame_index, frame_name, is_constant
from napari_lowdose.image_or_pair import image_or_pair
from napari_lowdose.io.zarr_frames import DamagedFrame
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Frames = tuple["NDArray[Any]", ...]  # one (Y, X) array, or the two of a pair
Source = Frames | str  # the input of a frame, or its hash if another process has read it


class Sink(Protocol):
    """Destination of the frames of a result."""

    @property
    def image(self) -> Any:
        """The result so far, (..., Y, X)."""
        ...

    @property
    def shows_interim(self) -> bool:
        """Whether to write interim images of a frame, and previews of a training."""
        ...

    def resume(self) -> Generator[Step, None, Sequence[int] | None]:
        """Look for the result of an earlier run.

        Returns
        -------
        sequence of int or None
            Numbers of the missing frames; None if there is no earlier result.
        """
        ...

    def kept_model(self) -> Any:
        """Return the model trained by the earlier run; None if there is none."""
        ...

    def begin(self, prepared: Engine, record: dict[str, Any]) -> None:
        """Create the result, once the engine is prepared."""
        ...

    def write(self, number: int, image: NDArray[np.float32], source: Source | None) -> None:
        """Write frame `number` with its input `source`, which is None for interim images."""
        ...

    def end(self, finished: bool, record: dict[str, Any]) -> None:
        """Mark the result as finished, or keep its finished part."""
        ...


class ArraySink:
    """Result in memory.

    Parameters
    ----------
    given : ImageOrPair
        Until a frame is denoised, the result has its (first) input there, or NaN if it is lazy.
    """

    shows_interim = True

    def __init__(self, given: ImageOrPair) -> None:
        self._given = given
        self._image: NDArray[np.float32] | None = None

    @property
    def image(self) -> NDArray[np.float32]:
        """The result so far, (..., Y, X)."""
        if self._image is None:
            self._image = self._given.first_guess()
        return self._image

    def resume(self) -> Generator[Step, None, None]:
        """Return None: an array in memory has no earlier result."""
        return None
        yield  # makes this a generator

    def kept_model(self) -> None:
        """Return None: no model is kept."""

    def begin(self, prepared: Engine, record: dict[str, Any]) -> None:
        """Do nothing: the array is created when it is first used."""

    def write(self, number: int, image: NDArray[np.float32], source: Source | None) -> None:
        """Write an interim or final image into the array."""
        self.image[frame_index(number, self._given.leading)] = image

    def end(self, finished: bool, record: dict[str, Any]) -> None:
        """Do nothing: the array is complete at any time."""


class Run:
    """A run of an engine on an image or a pair: iterate to advance, read `image` at any time.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        NumPy, dask or zarr array.  Each frame, the last two axes, is denoised separately.  A tuple
        is a pair: two exposures of the same scene.
    engine : Engine
        Denoising method with its parameters, for example ``Reucid()``.
    sink : Sink, optional
        Destination of the frames; by default an array in memory.

    Attributes
    ----------
    input : array, or tuple of two
    image : (..., Y, X) float32 array
        The result so far.  Frames not reached yet show the (first) input, or NaN where the
        input is lazy (dask, zarr) and has not been read.
    model : Noise2NoiseModel or None
        The applied network, or the best network of the training so far.
    prepared : Engine or None
        The engine returned by `Engine.prepare`; None until then.
    finished : bool
        True once every frame is written.

    Raises
    ------
    ValueError
        If the engine takes a pair and the input is a single image, or the reverse.
    """

    def __init__(self, image: Any, engine: Engine, sink: Sink | None = None) -> None:
        self._given = image_or_pair(image, engine)
        self.input = self._given.given
        self.engine = engine
        self.sink: Sink = sink or ArraySink(self._given)
        self.finished = False
        self.model: Any = None
        self.prepared: Engine | None = None
        self._records: list[dict[str, Any]] = []
        self._resumed_at = 0.0  # fraction of the work done by an earlier run

    @property
    def image(self) -> Any:
        """The result so far, in the input's shape and units."""
        return self.sink.image

    def __iter__(self) -> Generator[Step, None, None]:
        """Yield the engine's steps; `seconds_left` is estimated from the pace so far."""
        self.finished = False
        self.model = self.engine.model
        self._records.clear()
        self._resumed_at = 0.0
        begun = time.perf_counter()
        for step in self._steps():
            # The pace is that of this run: frames of an earlier run took none of its time.
            if step.seconds_left is None:
                left = seconds_left(begun, step.fraction - self._resumed_at, 1 - step.fraction)
                step = dataclasses.replace(step, seconds_left=left)
            if record := step.record():
                self._records.append({"index": list(step.index), **record})
            yield step

    def record(self) -> dict[str, Any]:
        """Return JSON-ready values: engine, parameters, versions, steps, and training if any."""
        return {
            **self.engine.about(),
            "finished": self.finished,
            "input": self._given.about(),
            "steps": list(self._records),
            **({} if self.model is None else {"training": dict(self.model.record)}),
        }

    def _steps(self) -> Iterator[Step]:
        missing = yield from self.sink.resume()
        numbers: Sequence[int] = range(self._given.n_frames) if missing is None else missing
        self._resumed_at = 1 - len(numbers) / self._given.n_frames
        share = 0.0 if missing is not None else self.engine.preparation_share(self._given)
        if numbers:
            prepared = yield from self._prepare(share, resumed=missing is not None)
            self.sink.begin(prepared, self.record())
            self.prepared = prepared
        else:  # all frames are finished already
            self.model = self.sink.kept_model() or self.engine.model
        try:
            if numbers:
                for step in self._denoised(prepared, numbers):
                    yield dataclasses.replace(step, fraction=share + (1 - share) * step.fraction)
            self.finished = True
        finally:  # also if the caller stops iterating: finished frames are kept
            self.sink.end(self.finished, self.record())

    def _denoised(self, prepared: Engine, numbers: Sequence[int]) -> Iterator[Step]:
        """Denoise frames and write them."""
        n, leading = self._given.n_frames, self._given.leading
        done = n - len(numbers)
        for number, step, source in self._frames(prepared, numbers):
            finished = source is not None
            if step.image is not None and (finished or self.sink.shows_interim):
                self.sink.write(number, step.image, source)
            elif step.image is not None:
                step = dataclasses.replace(step, image=None)
            done += finished
            fraction = (done + (0.0 if finished else step.fraction)) / n
            yield dataclasses.replace(step, index=frame_index(number, leading), fraction=fraction)

    def _prepare(self, share: float, resumed: bool) -> Generator[Step, None, Engine]:
        """Prepare the engine, with the model that an earlier run trained if there is one."""
        engine = self.engine
        # Training again could give another network, and frames that do not match the earlier ones.
        if resumed and (model := self.sink.kept_model()) is not None:
            self.model = model
            engine = engine.with_model(model)

        def seen(step: Step) -> Step:
            self.model = step.model or self.model
            if step.image is not None and self.sink.shows_interim:
                self.image[step.index] = step.image
            return step

        steps = rescale_steps(engine.prepare(self._given), 0.0, share)
        prepared = yield from map_yields(steps, seen)
        self.model = prepared.model or self.model
        return prepared

    def _frames(
        self, prepared: Engine, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Step, Source | None]]:
        """Denoise frames one after the other.

        Yields
        ------
        number : int
        step : Step
            `fraction` is that of the frame.
        source : tuple of (Y, X) arrays, str, or None
            Input of the frame, with its last step only.
        """
        for number in numbers:
            frames = read_frames(self._given, number)
            around = read_neighbours(prepared, self._given, number)
            last = None
            for step in frame_steps(prepared, number, self._given.leading, frames, around):
                if last is not None:
                    yield number, last, None
                # Only the last step of a frame comes with its input, which marks it as finished.
                # A step is held back if it may be the last one.
                last = step if step.fraction >= 1 or not self.sink.shows_interim else None
                if last is None:
                    yield number, step, None
            if last is not None:
                yield number, last, made_from(frames, around)


def read_frames(given: ImageOrPair, number: int) -> Frames:
    """Read one frame, or the two of a pair.

    Raises
    ------
    ValueError
        If the frame cannot be read; the message names it.
    """
    try:
        return given.frames(frame_index(number, given.leading))
    except (DamagedFrame, MemoryError):  # the message is clear already
        raise
    except Exception as error:  # a lazy array may raise anything
        raise unreadable(error, frame_name(number, given.leading)) from error


def neighbour_numbers(engine: Engine, number: int, leading: tuple[int, ...]) -> dict[int, int]:
    """Return the numbers of the frames that a frame is denoised with, by their distance in time.

    Time is the first axis of the stack.
    """
    if not leading:
        return {}
    t, rest = divmod(number, math.prod(leading[1:]))
    others = engine.neighbours(t, leading[0])
    return {other - t: other * math.prod(leading[1:]) + rest for other in others}


def read_neighbours(engine: Engine, given: ImageOrPair, number: int) -> Neighbours:
    """Read the frames that a frame is denoised with; empty if it is denoised by itself."""
    numbers = neighbour_numbers(engine, number, given.leading)
    return {distance: read_frames(given, other) for distance, other in numbers.items()}


def made_from(frames: Frames, neighbours: Neighbours) -> Frames:
    """Return all pixels that a result depends on: those of the frame, then of its neighbours."""
    return frames + tuple(each for around in neighbours.values() for each in around)


def split_neighbours(
    frames: Sequence[NDArray[Any]], distances: Sequence[int]
) -> tuple[Frames, Neighbours]:
    """Divide the pixels of `made_from` into those of the frame and those of its neighbours.

    Parameters
    ----------
    frames : sequence of (Y, X) arrays
    distances : sequence of int
        Distance in time of each neighbour.
    """
    n = len(frames) // (1 + len(distances))  # 1, or 2 of a pair
    own, *others = (tuple(frames[k : k + n]) for k in range(0, len(frames), n))
    return own, dict(zip(distances, others, strict=True))


def unreadable(error: BaseException, name: str) -> ValueError:
    """Return the error to raise for a frame of the input that cannot be read."""
    return ValueError(f"{name or 'the image'}: the input cannot be read ({one_line(error)}).")


def frame_steps(
    prepared: Engine,
    number: int,
    leading: tuple[int, ...],
    frames: Frames,
    neighbours: Neighbours | None = None,
) -> Iterator[Step]:
    """Denoise one frame of a stack; messages and errors name it.

    Parameters
    ----------
    prepared : Engine
        The engine returned by `Engine.prepare`.
    number : int
        Frame number in the stack.
    leading : tuple of int
        Shape of the stack without rows and columns.
    frames : tuple of (Y, X) arrays
        The frame, or the two of a pair.
    neighbours : mapping, optional
        The frames around it, if the engine asks for them; see `Engine.frame_steps`.

    Yields
    ------
    Step
        `fraction` is that of this frame.

    Raises
    ------
    ValueError
        As for `Engine.frame_steps`; the message names the frame.

    Warns
    -----
    UserWarning
        If the frame is constant, for example because a shutter was closed.  It is left as it is.
    """
    name = frame_name(number, leading)
    engine: Any = prepared.for_frame(frame_index(number, leading))
    # Engines that ask for no neighbours need not accept them
    around = {"neighbours": neighbours} if neighbours else {}
    if not name:
        yield from engine.frame_steps(*frames, **around)
        return
    if all(is_constant(frame) for frame in frames):
        warn(f"{name} is constant and left as it is.", stacklevel=2)
        same = engine.constant_frame(*frames)
        yield Step(fraction=1.0, message=f"{name}: constant", image=same)
        return
    try:
        for step in engine.frame_steps(*frames, **around):
            yield dataclasses.replace(step, message=f"{name}: {step.message}")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def denoise_frame(
    prepared: Engine,
    number: int,
    leading: tuple[int, ...],
    frames: Frames,
    neighbours: Neighbours | None = None,
) -> NDArray[np.float32]:
    """Denoise one frame of a stack to the end.

    Parameters
    ----------
    prepared, number, leading, frames, neighbours
        As for `frame_steps`.

    Returns
    -------
    (Y, X) float32 array
    """
    image = None
    for step in frame_steps(prepared, number, leading, frames, neighbours):
        image = step.image
    assert image is not None  # the last step of `Engine.frame_steps` has an image
    return image
