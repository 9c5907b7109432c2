"""Patch sizes of stacks: one for the frames of a movie, one for each channel."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_lowdose.engine import Step, frame_name, map_yields, one_frame, spread_over
from napari_lowdose.image_or_pair import frame_index
from napari_lowdose.reucid import Reucid, StackStep
from napari_lowdose.reucid.patch_size import WIDTHS
from napari_lowdose.reucid.psf_width import psf_width
from napari_lowdose.widgets.layers import axis_names, channel_axis, frame_in_view
from napari_lowdose.widgets.result_layer import pixels_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from napari.components import Dims
    from napari.layers import Image
    from numpy.typing import NDArray

Index = tuple[int, ...]

EVERY = 16  # pixels: sampling of two frames, to detect that a stack has changed
# A stack of at most FEW frames whose PSF widths differ by more than this factor looks like
# channels.
FEW, UNLIKE = 6, 2.0
SEARCH = 0.3  # approximate fraction of the work that is finding the patch size


class PatchSize(NamedTuple):
    """Width of a patch in pixels, and whether the patch is wide."""

    width: int
    wide: bool


@dataclass(frozen=True)
class StackPatchSizes:
    """Patch sizes of the frames of a stack.

    Attributes
    ----------
    found : mapping from index along `channel_axes` to PatchSize
        A movie has one, for ``()``.  None if no frame can be denoised.
    channel_axes : tuple of int
        The leading axes along which the patch size differs.
    guessed : bool
        Whether the channels were recognised by their different PSF widths.
    """

    found: Mapping[Index, PatchSize | None]
    channel_axes: tuple[int, ...] = ()
    guessed: bool = False

    def at(self, index: Index) -> PatchSize | None:
        """Return the patch size of the frame `index`."""
        return self.found[tuple(index[axis] for axis in self.channel_axes)]

    def settle(self, engine: Reucid, index: Index) -> Reucid:
        """Return `engine` with the patch size of the frame `index`."""
        size = self.at(index)
        if size is None:
            return engine
        n_components = engine.n_components * (WIDTHS if size.wide else 1)
        return replace(engine, patch_size=size.width, n_components=n_components)

    def note(self) -> str:
        """Return a note for the user if channels were guessed; otherwise empty."""
        if not self.guessed:
            return ""
        sizes = [str(size.width) for size in self.found.values() if size is not None]
        return (
            f"The frames suit patches of {', '.join(sizes[:-1])} and {sizes[-1]} px, as channels "
            "do: each has its own. For frames of a movie, fix the patch size."
        )


def fingerprint(stack: Any) -> int:
    """Return a checksum that most likely changes if a stack in memory is changed in place."""
    if not isinstance(stack, np.ndarray):
        return 0
    ends = stack[(slice(None, None, max(1, len(stack) - 1)), ..., slice(None, None, EVERY))]
    return zlib.crc32(np.ascontiguousarray(ends[..., ::EVERY, :]).data)


def find_patch_sizes(
    engine: Reucid, stack: Any, channel_axis: int | None = None, may_guess: bool = True
) -> Generator[Step, None, StackPatchSizes]:
    """Decide the patch size of every frame of a stack.

    Parameters
    ----------
    engine : Reucid
    stack : (..., Y, X) array
        A few of its frames are read.
    channel_axis : int, optional
        The leading axis whose frames are channels.
    may_guess : bool
        Whether a short stack may be recognised as channels: not if its axis has a name.

    Yields
    ------
    Step
        After each frame examined.

    Returns
    -------
    StackPatchSizes
    """
    leading = tuple(stack.shape[:-2])
    axes = () if channel_axis is None else (channel_axis,)
    guessed = False
    if may_guess and not axes and len(leading) == 1 and 1 < leading[0] <= FEW:
        guessed = yield from _look_like_channels(engine, stack)
        axes = (0,) if guessed else ()
    groups = list(np.ndindex(tuple(leading[axis] for axis in axes)))
    found: dict[Index, PatchSize | None] = {}
    for number, group in enumerate(groups):
        frames = [np.asarray(stack[index]) for index in _some_of(leading, axes, group)]
        yield Step(fraction=number / len(groups), message="patch size")
        found[group] = yield from map_yields(
            _patch_size(engine, frames), functools.partial(_as_part, number, len(groups))
        )
    return StackPatchSizes(found, axes, guessed)


def _as_part(number: int, of: int, step: Step) -> Step:
    return replace(step, fraction=(number + step.fraction) / of)


def _some_of(leading: Index, axes: Index, group: Index) -> list[Index]:
    """Return the indices of a few frames at `group` along `axes`."""
    at = dict(zip(axes, group, strict=True))
    others = tuple(n for axis, n in enumerate(leading) if axis not in at)
    indices = []
    for one in spread_over(others):
        rest = iter(one)
        indices.append(tuple(at[a] if a in at else next(rest) for a in range(len(leading))))
    return indices


def _look_like_channels(engine: Reucid, stack: Any) -> Generator[Step, None, bool]:
    """Whether the PSF widths of the frames differ too much for a movie."""
    widths = []
    for frame in stack:
        size = yield from _patch_size(replace(engine, patch_size="psf"), [np.asarray(frame)])
        if size is None:
            return False
        widths.append(size.width)
    return max(widths) > UNLIKE * min(widths)


def _patch_size(
    engine: Reucid, frames: list[NDArray[Any]]
) -> Generator[Step, None, PatchSize | None]:
    """Choose the patch size for some frames; None if none of them can be denoised."""
    try:
        settled = yield from engine.settle_steps(*frames)
    except ValueError:  # reported when the frame is denoised
        return None
    return PatchSize(int(settled.patch_size), settled.n_components > engine.n_components)


@dataclass(eq=False)
class StackReucid:
    """REUCID on a stack or one of its frames, with the patch size chosen from the stack.

    Parameters
    ----------
    engine : Reucid
    stack : (..., Y, X) array
        The whole stack, also if `steps` gets only one frame.
    frame : tuple of int
        Index of that frame; empty for the whole stack.
    channel_axis, may_guess
        As for `find_patch_sizes`.
    sizes : StackPatchSizes, optional
        Known patch sizes; by default they are found and kept here.
    """

    engine: Reucid
    stack: Any = field(repr=False)
    frame: Index = ()
    channel_axis: int | None = None
    may_guess: bool = True
    sizes: StackPatchSizes | None = None

    takes = "image"

    def steps(self, image: Any) -> Iterator[Step]:
        """Denoise `image`: the whole stack, or its frame `frame`."""
        begun = 0.0
        if self.sizes is None:
            stack = self.stack if self.frame else image
            begun = SEARCH
            search = find_patch_sizes(self.engine, stack, self.channel_axis, self.may_guess)
            self.sizes = yield from map_yields(
                search, lambda step: replace(step, fraction=SEARCH * step.fraction)
            )
        for step in self._denoise(image, self.sizes):
            yield replace(step, fraction=begun + (1 - begun) * step.fraction)

    def _denoise(self, image: Any, sizes: StackPatchSizes) -> Iterator[Step]:
        if self.frame or not sizes.channel_axes:
            for step in sizes.settle(self.engine, self.frame).steps(image):
                yield _mark_if_wide(step, sizes.at(self.frame))
            return
        leading = tuple(image.shape[:-2])
        n_frames = prod(leading)
        for number in range(n_frames):
            index = frame_index(number, leading)
            settled, frame = sizes.settle(self.engine, index), np.asarray(image[index])
            for step in one_frame((frame,), frame_name(number, leading), settled.steps):
                marked = _mark_if_wide(step, sizes.at(index))
                yield replace(marked, index=index, fraction=(number + step.fraction) / n_frames)


def _mark_if_wide(step: Step, size: PatchSize | None) -> Step:
    if isinstance(step, StackStep) and size is not None and size.wide:
        return replace(step, wide=True)
    return step


def of_stack(
    engine: Reucid, layer: Image, frame: Index = (), sizes: StackPatchSizes | None = None
) -> StackReucid | None:
    """Return REUCID for a stack of frames; None for a single image or a fixed patch size."""
    stack = pixels_of(layer)
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


class KnownPatchSizes:
    """Known patch sizes of the stack in one layer, until its data change."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, Reucid], StackPatchSizes] = {}

    def forget(self) -> None:
        """Forget everything, because the data have changed."""
        self._known.clear()

    def of(self, layer: Image, engine: Reucid) -> StackPatchSizes | None:
        """Return the patch sizes that `engine` chooses; None if they are not known."""
        return self._known.get(_key(layer, engine)) if is_stack(layer, engine) else None

    def remember(self, layer: Image, engine: Reucid, sizes: StackPatchSizes | None) -> None:
        """Keep the patch sizes found."""
        if sizes is not None and is_stack(layer, engine):
            self._known[_key(layer, engine)] = sizes

    def widths(
        self, layer: Image, engine: Reucid, frame: tuple[int, ...]
    ) -> tuple[int | None, int | None]:
        """Return the PSF width and the automatic patch size of `frame`; None if unknown."""
        known = (self.of(layer, replace(engine, patch_size=mode)) for mode in MODES)
        sizes = (None if each is None else each.at(frame) for each in known)
        psf, automatic = (None if size is None else size.width for size in sizes)
        return psf, automatic

    def steps(self, layer: Image, dims: Dims, engine: Reucid) -> Iterator[Step]:
        """Estimate for the frame in view, or for its stack."""
        if not is_stack(layer, engine):
            return psf_width_steps(pixels_of(layer)[frame_in_view(dims, layer)])
        of = of_stack(replace(engine, patch_size="auto"), layer)
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
    return isinstance(engine, Reucid) and pixels_of(layer).ndim > 2


def _key(layer: Image, engine: Reucid) -> tuple[int, int, Reucid]:
    # These parameters do not influence the patch size.
    alike = replace(engine, n_stacks=None, memory_limit=None, keep=None)
    return id(layer), fingerprint(pixels_of(layer)), alike
