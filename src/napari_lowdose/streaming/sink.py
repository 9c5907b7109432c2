"""Sink that writes frames into an OME-Zarr group and resumes an earlier run."""

from __future__ import annotations

import functools
import math
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.frames import frame_index
from napari_lowdose.io.ome_zarr import LEVEL
from napari_lowdose.io.tiff_flavours import RECORD_KEY
from napari_lowdose.run import neighbour_numbers, read_frames
from napari_lowdose.streaming.hashes import combine_hashes, hash_frame, hash_frames, identity
from napari_lowdose.streaming.output_folder import NETWORK, OutputFolder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.run import Source

_REPORT_INTERVAL = 0.25  # seconds between progress steps while frames are compared


class ZarrSink:
    """Result on disk, one chunk per frame.  Unfinished frames are NaN.

    Parameters
    ----------
    given : ImageOrPair
    engine : Engine
    path : Path
    resume, overwrite : bool
        See `Stream`.
    attributes : mapping
        Axes, scale and units of the result.

    Attributes
    ----------
    input_hash : str or None
        Hash of the whole input, once every frame is written.
    """

    shows_interim = False  # a chunk on disk is written once, with the final image

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
        """The result so far, a zarr array that is not loaded into memory."""
        import zarr

        return zarr.open_array(self.output.folder / LEVEL, mode="r")

    def resume(self) -> Generator[Step, None, list[int] | None]:
        """Find the valid frames of an earlier run.

        Returns
        -------
        list of int or None
            Numbers of the missing frames; None if there is no earlier run to resume.

        Raises
        ------
        ValueError, FileExistsError
            If the output has other content that must not be replaced.
        OSError
            If there is too little disk space.
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
            yield Step(fraction=1.0, message="all frames are finished already")
        return missing

    def kept_model(self) -> Any:
        """Return the network trained in the earlier run, if any."""
        if self._engine.trains and self.output.has_network():
            return self._engine.load_model(self.output.folder / NETWORK)
        return None

    def begin(self, prepared: Engine, record: dict[str, Any]) -> None:
        """Create the group, with the network if it was trained in this run."""
        if not self._resumed:
            ours = {"work": self._work, "finished": False, "history": self._history(record)}
            network = prepared.model if self._engine.trains else None
            self.output.create(self._given.shape, {**self._attributes, RECORD_KEY: ours}, network)
        elif self.output.finished:
            self.output.reopen()

    def write(self, number: int, image: NDArray[np.float32], source: Source | None) -> None:
        """Write a finished frame, then the hashes of its input and its result."""
        assert source is not None  # only interim images have none, and they are not written
        hashed = source if isinstance(source, str) else hash_frames(source)
        self.output.write(number, frame_index(number, self._given.leading), image, hashed)
        self._there.add(number)

    def end(self, finished: bool, record: dict[str, Any]) -> None:
        """Mark the result as finished and move it into place; delete it if it is empty."""
        if not finished:
            kept = self._resumed or self._there or (self.output.folder / NETWORK).exists()
            if not kept:
                self.output.discard()
            return
        frames = self.output.hashes.frames
        self.input_hash = combine_hashes([frames[k].made_from for k in range(self._given.n_frames)])
        record["input"]["blake2b"] = self.input_hash
        if self.output.finished:  # killed before it was moved into place
            self.output.take_place()
        else:
            self.output.finish(self._history(record))

    def _identity(self) -> Generator[Step, None, str]:
        """Return an identifier of the engine, its parameters and the input.

        All pixels are read only for training, which depends on them.  Otherwise the first and the
        last frame are enough, because every frame is compared later.
        """
        n = self._given.n_frames
        pixels, progress = [], _Progress("reading the input")
        for number in range(n) if self._engine.trains else sorted({0, n - 1}):
            pixels.append(hash_frames(read_frames(self._given, number)))
            yield from progress.step(0.0)
        return identity(self._engine, self._given, combine_hashes(pixels))

    def _verify(self) -> Generator[Step, None, bool]:
        """Find the valid frames, and return True if the earlier run can be resumed.

        A frame is valid if neither its input, its neighbours included, nor its written result has
        changed.
        """
        output, n = self.output, self._given.n_frames
        progress = _Progress("checking the finished frames")

        @functools.cache  # a frame may be a neighbour of several
        def hashes_of(number: int) -> list[str]:
            return [hash_frame(each) for each in read_frames(self._given, number)]

        for number, frame in sorted(output.hashes.frames.items()):
            if number >= n:
                continue
            others = neighbour_numbers(self._engine, number, self._given.leading).values()
            if frame.made_from != combine_hashes(
                [each for other in (number, *others) for each in hashes_of(other)]
            ):
                if not self._overwrite:
                    raise output.mismatch_error()
                self._there.clear()
                return False
            try:
                written = output.array[frame_index(number, self._given.leading)]
            except Exception:  # codecs raise various errors on damaged files
                continue
            if hash_frame(np.asarray(written)) == frame.result:
                self._there.add(number)
            yield from progress.step(len(self._there) / n)
        if self._engine.trains and len(self._there) < n and not output.has_network():
            if not self._overwrite:
                raise ValueError(
                    f"{self._path} was begun with a network, {NETWORK}, that is missing or has "
                    "changed: restore it, or overwrite the result."
                )
            self._there.clear()
            return False
        return True

    def _check_space(self, frames: int) -> None:
        """Raise OSError if there is too little disk space for this number of frames."""
        needed = frames * math.prod(self._given.shape[-2:]) * np.dtype(np.float32).itemsize
        free = shutil.disk_usage(self.output.path.parent).free
        if needed > free:
            raise OSError(
                f"The result needs up to {needed / 1e9:.3g} GB, and {self._path.parent} has "
                f"{free / 1e9:.3g} GB left: make room or choose another output."
            )

    def _history(self, record: dict[str, Any]) -> list[Any]:
        """Return the records of earlier processing of the input, followed by that of this run."""
        return [*self._attributes.get(RECORD_KEY, {}).get("history", []), record]


class _Progress:
    """Progress steps at regular intervals."""

    def __init__(self, message: str) -> None:
        self._message, self._last = message, time.perf_counter()

    def step(self, fraction: float) -> Iterator[Step]:
        """Yield a step if the interval since the last one has passed."""
        now = time.perf_counter()
        if now - self._last > _REPORT_INTERVAL:
            self._last = now
            yield Step(fraction=fraction, message=self._message)
