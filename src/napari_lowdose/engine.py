"""The engine protocol: a denoising method with its parameters, and the steps that it yields.

An engine is a frozen dataclass of parameters.  `Engine.prepare` makes the decisions that need
several frames, such as training a network; after it every frame is independent of the others.
`Engine.frame_steps` is a generator that denoises one frame.  To cancel, stop iterating.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from napari_lowdose.versions import versions

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_lowdose.frames import ImageOrPair, Index

# The frames around a frame, (Y, X) arrays or the two of a pair, by their distance in time
Neighbours = Mapping[int, tuple["NDArray[Any]", ...]]

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class Step:
    """Progress report from an engine.

    Attributes
    ----------
    fraction : float
        Fraction of the work that is done, 0 to 1.
    message : str
        Current activity.
    seconds_left : float or None
        Estimated time to the end, seconds; None if unknown.
    image : (Y, X) float32 array or None
        The frame as denoised so far, in the input's units.
    index : tuple of int
        Index of the frame along the leading axes.  Empty for a single frame.
    model : Engine or None
        The trained model so far, in a step of training.
    """

    fraction: float
    message: str
    seconds_left: float | None = None
    image: NDArray[np.float32] | None = None
    index: Index = ()
    model: Any = None

    @property
    def time_left(self) -> str:
        """The estimated time to the end as text, "3 min left"; empty if unknown."""
        return "" if self.seconds_left is None else f"{duration(self.seconds_left)} left"

    def record(self) -> dict[str, Any]:
        """Return JSON-ready values to keep with the result; empty by default."""
        return {}


def duration(seconds: float) -> str:
    """Return a duration as text.

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


class Engine:
    """A denoising method with its parameters.

    Subclass it as a frozen dataclass and write `frame_steps`; everything else has a default.

    Attributes
    ----------
    title : str
        Name of the method.
    takes : "image", "pair" or "either"
        Input of the engine: an array (..., Y, X), a tuple of two of the same shape, or both.
    trains : bool
        Whether `prepare` trains a model on the pixels of the input.
    model : Engine or None
        The trained model that the engine applies, if any: it has a `record` of its training, can
        be saved, and is an engine, too.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from scipy.ndimage import median_filter
    >>> from napari_lowdose import denoise
    >>> @dataclass(frozen=True)
    ... class Median(Engine):
    ...     title = "Median"
    ...     size: int = 3
    ...
    ...     def frame_steps(self, frame):
    ...         image = median_filter(frame, self.size).astype("float32")
    ...         yield Step(fraction=1.0, message="done", image=image)
    >>> denoise(np.eye(8), Median(size=5)).max()
    np.float32(0.0)
    """

    title: ClassVar[str] = ""
    takes: ClassVar[Literal["image", "pair", "either"]] = "image"
    trains: ClassVar[bool] = False
    model: Any = None

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the fraction of the whole work that `prepare` is, 0 to 1."""
        return 0.0

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Decide everything that needs more than one frame.

        Parameters
        ----------
        given : ImageOrPair
            The whole input.

        Yields
        ------
        Step
            `fraction` is that of the preparation.

        Returns
        -------
        Engine
            Denoises each frame independently of the results of others, in any order and process.
        """
        return self
        yield  # a generator

    def for_frame(self, index: Index) -> Engine:
        """Return the prepared engine for the frame at `index`, for example for its channel."""
        return self

    def for_live(self) -> Engine:
        """Return the engine for the frames of a running source, which come one after the other.

        It may keep what it has found in earlier frames, and is as fast as it can be.
        """
        return self

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the other frames along time that a frame is denoised with.

        The answer is the same before and after `prepare`.

        Parameters
        ----------
        number : int
            Number of the frame along the first axis of the stack.
        n_frames : int
            Length of that axis; 1 for a single frame.

        Returns
        -------
        sequence of int
            Empty by default: each frame is denoised by itself.  Otherwise `frame_steps` also gets
            ``neighbours={distance: frames}``, with negative distances for earlier frames.  A
            single frame has none.
        """
        return ()

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Denoise one frame, step by step.

        Parameters
        ----------
        *frames : (Y, X) array
            The frame, or the two of a pair.

        Yields
        ------
        Step
            At least every 0.3 s.  The last one has the result as its `image`.

        Raises
        ------
        ValueError
            If the frame cannot be denoised; the sentence says why and what to do.
        """
        raise NotImplementedError

    def constant_frame(self, *frames: NDArray[Any]) -> NDArray[np.float32]:
        """Return the result for a constant frame of a stack, in the units of the result.

        Parameters
        ----------
        *frames : (Y, X) array

        Returns
        -------
        (Y, X) float32 array
        """
        return np.asarray(frames[0], np.float32)

    def load_model(self, path: Path) -> Any:
        """Load a model that training with this engine has saved."""
        raise NotImplementedError

    def with_pixel_size(self, pixel_size: tuple[float, float] | None, unit: str | None) -> Engine:
        """Return the engine for images of this pixel size; unchanged by default.

        Parameters
        ----------
        pixel_size : (float, float) or None
            Height and width of a pixel; None if unknown.
        unit : str or None
            Unit of `pixel_size`, for example "nm".

        Warns
        -----
        UserWarning
            If the engine does not suit images of this pixel size.
        """
        return self

    def with_model(self, model: Any) -> Engine:
        """Return the engine that goes on with the model that an interrupted run has trained."""
        return model  # type: ignore[no-any-return]

    def with_channel_axis(self, axis: int | None) -> Engine:
        """Return the engine for stacks with channels along an axis; unchanged by default.

        Parameters
        ----------
        axis : int or None
            Leading axis, as the layer or the file names it; None if it does not.
        """
        return self

    def with_training_of(self, model: Any) -> Engine:
        """Return the engine that trains `model` again, whatever ended the training."""
        return self

    def summary(self, records: Sequence[Mapping[str, Any]], model: Any) -> list[str]:
        """Summarise a run in a few words; empty by default.

        Parameters
        ----------
        records : sequence of dict
            `Step.record` of each step, with the step's `index`.
        model : Engine or None
            The model that was trained or applied.

        Returns
        -------
        list of str
            Parts of one line of text.
        """
        return []

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions as JSON-ready values."""
        fields: tuple[dataclasses.Field[Any], ...] = ()
        if dataclasses.is_dataclass(self):
            fields = dataclasses.fields(self)
        parameters = {field.name: getattr(self, field.name) for field in fields}
        return {
            "engine": type(self).__name__,
            "parameters": {name: v for name, v in parameters.items() if _is_plain(v)},
            "versions": versions("napari-lowdose", "numpy", "scipy", "scikit-image", "torch"),
        }


def _is_plain(value: Any) -> bool:
    """Whether JSON knows `value`: not the weights of a network."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float))


def seconds_left(begun: float, done: float, left: float) -> float | None:
    """Estimate the time to the end of some work from its pace so far.

    Parameters
    ----------
    begun : float
        `time.perf_counter` at the start.
    done, left : float
        Fractions of the work.

    Returns
    -------
    float or None
        Seconds; None if nothing is done yet.
    """
    return (time.perf_counter() - begun) / done * left if done > 0 else None


def report(
    stage: Generator[float, None, T], start: float, end: float, message: str
) -> Generator[Step, None, T]:
    """Turn the fractions that a stage of an engine yields into steps; return its result.

    Parameters
    ----------
    stage : generator of float
        Yields its own fraction, 0 to 1, and returns its result.
    start, end : float
        Fractions of the whole work at which the stage begins and ends.
    message : str
    """
    part = rescale_progress(stage, start, end)
    return (yield from map_yields(part, lambda done: Step(fraction=done, message=message)))


def rescale_progress(
    stage: Generator[float, None, T], start: float, end: float
) -> Generator[float, None, T]:
    """Rescale the fractions of a stage from 0..1 to `start`..`end`."""
    return (yield from map_yields(stage, lambda done: start + done * (end - start)))


def rescale_steps(
    steps: Generator[Step, None, T], start: float, end: float
) -> Generator[Step, None, T]:
    """Rescale the fractions of steps from 0..1 to `start`..`end`."""

    def rescaled(step: Step) -> Step:
        return dataclasses.replace(step, fraction=start + step.fraction * (end - start))

    return (yield from map_yields(steps, rescaled))


def map_yields(stage: Generator[A, None, T], change: Callable[[A], B]) -> Generator[B, None, T]:
    """Apply `change` to every value that a generator yields; return the generator's result."""
    try:
        while True:
            try:
                value = next(stage)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            yield change(value)
    finally:
        stage.close()  # `next` delegates no close, as `yield from` would


def within(
    context: Callable[[], AbstractContextManager[Any]], stage: Generator[A, None, T]
) -> Generator[A, None, T]:
    """Run a generator within a context, but never its consumer, who has each value outside of it.

    Examples
    --------
    >>> import decimal
    >>> def work():
    ...     yield decimal.getcontext().prec
    >>> [(prec, decimal.getcontext().prec) for prec in within(decimal.localcontext, work())]
    [(28, 28)]
    """
    try:
        while True:
            with context():
                try:
                    value = next(stage)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
            yield value
    finally:
        stage.close()


def run_to_end(stage: Generator[Any, None, T]) -> T:
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(stage)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
