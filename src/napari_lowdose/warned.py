"""Warnings about a frame or its file, which somebody else than Python may receive."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from napari_lowdose.engine import within

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

S = TypeVar("S")
T = TypeVar("T")

# Of this thread alone: `warnings.catch_warnings` would change the filters of all threads
_receiver: ContextVar[Callable[[str], object] | None] = ContextVar("receiver", default=None)


def warn(sentence: str, stacklevel: int = 1) -> None:
    """Warn as `warnings.warn` does, or tell the receiver of `warnings_to`."""
    receiver = _receiver.get()
    if receiver is None:
        warnings.warn(sentence, UserWarning, stacklevel=stacklevel + 1)
    else:
        receiver(sentence)


@contextmanager
def warnings_to(receiver: Callable[[str], object]) -> Iterator[None]:
    """Give the warnings of this thread to a function, for example ``ignore`` or `OncePerKind`."""
    before = _receiver.set(receiver)
    try:
        yield
    finally:
        _receiver.reset(before)


def without_warnings(steps: Generator[S, None, T]) -> Generator[S, None, T]:
    """Drop the warnings of a generator, but not those of its consumer between two steps.

    Examples
    --------
    >>> def work():
    ...     warn("of the work")
    ...     yield 1
    >>> list(without_warnings(work()))
    [1]
    """
    return within(lambda: warnings_to(ignore), steps)


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Append the warnings of all threads to a list, each once and on one line; show none.

    Examples
    --------
    >>> notes = []
    >>> with noted(notes):
    ...     for _ in range(2):
    ...         warn("3 outlier pixels.")
    >>> notes
    ['3 outlier pixels.']
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            # Python shows a warning once per line of code; here each file has its own
            warnings.simplefilter("always", UserWarning)
            yield
    finally:
        for each in caught:  # categories other than UserWarning are for programmers
            sentence = " ".join(str(each.message).split())
            if issubclass(each.category, UserWarning) and sentence not in notes:
                notes.append(sentence)


def ignore(sentence: str) -> None:
    """Drop a warning that the user has been given already."""


class OncePerKind:
    """Warns once of each kind of problem, or tells the receiver that was there before.

    Sentences that differ only in their numbers are of one kind.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as given, warnings_to(OncePerKind()):
    ...     warnings.simplefilter("always")
    ...     for n in range(3):
    ...         warn(f"{n} outlier pixels.")
    >>> [str(warning.message) for warning in given]
    ['0 outlier pixels.']
    """

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._receiver = _receiver.get()

    def __call__(self, sentence: str) -> None:
        """Warn if this kind of problem is new."""
        kind = re.sub(r"\d[\d.,]*", "", sentence)
        if kind not in self._given:
            self._given.add(kind)
            if self._receiver is None:
                warnings.warn(sentence, UserWarning, stacklevel=3)
            else:
                self._receiver(sentence)
