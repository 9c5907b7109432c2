"""Patch sizes of a stack: one for all frames of a movie, or one for each channel."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.engine import Engine, Step, map_yields
from napari_lowdose.frames import Index, spread_over
from napari_lowdose.reucid.patch_size import WIDTHS
from napari_lowdose.reucid.reucid import Reucid, ReucidOfSize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.frames import ImageOrPair

# The PSF of a movie stays the same, that of channels does not.  A stack of at most MAX_CHANNELS
# frames is taken for channels if the PSF widths differ by more than the factor MIN_RATIO.
MAX_CHANNELS, MIN_RATIO = 6, 2.0
SEARCH = 0.3  # approximate fraction of the work spent on finding the patch size


class PatchSize(NamedTuple):
    """Width of a patch in pixels, and `wide` if it is wider than the PSF."""

    width: int
    wide: bool


@dataclass(frozen=True)
class StackPatchSizes:
    """Patch sizes of the frames of a stack.

    Attributes
    ----------
    found : mapping from index along `channel_axes` to PatchSize
        A movie has a single entry, for ``()``.  The value is None if no frame can be denoised.
    channel_axes : tuple of int
        Leading axes along which the patch size differs.
    guessed : bool
        True if the channels were recognised by the differences between their PSF widths.
    """

    found: Mapping[Index, PatchSize | None]
    channel_axes: tuple[int, ...] = ()
    guessed: bool = False

    def at(self, index: Index) -> PatchSize | None:
        """Return the patch size of the frame at `index`."""
        return self.found[tuple(index[axis] for axis in self.channel_axes)]

    def engine_at(self, engine: Reucid, index: Index) -> Reucid:
        """Return `engine` with the patch size of the frame at `index`."""
        size = self.at(index)
        if size is None:
            return engine
        n_components = engine.n_components * (WIDTHS if size.wide else 1)
        return replace(engine, patch_size=size.width, n_components=n_components)

    def note(self) -> str:
        """Return a note for the user if channels were guessed; empty otherwise."""
        if not self.guessed:
            return ""
        sizes = [str(size.width) for size in self.found.values() if size is not None]
        return (
            f"The frames suit patches of {', '.join(sizes[:-1])} and {sizes[-1]} px, as channels "
            "do: each has its own. For frames of a movie fix the patch size."
        )


def find_patch_sizes(
    engine: Reucid, stack: Any, channel_axis: int | None = None, may_guess: bool = True
) -> Generator[Step, None, StackPatchSizes]:
    """Find the patch sizes of the frames of a stack.

    Parameters
    ----------
    engine : Reucid
    stack : (..., Y, X) array
        Only a few frames are read.
    channel_axis : int, optional
        Leading axis of the channels.
    may_guess : bool
        Allow a short stack to be taken for channels.  Use False if the axis has a name.

    Yields
    ------
    Step
        Progress of the search.

    Returns
    -------
    StackPatchSizes
    """
    leading = tuple(stack.shape[:-2])
    axes = () if channel_axis is None else (channel_axis,)
    guessed = False
    if may_guess and not axes and len(leading) == 1 and 1 < leading[0] <= MAX_CHANNELS:
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
    """Return the indices of a few frames at the position `group` along `axes`."""
    at = dict(zip(axes, group, strict=True))
    others = tuple(n for axis, n in enumerate(leading) if axis not in at)
    indices = []
    for one in spread_over(others):
        rest = iter(one)
        indices.append(tuple(at[a] if a in at else next(rest) for a in range(len(leading))))
    return indices


def _look_like_channels(engine: Reucid, stack: Any) -> Generator[Step, None, bool]:
    """Return True if the PSF widths of the frames differ too much for a movie."""
    widths = []
    for frame in stack:
        size = yield from _patch_size(replace(engine, patch_size="psf"), [np.asarray(frame)])
        if size is None:
            return False
        widths.append(size.width)
    return max(widths) > MIN_RATIO * min(widths)


def _patch_size(
    engine: Reucid, frames: list[NDArray[Any]]
) -> Generator[Step, None, PatchSize | None]:
    """Find a common patch size for several frames; None if none can be denoised."""
    try:
        return PatchSize(*(yield from engine.find_patch_size(frames)))
    except ValueError:  # raised again when the frame is denoised
        return None


@dataclass(frozen=True, eq=False)
class StackReucid(Engine):
    """REUCID on a stack, or on one frame of it, with the patch sizes of the whole stack.

    Parameters
    ----------
    engine : Reucid
    stack : (..., Y, X) array
        The whole stack, even if only one frame of it is denoised.
    frame : tuple of int
        Index of the frame to denoise; empty for the whole stack.
    channel_axis, may_guess
        See `find_patch_sizes`.
    sizes : StackPatchSizes, optional
        By default found by `prepare`.
    """

    title = "REUCID"
    takes = "image"

    engine: Reucid
    stack: Any = field(repr=False)
    frame: Index = ()
    channel_axis: int | None = None
    may_guess: bool = True
    sizes: StackPatchSizes | None = None

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the fraction of the work spent on finding the patch sizes."""
        return SEARCH if self.sizes is None else 0.0

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, StackReucid]:
        """Find the patch sizes of the stack; see `Engine.prepare`."""
        sizes = self.sizes
        if sizes is None:
            sizes = yield from find_patch_sizes(
                self.engine, self.stack, self.channel_axis, self.may_guess
            )
        # The pixels are no longer needed, and would be sent to each process of a cluster.
        return replace(self, stack=None, sizes=sizes)

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames around a frame; none along an axis of channels."""
        along_channels = self.sizes is not None and 0 in self.sizes.channel_axes
        return () if along_channels else self.engine.neighbours(number, n_frames)

    def for_frame(self, index: Index) -> Engine:
        """Return REUCID with the patch size of the frame at `index`."""
        assert self.sizes is not None  # `prepare` sets it
        size = self.sizes.at(self.frame or index)
        return self.engine if size is None else ReucidOfSize(self.engine, size.width, size.wide)

    def about(self) -> dict[str, Any]:
        """Return the name, parameters and versions of the engine."""
        return self.engine.about()
