"""A movie larger than memory: frames are read, denoised and written one after the other (zarr)."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.denoise import engine_record
from napari_lowdose.image_or_pair import ImageOrPair, frame_index, image_or_pair
from napari_lowdose.lazy import FrameWorker, settled
from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.part_of_movie import PartOfMovie
from napari_lowdose.steps import Step
from napari_lowdose.streaming.cluster import frames_on_cluster, open_client
from napari_lowdose.streaming.finished_frames import FinishedFrames
from napari_lowdose.streaming.identity import identity, input_hash

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from napari_lowdose.steps import Engine

KEY = "napari-lowdose"  # of our own attributes
LOG = "finished_frames.txt"
NETWORK = "network.safetensors"
_TRAINING = 0.5  # the share of the work that training is taken for, for want of knowledge


class Stream:
    """An engine at work on a movie, frame by frame into a zarr array: iterate to advance.

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
        Of the zarr array, a folder ``.zarr``.  One frame is one chunk; frames that are not
        finished are NaN.
    resume : bool
        Whether to go on with what is there, if it was begun with the same engine and input.
    overwrite : bool
        Whether anything else that is there may be replaced: a zarr array, never another folder.
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
        self._attributes = dict(attributes or {})

    @property
    def image(self) -> Any:
        """The result so far, a zarr array: nothing of it is in memory."""
        import zarr

        return zarr.open_array(self.path, mode="r")

    def __iter__(self) -> Iterator[Step]:
        """Yield steps; that of a frame has its `image` when it is written, not before.

        Training comes before all frames, and shows its previews.
        """
        self.finished = False
        self._input_hash = input_hash(self.input)
        work = identity(self.engine, self.input, self._input_hash)
        array = self._there(work)
        if array is not None and array.attrs[KEY]["finished"]:
            self.model = self._kept_network()
            self.finished = True
            yield Step(fraction=1.0, message="every frame is there already")
            return
        start, begun = None, time.perf_counter()
        for step in self._steps(array, work):
            start = step.fraction if start is None else start  # what a run before this one did
            if step.seconds_left is None and step.fraction > start:
                pace = (time.perf_counter() - begun) / (step.fraction - start)
                step = dataclasses.replace(step, seconds_left=pace * (1 - step.fraction))
            yield step
        self.finished = True

    def record(self) -> dict[str, Any]:
        """Return what was done, as JSON-ready values: engine, parameters, versions."""
        training = {} if self.model is None else {"training": dict(self.model.record)}
        about = {**self.input.about(), "sha256": self._input_hash}
        return {
            **engine_record(self.engine),
            "finished": self.finished,
            "input": about,
            **training,
        }

    def _steps(self, array: Any, work: str) -> Iterator[Step]:
        """Train if there is something to train, then denoise the frames that are missing."""
        begun, engine = 0.0, self.engine
        if hasattr(engine, "training_steps"):
            self.model = self._kept_network() if array is not None else None
            if self.model is None:
                begun = _TRAINING
                yield from self._training()
            assert self.model is not None  # the last step of training has one
            engine = self.model
        elif isinstance(engine, Noise2NoiseModel):
            self.model = engine
        engine = settled(engine, self.input)
        if array is None:
            array = self._create(work)
            if engine is not self.engine and self.model is not None and begun:
                self.model.save(self.path / NETWORK)
        log = FinishedFrames(self.path / LOG)
        n = self.input.n_frames
        try:
            for number, step in self._frames(engine, [k for k in range(n) if k not in log]):
                part = step.fraction
                if step.image is not None:  # the frame is finished
                    index = frame_index(number, self.input.leading)
                    array[index] = step.image
                    log.add(number)
                    step, part = dataclasses.replace(step, index=index), 0.0
                done = (len(log) + part) / n
                yield dataclasses.replace(step, fraction=begun + (1 - begun) * done)
        finally:
            if not len(log) and not (self.path / NETWORK).exists():
                shutil.rmtree(self.path)  # nothing was reached: leave nothing behind
        array.attrs[KEY] = {**array.attrs[KEY], "finished": True, "history": self._history(True)}
        log.remove()

    def _frames(self, engine: Engine, numbers: list[int]) -> Iterator[tuple[int, Step]]:
        """Denoise frames, here or on a cluster; an image comes only with the last step of each."""
        client = open_client()
        if client is None:
            return _here(engine, self.input, numbers)
        worker = FrameWorker(engine, self.input.leading)
        return frames_on_cluster(client, worker, self.input, numbers)

    def _training(self) -> Iterator[Step]:
        engine: Any = self.engine
        for step in engine.training_steps(*self.input.exposures):
            self.model = step.model
            yield dataclasses.replace(step, fraction=_TRAINING * step.fraction)

    def _kept_network(self) -> Noise2NoiseModel | None:
        path = self.path / NETWORK
        return Noise2NoiseModel.load(path) if path.exists() else None

    def _there(self, work: str) -> Any:
        """Return the array on disk if it is this work; None if there is none, or it may go."""
        import zarr

        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return None
        ours = self._attributes_there()
        if self._resume and ours is not None and ours.get("work") == work:
            return zarr.open_array(self.path, mode="r+")
        if not self._overwrite:
            if ours is None or not self._resume:
                raise FileExistsError(
                    f"{self.path} exists already; choose another output or overwrite it."
                )
            raise ValueError(
                f"{self.path} was begun with another input, engine or parameter: choose another "
                "output, or overwrite it."
            )
        if not (self.path / "zarr.json").is_file():
            raise ValueError(f"{self.path} is no zarr array: it will not be replaced.")
        if any(_lies_in(exposure, self.path) for exposure in self.input.exposures):
            raise ValueError("The result would replace the input; choose another output.")
        return None

    def _create(self, work: str) -> Any:
        import zarr

        if self.path.exists():
            shutil.rmtree(self.path)
        leading = len(self.input.leading)
        return zarr.create_array(
            store=self.path,
            shape=self.input.shape,
            chunks=(*(1,) * leading, *self.input.shape[leading:]),
            dtype=np.float32,
            fill_value=np.nan,
            config={"write_empty_chunks": True},
            attributes={
                **self._attributes,
                KEY: {"work": work, "finished": False, "history": self._history(False)},
            },
        )

    def _history(self, finished: bool) -> list[Any]:
        """Return the records of what was done to the input before, and of this."""
        earlier = self._attributes.get(KEY, {}).get("history", [])
        return [*earlier, {**self.record(), "finished": finished}]

    def _attributes_there(self) -> dict[str, Any] | None:
        """Return our attributes of the zarr array that is there; None if it is none of ours."""
        try:
            found = json.loads((self.path / "zarr.json").read_text(encoding="utf-8"))
            ours = found["attributes"][KEY]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return ours if isinstance(ours, dict) else None


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
    """Denoise a movie of any length into a zarr array, frame by frame.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        NumPy, dask or zarr; a tuple is a pair.
    engine : Engine
    path : path
        A folder ``.zarr``.
    resume : bool
        Whether to go on with what is there, if it was begun with the same engine and input.
    overwrite : bool
        Whether another zarr array that is there may be replaced.
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
        If there is another result, or a frame cannot be denoised as it is.
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
    given = {"scale": scale and list(scale), "units": units and list(units), "axes": axes}
    attributes = {name: value for name, value in given.items() if value is not None}
    stream = Stream(image, engine, path, resume=resume, overwrite=overwrite, attributes=attributes)
    for _ in stream:
        pass
    return stream.image


def _here(engine: Engine, image: ImageOrPair, numbers: list[int]) -> Iterator[tuple[int, Step]]:
    """Denoise frames in this process; an image comes only with the last step of each.

    All go through one call of the engine, so that what it does once it does once.
    """
    if not numbers:
        return
    parts = image.exposures
    if image.leading:
        parts = tuple(PartOfMovie(exposure, numbers) for exposure in parts)
    final: Step | None = None
    for step in engine.steps(ImageOrPair(parts).given):
        k = step.index[0] if step.index else 0
        part = step.fraction * len(numbers) - k  # of this frame
        if step.image is not None:
            final = step
        if final is not None and part > 1 - 1e-6:
            yield numbers[k], final
            final = None
        else:
            yield numbers[k], dataclasses.replace(step, image=None, fraction=max(part, 0.0))


def _lies_in(exposure: Any, path: Path) -> bool:
    root = getattr(getattr(exposure, "store", None), "root", None)
    return root is not None and Path(root).resolve() == path.resolve()
