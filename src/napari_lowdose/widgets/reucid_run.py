"""A run of REUCID on a layer, with the eigenpatches that a person may overrule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.reucid import StackStep
from napari_lowdose.steps import Step
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.python_script import Index, reucid_script
from napari_lowdose.widgets.toggle_eigenpatch import toggle_eigenpatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_lowdose.reucid import Reucid

WIDE_PATCHES = (
    "Wide patches average over more repeats, and may weaken what occurs once (a vacancy, a "
    'dopant): for rare defects compare with patch size "PSF width".'
)


class ReucidRun(LayerRun):
    """A `LayerRun` that remembers each frame's eigenpatches.

    Attributes
    ----------
    stacks : dict from frame index to list of StackStep
        As kept now.  The key of a single frame is ``()``.
    chosen : dict from frame index to list of StackStep
        As the engine chose.
    notes : list of str
        What a person should know about the result: the engine's warnings, and wide patches.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stacks: dict[Index, list[StackStep]] = {}
        self.chosen: dict[Index, list[StackStep]] = {}
        self.notes: list[str] = []

    def show(self, steps: Sequence[Step]) -> None:
        """Show the newest interim image, and remember the eigenpatches."""
        for step in steps:
            if isinstance(step, StackStep):
                if step.wide:
                    self.note(WIDE_PATCHES)
                slim = replace(step, image=None)  # a large image times many stacks
                self.stacks.setdefault(step.index, []).append(slim)
                self.chosen.setdefault(step.index, []).append(slim)
        super().show(steps)

    def note(self, text: str) -> None:
        """Add to the notes what is not there yet: a movie may give the same for every frame."""
        if text not in self.notes:
            self.notes.append(text)

    def frame_near(self, index: Index) -> Index | None:
        """Return `index` if its eigenpatches are known, else the frame finished last."""
        if index in self.stacks or not self.stacks:
            return index if index in self.stacks else None
        return next(reversed(self.stacks))

    def toggle(self, index: Index, stack: int, number: int) -> None:
        """Keep or drop an eigenpatch of frame `index`, alike in all its stacks."""
        self.stacks[index] = toggle_eigenpatch(self.stacks[index], stack, number)

    def rebuild_steps(self, index: Index) -> Iterator[Step]:
        """Make frame `index` again from the eigenpatches kept now; no new SVD."""
        stacks = list(self.stacks[index])
        yield Step(fraction=0, message="rebuilding")
        frame = np.asarray(self.run.input[index])
        image = self.engine.rebuild(frame, stacks)
        kept = sum(int(stack.kept.sum()) for stack in stacks)
        total = sum(len(stack.kept) for stack in stacks)
        message = f"rebuilt from {kept} of {total} eigenpatches"
        yield Step(fraction=1, message=message, image=image, index=index)

    def describe_choice(self) -> None:
        """Write the eigenpatches that are kept now into the metadata of the result."""
        by_hand = [
            {
                "index": list(index),
                "kept": [np.flatnonzero(stack.kept).tolist() for stack in self.stacks[index]],
            }
            for index in self._toggled()
        ]
        self.describe(**({"kept_by_hand": by_hand} if by_hand else {}))

    def summary(self) -> str:
        """Return what was done, in a few words."""
        stacks = [stack for frame in self.stacks.values() for stack in frame]
        if not stacks:
            return "no eigenpatches"
        sizes = sorted({stack.patch_size for stack in stacks})
        kept = [int(stack.kept.sum()) for stack in stacks]
        low, high = min(kept), max(kept)
        per = " per stack" if len(stacks) > 1 else ""
        return (
            f"patch size {' or '.join(map(str, sizes))} px, "
            f"{low if low == high else f'{low} to {high}'} of {len(stacks[0].kept)} "
            f"eigenpatches kept{per}"
        )

    def script(self) -> str:
        """Return the Python script that makes the result as it is now."""
        return reucid_script(self.engine, self.path, self.frame, self.stacks, self._toggled())

    @property
    def engine(self) -> Reucid:
        """The engine as it was run."""
        engine: Reucid = self.run.engine  # type: ignore[assignment]
        return engine

    def _toggled(self) -> list[Index]:
        return [
            index
            for index, stacks in self.stacks.items()
            if any(
                (a.kept != b.kept).any() for a, b in zip(stacks, self.chosen[index], strict=True)
            )
        ]
