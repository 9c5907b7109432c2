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
from napari_lowdose.run import denoise_frame, neighbour_numbers, split_neighbours

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
    from dask.highlevelgraph import HighLevelGraph

    leading = given.leading
    engine = run_to_end(engine.prepare(given))
    whole_frames = (*(1,) * len(leading), -1, -1)
    lazy = [da.asarray(sliceable(exposure)) for exposure in given.exposures]
    exposures = [exposure.rechunk(whole_frames) for exposure in lazy]
    # A node of its own in the graph: sent to each process once, and not along with each frame
    prepared = delayed(engine, traverse=False)
    name = f"denoise-{tokenize(prepared.key, *(e.name for e in exposures))}"

    def chunk(of: str, number: int) -> tuple[Any, ...]:
        return (of, *frame_index(number, leading), 0, 0)

    # Not `map_blocks`: a task may read several frames, and one along a shifted window takes
    # seconds to build for each thousand frames.
    tasks: dict[Any, Any] = {}
    for number in range(given.n_frames):
        others = neighbour_numbers(engine, number, leading)
        read = [chunk(e.name, each) for each in (number, *others.values()) for e in exposures]
        task = _denoise_chunk, prepared.key, number, list(leading), list(others), *read
        tasks[chunk(name, number)] = task
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[prepared, *exposures])
    return da.Array(graph, name, exposures[0].chunks, dtype=np.float32)


def _denoise_chunk(
    prepared: Engine,
    number: int,
    leading: list[int],
    distances: list[int],
    *chunks: NDArray[Any],
) -> NDArray[np.float32]:
    """Denoise a chunk, which is one frame; its chunks come first, then those of its neighbours."""
    frames = [np.asarray(chunk).reshape(chunk.shape[-2:]) for chunk in chunks]
    own, neighbours = split_neighbours(frames, distances)
    return denoise_frame(prepared, number, tuple(leading), own, neighbours).reshape(chunks[0].shape)
