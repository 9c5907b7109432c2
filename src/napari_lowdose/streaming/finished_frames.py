"""Which frames of a movie are written: a list in a file, that survives whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FinishedFrames:
    """Numbers of frames, one a line, in a file.

    A frame is added after it was written.  What a kill leaves of a half-written line does not
    count.

    Parameters
    ----------
    path : Path
        Of the file; made if missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "finished.txt")
    >>> finished = FinishedFrames(path)
    >>> finished.add(0)
    >>> finished.add(11)
    >>> again = FinishedFrames(path)
    >>> 11 in again, 1 in again, len(again)
    (True, False, 2)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_bytes() if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:  # or the next number would continue the broken one
            path.write_bytes(whole)
        self._numbers = {int(line) for line in whole.split() if line.isdigit()}

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int) -> None:
        """Write down that frame `number` is finished."""
        with open(self._path, "ab") as file:
            file.write(b"%d\n" % number)
        self._numbers.add(number)

    def remove(self) -> None:
        """Delete the file: all are finished."""
        self._path.unlink(missing_ok=True)
