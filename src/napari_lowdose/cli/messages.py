"""Messages of the command line: one line for a person each, for results, warnings and errors."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_lowdose.noise2noise import Noise2NoiseModel

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


def training_summary(model: Noise2NoiseModel) -> list[str]:
    """Return for how long a network was trained, and its gain."""
    from napari_lowdose.noise2noise.training_step import how_far

    summary = [how_far(model.record["epochs"], model.record["n_steps"])]
    if gain := model.record.get("gain_db"):
        from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval

        limits = (math.copysign(math.inf, sign) if x is None else x
                  for x, sign in zip(gain, (-1, 1), strict=True))  # fmt: skip
        summary.append(f"gain {GainInterval(*limits)}")
    return summary


class _Choice(NamedTuple):
    """Part of a patch stack's step; of a long movie the rest would fill the memory."""

    frame: tuple[int, ...]
    patch_size: int
    kept: Sequence[bool]


class PatchSummary:
    """Patch sizes and numbers of kept eigenpatches over all patch stacks."""

    def __init__(self) -> None:
        self._stacks: list[_Choice] = []

    def add(self, step: Any) -> None:
        """Remember a `StackStep`."""
        self._stacks.append(_Choice(step.index, step.patch_size, step.kept))

    def words(self) -> list[str]:
        """Return the summary; empty if there was no patch stack."""
        stacks = self._stacks
        if not stacks:
            return []
        kept = [[number for number, keep in enumerate(step.kept) if keep] for step in stacks]
        told = f"kept {_span(map(len, kept))} of {_span(len(s.kept) for s in stacks)} eigenpatches"
        frames = len({step.frame for step in stacks})
        if len(stacks) == 1:
            told += f" ({_ranges(kept[0])})"
        elif frames == 1:
            told += f" in each of {len(stacks)} patch stacks"
        else:
            told += f" in each patch stack of {frames} frames"
        return [f"patch {_span(step.patch_size for step in stacks)} px", told]


def _span(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _ranges(numbers: list[int]) -> str:
    """Write 0 1 2 5 as 0-2 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
