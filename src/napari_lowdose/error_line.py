"""Errors on one line, for the terminal, a table or another message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Errors that an unreadable or unsuitable file may raise.
FILE_ERRORS = (ValueError, OSError, MemoryError)


def one_line(error: BaseException) -> str:
    """Return the message of an exception on one line, or its type if it has no message.

    Examples
    --------
    >>> one_line(ValueError("bad   offset")), one_line(KeyError())
    ('bad offset', 'KeyError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def error_line(error: BaseException, source: Path | None = None) -> str:
    """Return an error message as one line.

    Parameters
    ----------
    error : exception
    source : Path, optional
        File that the line starts with; it is not repeated.

    Examples
    --------
    >>> error_line(FileNotFoundError(2, "No such file or directory", "a.tif"))
    'No such file or directory: a.tif'
    """
    if isinstance(error, MemoryError):
        return "not enough memory for this image"
    if isinstance(error, OSError) and error.strerror:
        about = error.filename if error.filename is not None else source
        return error.strerror if str(about) == str(source) else f"{error.strerror}: {about}"
    text = one_line(error)
    if not isinstance(error, FILE_ERRORS):  # a bug, here or in a library
        return f"unexpected {type(error).__name__} ({text}); please report it"
    return text
