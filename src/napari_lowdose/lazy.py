# mypy: allow-untyped-calls
"""A lazy movie in, a lazy movie out: every frame is a task of its own (dask).

The same graph runs in threads, or on a dask.distributed cluster whose client is open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import frame_name, one_frame, spread_over
from napari_lowdose.image_or_pair import ImageOrPair
from napari_lowdose.io.sliceable import sliceable
from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.part_of_movie import PartOfMovie

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine, Step


def denoise_lazily(image: ImageOrPair, engine: Engine) -> Any:
    """Return a dask array of the result; a frame is read and denoised when it is asked for.

    Parameters
    ----------
    image : ImageOrPair
    engine : Engine
        What has to be trained first, is.

    Returns
    -------
    (..., Y, X) dask array, float32
        One frame a chunk.
    """
    import dask.array as da
    from dask.base import tokenize
    from dask.delayed import delayed

    n_leading = len(image.leading)
    whole_frames = (*(1,) * n_leading, -1, -1)
    lazy = [da.asarray(sliceable(exposure)) for exposure in image.exposures]
    exposures = [exposure.rechunk(whole_frames) for exposure in lazy]
    worker = FrameWorker(settled(trained(engine, image), image), image.leading)
    # A node of its own in the graph: it goes to every process once, and not along with each frame
    node = delayed(worker, traverse=False)
    return da.map_blocks(
        _denoise_block,
        *exposures,
        worker=node,
        dtype=np.float32,
        meta=np.empty((0,) * (n_leading + 2), np.float32),
        name=f"denoise-{tokenize(node.key, *(e.name for e in exposures))}",
    )


def trained(engine: Any, image: ImageOrPair) -> Engine:
    """Return the network that `engine` trains on `image`; any other engine as it is."""
    if hasattr(engine, "train"):
        return engine.train(*image.exposures)  # type: ignore[no-any-return]
    return engine  # type: ignore[no-any-return]


def settled(engine: Any, image: ImageOrPair) -> Engine:
    """Return the engine with all decided that a few frames decide for the whole movie.

    Parameters
    ----------
    engine : Engine
    image : ImageOrPair
        A few of its frames are read if that is needed; where none of them will do, the first
        that is not constant.
    """
    if isinstance(engine, Noise2NoiseModel):
        return replace(engine, state=None)  # what only further training needs stays here
    if not hasattr(engine, "settle") or not image.leading:
        return engine  # type: ignore[no-any-return]
    try:
        few = (image.frames(index)[0] for index in spread_over(image.leading))
        return engine.settle(*few)  # type: ignore[no-any-return]
    except ValueError:
        pass
    for number, index in enumerate(np.ndindex(image.leading)):
        frames = image.frames(index)
        if all(frame.min() == frame.max() for frame in frames):
            continue
        try:
            return engine.settle(*frames)  # type: ignore[no-any-return]
        except ValueError as error:
            raise ValueError(f"{frame_name(number, image.leading)}: {error}") from error
    return engine  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class FrameWorker:
    """Denoises single frames of a movie, in whatever process it arrives.

    Parameters
    ----------
    engine : Engine
        Settled.
    leading : tuple of int
        Shape of the movie without rows and columns.
    """

    engine: Engine
    leading: tuple[int, ...]

    def __call__(self, index: tuple[int, ...], *frames: NDArray[Any]) -> NDArray[np.float32]:
        """Denoise the frame `index`; errors name it."""
        number = int(np.ravel_multi_index(index, self.leading)) if index else 0
        image = None
        of_constant = getattr(self.engine, "of_constant", None)
        name = frame_name(number, self.leading)
        for step in one_frame(frames, name, self._steps, of_constant):
            image = step.image if step.image is not None else image
        assert image is not None  # an engine's last step has one
        return image

    def _steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        parts: tuple[Any, ...] = frames
        if self.leading:  # what is right for movies is right for one frame of them
            parts = tuple(PartOfMovie(frame[np.newaxis], [0]) for frame in frames)
        return self.engine.steps(ImageOrPair(parts).given)


def _denoise_block(
    *blocks: NDArray[Any], worker: FrameWorker, block_id: tuple[int, ...]
) -> NDArray[np.float32]:
    """Denoise a chunk, which is one frame."""
    frames = (np.asarray(block).reshape(block.shape[-2:]) for block in blocks)
    return worker(tuple(block_id[:-2]), *frames).reshape(blocks[0].shape)
