"""Run work in a thread, one job at a time: the only place that starts threads."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Protocol

from napari.qt.threading import WorkerBase
from napari.utils import progress
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QObject,
    QTimer,
    Signal,
)

from napari_lowdose.error_line import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

logger = logging.getLogger(__name__)

# A layer needs 8 to 22 ms for new data, and up to 85 ms for painting with software OpenGL.
# At 10 Hz, half of the time is left for the rest of the user interface.
PREVIEW_INTERVAL = 100  # milliseconds
LOOK = 60.0  # seconds between two looks at the number of long-lived objects
SHORT = 1.0  # seconds; shorter jobs would only flash up in the activity dock
UNITS = 1000  # of a progress bar
OUT_OF_MEMORY = "there is not enough memory: set a lower memory limit, or more stacks."


class Progress(Protocol):
    """A `Step`, or one of a running source (`LiveStep`)."""

    @property
    def fraction(self) -> float:
        """Fraction of the work that is done, 0 to 1."""


class JobError(Exception):
    """The reason why a job failed, as a sentence; the original exception is its cause."""


class Job(QObject):
    """Steps to run in a thread, and their outcome.

    All signals are emitted in the thread of the user interface.

    Parameters
    ----------
    steps : iterable of Progress
        A `Run`, or a generator.  Nothing of it runs before the job is started.  If the next step
        may not come for long, as of a running source, its method `stop()` ends the wait.
    parent : QObject, optional
    out_of_memory : str
        Message of the error if memory runs out.
    interval : int
        Time between deliveries of new steps, at least, milliseconds.
    title : str
        Name in napari's activity dock; a job without one is not shown there.

    Attributes
    ----------
    outcome : {"waiting", "running", "done", "stopped", "failed"}
    error : JobError or None
        Set when the outcome is "failed".
    """

    advanced = Signal(list)
    """The new steps, at most once in each `interval`."""
    warned = Signal(str)
    """A warning of the engine."""
    ended = Signal(object)
    """The job has ended; carries the job itself, with its `outcome`."""

    def __init__(
        self,
        steps: Iterable[Progress],
        parent: QObject | None = None,
        out_of_memory: str = OUT_OF_MEMORY,
        interval: int = PREVIEW_INTERVAL,
        title: str = "",
    ) -> None:
        super().__init__(parent)
        self.steps = steps
        self.title = title
        self.out_of_memory = out_of_memory
        self.interval = interval
        self.outcome: Literal["waiting", "running", "done", "stopped", "failed"] = "waiting"
        self.error: JobError | None = None

    def end(self, outcome: Literal["done", "stopped", "failed"]) -> None:
        """Set the outcome and emit `ended`."""
        self.outcome = outcome
        self.ended.emit(self)


class JobRunner(QObject):
    """Runs one job at a time in a thread.

    A runner that is deleted (with the widget that is its parent) stops its job.

    Parameters
    ----------
    parent : QObject, optional
    """

    started = Signal()
    """From idle to busy."""
    finished = Signal()
    """From busy to idle."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._next: Job | None = None
        self._worker: _Worker | None = None
        self._activity: _Activity | None = None
        # A single shot, restarted after each delivery: if painting takes longer than the
        # interval, steps never pile up in the event queue (a throttler would let them).
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._deliver)

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._job is not None

    def start(self, job: Job) -> None:
        """Start `job`, in place of the running job if there is one.

        The running job is stopped first and delivers its last steps.

        Parameters
        ----------
        job : Job
        """
        if self._job is None:
            self._launch(job)
            self.started.emit()
            return
        if self._next is not None:  # only the newest job waits: the others are out of date
            self._next.end("stopped")
        self._next = job
        self._quit()

    def run(
        self,
        steps: Iterable[Progress],
        advanced: Callable[[Any], None],
        ended: Callable[[Job], None],
        warned: Callable[[str], Any] | None = None,
        out_of_memory: str = OUT_OF_MEMORY,
        interval: int = PREVIEW_INTERVAL,
        title: str = "",
    ) -> None:
        """Run steps in a thread; a running job is stopped first.

        Parameters
        ----------
        steps : iterable of Progress
        advanced : callable
            Called with a list of the new steps.
        ended : callable
            Called with the job.
        warned : callable, optional
            Called with each warning.
        out_of_memory : str
            Message of the error if memory runs out.
        interval : int
            Time between deliveries of new steps, at least, milliseconds.
        title : str
            Name in napari's activity dock; a job without one is not shown there.
        """
        job = Job(steps, None, out_of_memory, interval, title)
        job.advanced.connect(advanced)
        job.ended.connect(ended)
        if warned is not None:
            job.warned.connect(warned)
        self.start(job)

    def stop(self) -> None:
        """Stop after the current step, and deliver the steps so far."""
        if self._next is not None:
            waiting, self._next = self._next, None
            waiting.end("stopped")
        self._quit()

    def _launch(self, job: Job) -> None:
        worker = _Worker(job.steps)
        worker.warned.connect(self._warned)
        worker.errored.connect(self._errored)
        worker.finished.connect(self._ended)
        self.destroyed.connect(worker.quit)
        job.outcome = "running"
        self._job, self._worker = job, worker
        self._activity = _Activity(job.title) if job.title else None
        if self._activity is not None:
            # A partial: Qt would not keep the activity of a deleted runner alive for its method.
            self._close_activity = functools.partial(self._activity.close)
            self.destroyed.connect(self._close_activity)
        self._timer.start(job.interval)
        worker.start()

    def _quit(self) -> None:
        if self._worker is not None:
            self._worker.quit()

    def _deliver(self) -> None:
        if self._job is None or self._worker is None:
            return
        if steps := self._worker.take():
            self._job.advanced.emit(steps)
            if self._activity is not None:
                self._activity.show(steps[-1].fraction)
        collect_garbage()
        # The job may have ended meanwhile: napari's progress bars process events.
        if self._job is not None and self._job.outcome == "running":
            self._timer.start(self._job.interval)

    def _warned(self, warning: tuple[Warning | str, type[Warning], str, int]) -> None:
        message, category, file, line = warning[:4]
        # Engines warn users with `UserWarning`; other categories are meant for programmers.
        if issubclass(category, UserWarning) and self._job is not None:
            self._job.warned.emit(str(message))
        else:
            logger.info("%s:%s: %s: %s", file, line, category.__name__, message)

    def _errored(self, error: Exception) -> None:
        if self._job is not None:
            self._job.error = _as_job_error(error, self._job.out_of_memory)

    def _ended(self) -> None:
        job, worker = self._job, self._worker
        if job is None or worker is None:
            return
        self._timer.stop()
        if self._activity is not None:
            with contextlib.suppress(TypeError, RuntimeError):
                self.destroyed.disconnect(self._close_activity)
            self._activity.close()
            self._activity = None
        with contextlib.suppress(TypeError, RuntimeError):  # already disconnected
            self.destroyed.disconnect(worker.quit)
        if steps := worker.take():
            job.advanced.emit(steps)
        # Before `ended`, whose receivers may start the next job.
        self._job = self._worker = None
        job.end("failed" if job.error else "done" if worker.exhausted else "stopped")
        if self._job is not None:  # `ended` has started another job: `_next` waits for it
            return
        waiting, self._next = self._next, None
        if waiting is not None:
            self._launch(waiting)
        else:
            self.finished.emit()


class _Activity:
    """The progress of a job in napari's activity dock, if the job takes long enough."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begun = time.monotonic()
        self._bar: Any = None
        self._closed = False

    def show(self, fraction: float) -> None:
        """Show a fraction, 0 to 1; napari processes events meanwhile, which may close this."""
        if self._closed or time.monotonic() - self._begun < SHORT:
            return
        if self._bar is None:
            bar_format = "|{remaining} left"  # a longer text would not fit
            self._bar = progress(desc=self._title, total=UNITS, bar_format=bar_format)
            if self._closed:
                self._bar.close()
                return
        self._bar.update(round(UNITS * fraction) - self._bar.n)

    def close(self) -> None:
        """Remove it from the dock."""
        self._closed = True
        if self._bar is not None:
            self._bar.close()


class _Worker(WorkerBase):  # type: ignore[misc]  # superqt is Any without its generics
    """Iterates over steps in a thread, and queues them for the user interface.

    Unlike this, `GeneratorWorker` swallows every RuntimeError (such as torch running out of
    memory) without `errored` or `finished`, does not close the generator after `quit()`, and
    shows errors and warnings in pop-ups.
    """

    def __init__(self, steps: Iterable[Progress]) -> None:
        super().__init__()
        self._steps = steps
        self._reached: deque[Progress] = deque()
        self.exhausted = False

    def work(self) -> None:
        if self.abort_requested:
            return
        with automatic_collection_disabled(), contextlib.closing(_each(self._steps)) as steps:
            for step in steps:
                self._reached.append(step)
                # A job that was stopped at its last step is done: its result is complete.
                if self.abort_requested and step.fraction < 1:
                    return
        self.exhausted = True

    def quit(self) -> None:
        """Stop after the current step; do not wait for the next frame of a running source."""
        super().quit()
        if (stop := getattr(self._steps, "stop", None)) is not None:
            stop()

    def take(self) -> list[Progress]:
        """Return the steps reached since the last call."""
        # Counted first: the worker may append meanwhile.  deque is thread-safe.
        return [self._reached.popleft() for _ in range(len(self._reached))]


def _each(steps: Iterable[Progress]) -> Generator[Progress, None, None]:
    """Make any iterable closeable; closing reaches through to a generator."""
    yield from steps


def _as_job_error(error: Exception, out_of_memory: str) -> JobError:
    if isinstance(error, ValueError):  # the message of an engine
        sentence = str(error)
    elif isinstance(error, OSError):
        sentence = error_line(error)
    elif _is_out_of_memory(error):
        sentence = out_of_memory
    else:
        logger.error("a job failed", exc_info=error)
        sentence = f"{type(error).__name__}: {error}"
    job_error = JobError(sentence)
    job_error.__cause__ = error
    return job_error


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: NumPy raises MemoryError, torch RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in message or "can't allocate memory" in message
    )


_lock = threading.Lock()
_working = 0  # threads
_was_enabled = True


@contextlib.contextmanager
def automatic_collection_disabled() -> Iterator[None]:
    """Disable automatic garbage collection in every thread; `collect_garbage` replaces it.

    Python collects reference cycles in whichever thread allocates next.  A removed layer leaves
    cycles with Qt objects, which must be deleted in the thread of the user interface: deleting
    them in a worker can crash the process.
    """
    global _working, _was_enabled
    with _lock:
        if _working == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _working += 1
    try:
        yield
    finally:
        with _lock:
            _working -= 1
            if _working == 0 and _was_enabled:
                gc.enable()


def collect_garbage() -> None:
    """Collect garbage in the calling thread, if Python would have done so by now."""
    if gc.isenabled():
        return
    for generation in reversed(range(3)):
        count, threshold = gc.get_count()[generation], gc.get_threshold()[generation]
        if 0 < threshold < count and (generation < 2 or _long_lived.has_grown()):
            gc.collect(generation)
            return


class _LongLived:
    """Number of objects in the oldest generation.

    As Python, collect it only when it has grown by a quarter: in napari that takes 0.1 s and more,
    and few new objects of a run that lasts for hours grow old.
    """

    def __init__(self) -> None:
        self._known = 0
        self._next_look = 0.0

    def has_grown(self) -> bool:
        """Whether it has grown since it was collected; looks at most once a minute."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK
        n = len(gc.get_objects(generation=2))
        grown = 0 < 1.25 * self._known < n
        if grown or not self._known:
            self._known = n
        return grown


_long_lived = _LongLived()
