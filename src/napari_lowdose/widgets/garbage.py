"""While a job runs, garbage is collected in the thread of the user interface.

Python looks for reference cycles in whatever thread allocates next.  A layer that is removed
leaves some with Qt objects in them, and those must be let go of in their own thread: a worker
that does it can take the process down.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()
_working = 0  # threads
_was_enabled = True


@contextlib.contextmanager
def garbage_left_alone() -> Iterator[None]:
    """Leave reference cycles to `collect_garbage`, in every thread."""
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
    """Collect, in the thread that calls, what Python would have collected by now."""
    if gc.isenabled():
        return
    for generation in reversed(range(3)):
        count, threshold = gc.get_count()[generation], gc.get_threshold()[generation]
        if 0 < threshold < count:
            gc.collect(generation)
            return
