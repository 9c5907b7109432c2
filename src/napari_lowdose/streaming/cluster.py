"""Frames of a movie on a dask.distributed cluster."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.image_or_pair import frame_index
from napari_lowdose.steps import Step, frame_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.image_or_pair import ImageOrPair
    from napari_lowdose.lazy import FrameWorker

_SIGN_OF_LIFE = 0.25  # seconds between steps, at most
_AHEAD = 2  # frames on their way for each thread of the cluster


def open_client() -> Any:
    """Return the client of a dask.distributed cluster, if one is open; else None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


def frames_on_cluster(
    client: Any, worker: FrameWorker, image: ImageOrPair, numbers: list[int]
) -> Iterator[tuple[int, Step]]:
    """Denoise frames on a cluster, a few at a time, and yield each when it is finished.

    Parameters
    ----------
    client : distributed.Client
    worker : FrameWorker
        Travels once to each process.
    image : ImageOrPair
    numbers : list of int
        Which frames.

    Yields
    ------
    number : int
        Of the frame; frames come in any order.
    step : Step
        With the frame's image, or without any for a sign of life.
    """
    # The result of a task, and not scattered: if the process that holds it dies, it is made again
    there = client.submit(_itself, worker, pure=False)
    left = list(reversed(numbers))
    waiting: dict[Any, int] = {}
    try:
        while left or waiting:
            threads = sum(client.nthreads().values()) or 1
            while left and len(waiting) < _AHEAD * threads:
                number = left.pop()
                waiting[_submit(client, there, image, number)] = number
            try:
                finished = _wait(waiting)
            except TimeoutError:
                message = f"{len(waiting)} frames are on the cluster"
                yield number, Step(fraction=0.0, message=message)
                continue
            for future in finished:
                number = waiting.pop(future)
                name = frame_name(number, image.leading)
                yield number, Step(fraction=0.0, message=f"{name}: done", image=future.result())
    finally:
        client.cancel([there, *waiting])


def _wait(waiting: dict[Any, int]) -> set[Any]:
    """Return the futures that are finished, at least one; TimeoutError if none is for a while."""
    import distributed

    wait: Any = distributed.wait
    finished: set[Any] = wait(list(waiting), _SIGN_OF_LIFE, "FIRST_COMPLETED").done
    return finished


def _submit(client: Any, there: Any, image: ImageOrPair, number: int) -> Any:
    """Send one frame: a lazy one is read on the cluster."""
    index = frame_index(number, image.leading)
    frames = [exposure[index] for exposure in image.exposures]
    if image.is_dask:
        frames = [client.compute(f) if hasattr(f, "dask") else np.asarray(f) for f in frames]
    else:
        frames = [np.asarray(frame) for frame in frames]
    return client.submit(_denoise, there, index, *frames, pure=False)


def _itself(worker: FrameWorker) -> FrameWorker:
    return worker


def _denoise(worker: FrameWorker, index: tuple[int, ...], *frames: Any) -> NDArray[np.float32]:
    return worker(index, *(np.asarray(frame) for frame in frames))
