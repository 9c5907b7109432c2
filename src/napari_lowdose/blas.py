"""BLAS on one thread while an engine computes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import threadpoolctl

from napari_lowdose.engine import within

S = TypeVar("S")
T = TypeVar("T")

_lock = threading.Lock()
_inside = 0  # number of threads within `one_blas_thread`
_limit: Any = None


def on_one_blas_thread(steps: Generator[S, None, T]) -> Generator[S, None, T]:
    """Run a generator with BLAS on one thread.

    The threads of BLAS spin while they wait for each other: on two cores, one of them busy with
    something else, the many small products of an engine take several times as long.  The limit
    holds while a step is computed, never while its consumer has it.
    """
    return within(one_blas_thread, steps)


# Packages that bring a BLAS of their own, and are imported at first use
_WITH_BLAS = "scipy.linalg", "torch"


@cache
def _controller(imported: tuple[bool, ...]) -> threadpoolctl.ThreadpoolController:
    """Return the controller of the loaded libraries.

    Finding them takes longer than denoising a small image.  `imported` says which of `_WITH_BLAS`
    are, and makes the cache find the libraries again.
    """
    return threadpoolctl.ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS on one thread.

    The limit is the process's.  Frames may be denoised in several threads (dask does): the first
    to enter sets the limit, the last to leave lifts it.
    """
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _take_control()
            imported = tuple(name in sys.modules for name in _WITH_BLAS)
            _limit = _controller(imported).limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _take_control()
                _limit.restore_original_limits()


def _take_control() -> None:
    """Let this thread set the limit, although another one may have set it before.

    Newer versions of threadpoolctl silently ignore all threads but the first one that has set a
    limit of OpenBLAS.
    """
    openblas: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(openblas, "clear_controlling_thread"):
        openblas.clear_controlling_thread(force=True)
