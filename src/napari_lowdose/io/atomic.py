"""Atomic file writing, and checking in advance that a file can be written."""

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
    """Open a file for writing that replaces `path` only once it is complete.

    The data go to a temporary file in the same folder, which is renamed when the block ends.  If
    the block raises, the temporary file is removed and `path` is left unchanged.

    Parameters
    ----------
    path : path
        Output path; an existing file is replaced.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        If the file cannot be written.

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
    # In the same folder, because renaming is atomic only within a file system
    temporary = _temporary(path.parent)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # some file systems report a full disk only here
        os.replace(temporary, path)
    except BaseException as error:  # also on Ctrl-C
        temporary.unlink(missing_ok=True)
        # Nobody knows the temporary name
        if isinstance(error, OSError) and error.filename == str(temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def check_writable(path: str | os.PathLike[str], n_bytes: int = 0) -> None:
    """Check that a file or folder can be written, without leaving anything behind.

    Parameters
    ----------
    path : path
        Output path.  Neither it nor its folder need to exist.
    n_bytes : int
        Expected size, bytes.

    Raises
    ------
    OSError
        If the folder cannot be created or is not writable, the name is too long, or there is not
        enough disk space.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> check_writable(pathlib.Path(tempfile.mkdtemp(), "not", "there", "yet", "clean.tif"))
    """
    path = Path(path)
    exists = path.exists()  # raises if the name is too long
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
    # A file that will be replaced frees no space: it is kept until the new one is complete
    free = shutil.disk_usage(path if exists else folder).free
    if n_bytes > free:
        reason = f"The result needs {_size(n_bytes)}, and {_size(free)} are free in {folder}"
        raise OSError(errno.ENOSPC, reason)


def check_file(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written into a folder that exists.

    Parameters
    ----------
    path : path
        Output path.

    Raises
    ------
    ValueError
        If there is no such folder, or `path` is a folder itself.
    OSError
        As `check_writable`.

    Examples
    --------
    >>> check_file("no-such-folder/report.html")
    Traceback (most recent call last):
        ...
    ValueError: no-such-folder/report.html: there is no folder no-such-folder
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file.")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    check_writable(path)


def _temporary(folder: Path) -> Path:
    # Not from tempfile, whose files are readable by their owner only
    return folder / f".napari-lowdose-{os.getpid()}-{secrets.token_hex(4)}.part"


def _size(n_bytes: int) -> str:
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min((max(n_bytes, 1).bit_length() - 1) // 10, len(units) - 1)
    return f"{n_bytes / 1024**power:.{1 if power else 0}f} {units[power]}"
