"""Reading a stack, TIFF or zarr, while another program adds frames to it.

A frame counts once it is complete: the next one has begun, or nothing has changed since the last
look.
"""

from __future__ import annotations

import math
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import tifffile

from napari_lowdose.frames import frame_index
from napari_lowdose.io.line_file import whole_lines
from napari_lowdose.io.tiff import COLOUR, damaged_tiff, page_offsets
from napari_lowdose.io.tiff_flavours import RECORD_KEY, read_metadata
from napari_lowdose.io.zarr_folder import FRAMES, axes_of, check_order, open_zarr, pixel_size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The first coordinate in the name of a chunk or of its folder: "12", "12.0.0", "c.12.0.0"
_FIRST = re.compile(r"(?:c\.)?(\d+)(?:\..*)?")
_LONG_ENOUGH = 10.0  # seconds after which a chunk that is missing was left out as empty


class GrowingReader(Protocol):
    """Reader of a stack to which another program adds frames.

    Attributes
    ----------
    pixel_size : (float, float) or None
        Height and width of a pixel in `unit`; known after `count`.
    unit : str or None
    signature : object
        Changes whenever something was written between two calls of `count`.
    begun_anew : bool
        Whether the last call of `count` has found another stack with fewer frames.
    """

    pixel_size: tuple[float, float] | None
    unit: str | None
    begun_anew: bool

    @property
    def signature(self) -> object: ...  # noqa: D102

    def count(self) -> int:
        """Look at the files again, and return the number of frames that are or were complete.

        Raises
        ------
        OSError
            If the files are not there or cannot be opened.
        ValueError
            If they are not a stack, or not yet.
        """

    def read(self, number: int) -> NDArray[Any]:
        """Read a frame, (Y, X).

        Raises
        ------
        OSError, ValueError
            If it cannot be read.
        """


class GrowingTiffReader:
    """Reader of a TIFF or BigTIFF that grows page by page.

    Also one whose frames follow each other behind a single page, as ImageJ and tifffile write
    them.  The file is opened for each look and each frame only.

    Parameters
    ----------
    path : Path

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "scan.tif")
    >>> with tifffile.TiffWriter(path) as writer:
    ...     for number in range(3):
    ...         writer.write(np.full((16, 16), number, "uint8"), photometric="minisblack")
    >>> stack = GrowingTiffReader(path)
    >>> stack.count()  # the third frame may go on
    2
    >>> stack.count(), stack.read(2).max()
    (3, np.uint8(2))
    """

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signature: tuple[int, ...] | None = None
        self.begun_anew = False
        self._offsets: list[int] = []  # of the pages
        self._n = 0  # complete frames
        self._size = 0  # bytes

    def count(self) -> int:
        """Return the number of complete frames; see `GrowingReader.count`."""
        found = self.path.stat()
        size = found.st_size
        signature = (found.st_ino, size, found.st_mtime_ns)
        before, self.signature = self.signature, signature
        is_smaller = size < self._size
        if is_smaller or (before is not None and signature[0] != before[0]):
            self._offsets.clear()  # it may be another file of the same name
        with damaged_tiff(), tifffile.TiffFile(self.path) as file:
            if not self._offsets:
                _, fields = read_metadata(file, "YX")
                self.pixel_size, self.unit = fields["pixel_size"], fields["unit"]
            # From the last known page on, which may point to a next one now
            last = self._offsets.pop() if self._offsets else None
            with suppress(ValueError):  # the next page is not written yet
                self._offsets += page_offsets(file, last)
            # Some programs cut off in the end what they have reserved
            self.begun_anew = is_smaller and self._n_complete(file, size, True) < self._n
            n = self._n_complete(file, size, settled=signature == before)
            is_colour = bool(self._offsets) and self._page(file, -1).axes not in ("YX", "")
        if is_colour:
            raise ValueError(COLOUR)
        self._n, self._size = n if self.begun_anew else max(n, self._n), size
        return self._n

    def read(self, number: int) -> NDArray[Any]:
        """Read a frame; see `GrowingReader.read`."""
        with damaged_tiff(), tifffile.TiffFile(self.path) as file:
            if number < len(self._offsets):
                return np.asarray(self._page(file, number).asarray())
            page: Any = file.pages.first
            file.filehandle.seek(page.dataoffsets[0] + number * page.nbytes)
            dtype = page.dtype.newbyteorder(file.byteorder)
            pixels = file.filehandle.read_array(dtype, math.prod(page.shape))
            return np.asarray(pixels.reshape(page.shape))

    def _n_complete(self, file: tifffile.TiffFile, size: int, settled: bool) -> int:
        n = len(self._offsets)
        if n == 0:
            return 0
        last = self._page(file, n - 1)
        if n == 1 and (file.is_imagej or file.is_shaped) and last.is_contiguous:
            n_behind = _n_behind(file, last, size, settled)
            if n_behind > 1:
                ends_there = last.dataoffsets[0] + n_behind * last.nbytes == size
                return n_behind - int(ends_there and not settled)
        ends = [a + b for a, b in zip(last.dataoffsets, last.databytecounts, strict=False)]
        complete = bool(ends) and 0 not in last.databytecounts and max(ends) <= size
        return n - int(not complete or not settled)

    def _page(self, file: tifffile.TiffFile, number: int) -> Any:
        file.filehandle.seek(self._offsets[number])
        return tifffile.TiffPage(file, number)


def _n_behind(file: tifffile.TiffFile, page: Any, size: int, settled: bool) -> int:
    """Return the number of frames behind a single page; 1 if what follows may be another page."""
    n: int
    n, rest = divmod(size - page.dataoffsets[0], page.nbytes)
    declared = (file.imagej_metadata or {}).get("images", 1) if file.is_imagej else 1
    if isinstance(declared, int) and declared > 1:
        return min(n, declared)
    # A page is linked as soon as its pixels are written, so those of two without a link are frames
    return n if n > 2 or (settled and not rest) else 1


class GrowingZarrReader:
    """Reader of a zarr array, or OME-Zarr image, that grows along its first axis.

    The array grows itself, or it has its final length from the beginning and the chunks follow.
    Frames whose chunks are left out because they are empty count once a later one is there.

    Parameters
    ----------
    path : Path

    Examples
    --------
    >>> import tempfile, zarr
    >>> path = Path(tempfile.mkdtemp(), "scan.zarr")
    >>> array = zarr.create_array(path, shape=(9, 16, 16), chunks=(1, 16, 16), dtype="uint8")
    >>> array[:3] = 7
    >>> stack = GrowingZarrReader(path)
    >>> stack.count(), stack.count()  # at first, the third frame may go on
    (2, 3)
    """

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signature: object = None
        self.begun_anew = False
        self._array: Any = None
        self._last = -1  # coordinate of the last chunks along the first axis
        self._n = 0  # complete steps along it
        self._since = 0.0  # when the signature was new

    def count(self) -> int:
        """Return the number of complete frames; see `GrowingReader.count`."""
        self.path.stat()  # raises the system's error if the path is missing
        self._array, attributes = open_zarr(self.path)
        array = self._array
        check_order(array)
        if array.ndim < 3:
            raise ValueError("This zarr array is one image, not a stack that grows.")
        axes = axes_of(array, attributes, self.path)
        self.pixel_size, self.unit = pixel_size_of(axes.scale, axes.units)
        ours = attributes.get(RECORD_KEY)
        if isinstance(ours, dict) and "recording" in ours and ours.get("finished") is False:
            n = len(whole_lines(_folder(array) / FRAMES))
            self._note(n)
            return min(n, int(array.shape[0]))
        last = max(_first_coordinates(array), default=-1)
        self.begun_anew = last < self._last
        n = self._n_steps(last)
        self._n = n if self.begun_anew else max(n, self._n)
        self._last = last
        return self._n * int(math.prod(array.shape[1:-2]))

    def read(self, number: int) -> NDArray[Any]:
        """Read a frame; see `GrowingReader.read`."""
        try:
            return np.asarray(self._array[frame_index(number, self._array.shape[:-2])])
        except OSError:
            raise
        except Exception as error:  # codecs raise exceptions of any type on a damaged file
            raise ValueError(f"the zarr array is damaged here ({error}).") from error

    def _note(self, signature: object) -> bool:
        """Return whether the signature is that of the last look."""
        if settled := signature == self.signature:
            return settled
        self.signature, self._since = signature, time.monotonic()
        return False

    def _n_steps(self, last: int) -> int:
        """Return the number of complete steps along the first axis."""
        array = self._array
        if last < 0:
            return 0
        chunks = array.shards or array.chunks  # a file holds a shard or a chunk
        across = [range(math.ceil(n / c)) for n, c in zip(array.shape, chunks, strict=True)][1:]
        files = [_file(array, (last, *rest)) for rest in np.ndindex(*map(len, across))]
        found = [(each.st_size, each.st_mtime_ns) for each in map(_stat, files) if each]
        settled = self._note((last, array.shape, found))
        n: int = last * chunks[0]  # a later chunk exists
        all_there = len(found) == len(files)
        if settled and (all_there or time.monotonic() - self._since > _LONG_ENOUGH):
            # A single step is complete with its files, even if it is empty
            n += 1 if chunks[0] == 1 else _n_filled(array[n : n + chunks[0]], array.fill_value)
        return min(n, int(array.shape[0]))


def open_growing(path: Path) -> GrowingReader:
    """Return the reader of a growing stack; the file need not exist yet.

    Parameters
    ----------
    path : Path
        ``.zarr``, or a zarr array of any name; anything else is a TIFF.
    """
    is_zarr = path.suffix == ".zarr" or path.is_dir()
    return GrowingZarrReader(path) if is_zarr else GrowingTiffReader(path)


def _n_filled(steps: NDArray[Any], fill_value: Any) -> int:
    """Return the number of steps up to the last one that is not empty."""
    empty = np.isnan(steps) if fill_value != fill_value else steps == fill_value
    (filled,) = np.nonzero(~empty.reshape(len(steps), -1).all(axis=1))
    return int(filled[-1]) + 1 if len(filled) else 0


def _folder(array: Any) -> Path:
    return Path(array.store.root, array.path)


def _file(array: Any, coordinates: tuple[int, ...]) -> Path:
    return Path(array.store.root, array.path, array.metadata.encode_chunk_key(coordinates))


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _first_coordinates(array: Any) -> list[int]:
    """Return the coordinates of the existing chunks along the first axis."""
    parts = array.metadata.encode_chunk_key((0,) * array.ndim).split("/")
    depth = next(k for k, part in enumerate(parts) if "0" in part)  # of that coordinate
    folder = _folder(array).joinpath(*parts[:depth])
    names = os.listdir(folder) if folder.is_dir() else []
    return [int(match[1]) for name in names if (match := _FIRST.fullmatch(name))]
