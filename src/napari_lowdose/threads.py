"""One pool of threads for all computations.

Starting threads takes as long as a stage of denoising a small image.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    S = TypeVar("S")
    T = TypeVar("T")

N_THREADS = os.cpu_count() or 1
_n_spared = 0  # users of `core_left_free` at the moment


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(N_THREADS, thread_name_prefix="napari-lowdose")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads


def beside(function: Callable[[S], T], item: S) -> Future[T]:
    """Compute ``function(item)`` in another thread."""
    return _pool().submit(function, item)


def in_parallel(function: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """Return ``[function(item) for item in items]``, computed on all cores that are not spared.

    The calling thread works, too: it need not wait until another one wakes up, and no call waits
    for threads that are busy with another.

    Examples
    --------
    >>> in_parallel(abs, [1, -2, 3])
    [1, 2, 3]
    """
    numbers = deque(range(len(items)))
    results: dict[int, T] = {}

    def work() -> None:
        while True:
            try:
                number = numbers.popleft()
            except IndexError:
                return
            try:
                results[number] = function(items[number])
            except BaseException:
                numbers.clear()
                raise

    helpers: list[Future[None]] = []
    with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
        for _ in range(min(N_THREADS - bool(_n_spared), len(items)) - 1):
            helpers.append(_pool().submit(work))
    try:
        work()
    finally:
        started = [helper for helper in helpers if not helper.cancel()]
        wait(started)
    for helper in started:
        helper.result()  # raises its error
    return [results[number] for number in range(len(items))]


@contextlib.contextmanager
def core_left_free() -> Iterator[None]:
    """Leave a core to others meanwhile, in all threads: to an acquisition that must not wait.

    Examples
    --------
    >>> with core_left_free():
    ...     in_parallel(abs, [1, -2, 3])
    [1, 2, 3]
    """
    global _n_spared
    _n_spared += 1
    try:
        yield
    finally:
        _n_spared -= 1
