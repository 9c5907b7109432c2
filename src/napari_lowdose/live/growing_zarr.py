"""An OME-Zarr movie to which a frame is appended at a time, until somebody stops.

A killed process loses no frame: the chunk of a frame is written first, then its line in a list of
frames.  The array is longer than the list meanwhile, and is trimmed in the end.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from napari_lowdose.io.atomic import check_writable
from napari_lowdose.io.line_file import LineFile, whole_lines
from napari_lowdose.io.ome_zarr import LEVEL
from napari_lowdose.io.tiff_flavours import RECORD_KEY
from napari_lowdose.io.zarr_create import create_image, open_to_write
from napari_lowdose.io.zarr_folder import FRAMES, own_attributes, update_record
from napari_lowdose.streaming.lock import output_lock
from napari_lowdose.streaming.output_folder import (
    is_empty,
    remove_folder,
    remove_partial_chunks,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

_BESIDE = ".napari-lowdose-new"
_BLOCK = 64  # frames by which the array grows, as writing its metadata takes as long as a frame


class RecordedFrame(NamedTuple):
    """Line of the list of frames.

    Attributes
    ----------
    number : int
        Number that the source gave to the frame; the numbers of frames that are missing are left
        out.
    time : float
        Time of arrival, seconds since 1970 (`time.time`).
    name : str
        Name of its file, if it comes from one.
    """

    number: int
    time: float
    name: str


class GrowingZarr:
    """OME-Zarr group with one array (T, Y, X), one chunk per frame, that grows frame by frame.

    Made by `create` or `open`.  One process can write at a time, in one thread.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Shape of a frame, (Y, X).
    dtype : dtype
    n_frames : int
        Number of frames that are written.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp(), "movie.zarr")
    >>> movie = GrowingZarr.create(path, (64, 64), "uint16", pixel_size=(0.1, 0.1), unit="nm")
    >>> for number in range(3):
    ...     movie.append(np.full((64, 64), number, "uint16"))
    >>> movie.close()
    >>> from napari_lowdose.io.readers import read_image
    >>> read_image(path).pixels.shape, read_image(path).pixel_size
    ((3, 64, 64), (0.1, 0.1))
    """

    def __init__(self, path: Path, lock: ExitStack) -> None:
        self.path = path
        self._lock = lock
        self._array = open_to_write(path)
        self._list = path / LEVEL / FRAMES
        self._lines = LineFile(self._list)
        self.n_frames = len(whole_lines(self._list))
        self.shape: tuple[int, ...] = self._array.shape[1:]
        self.dtype: np.dtype[Any] = self._array.dtype

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        shape: tuple[int, int],
        dtype: DTypeLike,
        *,
        pixel_size: tuple[float, float] | None = None,
        unit: str | None = None,
        history: Sequence[dict[str, Any]] = (),
    ) -> Self:
        """Create an empty movie.

        Parameters
        ----------
        path : path
            Folder, ``.zarr``; nothing or an empty folder may be there.
        shape : (int, int)
            Shape of a frame.
        dtype : dtype
        pixel_size : (float, float), optional
            Height and width of a pixel, in `unit`.
        unit : str, optional
            For example "nm".
        history : sequence of dict
            JSON-ready records of what was done to the frames.

        Raises
        ------
        FileExistsError
            If anything is there.
        OSError
            If the folder cannot be written, or another process is writing there.
        """
        from zarr.codecs import BloscCodec

        path = Path(path).resolve()
        check_free(path)
        lock = _locked(path)
        try:
            attributes: dict[str, Any] = {"axes": "TYX"}
            if pixel_size is not None:
                attributes["scale"] = [1.0, *map(float, pixel_size)]
                attributes["units"] = ["pixel", *[unit or "pixel"] * 2]
            ours = {"recording": {}, "finished": False, "history": list(history)}
            # Beside the final path, so that a kill leaves no folder without metadata there
            beside = path.with_name(path.name + _BESIDE)
            remove_folder(beside)
            create_image(
                beside,
                (_BLOCK, *shape),
                np.dtype(dtype).newbyteorder("="),  # zarr loses the byte order
                {**attributes, RECORD_KEY: ours},
                fill_value=0,
                # Twice as fast as Zstandard for the noise of a camera, and as small
                compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
            )
            if path.exists():  # an empty folder
                path.rmdir()
            beside.rename(path)
            return cls(path, lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a movie to append frames, also one that a killed process has left.

        Parameters
        ----------
        path : path

        Raises
        ------
        FileNotFoundError
            If nothing is there.
        ValueError
            If it is not a movie made by `create`.
        OSError
            If the folder cannot be written, or another process is writing there.
        """
        path = Path(path).resolve()
        path.stat()  # raises the system's error if nothing is there
        if "recording" not in (own_attributes(path) or {}):
            raise ValueError(
                f"{path} is not a recording of napari-lowdose: frames cannot be appended to it."
            )
        lock = _locked(path)
        try:
            movie = cls(path, lock)
            movie.update(finished=False)
            return movie
        except BaseException:
            lock.close()
            raise

    @property
    def frames(self) -> list[RecordedFrame]:
        """The frames that are written, read from their list."""
        return [_parsed(line) for line in whole_lines(self._list)]

    def append(
        self,
        pixels: NDArray[Any],
        number: int | None = None,
        at: float | None = None,
        name: str = "",
    ) -> None:
        """Append a frame.

        Parameters
        ----------
        pixels : (Y, X) array
            Of the shape and dtype of the movie.
        number : int, optional
            Number that the source gave to the frame; by default `n_frames`.
        at : float, optional
            Time of arrival, seconds since 1970; by default now.
        name : str
            Name of its file, if it comes from one.

        Raises
        ------
        ValueError
            If the frame has another shape or dtype.
        OSError
            If the frame cannot be written; those before stay.
        """
        if pixels.shape != self.shape or pixels.dtype.newbyteorder("=") != self.dtype:
            raise ValueError(
                f"The frames in {self.path} are {_kind(self.shape, self.dtype)}, this one is "
                f"{_kind(pixels.shape, pixels.dtype)}: begin another recording."
            )
        number = self.n_frames if number is None else number
        at = time.time() if at is None else at
        moment = datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")
        try:
            if self.n_frames and not self._list.exists():  # zarr would make new folders
                raise FileNotFoundError(None, "the folder was removed or renamed")
            if self.n_frames >= self._array.shape[0]:
                self._array.resize((self.n_frames + _BLOCK, *self.shape))
            self._array[self.n_frames] = pixels
            self._lines.add(f"{number} {moment} {json.dumps(name)}")
        except OSError as error:
            raise OSError(
                f"A frame cannot be written into {self.path} ({error.strerror or error}): the "
                f"{self.n_frames} frames before it are kept."
            ) from error
        self.n_frames += 1

    def update(self, **changes: Any) -> None:
        """Change attributes of this package: ``history``, ``recording``.

        Parameters
        ----------
        **changes
            JSON-ready values.
        """
        update_record(self.path, **changes)
        self._array = open_to_write(self.path)  # as a handle would write its old attributes again

    def close(self, **changes: Any) -> None:
        """Trim the array to the frames that are written, and mark the movie as finished.

        A movie without frames is deleted.

        Parameters
        ----------
        **changes
            See `update`.

        Raises
        ------
        OSError
            If the metadata cannot be written; the frames are there all the same.
        """
        with self._lock:
            # Ctrl-C may have come between the line of a frame and its count
            self.n_frames = len(whole_lines(self._list))
            if not self.n_frames:
                remove_folder(self.path)
                return
            remove_partial_chunks(self.path)
            self._array.resize((self.n_frames, *self.shape))
            self.update(finished=True, **changes)


def check_free(path: Path) -> None:
    """Check that a movie can be created at `path`.

    Raises
    ------
    FileExistsError
        If anything is there but an empty folder.
    OSError
        If the folder cannot be written.
    """
    if not is_empty(path):
        raise FileExistsError(f"{path} exists already: choose another name.")
    check_writable(path)


def _locked(path: Path) -> ExitStack:
    lock = ExitStack()
    lock.enter_context(output_lock(path))
    return lock


def _parsed(line: str) -> RecordedFrame:
    number, moment, name = line.split(" ", 2)
    return RecordedFrame(int(number), datetime.fromisoformat(moment).timestamp(), json.loads(name))


def _kind(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{' x '.join(map(str, shape))} {dtype}"
