"""Reading and writing TIFF files, with axes, pixel size and processing records.

A result is written in the flavour of its input (ImageJ, OME or plain), if that can hold it.
"""

from __future__ import annotations

import errno
import math
import stat
import struct
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tifffile

from napari_lowdose.io import ome_xml
from napari_lowdose.io.atomic import atomic_write
from napari_lowdose.io.tiff_flavours import Flavour, output_format, read_metadata
from napari_lowdose.io.tiff_frames import frame_list, grey_levels, read_frames
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

#: First bytes of TIFF and BigTIFF files, in either byte order.
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_TAGS = 4096  # tags per page; more than that means that the page is damaged
_IGNORE_DESCRIPTION: dict[str, Any] = {"is_ome": False, "is_imagej": False, "is_shaped": False}
Compression = Literal["zlib", "none"]
COLOUR = (
    "This is a colour (RGB or indexed) image;"
    " split it into channels and save the one to be denoised as greyscale."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFile:
    """An image read from a file, with the metadata needed to write a result like it.

    Attributes
    ----------
    pixels : (..., Y, X) array
        Any real dtype.  Uncompressed TIFFs are memory-mapped: do not write to the array.
    axes : str
        One letter per axis, as in tifffile: "YX", "TYX", "TZCYX".
    pixel_size : (float, float) or None
        Height and width of a pixel in `unit`; None if the file does not give them.
    unit : str or None
        Unit of `pixel_size`, as a symbol: "nm".
    flavour : {"imagej", "ome", "plain"}
        Flavour of TIFF in which a result is written.
    source : Path
        Path of the file; it is never written to.
    options : mapping
        Arguments of `tifffile.TiffWriter.write` that keep all other metadata.
    history : tuple of dict
        Records of earlier processing, oldest first.
    """

    pixels: Any
    axes: str
    pixel_size: tuple[float, float] | None
    unit: str | None
    flavour: Flavour
    source: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()


def read_tiff(path: str | os.PathLike[str]) -> ImageFile:
    """Read a greyscale TIFF: ImageJ, OME or plain.

    Parameters
    ----------
    path : path

    Returns
    -------
    ImageFile
        With the pixels as they are stored: any real dtype, (..., Y, X).

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is not a TIFF, is damaged, is a colour image or holds several images.

    Warns
    -----
    UserWarning
        If the metadata are ignored, or frames at the end are missing.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, tifffile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "stack.tif")
    >>> stack = np.zeros((2, 16, 16), np.uint16)
    >>> tifffile.imwrite(
    ...     path, stack, imagej=True, resolution=(4, 4), metadata={"axes": "TYX", "unit": "nm"}
    ... )
    >>> image = read_tiff(path)
    >>> image.axes, image.pixel_size, image.unit, image.flavour
    ('TYX', (0.25, 0.25), 'nm', 'imagej')
    """
    path = Path(path)
    _check_magic(path)
    notes: list[str] = []
    for options in _interpretations(path, notes):
        with damaged_tiff():
            file = tifffile.TiffFile(path, **options)
        with file:
            if not file.is_ndpi:  # NDPI offsets have more bits than TIFF offsets
                deque(page_offsets(file), maxlen=0)  # raises if a page is missing
            if (image := _read(file, path, notes)) is not None:
                break
    else:
        raise ValueError(f"This TIFF is damaged: {'; '.join(notes)}.")
    for note in notes:
        warn(f"the metadata of this TIFF are ignored: {note}.", stacklevel=2)
    return image


def write_tiff(
    path: str | os.PathLike[str],
    pixels: NDArray[Any],
    like: ImageFile,
    *,
    record: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    compression: Compression = "zlib",
    rounded: bool = False,
) -> None:
    """Write a result as float32, with the axes and pixel size of its input.

    Writing is atomic: the file appears under its name once it is complete, and a failure leaves
    nothing behind.

    Parameters
    ----------
    path : path
        Output path.  A name that ends in ``.ome.tif`` selects OME-TIFF for any input.
    pixels : (..., Y, X) array
        The result, same shape as ``like.pixels``.
    like : ImageFile
        The input.
    record : mapping, optional
        JSON-serialisable processing record, from ``Run.record()``.  It is added to the records
        in ``like.history``.
    overwrite : bool
        Replace an existing file.  The input itself is never replaced.
    compression : {"zlib", "none"}
        Lossless; other programs read both.  ImageJ stacks above 4 GiB are not compressed.
    rounded : bool
        Keep the dtype of `pixels`, which `rounded_like` has made integers.

    Raises
    ------
    ValueError
        If `path` is the input, the shapes differ, or `path` ends in ``.ome.tif`` but OME-TIFF
        cannot hold the axes.
    FileExistsError
        If `path` exists and `overwrite` is False.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, tifffile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> tifffile.imwrite(folder / "in.tif", np.ones((16, 16), np.uint8), imagej=True)
    >>> image = read_tiff(folder / "in.tif")
    >>> write_tiff(folder / "out.tif", image.pixels, image, record={"engine": "Reucid"})
    >>> read_tiff(folder / "out.tif").history
    ({'engine': 'Reucid'},)
    """
    path = Path(path)
    check_target(path, like.source, overwrite=overwrite)
    if pixels.shape != like.pixels.shape:
        raise ValueError(f"The result is {pixels.shape}, the input {like.pixels.shape}.")
    history = [*like.history, *([dict(record)] if record else [])]
    dtype = pixels.dtype if rounded else np.dtype(np.float32)
    output = output_format(path, like, history, dtype)
    options = output.options
    if compression == "zlib" and not options["truncate"]:
        # Horizontal differences make integers smaller.  ImageJ cannot read those of floats.
        whole = np.issubdtype(dtype, np.integer)
        options = {**options, "compression": "zlib", "predictor": 2 if whole else None}
    with (
        atomic_write(path) as file,
        tifffile.TiffWriter(file, **output.writer) as writer,
    ):
        writer.write(np.asarray(pixels, dtype=dtype), **options)


def check_target(path: Path, source: Path, *, overwrite: bool) -> None:
    """Check an output path as `write_tiff` does, before any work is done.

    Parameters
    ----------
    path : Path
        Output path.
    source : Path
        Path of the input.
    overwrite : bool
        Allow `path` to exist.

    Raises
    ------
    ValueError
        If `path` is the input or a folder.
    FileExistsError
        If `path` exists and `overwrite` is False.
    """
    if path.exists():
        if source.exists() and path.samefile(source):
            raise ValueError("The result would replace the input; choose another output.")
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file.")
        if not overwrite:
            raise FileExistsError(f"{path} exists already; choose another output or overwrite it.")


def first_bytes(path: Path) -> bytes:
    """Return the first four bytes of a file, which identify its format.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bytes
        Fewer than four if the file is shorter.

    Raises
    ------
    OSError
        If the file cannot be opened, or `path` is a folder.
    ValueError
        If `path` is a pipe, a socket or a device.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading from a pipe would block
        raise ValueError("This is not a regular file.")
    with open(path, "rb") as file:
        return file.read(4)


def page_offsets(file: tifffile.TiffFile, start: int | None = None) -> Iterator[int]:
    """Yield the offsets of the page directories in a file, which point to each other.

    Parameters
    ----------
    file : tifffile.TiffFile
    start : int, optional
        Offset of the first one to yield; by default that of the first page.

    Yields
    ------
    int
        The directory is complete, the pixels of the page may be missing.

    Raises
    ------
    ValueError
        If a page points to a next page that does not exist.  tifffile would read the pages before
        it, as if the file were complete.
    """
    handle, layout = file.filehandle, file.tiff
    with damaged_tiff():
        offset = file.pages.first.offset if start is None else start
    visited: set[int] = set()
    while offset:
        if offset in visited:
            raise ValueError("This TIFF is damaged: its frames point to each other in a circle.")
        visited.add(offset)
        found = b""
        if offset < handle.size:
            handle.seek(offset)
            found = handle.read(layout.tagnosize)
        if len(found) == layout.tagnosize:
            (n_tags,) = struct.unpack(layout.tagnoformat, found)
            if n_tags > _MAX_TAGS:
                raise ValueError(f"This TIFF is damaged: frame {len(visited)} cannot be found.")
            # The offset of the next page follows the tags
            handle.seek(offset + layout.tagnosize + n_tags * layout.tagsize)
            found = handle.read(layout.offsetsize)
        if len(found) < layout.offsetsize:
            raise ValueError(
                f"This TIFF is cut off: the frames from frame {len(visited)} on are missing."
            )
        yield offset
        (offset,) = struct.unpack(layout.offsetformat, found)


@contextmanager
def damaged_tiff() -> Iterator[None]:
    """Re-raise any exception of tifffile on a damaged file as ValueError with one sentence."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # tifffile raises OSError on bad offsets too (EINVAL, or no errno): not an I/O error
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"This TIFF is damaged ({_reason(error)}).") from error


def _check_magic(path: Path) -> None:
    start = first_bytes(path)
    if not start:
        raise ValueError("This file is empty, not a TIFF.")
    if start not in TIFF_MAGIC:
        raise ValueError(f"This is not a TIFF file: its first bytes are {start!r}.")


def _interpretations(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield arguments of TiffFile: first to use the file's description, then to ignore it.

    Problems with the description are appended to `notes`.
    """
    with damaged_tiff(), tifffile.TiffFile(path) as file:
        page = file.pages.first
        if not page.imagewidth * page.imagelength:
            raise ValueError("the image has no pixels")
        text = page.description if file.is_ome else None
    if text is None:
        yield {}
    else:
        try:
            yield {"omexml": ome_xml.limit_to_file(text, path.name)}
        except ome_xml.UnusableError as error:
            notes.append(f"the OME-XML is unusable, {error}")
    yield _IGNORE_DESCRIPTION


def _read(file: tifffile.TiffFile, path: Path, notes: list[str]) -> ImageFile | None:
    """Return the image; if its description is wrong, add a note and return None."""
    try:
        series = file.series
        complete = _describes_all(series, file, path)
    except Exception as error:
        notes.append(f"the description is wrong ({_reason(error)})")
        return None
    if not complete:
        notes.append(f"the description does not fit the {len(file.pages)} frames in the file")
        return None
    if len(series) != 1:
        raise ValueError(
            f"This TIFF holds {len(series)} separate images;"
            " save the one to be denoised as a file of its own."
        )
    # tifffile has silently ignored ImageJ's description
    if file.is_imagej and series[0].kind != "imagej":
        _refuse_cut_off_imagej(file)
        notes.append("ImageJ's description does not fit the frames in the file")
    if series[0].kind in ("generic", "uniform"):
        _refuse_pages_without_pixels(file)
    page, axes = file.pages.first, series[0].axes
    is_palette = _is_palette(page, axes, file.is_imagej)
    if not axes.endswith("YX"):
        raise ValueError(f"This TIFF has the axes {axes}; rows and columns must come last.")
    if series[0].keyframe.dtype is None:
        raise ValueError("This TIFF is damaged: its pixels have an unknown format.")
    pixels = read_frames(path, series[0])
    # One frame is left of an aborted acquisition: it is an image, not a stack
    if len(pixels) < series[0].shape[0] and len(pixels) == 1:
        pixels, axes = pixels[0], axes[1:]
    if is_palette:
        levels = grey_levels(page, pixels)
        if levels is None:
            raise ValueError(COLOUR)
        pixels = levels
    with damaged_tiff():
        flavour, fields = read_metadata(file, axes)
    if pixels.ndim and pixels.shape[0] < series[0].shape[0]:
        # ImageJ has a label per frame, and the number of frames has changed
        fields["options"]["metadata"].pop("Labels", None)
    return ImageFile(pixels=pixels, axes=axes, flavour=flavour, source=path, **fields)


def _refuse_cut_off_imagej(file: tifffile.TiffFile) -> None:
    """Refuse a truncated stack with one page for all frames; tifffile would read one frame."""
    page: Any = file.pages.first
    n_frames = (file.imagej_metadata or {}).get("images", 1)
    if not isinstance(n_frames, int) or len(file.pages) > 1 or not page.is_final:
        return
    start, end = page.dataoffsets[0], file.filehandle.size
    if page.offset < start and start + page.nbytes < end < start + n_frames * page.nbytes:
        lost = frame_list(range((end - start) // page.nbytes, n_frames), n_frames)
        raise ValueError(f"This TIFF is cut off: the file ends before the end of {lost}.")


def _refuse_pages_without_pixels(file: tifffile.TiffFile) -> None:
    """Refuse a file with a page that has lost its tags; tifffile would skip the page."""
    n_pages = len(file.pages)
    for number, page in enumerate(file.pages):
        if not page.dataoffsets or not page.shape:
            raise ValueError(
                f"This TIFF is damaged: {frame_list([number], n_pages)} has no pixels."
            )


def _describes_all(
    series: list[tifffile.TiffPageSeries], file: tifffile.TiffFile, path: Path
) -> bool:
    """Return whether the description covers every frame in the file.

    Additional pages of another kind (a thumbnail, a pyramid) are allowed.
    """
    if len(series) != 1 or not (file.is_ome or file.is_imagej or file.is_shaped):
        return bool(series)
    pages = list(series[0]._pages)
    described = len({page.index for page in pages if page is not None})
    if len(pages) == 1:  # holds one frame, or all frames one after the other
        described = math.prod(series[0].shape) // series[0].keyframe.size
    if len(file.pages) <= described:
        return True
    with tifffile.TiffFile(path, **_IGNORE_DESCRIPTION) as raw:
        n_frames = sum(page.hash == series[0].keyframe.hash for page in raw.pages)
    return n_frames <= described


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def _is_palette(page: Any, axes: str, is_imagej: bool) -> bool:
    """Return whether the pixels are palette indices; refuse colour images."""
    palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
    grey = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    if "S" in axes or page.samplesperpixel > 1 or not (grey or palette):
        raise ValueError(COLOUR)
    return palette and not is_imagej  # an ImageJ lookup table is for display only
