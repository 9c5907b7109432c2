"""What every engine yields, and what an engine is.

An engine is a frozen dataclass of parameters whose `steps` is a generator.  To
cancel is to stop iterating: what was reached so far is kept.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One sign of life from an engine.

    Attributes
    ----------
    fraction : float
        How much of the whole work is done, 0 to 1.
    message : str
        What is being done, for a person.
    seconds_left : float or None
        Estimated time to the end, seconds; None while it cannot be told.
    image : (Y, X) float32 array or None
        The frame as denoised so far, in the input's units.  None for a step
        that only reports progress.
    index : tuple of int
        Which frame of a stack of frames `image` is: its index along each
        leading axis.  Empty for a single frame.
    """

    fraction: float
    message: str
    seconds_left: float | None = None
    image: NDArray[np.float32] | None = None
    index: tuple[int, ...] = ()

    @property
    def time_left(self) -> str:
        """The estimated time to the end for a person, "3 min left"; empty while unknown."""
        return "" if self.seconds_left is None else f"{duration(self.seconds_left)} left"

    def record(self) -> dict[str, Any]:
        """Return what this step did, as JSON-ready values; empty if nothing worth keeping."""
        return {}


def duration(seconds: float) -> str:
    """Return a time for a person.

    Examples
    --------
    >>> duration(0.4), duration(42.3), duration(80), duration(8000)
    ('1 s', '42 s', '1 min 20 s', '2 h 13 min')
    """
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Engine(Protocol):
    """A denoising method with its parameters set.

    Two things more an engine may have:

    ``takes``
        A class attribute, "image" (the default), "pair" or "either": what `steps` is given, an
        array (..., Y, X), or a tuple of two of the same shape.
    ``settle(*frames)``
        Returns the engine with everything decided that a few frames of a movie (`spread_over`)
        decide for all, so that its frames can be denoised one by one, anywhere.
    """

    def steps(self, image: Any) -> Iterator[Step]:
        """Denoise `image` (..., Y, X); the last step's image of each frame is the answer."""
        ...


def over_frames(
    image: Any,
    frame_steps: Callable[..., Iterator[Step]],
    of_constant: Callable[..., NDArray[np.float32]] | None = None,
) -> Iterator[Step]:
    """Run `frame_steps` on each frame over the last two axes of `image`.

    Frames are read one at a time, so that a lazy array (dask, zarr) never has to
    be in memory as a whole.

    Parameters
    ----------
    image : (..., Y, X) array, or pair (tuple) of them
        What has an attribute `frame_names`, one for each frame, is a part of a larger movie.
    frame_steps : callable
        Takes one (Y, X) frame, or the two of a pair, and yields its steps.

    of_constant : callable, optional
        Takes a constant frame, or the two of a pair, and returns it in the units of the result;
        by default it is left as it is.

    Yields
    ------
    Step
        The frame's own steps, with `index` set and `fraction` of the whole stack of frames.

    Raises
    ------
    ValueError
        What `frame_steps` raises, with the frame named.

    Warns
    -----
    UserWarning
        If a frame is constant: there is nothing to denoise in it.
    """
    exposures = image if isinstance(image, tuple) else (image,)
    leading = tuple(exposures[0].shape[:-2])
    n_frames = math.prod(leading)
    for number, index in enumerate(np.ndindex(leading)):
        frames = tuple(np.asarray(exposure[index]) for exposure in exposures)
        name = frame_name(number, leading)
        if hasattr(exposures[0], "frame_names"):
            name = exposures[0].frame_names[number]
        for step in one_frame(frames, name, frame_steps, of_constant):
            yield replace(step, index=index, fraction=(number + step.fraction) / n_frames)


def spread_over(leading: tuple[int, ...], most: int = 5) -> list[tuple[int, ...]]:
    """Return the indices of a few frames of a stack, the first and the last among them.

    They stand for the whole movie where one decision is made for all of its frames.

    Parameters
    ----------
    leading : tuple of int
        Shape of the stack without rows and columns.
    most : int
        How many, at most.

    Examples
    --------
    >>> spread_over((9,))
    [(0,), (2,), (4,), (6,), (8,)]
    """
    n_frames = math.prod(leading)
    numbers = np.linspace(0, n_frames - 1, min(most, n_frames)).astype(int)
    return [tuple(map(int, np.unravel_index(number, leading))) for number in numbers]


def frame_name(number: int, leading: tuple[int, ...]) -> str:
    """Return what frame `number` (from 0) is called for a person; empty if it is the only one."""
    n_frames = math.prod(leading)
    return f"frame {number + 1} of {n_frames}" if n_frames > 1 else ""


def one_frame(
    frames: tuple[NDArray[Any], ...],
    name: str,
    frame_steps: Callable[..., Iterator[Step]],
    of_constant: Callable[..., NDArray[np.float32]] | None = None,
) -> Iterator[Step]:
    """Run `frame_steps` on one frame of a stack, and say in messages and errors which it is.

    Parameters
    ----------
    frames : (Y, X) array each
        The frame, or the two of a pair.
    name : str
        From `frame_name`.  Where it is empty nothing is added and nothing caught.
    frame_steps : callable
        Takes `frames` and yields their steps.

    of_constant : callable, optional
        As in `over_frames`.

    Yields
    ------
    Step
        `fraction` is that of this frame.

    Raises
    ------
    ValueError
        What `frame_steps` raises, with the frame named.

    Warns
    -----
    UserWarning
        If the frame is constant: a shutter was closed, which is no reason to stop.
    """
    if not name:
        yield from frame_steps(*frames)
        return
    if all(is_constant(frame) for frame in frames):
        warnings.warn(f"{name} is constant and left as it is.", UserWarning, stacklevel=2)
        same = of_constant(*frames) if of_constant else np.asarray(frames[0], np.float32)
        yield Step(fraction=1.0, message=f"{name}: constant", image=same)
        return
    try:
        for step in frame_steps(*frames):
            yield replace(step, message=f"{name}: {step.message}")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def is_constant(frame: NDArray[Any]) -> bool:
    """Whether all pixels are equal, and a float32 result can hold them.

    Examples
    --------
    >>> is_constant(np.zeros((4, 4))), is_constant(np.full((4, 4), np.inf))
    (True, False)
    """
    if not frame.size or frame.dtype.kind not in "iuf":
        return False
    lowest = frame.min()
    return bool(lowest == frame.max() and abs(float(lowest)) <= np.finfo(np.float32).max)


def report(
    stage: Generator[float, None, T], start: float, end: float, message: str
) -> Generator[Step, None, T]:
    """Turn the fractions that a stage of an engine yields into steps; return its result.

    Parameters
    ----------
    stage : generator of float
        Yields its own fraction, 0 to 1, and returns its result.
    start, end : float
        The fractions of the whole work at which the stage begins and ends.
    message : str
    """
    part = rescale_progress(stage, start, end)
    return (yield from map_yields(part, lambda done: Step(fraction=done, message=message)))


def rescale_progress(
    stage: Generator[float, None, T], start: float, end: float
) -> Generator[float, None, T]:
    """Yield the fractions of a stage that is the part from `start` to `end` of a larger one."""
    return (yield from map_yields(stage, lambda done: start + done * (end - start)))


def map_yields(stage: Generator[A, None, T], change: Callable[[A], B]) -> Generator[B, None, T]:
    """Yield what `change` makes of each value that a stage yields; return the stage's result."""
    while True:
        try:
            value = next(stage)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        yield change(value)


def run_to_end(stage: Generator[Any, None, T]) -> T:
    """Run a stage to its end and return its result."""
    while True:
        try:
            next(stage)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


def on_one_blas_thread(steps: Iterator[Step]) -> Iterator[Step]:
    """Run through `steps` with BLAS on one thread.

    The threads of BLAS spin while they wait for each other: on two cores, one of which has
    something else to do, the many small products of an engine take several times as long.  The
    limit holds while a step is computed, never while its consumer has it.
    """
    controller = ThreadpoolController()
    try:
        while True:
            with one_blas_thread(controller):
                step = next(steps, None)
            if step is None:
                return
            yield step
    finally:
        if isinstance(steps, Generator):
            steps.close()


@contextmanager
def one_blas_thread(controller: ThreadpoolController | None = None) -> Iterator[None]:
    """Keep BLAS on one thread.

    The limit is the process's.  Frames may be denoised in several threads (dask does): the first
    that comes sets the limit, the last that goes lifts it.
    """
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _limit = (controller or ThreadpoolController()).limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.restore_original_limits()


_lock = threading.Lock()
_inside = 0  # how many are within `one_blas_thread`
_limit: Any = None
