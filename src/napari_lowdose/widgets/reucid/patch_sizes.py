"""Patch sizes of a layer: estimated for display, and remembered until its data change."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.engine import Step, map_yields
from napari_lowdose.reucid import Reucid
from napari_lowdose.reucid.psf_width import psf_width
from napari_lowdose.reucid.stack_patch_sizes import StackReucid, find_patch_sizes
from napari_lowdose.widgets.layers import axis_names, channel_axis, frame_in_view
from napari_lowdose.widgets.result_layer import layer_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import Dims
    from napari.layers import Image

    from napari_lowdose.frames import Index
    from napari_lowdose.reucid.stack_patch_sizes import StackPatchSizes

SAMPLING_STEP = 16  # pixels: sampling of two frames, to detect that a stack has changed
# Estimated for display: "psf" is fast and comes first.
MODES: tuple[Literal["psf", "auto"], ...] = ("psf", "auto")


@dataclass(frozen=True, kw_only=True)
class PsfWidthStep(Step):
    """An estimate of the PSF width.

    Attributes
    ----------
    psf_width : int
        Pixels.
    """

    psf_width: int


@dataclass(frozen=True, kw_only=True)
class PatchSizesStep(Step):
    """Patch sizes of a stack, for one mode of choosing them.

    Attributes
    ----------
    sizes : StackPatchSizes
    engine : Reucid
        Engine with this mode as its `patch_size`.
    """

    sizes: StackPatchSizes
    engine: Reucid


class PatchSizeCache:
    """Known patch sizes of the stack in one layer, until its data change."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, Reucid], StackPatchSizes] = {}

    def clear(self) -> None:
        """Remove everything, because the data have changed."""
        self._known.clear()

    def get(self, layer: Image, engine: Reucid) -> StackPatchSizes | None:
        """Return the patch sizes that `engine` chooses; None if they are not known."""
        return self._known.get(_key(layer, engine)) if is_stack(layer, engine) else None

    def set(self, layer: Image, engine: Reucid, sizes: StackPatchSizes | None) -> None:
        """Keep the patch sizes found."""
        if sizes is not None and is_stack(layer, engine):
            self._known[_key(layer, engine)] = sizes

    def widths(
        self, layer: Image, engine: Reucid, frame: tuple[int, ...]
    ) -> tuple[int | None, int | None]:
        """Return the PSF width and the automatic patch size of `frame`; None if unknown."""
        known = (self.get(layer, replace(engine, patch_size=mode)) for mode in MODES)
        sizes = (None if each is None else each.at(frame) for each in known)
        psf, automatic = (None if size is None else size.width for size in sizes)
        return psf, automatic

    def steps(self, layer: Image, dims: Dims, engine: Reucid) -> Iterator[Step]:
        """Estimate for the frame in view, or for its stack."""
        if not is_stack(layer, engine):
            return psf_width_steps(layer_pixels(layer)[frame_in_view(dims, layer)])
        of = stack_engine(replace(engine, patch_size="auto"), layer)
        assert of is not None  # it is a stack
        return patch_sizes_steps(of)


def psf_width_steps(frame: Any) -> Iterator[PsfWidthStep]:
    """Estimate the PSF width of one (Y, X) frame, which may be lazy (dask)."""
    width = psf_width(np.asarray(frame))
    yield PsfWidthStep(fraction=1, message=f"PSF width {width} px", psf_width=width)


def patch_sizes_steps(of: StackReucid) -> Iterator[Step]:
    """Find the patch sizes of a stack, for "psf" and for "auto"."""
    for part, mode in enumerate(MODES):
        engine = replace(of.engine, patch_size=mode)
        search = find_patch_sizes(engine, of.stack, of.channel_axis, of.may_guess)
        sizes = yield from map_yields(
            search, lambda step: replace(step, fraction=step.fraction / 2)
        )
        fraction = (part + 1) / 2
        yield PatchSizesStep(fraction=fraction, message="patch size", sizes=sizes, engine=engine)


def is_stack(layer: Image, engine: Any) -> bool:
    """Whether `layer` is a stack, whose frames share decisions of `engine`."""
    return isinstance(engine, Reucid) and layer_pixels(layer).ndim > 2


def _key(layer: Image, engine: Reucid) -> tuple[int, int, Reucid]:
    # These parameters do not influence the patch size.
    alike = replace(
        engine, n_stacks=None, memory_limit=None, keep=None, deviations="keep", frames_together=1
    )
    # The fingerprint detects changes in place, for which napari emits no event.
    return id(layer), fingerprint(layer_pixels(layer)), alike


def fingerprint(stack: Any) -> int:
    """Return a checksum that most likely changes if a stack in memory is changed in place."""
    if not isinstance(stack, np.ndarray):
        return 0
    ends = stack[(slice(None, None, max(1, len(stack) - 1)), ..., slice(None, None, SAMPLING_STEP))]
    return zlib.crc32(np.ascontiguousarray(ends[..., ::SAMPLING_STEP, :]).data)


def stack_engine(
    engine: Reucid, layer: Image, frame: Index = (), sizes: StackPatchSizes | None = None
) -> StackReucid | None:
    """Return REUCID for a stack of frames; None for a single image or a fixed patch size."""
    stack = layer_pixels(layer)
    if stack.ndim < 3 or not isinstance(engine, Reucid) or isinstance(engine.patch_size, int):
        return None
    names = axis_names(layer)
    return StackReucid(
        engine,
        stack,
        frame,
        channel_axis(names),
        may_guess=not any(names[:-2]),
        sizes=sizes,
    )
