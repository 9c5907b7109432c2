"""One pool of threads for all computations.

Starting threads takes as long as a stage of denoising a small image.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    S = TypeVar("S")
    T = TypeVar("T")

N_THREADS = os.cpu_count() or 1


_n_spared = 0  # users of `core_left_free` at the moment


@cache
def _pool(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n, thread_name_prefix="napari-lowdose")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads


def in_parallel(function: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """Return ``[function(item) for item in items]``, computed on all cores that are not spared.

    `function` must not call `in_parallel` itself: all threads could wait for one another.

    Examples
    --------
    >>> in_parallel(abs, [1, -2, 3])
    [1, 2, 3]
    """
    n = N_THREADS - bool(_n_spared)
    if len(items) < 2 or n < 2:
        return list(map(function, items))
    return list(_pool(n).map(function, items))


@contextmanager
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
