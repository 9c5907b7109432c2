"""Text files to which a line is added at a time, and that survive a killed process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def whole_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without an incomplete last one.

    Parameters
    ----------
    path : Path
        The file may be missing, or be written by another process.

    Returns
    -------
    list of str
        Without their line ends.
    """
    return [line.decode("utf-8", "replace") for line in _whole(path).split(b"\n")[:-1]]


class LineFile:
    """Text file to which lines are added.

    An incomplete last line, left by a killed process, is removed.

    Parameters
    ----------
    path : Path
        The file is created with the first line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "lines.txt")
    >>> LineFile(path).add("first")
    >>> whole_lines(path)
    ['first']
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Otherwise the next line would be appended to the incomplete one
        if path.exists() and len(whole := _whole(path)) < path.stat().st_size:
            path.write_bytes(whole)

    def add(self, line: str) -> None:
        """Add a line."""
        with open(self._path, "ab") as file:
            file.write(line.encode() + b"\n")


def _whole(path: Path) -> bytes:
    text = path.read_bytes() if path.exists() else b""
    return text[: text.rfind(b"\n") + 1]
