"""The Python script that does what the widget did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.denoise import as_python

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_lowdose.reucid import Reucid, StackStep

Index = tuple[int, ...]
NO_FILE = "# The layer is not the whole of one file: save it as image.tif first.\n"


def reucid_script(
    engine: Reucid,
    path: str | None,
    frame: Index = (),
    stacks: Mapping[Index, Sequence[StackStep]] | None = None,
    toggled: Sequence[Index] = (),
) -> str:
    """Return a script that makes the result again.

    Parameters
    ----------
    engine : Reucid
        As it was run.
    path : str or None
        File whose pixels the input layer shows (`file_of`); None if there is none.
    frame : tuple of int
        Which frame of the file was denoised; empty for the whole.
    stacks : mapping from frame index to sequence of StackStep, optional
        The patch stacks, with the eigenpatches that are kept now.
    toggled : sequence of tuple of int
        Frames where a person changed which eigenpatches are kept.

    Returns
    -------
    str
        Python source.
    """
    stacks = stacks or {}
    used = {each[0].n_stacks for each in stacks.values() if each}
    if len(used) == 1:  # how much memory was free is not the same on the next machine
        engine = replace(engine, n_stacks=used.pop())
    whole = () in toggled
    script = as_python(kept_by_hand(engine, stacks[()]) if whole else engine, path or "image.tif")
    if path is None:
        script = NO_FILE + script
    if frame:
        script = script.replace("\nclean =", f"\nimage = image[{_indices(frame)}]\nclean =")
    for index in toggled:
        if index:
            by_hand = kept_by_hand(engine, stacks[index])
            where = f"[{_indices(index)}]"
            script += f"clean{where} = denoise(image{where}, {by_hand!r})\n"
    return script


def kept_by_hand(engine: Reucid, stacks: Sequence[StackStep]) -> Reucid:
    """Return `engine` with `keep` set to the eigenpatches that each of `stacks` keeps now."""
    kept = [np.flatnonzero(stack.kept).tolist() for stack in stacks]
    if stacks[0].n_stacks == 1:
        return replace(engine, n_stacks=1, keep=kept[0])
    # For stacks that a stopped run never reached, the last choice is the best guess.
    kept += [kept[-1]] * (stacks[0].n_stacks - len(kept))
    return replace(engine, n_stacks=stacks[0].n_stacks, keep=kept)


def _indices(index: Index) -> str:
    return ", ".join(str(i) for i in index)
