# mypy: allow-untyped-calls
"""A lazy movie in, a lazy movie out: every frame is a task of its own (dask).

The same graph runs in threads, or on a dask.distributed cluster whose client is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import run_to_end
from napari_lowdose.frames import frame_index
from napari_lowdose.io.arrays import sliceable
from napari_lowdose.run import denoise_frame, neighbour_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.frames import ImageOrPair


def denoise_lazily(given: ImageOrPair, engine: Engine) -> Any:
    """Return the result as a dask array: a frame is read and denoised when it is computed.

    Parameters
    ----------
    given : ImageOrPair
    engine : Engine
        Prepared at once: what has to be trained is trained here.

    Returns
    -------
    (..., Y, X) dask array, float32
        One frame per chunk.
    """
    import dask.array as da
    from dask.base import tokenize
    from dask.delayed import delayed

    n_leading = len(given.leading)
    ready = run_to_end(engine.prepare(given))
    whole_frames = (*(1,) * n_leading, -1, -1)
    lazy = [da.asarray(sliceable(exposure)) for exposure in given.exposures]
    exposures = [exposure.rechunk(whole_frames) for exposure in lazy]
    # A node of its own in the graph: sent to each process once, and not along with each frame
    prepared = delayed(ready, traverse=False)
    if any(neighbour_numbers(ready, number, given.leading) for number in range(given.n_frames)):
        return _with_neighbours(exposures, ready, prepared, given)
    return da.map_blocks(
        _denoise_block,
        *exposures,
        prepared=prepared,
        leading=given.leading,
        dtype=np.float32,
        meta=np.empty((0,) * (n_leading + 2), np.float32),
        name=f"denoise-{tokenize(prepared.key, *(e.name for e in exposures))}",
    )


def _with_neighbours(
    exposures: list[Any], engine: Engine, prepared: Any, given: ImageOrPair
) -> Any:
    """Return the result of an engine that reads several frames for each."""
    import dask.array as da
    from dask.delayed import delayed

    def read(number: int) -> list[Any]:
        return [exposure[frame_index(number, given.leading)] for exposure in exposures]

    frame_shape = given.shape[-2:]
    blocks = np.empty((*given.leading, 1, 1), object)
    for number in range(given.n_frames):
        others = neighbour_numbers(engine, number, given.leading)
        around = {distance: read(other) for distance, other in others.items()}
        task = delayed(_denoise)(prepared, number, given.leading, read(number), around)
        frame = da.from_delayed(task, frame_shape, dtype=np.float32)
        index = frame_index(number, given.leading)
        blocks[(*index, 0, 0)] = frame[(np.newaxis,) * len(given.leading)]
    return da.block(blocks.tolist())


def _denoise(
    prepared: Engine,
    number: int,
    leading: tuple[int, ...],
    frames: list[NDArray[Any]],
    around: dict[int, list[NDArray[Any]]],
) -> NDArray[np.float32]:
    neighbours = {distance: tuple(each) for distance, each in around.items()}
    return denoise_frame(prepared, number, leading, tuple(frames), neighbours)


def _denoise_block(
    *blocks: NDArray[Any], prepared: Engine, leading: tuple[int, ...], block_id: tuple[int, ...]
) -> NDArray[np.float32]:
    """Denoise a chunk, which is one frame."""
    frames = tuple(np.asarray(block).reshape(block.shape[-2:]) for block in blocks)
    number = int(np.ravel_multi_index(block_id[:-2], leading)) if leading else 0
    return denoise_frame(prepared, number, leading, frames).reshape(blocks[0].shape)
