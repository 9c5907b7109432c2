"""Denoise frames of a movie on a dask.distributed cluster."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.frames import frame_index, frame_name
from napari_lowdose.run import (
    denoise_frame,
    neighbour_numbers,
    read_frames,
    split_neighbours,
    unreadable,
)
from napari_lowdose.streaming.hashes import hash_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.frames import ImageOrPair

# Maximum time between progress steps, seconds: Stop waits for the next one.
_REPORT_INTERVAL = 0.25
# Frames submitted per thread of the cluster: no thread waits for input, and few are in memory.
_SUBMITTED_PER_THREAD = 2


def open_client() -> Any:
    """Return the current client of a dask.distributed cluster, or None."""
    # A client can only be open if the module is imported already; importing it is slow.
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


def frames_on_cluster(
    client: Any, prepared: Engine, given: ImageOrPair, numbers: Sequence[int]
) -> Iterator[tuple[int, Step, str | None]]:
    """Denoise frames on a cluster, a few at a time, and yield each one once it is finished.

    Parameters
    ----------
    client : distributed.Client
    prepared : Engine
        Prepared engine, sent once to each process.
    given : ImageOrPair
    numbers : sequence of int
        Frame numbers.

    Yields
    ------
    number : int
        Frame number.  The order is arbitrary.
    step : Step
        With the image of the frame, or without an image to report progress.
    source : str or None
        Hash of the input; None without an image.

    Raises
    ------
    ValueError
        If a frame cannot be read or denoised.
    """
    # Submit a task instead of scattering the engine: if the process that holds it dies, the
    # scheduler computes it again.
    there = client.submit(_return_engine, prepared, pure=False)
    left = list(reversed(numbers))
    waiting: dict[Any, tuple[int, list[Any]]] = {}
    try:
        while left or waiting:
            # Asked each time: workers join and leave a cluster.
            threads = sum(client.nthreads().values()) or 1
            while left and len(waiting) < _SUBMITTED_PER_THREAD * threads:
                number = left.pop()
                others = neighbour_numbers(prepared, number, given.leading)
                future, frames = _submit(client, there, given, number, others)
                waiting[future] = number, frames
            try:
                finished = _wait(waiting)
            except TimeoutError:
                message = f"{len(waiting)} frames are on the cluster"
                yield number, Step(fraction=0.0, message=message), None
                continue
            for future in finished:
                number, frames = waiting.pop(future)
                name = frame_name(number, given.leading)
                try:
                    result, source = future.result()
                except Exception as error:
                    # A failed future of the input: the frame could not be read.
                    if any(getattr(frame, "status", "") == "error" for frame in frames):
                        raise unreadable(error, name) from error
                    raise
                yield number, Step(fraction=1.0, message=f"{name}: done", image=result), source
    finally:
        client.cancel([there, *waiting])


def _wait(waiting: dict[Any, Any]) -> set[Any]:
    """Return the finished futures, at least one; raise TimeoutError if there is none in time."""
    import distributed

    wait: Any = distributed.wait
    finished: set[Any] = wait(list(waiting), _REPORT_INTERVAL, "FIRST_COMPLETED").done
    return finished


def _submit(
    client: Any, there: Any, given: ImageOrPair, number: int, others: dict[int, int]
) -> tuple[Any, list[Any]]:
    """Submit one frame; return its future and the input, which the cluster reads if it is lazy.

    The input is that of the frame itself, followed by its neighbours.
    """
    frames: list[Any] = []
    for each in (number, *others.values()):
        if given.is_dask:
            index = frame_index(each, given.leading)
            lazy = [exposure[index] for exposure in given.exposures]
            frames += [client.compute(f) if hasattr(f, "dask") else np.asarray(f) for f in lazy]
        else:
            frames += read_frames(given, each)
    # pure=False: otherwise dask would hash all pixels to recognise equal calls.
    future = client.submit(
        _denoise, there, number, given.leading, list(others), *frames, pure=False
    )
    return future, frames


def _return_engine(prepared: Engine) -> Engine:
    return prepared


def _denoise(
    prepared: Engine, number: int, leading: tuple[int, ...], distances: list[int], *frames: Any
) -> tuple[NDArray[np.float32], str]:
    read = [np.asarray(frame) for frame in frames]
    own, neighbours = split_neighbours(read, distances)
    return denoise_frame(prepared, number, leading, own, neighbours), hash_frames(read)
