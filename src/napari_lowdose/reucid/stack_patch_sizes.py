"""One patch size for all frames of a movie, and one for each channel."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.engine import Engine, Step, map_yields
from napari_lowdose.frames import Index, spread_over
from napari_lowdose.reucid.patch_size import WIDTHS
from napari_lowdose.reucid.reucid import OfPatchSize, Reucid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.frames import ImageOrPair

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

    def engine_at(self, engine: Reucid, index: Index) -> Reucid:
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
        return PatchSize(*(yield from engine.find_patch_size(frames)))
    except ValueError:  # the error is raised again where the frame is denoised
        return None


@dataclass(frozen=True, eq=False)
class StackReucid(Engine):
    """REUCID on a stack, or on one frame of it, with the patch sizes that suit the whole stack.

    Parameters
    ----------
    engine : Reucid
    stack : (..., Y, X) array
        The whole stack, also where a single frame of it is denoised.
    frame : tuple of int
        Index of that frame; empty for the whole stack.
    channel_axis, may_guess
        As for `find_patch_sizes`.
    sizes : StackPatchSizes, optional
        Found by `prepare` where they are not given.
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
        """Return the share of the search for the patch sizes."""
        return SEARCH if self.sizes is None else 0.0

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, StackReucid]:
        """Find the patch sizes of the stack; see `Engine.prepare`."""
        sizes = self.sizes
        if sizes is None:
            sizes = yield from find_patch_sizes(
                self.engine, self.stack, self.channel_axis, self.may_guess
            )
        return replace(self, stack=None, sizes=sizes)

    def for_frame(self, index: Index) -> Engine:
        """Return REUCID with the patch size of the frame at `index`."""
        assert self.sizes is not None  # it is prepared
        size = self.sizes.at(self.frame or index)
        return self.engine if size is None else OfPatchSize(self.engine, size.width, size.wide)

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions of the engine."""
        return self.engine.about()
