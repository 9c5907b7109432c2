"""Atomic file writing, and the check that a file can be written, before the work."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file under a temporary name and give it its own when all is on the disk.

    Parameters
    ----------
    path : path
        Replaced if it exists; until the block is left without an error it keeps
        what it held.

    Yields
    ------
    binary file
        In the same folder, so that the renaming cannot fail half way.  Whatever
        ends the block early, it is removed and `path` left alone.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "note.txt")
    >>> with atomic_write(path) as file:
    ...     _ = file.write(b"all of it")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('all of it', 1)
    """
    path = Path(path)
    temporary = _temporary(path.parent)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too
        temporary.unlink(missing_ok=True)
        raise


def check_writable(path: str | os.PathLike[str], n_bytes: int = 0) -> None:
    """Check that a file, or a folder, can be written; nothing is left behind.

    Parameters
    ----------
    path : path
        It need not exist, nor its folder.
    n_bytes : int
        Its size.

    Raises
    ------
    OSError
        If its folder cannot be made or written to, the name is too long, or the disk has too
        little space.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> check_writable(pathlib.Path(tempfile.mkdtemp(), "not", "there", "yet", "clean.tif"))
    """
    path = Path(path)
    exists = path.exists()  # too long a name is an error here
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        temporary = _temporary(folder)
        if folder == path.parent:
            with open(temporary, "xb"):
                pass
            temporary.unlink()
        else:
            temporary.mkdir()
            temporary.rmdir()
    except OSError as error:
        reason = f"Cannot write into {folder}: {error.strerror}"
        raise OSError(error.errno, reason) from error
    # What is replaced stays until the new one is there
    free = shutil.disk_usage(path if exists else folder).free
    if n_bytes > free:
        needs = f"The result needs {_size(n_bytes)}, and {_size(free)} are free in {folder}"
        raise OSError(errno.ENOSPC, needs)


def _temporary(folder: Path) -> Path:
    # Not tempfile's: its files are readable by their owner only.
    return folder / f".napari-lowdose-{os.getpid()}-{secrets.token_hex(4)}.part"


def _size(n_bytes: int) -> str:
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min((max(n_bytes, 1).bit_length() - 1) // 10, len(units) - 1)
    return f"{n_bytes / 1024**power:.{1 if power else 0}f} {units[power]}"
