"""What parameters may be: each check says in a sentence what is wrong and what would do."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

Keep = int | tuple[int, ...] | tuple[tuple[int, ...], ...]


def whole_number(name: str, value: Any, least: int) -> int:
    """Return `value` as a Python int.

    Raises
    ------
    ValueError
        If it is not a whole number (a bool is none), or less than `least`.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}: use a whole number.") from None
    if number < least:
        raise ValueError(f"{name} is {number}: use {least} or more.")
    return number


def odd_width(name: str, value: Any) -> int:
    """Return `value` as the width of a patch: odd, at least 3."""
    width = whole_number(name, value, 1)
    if width < 3 or width % 2 == 0:
        raise ValueError(
            f"{name} is {width}, but a patch has a middle pixel: use an odd number of at least 3, "
            f"for example {max(3, width + 1)}."
        )
    return width


def one_of(name: str, value: Any, choices: Any) -> None:
    """Check that `value` is one of the strings of a Literal."""
    if value not in get_args(choices):
        offered = ", ".join(f'"{choice}"' for choice in get_args(choices))
        raise ValueError(f"{name} is {value!r}: use one of {offered}.")


def keep_choice(value: Any, most: int) -> Keep:
    """Return `keep` as a count, a tuple of indices, or a tuple of those for each stack.

    Parameters
    ----------
    value : int, sequence of int, or sequence of sequences of int
    most : int
        The largest count.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Sequence | np.ndarray):
        count = whole_number("keep", value, 1)
        if count > most:
            raise ValueError(
                f"keep is {count}: keep from 1 to {most} eigenpatches, or raise n_components."
            )
        return count
    if not len(value):
        raise ValueError("keep is empty: keep at least one eigenpatch.")
    if isinstance(value[0], Sequence | np.ndarray):
        return tuple(_indices(each) for each in value)
    return _indices(value)


def _indices(value: Any) -> tuple[int, ...]:
    if not isinstance(value, Sequence | np.ndarray) or not len(value):
        raise ValueError(f"keep has {value!r} for a stack: use at least one index for each.")
    return tuple(whole_number("an index in keep", each, 0) for each in value)
