"""A run of REUCID on a layer, and the runs that are kept for later."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.reucid import StackStep
from napari_lowdose.reucid.alike import AlikeStep
from napari_lowdose.reucid.stack_patch_sizes import PatchSize, StackPatchSizes
from napari_lowdose.reucid.stack_step import alike_summary
from napari_lowdose.widgets.layer_run import MAX_FRAMES_BYTES, LayerRun
from napari_lowdose.widgets.layers import frame_in_view
from napari_lowdose.widgets.python_script import Axes, Index, reucid_script, with_kept_eigenpatches
from napari_lowdose.widgets.region import region_name
from napari_lowdose.widgets.reucid.eigenpatches import toggle_eigenpatch
from napari_lowdose.widgets.reucid.patch_sizes import stack_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import Dims, LayerList
    from napari.layers import Image

    from napari_lowdose.reucid import Reucid
    from napari_lowdose.reucid.noise_estimate import NoiseEstimate
    from napari_lowdose.widgets.region import Region

WIDE_PATCHES = (
    "Wide patches average over more repeats and may weaken features that occur once (a vacancy, "
    'a dopant): for rare defects compare with patch size "PSF width".'
)

AVERAGED = (
    "Sites that deviate from the patches that look like them (a vacancy, a dopant) are weakened: "
    'for rare defects compare with strength "balanced" or "faithful".'
)
FIXED = (
    "the eigenpatches of the pilot cannot be changed afterwards, because the groups of alike "
    "patches depend on them."
)


class ReucidRun(LayerRun):
    """A `LayerRun` that remembers each frame's eigenpatches.

    Parameters
    ----------
    layers : LayerList
    source : Image
    engine : Reucid
    frame : tuple of int, optional
        Index of the frame to denoise; all frames by default.  The patch size is the same as in
        a run on all frames.
    with_residual : bool
    sizes : StackPatchSizes, optional
        Patch sizes of the stack, if they are known.
    region : (int, int, int, int), optional
        Rows and columns to denoise; by default all.

    Attributes
    ----------
    engine : Reucid
        The engine that was run.
    requested : Reucid
        The engine with the parameters of the form.  They differ in the number of stacks if the
        default did not suit.
    stacks_chosen : bool
        Whether the user has set the number of stacks.
    stacks : dict from frame index to list of StackStep
        With the eigenpatches kept now.  The key of a single frame is ``()``.  For alike stacks
        only the pilot, as the passes have no choice of eigenpatches.
    noise : dict from frame index to NoiseEstimate
        Noise of each frame, for alike stacks.
    chosen : dict from frame index to list of StackStep
        With the eigenpatches chosen by the engine.
    notes : list of str
        Warnings about the result.
    status : str
        Outcome of the run.
    """

    def __init__(
        self,
        layers: LayerList,
        source: Image,
        engine: Reucid,
        frame: Index = (),
        with_residual: bool = False,
        sizes: StackPatchSizes | None = None,
        region: Region | None = None,
    ) -> None:
        on_stack = stack_engine(engine, source, frame, sizes)
        where = f" {list(frame)}" if frame else ""
        where += f" {region_name(region)}" if region else ""
        super().__init__(
            layers,
            source,
            on_stack or engine,
            frame,
            with_residual,
            name=f"{source.name}{where} {type(engine).__name__.upper()}",
            region=region,
        )
        self.engine = engine
        self.stacks: dict[Index, list[StackStep]] = {}
        self.chosen: dict[Index, list[StackStep]] = {}
        self.noise: dict[Index, NoiseEstimate] = {}
        self.notes: list[str] = []
        self.requested, self.stacks_chosen = engine, True
        self.with_residual = with_residual
        # Weak: a kept run must not keep the pixels of a removed layer.
        self._source = weakref.ref(source)
        self._axes = Axes.from_layer(source)

    @property
    def source(self) -> Image | None:
        """The input layer; None if it was deleted."""
        return self._source()

    @property
    def sizes(self) -> StackPatchSizes | None:
        """The patch sizes that the stack decided; None for a single image."""
        return getattr(self.run.prepared, "sizes", None)

    @property
    def nbytes(self) -> int:
        """Approximate memory needed to rebuild the result from other eigenpatches, bytes."""
        stacks = [stack for frame in self.stacks.values() for stack in frame]
        return min(int(self.run.input.nbytes), MAX_FRAMES_BYTES) + sum(
            s.eigenpatches.nbytes for s in stacks
        )

    def show(self, steps: Sequence[Step]) -> None:
        """Show the newest interim image, and keep the eigenpatches."""
        if self.sizes is not None and (note := self.sizes.note()):
            self.note(note)
        for step in steps:
            if isinstance(step, AlikeStep):
                self.noise[step.index] = step.noise
                if step.stack > 0:
                    if self.engine.deviations == "average":
                        self.note(AVERAGED)
                    continue
            if isinstance(step, StackStep):
                if step.wide:
                    self.note(WIDE_PATCHES)
                slim = replace(step, image=None)  # saves memory
                self.stacks.setdefault(step.index, []).append(slim)
                self.chosen.setdefault(step.index, []).append(slim)
        super().show(steps)

    def note(self, text: str) -> None:
        """Add a note once: the frames of a movie may give the same one."""
        if text not in self.notes:
            self.notes.append(text)

    def frame_near(self, dims: Dims) -> Index | None:
        """Return the index of the frame in view if it is known, else of the last finished one."""
        if self.result is None:
            return None
        index = () if self._one_frame else frame_in_view(dims, self.result)
        if index in self.stacks or not self.stacks:
            return index if index in self.stacks else None
        return next(reversed(self.stacks))

    def toggle(self, index: Index, stack: int, number: int) -> None:
        """Keep or drop an eigenpatch of frame `index`, in all its stacks.

        Raises
        ------
        ValueError
            If it is the last kept one, or if the stacks are of alike patches.
        """
        if index in self.noise:
            raise ValueError(FIXED)
        self.stacks[index] = toggle_eigenpatch(self.stacks[index], stack, number)

    def rebuild_steps(self, index: Index) -> Iterator[Step]:
        """Rebuild frame `index` from the eigenpatches kept now, without a new SVD."""
        stacks = list(self.stacks[index])
        yield Step(fraction=0, message="rebuilding")
        frame = np.asarray(self.run.input[index])
        image = self.engine.rebuild(frame, stacks)
        kept = sum(int(stack.kept.sum()) for stack in stacks)
        total = sum(len(stack.kept) for stack in stacks)
        message = f"rebuilt from {kept} of {total} eigenpatches"
        yield Step(fraction=1, message=message, image=image, index=index)

    def engine_at(self, index: Index) -> Reucid:
        """Return the engine that denoises a frame as in this run.

        Parameters
        ----------
        index : tuple of int
            Index in the stack; other frames than that of the run are possible.

        Returns
        -------
        Reucid
            With the patch size of the run.  If the user has changed the eigenpatches of the
            frame, they are chosen by their numbers.
        """
        key = () if index == self.frame else index
        stacks, sizes = self.stacks.get(key), self.sizes
        if stacks:
            sizes = StackPatchSizes({(): PatchSize(stacks[0].patch_size, stacks[0].wide)})
        engine = self.engine if sizes is None else sizes.engine_at(self.engine, index)
        if stacks and key in self._toggled():
            return with_kept_eigenpatches(engine, stacks)
        return engine

    def describe_choice(self) -> None:
        """Write the eigenpatches kept now into the metadata of the result."""
        by_hand = [
            {
                "index": list(index),
                "kept": [np.flatnonzero(stack.kept).tolist() for stack in self.stacks[index]],
            }
            for index in self._toggled()
        ]
        self.describe(**({"kept_by_hand": by_hand} if by_hand else {}))

    def end(self) -> None:
        """Mark the result as finished if the run is; add the residual."""
        super().end()
        self.run.engine = self.engine  # StackReucid would keep the pixels of a removed layer

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(self.engine.about().get("parameters", {}))

    def describe(self, **changes: Any) -> None:
        """Write what was done into the metadata of the result layer."""
        super().describe(**(self.engine.about() | changes))

    def summary(self) -> str:
        """Return a short summary of the run."""
        stacks = [stack for frame in self.stacks.values() for stack in frame]
        if not stacks:
            return "no eigenpatches"
        sizes = sorted({stack.patch_size for stack in stacks})
        kept = [int(stack.kept.sum()) for stack in stacks]
        low, high = min(kept), max(kept)
        per = f" per {'frame' if self.noise else 'stack'}" if len(stacks) > 1 else ""
        kept_now = (
            f"{low if low == high else f'{low} to {high}'} of {len(stacks[0].kept)} "
            f"eigenpatches kept{per}"
        )
        alike = alike_summary(self.run.record()["steps"])
        return ", ".join([f"patch size {' or '.join(map(str, sizes))} px", kept_now, *alike])

    def script(self) -> str:
        """Return the Python script that reproduces the current result."""
        return reucid_script(
            self.engine,
            self.path,
            self.frame,
            self.stacks,
            self._toggled(),
            self.sizes,
            self._axes,
            self.region,
        )

    def _toggled(self) -> list[Index]:
        return [
            index
            for index, stacks in self.stacks.items()
            if any(
                (a.kept != b.kept).any() for a, b in zip(stacks, self.chosen[index], strict=True)
            )
        ]


MAX_HISTORY_BYTES = 2**30  # bytes of all runs that are kept


class RunHistory:
    """The newest runs whose result layers still exist, found by their layers."""

    def __init__(self) -> None:
        self._runs: list[ReucidRun] = []  # most recently used last

    def add(self, run: ReucidRun) -> None:
        """Keep `run`, and drop the oldest ones if they need too much memory."""
        self._runs = [each for each in self._runs if each is not run and not each.result_removed]
        self._runs.append(run)
        while len(self._runs) > 1 and sum(each.nbytes for each in self._runs) > MAX_HISTORY_BYTES:
            del self._runs[0]

    @property
    def runs(self) -> list[ReucidRun]:
        """The runs that are kept, the most recently used last."""
        return list(self._runs)

    def find(self, layer: Image) -> ReucidRun | None:
        """Return the run whose result or residual is `layer`; None if it is not kept."""
        return next((run for run in self._runs if layer in (run.result, run.residual)), None)

    def newest_on(self, source: Image) -> ReucidRun | None:
        """Return the most recently used run on `source`."""
        runs = (run for run in reversed(self._runs) if not run.result_removed)
        return next((run for run in runs if run.source is source), None)

    def remove_deleted(self) -> None:
        """Drop the runs whose results were removed."""
        self._runs = [run for run in self._runs if not run.result_removed]
