"""The sink of a stream: frames go into an OME-Zarr group, where an earlier run is resumed."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.frames import frame_index
from napari_lowdose.io.ome_zarr import LEVEL
from napari_lowdose.io.zarr_folder import KEY
from napari_lowdose.run import read_frames
from napari_lowdose.streaming.frame_hashes import hash_of, hash_of_frames, together
from napari_lowdose.streaming.identity import identity
from napari_lowdose.streaming.output_folder import NETWORK, OutputFolder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.run import Source

_REPORT_INTERVAL = 0.25  # seconds between steps while frames are compared


class ZarrSink:
    """A result on disk, one chunk per frame.  Frames that are not finished are NaN.

    Parameters
    ----------
    given : ImageOrPair
    engine : Engine
    path : Path
    resume, overwrite : bool
        As for `Stream`.
    attributes : mapping
        Axes, scale and units of the result.

    Attributes
    ----------
    input_hash : str or None
        Hash of the whole input, when every frame is written.
    """

    shows_interim = False

    def __init__(
        self,
        given: ImageOrPair,
        engine: Engine,
        path: Path,
        *,
        resume: bool,
        overwrite: bool,
        attributes: Mapping[str, Any],
    ) -> None:
        self.output = OutputFolder(path)
        self.input_hash: str | None = None
        self._given, self._engine, self._path = given, engine, path
        self._resume, self._overwrite = resume, overwrite
        self._attributes = attributes
        self._work = ""
        self._resumed = False
        self._there: set[int] = set()

    @property
    def image(self) -> Any:
        """The result so far, a zarr array: nothing of it is in memory."""
        import zarr

        return zarr.open_array(self.output.folder / LEVEL, mode="r")

    def resume(self) -> Generator[Step, None, list[int] | None]:
        """Find the frames of an earlier run that are still right.

        Returns
        -------
        list of int or None
            Numbers of the missing frames; None if there is no earlier run to resume.

        Raises
        ------
        ValueError, FileExistsError
            If something else is there, which must not be replaced.
        OSError
            If the disk has too little space.
        """
        self.input_hash, self._there = None, set()
        self._work = yield from self._identity()
        self._resumed = self.output.find(
            self._work, self._given.shape, resume=self._resume, overwrite=self._overwrite
        )
        if self._resumed:
            self._resumed = yield from self._verify()
        missing = [k for k in range(self._given.n_frames) if k not in self._there]
        self._check_space(len(missing))
        if not self._resumed:
            return None
        if not missing:
            yield Step(fraction=1.0, message="every frame is there already")
        return missing

    def kept_model(self) -> Any:
        """Return the network that the earlier run trained, if any."""
        if self._engine.trains and self.output.has_network():
            return self._engine.load_model(self.output.folder / NETWORK)
        return None

    def begin(self, prepared: Engine, record: dict[str, Any]) -> None:
        """Create the group, with the network that makes its frames if it was trained here."""
        if not self._resumed:
            ours = {"work": self._work, "finished": False, "history": self._history(record)}
            network = prepared.model if self._engine.trains else None
            self.output.create(self._given.shape, {**self._attributes, KEY: ours}, network)
        elif self.output.finished:
            self.output.reopen()

    def write(self, number: int, image: NDArray[np.float32], source: Source | None) -> None:
        """Write a finished frame, and then the hashes of its input and of itself."""
        assert source is not None  # interim images are not written
        made_from = source if isinstance(source, str) else hash_of_frames(source)
        self.output.write(number, frame_index(number, self._given.leading), image, made_from)
        self._there.add(number)

    def end(self, finished: bool, record: dict[str, Any]) -> None:
        """Mark the result as finished and give it its place; delete it if it has no frame."""
        if not finished:
            kept = self._resumed or self._there or (self.output.folder / NETWORK).exists()
            if not kept:
                self.output.discard()
            return
        frames = self.output.hashes.frames
        self.input_hash = together([frames[k].made_from for k in range(self._given.n_frames)])
        record["input"]["blake2b"] = self.input_hash
        if self.output.finished:  # a kill may have come before it took its place
            self.output.take_place()
        else:
            self.output.finish(self._history(record))

    def _identity(self) -> Generator[Step, None, str]:
        """Return a text that is the same for the same engine, parameters and input.

        Training depends on all pixels, which are read; else frames are compared as they are read.
        """
        n = self._given.n_frames
        pixels, progress = [], _Progress("reading the input")
        for number in range(n) if self._engine.trains else sorted({0, n - 1}):
            pixels.append(hash_of_frames(read_frames(self._given, number)))
            yield from progress.step(0.0)
        return identity(self._engine, self._given, together(pixels))

    def _verify(self) -> Generator[Step, None, bool]:
        """Find the frames that are there; return whether the earlier run can be resumed.

        A frame is there if its input has not changed, and it is as it was written.
        """
        output, n = self.output, self._given.n_frames
        progress = _Progress("comparing the frames that are there")
        for number, frame in sorted(output.hashes.frames.items()):
            if number >= n:
                continue
            if frame.made_from != hash_of_frames(read_frames(self._given, number)):
                if not self._overwrite:
                    raise output.other_work()
                self._there.clear()
                return False
            try:
                written = output.array[frame_index(number, self._given.leading)]
            except Exception:  # a codec raises anything at all on a damaged file
                continue
            if hash_of(np.asarray(written)) == frame.result:
                self._there.add(number)
            yield from progress.step(len(self._there) / n)
        if self._engine.trains and len(self._there) < n and not output.has_network():
            if not self._overwrite:
                raise ValueError(
                    f"{self._path} was begun with a network, {NETWORK}, that is lost or another: "
                    "put it back, or overwrite the result."
                )
            self._there.clear()
            return False
        return True

    def _check_space(self, frames: int) -> None:
        """Raise OSError if the disk has too little space for so many frames more."""
        needed = frames * math.prod(self._given.shape[-2:]) * np.dtype(np.float32).itemsize
        free = shutil.disk_usage(self.output.path.parent).free
        if needed > free:
            raise OSError(
                f"The result needs up to {needed / 1e9:.3g} GB, and {self._path.parent} has "
                f"{free / 1e9:.3g} GB left: make room or choose another output."
            )

    def _history(self, record: dict[str, Any]) -> list[Any]:
        """Return the records of what was done to the input before, and of this run."""
        return [*self._attributes.get(KEY, {}).get("history", []), record]


class _Progress:
    """Steps at regular intervals, while there is nothing to show."""

    def __init__(self, message: str) -> None:
        self._message, self._last = message, time.perf_counter()

    def step(self, fraction: float) -> Iterator[Step]:
        """Yield a step if the last one is long ago."""
        now = time.perf_counter()
        if now - self._last > _REPORT_INTERVAL:
            self._last = now
            yield Step(fraction=fraction, message=self._message)
