"""Validation of the parameter `keep`, the eigenpatches to keep in a patch stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_lowdose.parameters import whole_number

Keep = int | tuple[int, ...] | tuple[tuple[int, ...], ...]


def keep_choice(value: Any, most: int) -> Keep:
    """Return `keep` as a count, a tuple of indices, or a tuple of indices for each stack.

    Parameters
    ----------
    value : int, sequence of int, or sequence of sequences of int
    most : int
        Largest allowed count.
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
