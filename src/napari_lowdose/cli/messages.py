"""Messages of the command line: one line per result, warning or error, and progress."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from napari_lowdose.error_line import error_line as plain_line
from napari_lowdose.warned import noted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_lowdose.engine import Step

PROGRAM = "napari-lowdose"
UNSUITABLE, INTERRUPTED = 2, 130  # exit codes


def print_message(message: str) -> None:
    """Print one line to standard error."""
    typer.echo(f"{PROGRAM}: {message}", err=True)


def error_line(error: BaseException, source: Path | None = None) -> str:
    """Return an error message as one line, with the option that helps if there is one.

    Parameters
    ----------
    error : exception
    source : Path, optional
        File that the line starts with; it is not repeated.
    """
    line = plain_line(error, source)
    refused = isinstance(error, FileExistsError) and error.strerror is None
    return f"{line} (--overwrite)" if refused else line


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[Step], None]]:
    """Show a progress bar, which disappears at the end.

    Parameters
    ----------
    name : str
        Start of the line, for example the file name.

    Yields
    ------
    callable
        Shows the progress of a step.
    """
    from tqdm import tqdm

    layout = "{desc}: {percentage:3.0f}% |{bar}|{postfix}"
    # disable=None: no bar in log files.  leave=False: the line of the result replaces it.
    with tqdm(total=1.0, desc=name, bar_format=layout, leave=False, disable=None) as bar:

        def show(step: Step) -> None:
            status = ", ".join(filter(None, [step.time_left, step.message]))
            bar.set_postfix_str(status, refresh=False)
            bar.update(step.fraction - bar.n)

        yield show


@contextmanager
def bars_hidden() -> Iterator[None]:
    """Hide the progress bar while lines are printed."""
    from tqdm import tqdm

    with tqdm.external_write_mode():
        yield


@contextmanager
def print_warnings(name: str) -> Iterator[None]:
    """Print the warnings of some work at its end, each once and on one line.

    Parameters
    ----------
    name : str
        Start of each line, for example the file name.
    """
    notes: list[str] = []
    try:
        with noted(notes):
            yield
    finally:
        for note in notes:
            print_message(f"{name}: warning: {note}")
