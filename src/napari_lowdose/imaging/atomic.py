"""Files that are either there as a whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
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
    >>> with written_whole(path) as file:
    ...     _ = file.write(b"all of it")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('all of it', 1)
    """
    path = Path(path)
    # Not tempfile's: its files are readable by their owner only.
    temporary = path.with_name(f".napari-lowdose-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too
        temporary.unlink(missing_ok=True)
        raise
