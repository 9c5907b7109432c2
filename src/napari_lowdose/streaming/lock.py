"""One stream at a time into an output."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def only_stream_into(path: Path) -> Iterator[None]:
    """Keep every other stream, of whatever process, from writing into `path`.

    The operating system lets go of the lock when the process ends, however it does.

    Parameters
    ----------
    path : Path
        Of the output; the lock is a hidden file beside it.  Parents are made if missing.

    Raises
    ------
    FileExistsError
        At once, if another stream is writing there.
    PermissionError
        If nothing can be written beside it.
    """
    name = path.with_name(f".{path.name}.lock")
    lock = FileLock(name, timeout=0, thread_local=False)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
        if os.name != "nt":  # while nobody else can have it
            name.unlink(missing_ok=True)
        lock.release()
        if not path.exists():
            with suppress(OSError):  # something else came into them
                for folder in made:
                    folder.rmdir()


def _unwritable(path: Path, error: OSError) -> OSError:
    about = f"{path} cannot be written ({error.strerror}): choose another output."
    return type(error)(about) if isinstance(error, PermissionError) else OSError(about)
