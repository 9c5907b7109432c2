"""Lock against two streams into the same output."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Prevent other streams, in this or another process, from writing into `path`.

    The operating system releases the lock when the process ends, even if it is killed.

    Parameters
    ----------
    path : Path
        Output path.  The lock is a hidden file beside it.  Missing parent folders are created.

    Raises
    ------
    BlockingIOError
        If another stream is writing to `path`.  It is raised at once, without waiting.
    OSError
        If the lock file cannot be written, for example for lack of permission.
    """
    name = path.with_name(f".{path.name}.lock")
    # A generator may be closed in another thread than the one that started it.
    lock = FileLock(name, timeout=0, thread_local=False)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name.touch()  # raises an error with a reason, unlike the lock
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{path} is being written by another run: wait for it, stop it, or choose another "
            "output."
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        # Delete before the release, when no other run has it; Windows cannot delete open files.
        if os.name != "nt":
            name.unlink(missing_ok=True)
        lock.release()
        if not path.exists():
            with suppress(OSError):  # a folder is not empty: something else was written there
                for folder in made:
                    folder.rmdir()


def _unwritable(path: Path, error: OSError) -> OSError:
    about = f"{path} cannot be written ({error.strerror}): choose another output."
    return type(error)(about) if isinstance(error, PermissionError) else OSError(about)
