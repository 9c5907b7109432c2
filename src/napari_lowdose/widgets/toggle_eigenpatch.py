"""Keep or drop an eigenpatch in every patch stack at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lowdose.reucid import StackStep

# Eigenpatches of two stacks with a larger |cosine| show the same structure.
SAME = 0.5


def toggle_eigenpatch(stacks: Sequence[StackStep], stack: int, number: int) -> list[StackStep]:
    """Return `stacks` with one eigenpatch kept that was dropped, or the reverse.

    Each stack has eigenpatches of its own, so the choice is carried over to the eigenpatch of
    each other stack that is most like it (largest absolute cosine, if above 0.5).

    Parameters
    ----------
    stacks : sequence of StackStep
        The finished patch stacks of one frame, all with the same patch size.
    stack : int
        Position in `stacks` of the one that the person looked at.
    number : int
        Which of its eigenpatches.

    Returns
    -------
    list of StackStep
        A stack's last kept eigenpatch is never dropped.

    Raises
    ------
    ValueError
        If the eigenpatch is the last kept one of the stack looked at.
    """
    seen = stacks[stack]
    keep = not seen.kept[number]
    if not keep and seen.kept.sum() == 1:
        raise ValueError("at least one eigenpatch must be kept.")
    pattern = seen.eigenpatches[number]
    return [
        _with_verdict(each, number if each is seen else _most_alike(each, pattern), keep)
        for each in stacks
    ]


def _most_alike(stack: StackStep, pattern: np.ndarray) -> int | None:
    patches = stack.eigenpatches.reshape(len(stack.eigenpatches), -1)
    norms = np.linalg.norm(patches, axis=1) * np.linalg.norm(pattern)
    cosines = np.abs(patches @ pattern.ravel()) / np.maximum(norms, np.finfo(float).tiny)
    best = int(cosines.argmax())
    return best if cosines[best] > SAME else None


def _with_verdict(stack: StackStep, number: int | None, keep: bool) -> StackStep:
    if number is None:
        return stack
    kept = stack.kept.copy()
    kept[number] = keep
    return replace(stack, kept=kept) if kept.any() else stack
