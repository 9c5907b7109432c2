"""Messages of the command line: one line for a person each, for results, warnings and errors."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = "napari-lowdose"
#: What a file that cannot be read or denoised may raise.
FILE_ERRORS = (ValueError, OSError, MemoryError)


def say(message: str) -> None:
    """Print one line for a person to standard error."""
    typer.echo(f"{PROGRAM}: {message}", err=True)


def sentence(error: BaseException, source: Path | None = None) -> str:
    """Return an error as one line for a person.

    Parameters
    ----------
    error : exception
    source : Path, optional
        The file that the line will begin with, which is not named twice.

    Examples
    --------
    >>> sentence(FileNotFoundError(2, "No such file or directory", "a.tif"))
    'No such file or directory: a.tif'
    """
    if isinstance(error, MemoryError):
        return "there is not enough memory for this image"
    if isinstance(error, FileExistsError) and error.strerror is None:
        return f"{error} (--overwrite)"
    if isinstance(error, OSError) and error.strerror:
        about = error.filename if error.filename is not None else source
        return error.strerror if str(about) == str(source) else f"{error.strerror}: {about}"
    text = " ".join(str(error).split())
    if not isinstance(error, FILE_ERRORS):  # a mistake of ours, or of a library
        return f"unexpected {type(error).__name__} ({text}); please report it"
    return text or type(error).__name__


@contextmanager
def warnings_in_lines(name: str) -> Iterator[list[str]]:
    """Collect warnings, and print them at the end: each once, in one line.

    Parameters
    ----------
    name : str
        What they are about.

    Yields
    ------
    list of str
        Filled at the end.
    """
    found: list[str] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield found
    finally:
        # UserWarning is for people; the other categories are for programmers.
        messages = (w.message for w in caught if issubclass(w.category, UserWarning))
        found += dict.fromkeys(" ".join(str(message).split()) for message in messages)
        for message in found:
            say(f"{name}: warning: {message}")
