"""One pool of threads for all computations.

Starting threads takes as long as a stage of denoising a small image.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    S = TypeVar("S")
    T = TypeVar("T")

N_THREADS = os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(N_THREADS, thread_name_prefix="napari-lowdose")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads


def in_parallel(function: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """Return ``[function(item) for item in items]``, computed on all cores.

    `function` must not call `in_parallel` itself: all threads could wait for one another.

    Examples
    --------
    >>> in_parallel(abs, [1, -2, 3])
    [1, 2, 3]
    """
    if len(items) < 2:
        return list(map(function, items))
    return list(_pool().map(function, items))
