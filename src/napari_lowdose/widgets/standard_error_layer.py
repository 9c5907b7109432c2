# mypy: allow-untyped-calls
"""A layer of the standard error of each pixel of a result."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_lowdose.frames import ImageOrPair
from napari_lowdose.reucid import Reucid
from napari_lowdose.reucid.stack_patch_sizes import PatchSize, StackPatchSizes
from napari_lowdose.run import read_neighbours
from napari_lowdose.standard_error import standard_error_steps
from napari_lowdose.widgets.result_job import ResultJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.frames import Index

CLIPPED = 99.5  # percentile at the upper contrast limit


class StandardErrorJob(ResultJob):
    """Computes the standard error for the frame in view of a result, and adds it as a layer.

    Raises
    ------
    ValueError
        If the result is not of REUCID.
    """

    title = "Standard error"

    def __init__(self, viewer: ViewerModel, image: Image, result: Image) -> None:
        super().__init__(viewer, image, result)
        self._engine = engine_of(self.record, self._shown)
        self._found: NDArray[np.float32] | None = None

    def steps(self) -> Iterator[Step]:
        """Denoise the frame again, and compute the standard error."""
        neighbours = None
        if "frame" not in self.record["input"] and self.index:  # all frames were denoised
            stack = ImageOrPair((self.pixels,))
            number = int(np.ravel_multi_index(self.index, stack.leading))
            neighbours = read_neighbours(self._engine, stack, number)
        frame = np.array(self.frame)
        for step in standard_error_steps(frame, self._engine, neighbours=neighbours):
            self._found = step.image
            yield dataclasses.replace(step, image=None)

    def show(self) -> str:
        """Add the standard error, in grey levels."""
        assert self._found is not None  # of the last step
        limit = float(np.nanpercentile(self._found, CLIPPED)) or 1.0
        name = f"{self.result.name} standard error"
        self.add(Image, self._found, name, contrast_limits=(0, limit), colormap="viridis")
        typical = float(np.sqrt(np.nanmean(np.square(self._found))))
        return f"the standard error of a pixel is {typical:.3g} (root mean square)."


def engine_of(record: Mapping[str, Any], index: Index) -> Reucid:
    """Return the engine that denoises a frame as a recorded run has done.

    Parameters
    ----------
    record : mapping
        Record of a result.
    index : tuple of int
        Index of the frame in the result.

    Raises
    ------
    ValueError
        If the record is not of REUCID.
    """
    if record.get("engine") != Reucid.__name__:
        raise ValueError(
            "The standard error is known for results of REUCID: select one, or one and its input."
        )
    engine = Reucid(**record["parameters"])
    of_frame = [each for each in record["steps"] if tuple(each["index"]) in ((), index)]
    if of_frame:
        first = of_frame[0]
        sizes = StackPatchSizes({(): PatchSize(first["patch_size"], first["wide"])})
        engine = sizes.engine_at(engine, index)
        if engine.stacks == "random":
            engine = dataclasses.replace(engine, n_stacks=first["n_stacks"])
    for by_hand in record.get("kept_by_hand", []):
        if tuple(by_hand["index"]) in ((), index):
            kept = by_hand["kept"]
            engine = dataclasses.replace(engine, n_stacks=len(kept), keep=kept)
    return engine
