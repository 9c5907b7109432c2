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

EVERY = 16  # pixels: of two frames every so many tell whether a stack has changed
# A short stack whose PSF widths differ by more than this factor looks like channels.
FEW, UNLIKE = 6, 2.0
SEARCH = 0.3  # the fraction of the work that finding the patch size is, about


class PatchSize(NamedTuple):
    """Width of a patch in pixels, and whether it is a wide one."""

    width: int
    wide: bool


@dataclass(frozen=True)
class StackPatchSizes:
    """Which patch size each frame of a stack gets.

    Attributes
    ----------
    found : mapping from index along `channel_axes` to PatchSize
        Of a movie one, for ``()``.  None where no frame can be denoised.
    channel_axes : tuple of int
        The leading axes along which the patch size differs.
    guessed : bool
        Whether the channels were recognised by how unlike their PSF widths are.
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
        """Return what a person should know of it; mostly nothing."""
        if not self.guessed:
            return ""
        sizes = [str(size.width) for size in self.found.values() if size is not None]
        return (
            f"The frames suit patches of {', '.join(sizes[:-1])} and {sizes[-1]} px, as channels "
            "do: each has its own. For frames of a movie fix the patch size."
        )


def fingerprint(stack: Any) -> int:
    """Return a number that changes as a stack in memory is changed in place, most likely."""
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
        Some of its frames are read.
    channel_axis : int, optional
        The leading axis whose frames are channels.
    may_guess : bool
        Whether a short stack may be taken for channels: not where its axis has a name.

    Yields
    ------
    Step
        After each frame that was looked at.

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
    """Return the indices of a few frames that are at `group` along `axes`."""
    at = dict(zip(axes, group, strict=True))
    others = tuple(n for axis, n in enumerate(leading) if axis not in at)
    indices = []
    for one in spread_over(others):
        rest = iter(one)
        indices.append(tuple(at[a] if a in at else next(rest) for a in range(len(leading))))
    return indices


def _look_like_channels(engine: Reucid, stack: Any) -> Generator[Step, None, bool]:
    """Whether the PSF widths of the frames are so unlike that they are no movie."""
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
    """Find what some frames decide; None if none of them can be denoised."""
    try:
        settled = yield from engine.settle_steps(*frames)
    except ValueError:  # told where the frame is denoised
        return None
    return PatchSize(int(settled.patch_size), settled.n_components > engine.n_components)


@dataclass(eq=False)
class StackReucid:
    """REUCID on a stack or one frame of it, with the patch size that the stack decides.

    Parameters
    ----------
    engine : Reucid
    stack : (..., Y, X) array
        The whole stack, of which `steps` may be given one frame.
    frame : tuple of int
        Which frame that is; empty for the whole stack.
    channel_axis, may_guess
        As for `find_patch_sizes`.
    sizes : StackPatchSizes, optional
        Where they are known; found, and kept here, by default.
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
                yield _say_if_wide(step, sizes.at(self.frame))
            return
        leading = tuple(image.shape[:-2])
        n_frames = prod(leading)
        for number in range(n_frames):
            index = frame_index(number, leading)
            settled, frame = sizes.settle(self.engine, index), np.asarray(image[index])
            for step in one_frame((frame,), frame_name(number, leading), settled.steps):
                said = _say_if_wide(step, sizes.at(index))
                yield replace(said, index=index, fraction=(number + step.fraction) / n_frames)


def _say_if_wide(step: Step, size: PatchSize | None) -> Step:
    if isinstance(step, StackStep) and size is not None and size.wide:
        return replace(step, wide=True)
    return step


def of_stack(
    engine: Reucid, layer: Image, frame: Index = (), sizes: StackPatchSizes | None = None
) -> StackReucid | None:
    """Return what denoises a stack of frames; None where the frames have nothing to decide."""
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


# What is shown: "psf" is quick, and "auto" follows.
MODES: tuple[Literal["psf", "auto"], ...] = ("psf", "auto")


@dataclass(frozen=True, kw_only=True)
class PsfWidthStep(Step):
    """The PSF width is known.

    Attributes
    ----------
    psf_width : int
        Pixels.
    """

    psf_width: int


@dataclass(frozen=True, kw_only=True)
class PatchSizesStep(Step):
    """The patch sizes of a stack are known, for one way to choose them.

    Attributes
    ----------
    sizes : StackPatchSizes
    engine : Reucid
        With that way.
    """

    sizes: StackPatchSizes
    engine: Reucid


class KnownPatchSizes:
    """The patch sizes of the stack in one layer, as long as its data stay as they are."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, Reucid], StackPatchSizes] = {}

    def forget(self) -> None:
        """Forget all: the data have changed."""
        self._known.clear()

    def of(self, layer: Image, engine: Reucid) -> StackPatchSizes | None:
        """Return the patch sizes that `engine` chooses; None if they are not known."""
        return self._known.get(_key(layer, engine)) if is_stack(layer, engine) else None

    def remember(self, layer: Image, engine: Reucid, sizes: StackPatchSizes | None) -> None:
        """Keep what was found."""
        if sizes is not None and is_stack(layer, engine):
            self._known[_key(layer, engine)] = sizes

    def widths(
        self, layer: Image, engine: Reucid, frame: tuple[int, ...]
    ) -> tuple[int | None, int | None]:
        """Return the PSF width and what "auto" comes to for `frame`, where they are known."""
        known = (self.of(layer, replace(engine, patch_size=mode)) for mode in MODES)
        sizes = (None if each is None else each.at(frame) for each in known)
        psf, automatic = (None if size is None else size.width for size in sizes)
        return psf, automatic

    def steps(self, layer: Image, dims: Dims, engine: Reucid) -> Iterator[Step]:
        """Yield the estimate for the frame in view, or for the stack that it belongs to."""
        if not is_stack(layer, engine):
            return psf_width_steps(pixels_of(layer)[frame_in_view(dims, layer)])
        of = of_stack(replace(engine, patch_size="auto"), layer)
        assert of is not None  # it is a stack
        return patch_sizes_steps(of)


def psf_width_steps(frame: Any) -> Iterator[PsfWidthStep]:
    """Yield the estimate for one (Y, X) frame, which is read (dask) only now."""
    width = psf_width(np.asarray(frame))
    yield PsfWidthStep(fraction=1, message=f"PSF width {width} px", psf_width=width)


def patch_sizes_steps(of: StackReucid) -> Iterator[Step]:
    """Yield what the frames of a stack get, with "psf" and with "auto"."""
    for part, mode in enumerate(MODES):
        engine = replace(of.engine, patch_size=mode)
        search = find_patch_sizes(engine, of.stack, of.channel_axis, of.may_guess)
        sizes = yield from map_yields(
            search, lambda step: replace(step, fraction=step.fraction / 2)
        )
        fraction = (part + 1) / 2
        yield PatchSizesStep(fraction=fraction, message="patch size", sizes=sizes, engine=engine)


def is_stack(layer: Image, engine: Any) -> bool:
    """Whether `layer` is a stack of frames, of which several decide what `engine` does."""
    return isinstance(engine, Reucid) and pixels_of(layer).ndim > 2


def _key(layer: Image, engine: Reucid) -> tuple[int, int, Reucid]:
    # How much is done at once changes nothing of the patch size.
    alike = replace(engine, n_stacks=None, memory_limit=None, keep=None)
    return id(layer), fingerprint(pixels_of(layer)), alike
