"""Frames of a movie on a dask.distributed cluster."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step, frame_name
from napari_lowdose.image_or_pair import frame_index
from napari_lowdose.streaming.frame_hashes import HashedMovie, hash_of, together, unreadable

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
) -> Iterator[tuple[int, Step, str]]:
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
    made_from : str
        The hash of the input, with the image.

    Raises
    ------
    ValueError
        If a frame cannot be read, or denoised as it is.
    """
    # The result of a task, and not scattered: if the process that holds it dies, it is made again
    there = client.submit(_itself, worker, pure=False)
    left = list(reversed(numbers))
    waiting: dict[Any, tuple[int, list[Any]]] = {}
    try:
        while left or waiting:
            threads = sum(client.nthreads().values()) or 1
            while left and len(waiting) < _AHEAD * threads:
                number = left.pop()
                future, frames = _submit(client, there, image, number)
                waiting[future] = number, frames
            try:
                finished = _wait(waiting)
            except TimeoutError:
                message = f"{len(waiting)} frames are on the cluster"
                yield number, Step(fraction=0.0, message=message), ""
                continue
            for future in finished:
                number, frames = waiting.pop(future)
                name = frame_name(number, image.leading)
                try:
                    result, made_from = future.result()
                except Exception as error:
                    if any(getattr(frame, "status", "") == "error" for frame in frames):
                        raise unreadable(error, name) from error
                    raise
                yield number, Step(fraction=0.0, message=f"{name}: done", image=result), made_from
    finally:
        client.cancel([there, *waiting])


def _wait(waiting: dict[Any, Any]) -> set[Any]:
    """Return the futures that are finished, at least one; TimeoutError if none is for a while."""
    import distributed

    wait: Any = distributed.wait
    finished: set[Any] = wait(list(waiting), _SIGN_OF_LIFE, "FIRST_COMPLETED").done
    return finished


def _submit(client: Any, there: Any, image: ImageOrPair, number: int) -> tuple[Any, list[Any]]:
    """Send one frame, and return it, too: a lazy one is read on the cluster."""
    index = frame_index(number, image.leading)
    if image.is_dask:
        lazy = [exposure[index] for exposure in image.exposures]
        frames = [client.compute(f) if hasattr(f, "dask") else np.asarray(f) for f in lazy]
    else:
        frames = [HashedMovie(exposure, [number])[(0,)] for exposure in image.exposures]
    return client.submit(_denoise, there, index, *frames, pure=False), frames


def _itself(worker: FrameWorker) -> FrameWorker:
    return worker


def _denoise(
    worker: FrameWorker, index: tuple[int, ...], *frames: Any
) -> tuple[NDArray[np.float32], str]:
    read = [np.asarray(frame) for frame in frames]
    return worker(index, *read), together([hash_of(frame) for frame in read])
