"""A movie larger than memory: frames are read, denoised and written one after the other (zarr)."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.denoise import engine_record
from napari_lowdose.engine import Step
from napari_lowdose.image_or_pair import ImageOrPair, frame_index, image_or_pair
from napari_lowdose.io.input_files import in_each_other
from napari_lowdose.io.ome_zarr import LEVEL
from napari_lowdose.io.zarr_folder import KEY
from napari_lowdose.lazy import FrameWorker, settled
from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.streaming.cluster import frames_on_cluster, open_client
from napari_lowdose.streaming.description import described
from napari_lowdose.streaming.frame_hashes import HashedMovie, hash_of, together
from napari_lowdose.streaming.identity import identity
from napari_lowdose.streaming.lock import only_stream_into
from napari_lowdose.streaming.output_folder import NETWORK, OutputFolder

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from napari_lowdose.engine import Engine

_TRAINING = 0.5  # the share of the work that training is taken for, for want of knowledge
_SIGN_OF_LIFE = 0.25  # seconds between steps, at most, while frames are compared


class Stream:
    """An engine at work on a movie, frame by frame into an OME-Zarr group: iterate to advance.

    Only the frames that are being denoised are in memory.  When it is interrupted, however
    that happens, the frames that are finished stay; the same call goes on after them.  With the
    client of a dask.distributed cluster open, the frames are denoised there.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        NumPy, dask or zarr.  A tuple is a pair.
    engine : Engine
        `Noise2Noise` is trained first; its network is kept in the folder.
    path : path
        Of the group, a folder ``.zarr``; the image is its array "0".  One frame is one chunk;
        frames that are not finished are NaN.
    resume : bool
        Whether to go on with what is there, if it was begun with the same engine and input.
        Every frame that is there is compared with the input and with what was written.
    overwrite : bool
        Whether anything else that is there may be replaced: a zarr array, or a result of this
        package, never another folder.  It stays until the new result is whole.
    attributes : mapping, optional
        What else to keep in the attributes, JSON-ready: ``scale``, ``units``, ``axes``.

    Attributes
    ----------
    path : Path
    model : Noise2NoiseModel or None
        The network that is applied, or the best that training has reached so far.
    finished : bool
        Whether every frame is written.
    """

    def __init__(
        self,
        image: Any,
        engine: Engine,
        path: str | os.PathLike[str],
        *,
        resume: bool = True,
        overwrite: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.input = image_or_pair(image, engine)
        self.engine = engine
        self.path = Path(path)
        self.model: Noise2NoiseModel | None = None
        self.finished = False
        self._resume, self._overwrite = resume, overwrite
        self._attributes = described(attributes or {}, len(self.input.shape))
        self._output = OutputFolder(self.path)
        self._input_hash: str | None = None

    @property
    def image(self) -> Any:
        """The result so far, a zarr array: nothing of it is in memory."""
        import zarr

        return zarr.open_array(self._output.folder / LEVEL, mode="r")

    def __iter__(self) -> Iterator[Step]:
        """Yield steps; that of a frame has its `image` when it is written, not before.

        Training comes before all frames, and shows its previews.
        """
        self.finished, self._input_hash = False, None
        if any(in_each_other(exposure, self.path) for exposure in self.input.exposures):
            raise ValueError("The result would replace the input; choose another output.")
        with only_stream_into(self._output.path):
            start, begun = None, time.perf_counter()
            for step in self._steps():
                start = step.fraction if start is None else start  # what a run before this one did
                if step.seconds_left is None and step.fraction > start:
                    pace = (time.perf_counter() - begun) / (step.fraction - start)
                    step = dataclasses.replace(step, seconds_left=pace * (1 - step.fraction))
                yield step

    def record(self) -> dict[str, Any]:
        """Return what was done, as JSON-ready values: engine, parameters, versions."""
        training = {} if self.model is None else {"training": dict(self.model.record)}
        hashed = {} if self._input_hash is None else {"blake2b": self._input_hash}
        return {
            **engine_record(self.engine),
            "finished": self.finished,
            "input": {**self.input.about(), **hashed},
            **training,
        }

    def _steps(self) -> Iterator[Step]:
        """Train if there is something to train, then denoise the frames that are missing."""
        output, n = self._output, self.input.n_frames
        work = yield from self._work()
        there: set[int] = set()
        resumed = output.find(
            work, self.input.shape, resume=self._resume, overwrite=self._overwrite
        )
        if resumed:
            there, resumed = yield from self._verified()
        missing = [number for number in range(n) if number not in there]
        self._check_space(len(missing))
        if resumed and not missing and output.finished:
            self.model = self._kept_network() if output.has_network() else self._given_network()
            output.take_place()  # a kill may have come between
            self._end()
            yield Step(fraction=1.0, message="every frame is there already")
            return
        begun, engine = 0.0, self.engine
        if hasattr(engine, "training_steps"):
            self.model = self._kept_network() if resumed else None
            if self.model is None:
                begun = _TRAINING
                yield from self._training()
            assert self.model is not None  # the last step of training has one
            engine = self.model
        else:
            self.model = self._given_network()
        engine = settled(engine, self.input)
        if not resumed:
            ours = {"work": work, "finished": False, "history": self._history()}
            network = self.model if begun else None
            output.create(self.input.shape, {**self._attributes, KEY: ours}, network)
        elif output.finished:
            output.reopen()
        try:
            for number, step, made_from in self._frames(engine, missing):
                part = step.fraction
                if step.image is not None:  # the frame is finished
                    index = frame_index(number, self.input.leading)
                    output.write(number, index, step.image, made_from)
                    there.add(number)
                    step, part = dataclasses.replace(step, index=index), 0.0
                done = (len(there) + part) / n
                yield dataclasses.replace(step, fraction=begun + (1 - begun) * done)
        finally:
            if not resumed and not there and not (output.folder / NETWORK).exists():
                output.discard()  # nothing was reached: leave nothing behind
        self._end()
        output.finish(self._history())

    def _work(self) -> Generator[Step, None, str]:
        """Return what tells this work from others.

        What a network is trained on is read as a whole; else the frames are compared as they are
        read.
        """
        n = self.input.n_frames
        numbers = range(n) if hasattr(self.engine, "training_steps") else sorted({0, n - 1})
        pixels, movies = [], self._movies(numbers)
        signs = _SignsOfLife("reading the input")
        for k in range(len(numbers)):
            pixels.append(together([movie.hash(k) for movie in movies]))
            yield from signs.step(0.0)
        return identity(self.engine, self.input, together(pixels))

    def _verified(self) -> Generator[Step, None, tuple[set[int], bool]]:
        """Return which frames are there, and whether they can be gone on with.

        A frame is there if it was made from what the input is now, and is what was written.
        """
        output, n = self._output, self.input.n_frames
        known = {k: v for k, v in output.hashes.frames.items() if k < n}
        there, signs = set(), _SignsOfLife("comparing the frames that are there")
        for number, frame in sorted(known.items()):
            if frame.made_from != together([m.hash(0) for m in self._movies([number])]):
                if not self._overwrite:
                    raise output.other_work()
                return set(), False
            try:
                written = output.array[frame_index(number, self.input.leading)]
            except Exception:  # a codec raises anything at all on a damaged file
                continue
            if hash_of(np.asarray(written)) == frame.result:
                there.add(number)
            yield from signs.step(len(there) / n)
        trains = hasattr(self.engine, "training_steps")
        if trains and len(there) < n and not output.has_network():
            if not self._overwrite:
                raise ValueError(
                    f"{self.path} was begun with a network, {NETWORK}, that is lost or another: "
                    "put it back, or overwrite the result."
                )
            return set(), False
        return there, True

    def _frames(self, engine: Engine, numbers: list[int]) -> Iterator[tuple[int, Step, str]]:
        """Denoise frames, here or on a cluster; an image comes only with the last step of each.

        With it comes the hash of what it was made from.
        """
        client = open_client()
        if client is not None:
            worker = FrameWorker(engine, self.input.leading)
            yield from frames_on_cluster(client, worker, self.input, numbers)
        elif numbers:
            yield from self._frames_here(engine, numbers)

    def _frames_here(self, engine: Engine, numbers: list[int]) -> Iterator[tuple[int, Step, str]]:
        """All go through one call of the engine, so that what it does once it does once."""
        movies = self._movies(numbers)
        parts: tuple[Any, ...] = movies if self.input.leading else tuple(m[(0,)] for m in movies)
        final: Step | None = None
        for step in engine.steps(ImageOrPair(parts).given):
            k = step.index[0] if step.index else 0
            part = step.fraction * len(numbers) - k  # of this frame
            if step.image is not None:
                final = step
            if final is not None and part > 1 - 1e-6:
                yield numbers[k], final, together([movie.hash(k) for movie in movies])
                final = None
            else:
                yield numbers[k], dataclasses.replace(step, image=None, fraction=max(part, 0.0)), ""

    def _movies(self, numbers: Sequence[int]) -> tuple[HashedMovie, ...]:
        return tuple(HashedMovie(exposure, numbers) for exposure in self.input.exposures)

    def _training(self) -> Iterator[Step]:
        engine: Any = self.engine
        for step in engine.training_steps(*self.input.exposures):
            self.model = step.model
            yield dataclasses.replace(step, fraction=_TRAINING * step.fraction)

    def _kept_network(self) -> Noise2NoiseModel:
        return Noise2NoiseModel.load(self._output.folder / NETWORK)

    def _given_network(self) -> Noise2NoiseModel | None:
        return self.engine if isinstance(self.engine, Noise2NoiseModel) else None

    def _check_space(self, frames: int) -> None:
        """Raise if the disk has not enough space for so many frames more."""
        needed = frames * math.prod(self.input.shape[-2:]) * np.dtype(np.float32).itemsize
        free = shutil.disk_usage(self._output.path.parent).free
        if needed > free:
            raise OSError(
                f"The result needs up to {needed / 1e9:.3g} GB, and {self.path.parent} has "
                f"{free / 1e9:.3g} GB left: make room or choose another output."
            )

    def _end(self) -> None:
        """All frames are written: the hash of the input is that of all."""
        frames = self._output.hashes.frames
        self._input_hash = together([frames[k].made_from for k in range(self.input.n_frames)])
        self.finished = True

    def _history(self) -> list[Any]:
        """Return the records of what was done to the input before, and of this."""
        earlier = self._attributes.get(KEY, {}).get("history", [])
        return [*earlier, self.record()]


def denoise_to_zarr(
    image: Any,
    engine: Engine,
    path: str | os.PathLike[str],
    *,
    resume: bool = True,
    overwrite: bool = False,
    scale: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    axes: str | None = None,
) -> Any:
    """Denoise a movie of any length into an OME-Zarr group, frame by frame.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        NumPy, dask or zarr; a tuple is a pair.
    engine : Engine
    path : path
        A folder ``.zarr``; the image is its array "0".
    resume : bool
        Whether to go on with what is there, if it was begun with the same engine and input.
    overwrite : bool
        Whether another zarr array, or result of this package, that is there may be replaced.  It
        stays until the new result is whole.
    scale, units : sequence, optional
        Of each axis; kept in the attributes.
    axes : str, optional
        A letter for each axis, for example "TYX".

    Returns
    -------
    zarr.Array
        (..., Y, X) float32, in the units of `image`.

    Raises
    ------
    ValueError
        If there is another result, a frame cannot be read, or denoised as it is, or the result
        would replace the input.
    OSError
        If the folder cannot be written, its disk is full, or another run is writing there.
    FileExistsError
        If there is anything else.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from napari_lowdose import Reucid, denoise_to_zarr
    >>> fringes = 9 + 6 * np.cos(np.arange(48) / 2)
    >>> movie = np.random.default_rng(0).poisson(fringes, (3, 48, 48))
    >>> clean = denoise_to_zarr(movie, Reucid(patch_size=7), tempfile.mkdtemp(suffix=".zarr"))
    >>> clean.shape, clean.chunks
    ((3, 48, 48), (1, 48, 48))
    """
    attributes = {"scale": scale, "units": units, "axes": axes}
    stream = Stream(image, engine, path, resume=resume, overwrite=overwrite, attributes=attributes)
    for _ in stream:
        pass
    return stream.image


class _SignsOfLife:
    """A step now and then, while there is nothing to show."""

    def __init__(self, message: str) -> None:
        self._message, self._last = message, time.perf_counter()

    def step(self, fraction: float) -> Iterator[Step]:
        """Yield a step if it is time for one."""
        now = time.perf_counter()
        if now - self._last > _SIGN_OF_LIFE:
            self._last = now
            yield Step(fraction=fraction, message=self._message)
