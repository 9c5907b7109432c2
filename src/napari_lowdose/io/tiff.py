"""TIFF files in and out, with their axes, pixel size and what was done to them.

ImageJ, OME and plain TIFF are each written back as what they were, if that can hold the result.
"""

from __future__ import annotations

import errno
import math
import stat
import struct
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_lowdose.io import ome_xml
from napari_lowdose.io.atomic import atomic_write
from napari_lowdose.io.tiff_description import Flavour, describe
from napari_lowdose.io.tiff_form import tiff_form
from napari_lowdose.io.tiff_frames import frame_list, grey_levels, read_frames

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

#: First bytes of TIFF and BigTIFF, in either byte order.
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_TAGS = 4096  # of a page
_NO_DESCRIPTION: dict[str, Any] = {"is_ome": False, "is_imagej": False, "is_shaped": False}
_COLOUR = (
    "This is a colour (RGB or indexed) image;"
    " split it into channels and save the one to be denoised as greyscale."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFile:
    """An image as it was found in a file, with what is needed to write one like it.

    Attributes
    ----------
    pixels : (..., Y, X) array
        Uncompressed files are mapped into memory, not read: do not write to it.
    axes : str
        One letter for each axis, tifffile's: "YX", "TYX", "TZCYX".
    pixel_size : (float, float) or None
        Height and width of a pixel in `unit`; None when the file does not say.
    unit : str or None
    flavour : {"imagej", "ome", "plain"}
        Which kind of TIFF to write back.
    source : Path
        Where it came from; never written to.
    options : mapping
        Arguments of tifffile's `write` that keep what the file said besides.
    history : tuple of dict
        Records of what was done to it before, oldest first.
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

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not a TIFF, is damaged, has colours or holds several images.

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
    _refuse_other_content(path)
    notes: list[str] = []
    for options in _interpretations(path, notes):
        with _damage():
            file = tifffile.TiffFile(path, **options)
        with file:
            _refuse_broken_chain(file)
            if (image := _read(file, path, notes)) is not None:
                break
    else:
        raise ValueError(f"This TIFF is damaged: {'; '.join(notes)}.")
    for note in notes:
        warnings.warn(f"the metadata of this TIFF are ignored: {note}.", UserWarning, stacklevel=2)
    return image


def write_tiff(
    path: str | os.PathLike[str],
    pixels: NDArray[Any],
    like: ImageFile,
    *,
    record: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a result as float32, with the axes and pixel size of the file it came from.

    The file appears under its name when it is complete; after any failure there
    is nothing new in the folder.

    Parameters
    ----------
    path : path
        A name that ends in ``.ome.tif`` makes it an OME-TIFF, whatever the input is.
    pixels : (..., Y, X) array
        Of the same shape as ``like.pixels``.
    like : ImageFile
        The input.
    record : mapping, optional
        What was done, JSON-ready: ``Run.record()``.  Kept in the file after the
        records it has already.
    overwrite : bool
        Whether an existing file may be replaced; the input itself never is.

    Raises
    ------
    ValueError
        If `path` is the input, the shapes differ, or `path` is named ``.ome.tif`` and OME has
        no place for the axes.
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
    form = tiff_form(path, like, [*like.history, *([dict(record)] if record else [])])
    with (
        atomic_write(path) as file,
        tifffile.TiffWriter(file, **form.writer) as writer,
    ):
        writer.write(np.asarray(pixels, dtype=np.float32), **form.options)


def check_target(path: Path, source: Path, *, overwrite: bool) -> None:
    """Raise what `write_tiff` would raise about the name, before any work is done.

    Parameters
    ----------
    path, source : Path
        What will be written and what was read.
    overwrite : bool

    Raises
    ------
    ValueError
        If they are the same file.
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


def _refuse_other_content(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # a pipe would hang
        raise ValueError("This is not a regular file.")
    with open(path, "rb") as file:
        start = file.read(4)
    if not start:
        raise ValueError("This file is empty, not a TIFF.")
    if start not in TIFF_MAGIC:
        raise ValueError(f"This is not a TIFF file, whatever its name (it begins with {start!r}).")


def _interpretations(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield arguments of TiffFile: with the file's own description, as a last resort without.

    Adds to `notes` what is wrong with the description.
    """
    with _damage(), tifffile.TiffFile(path) as file:
        page = file.pages.first
        if not page.imagewidth * page.imagelength:
            raise ValueError("the image has no pixels")
        text = page.description if file.is_ome else None
    if text is None:
        yield {}
    else:
        try:
            yield {"omexml": ome_xml.of_this_file(text, path.name)}
        except ome_xml.UnusableError as error:
            notes.append(f"the OME-XML is unusable, {error}")
    yield _NO_DESCRIPTION


def _refuse_broken_chain(file: tifffile.TiffFile) -> None:
    """Refuse a file where a page points to the next one, which is not there.

    tifffile reads the pages before it, as if they were all.
    """
    if file.is_ndpi:  # its offsets have more bits than those of a TIFF
        return
    handle, form = file.filehandle, file.tiff
    with _damage():
        follows = file.pages.first.offset
    offsets: set[int] = set()
    while follows:
        if follows in offsets:
            raise ValueError("This TIFF is damaged: its frames point to each other in a circle.")
        offsets.add(follows)
        found = b""
        if follows < handle.size:
            handle.seek(follows)
            found = handle.read(form.tagnosize)
        if len(found) == form.tagnosize:
            (n_tags,) = struct.unpack(form.tagnoformat, found)
            if n_tags > _MOST_TAGS:
                raise ValueError(f"This TIFF is damaged: frame {len(offsets)} cannot be found.")
            handle.seek(follows + form.tagnosize + n_tags * form.tagsize)
            found = handle.read(form.offsetsize)
        if len(found) < form.offsetsize:
            raise ValueError(
                f"This TIFF is cut off: the frames from frame {len(offsets)} on are missing."
            )
        (follows,) = struct.unpack(form.offsetformat, found)


def _read(file: tifffile.TiffFile, path: Path, notes: list[str]) -> ImageFile | None:
    """Return the image; None, and a note, if the description of it is wrong."""
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
    if len(pixels) < series[0].shape[0] and len(pixels) == 1:  # an acquisition was aborted
        pixels, axes = pixels[0], axes[1:]
    if is_palette:
        levels = grey_levels(page, pixels)
        if levels is None:
            raise ValueError(_COLOUR)
        pixels = levels
    with _damage():
        flavour, described = describe(file, axes)
    if pixels.ndim and pixels.shape[0] < series[0].shape[0]:
        described["options"]["metadata"].pop("Labels", None)
    return ImageFile(pixels=pixels, axes=axes, flavour=flavour, source=path, **described)


def _refuse_cut_off_imagej(file: tifffile.TiffFile) -> None:
    """Refuse a cut off stack with one page for all frames; tifffile reads the first of them."""
    page: Any = file.pages.first
    n_frames = (file.imagej_metadata or {}).get("images", 1)
    if not isinstance(n_frames, int) or len(file.pages) > 1 or not page.is_final:
        return
    start, end = page.dataoffsets[0], file.filehandle.size
    if page.offset < start and start + page.nbytes < end < start + n_frames * page.nbytes:
        lost = frame_list(range((end - start) // page.nbytes, n_frames), n_frames)
        raise ValueError(f"This TIFF is cut off: the file ends before the end of {lost}.")


def _refuse_pages_without_pixels(file: tifffile.TiffFile) -> None:
    """Refuse a file with a page that tifffile leaves out, because its tags are lost."""
    n_pages = len(file.pages)
    for number, page in enumerate(file.pages):
        if not page.dataoffsets or not page.shape:
            raise ValueError(
                f"This TIFF is damaged: {frame_list([number], n_pages)} has no pixels."
            )


def _describes_all(
    series: list[tifffile.TiffPageSeries], file: tifffile.TiffFile, path: Path
) -> bool:
    """Whether no frame in the file goes unmentioned by its description.

    Additional pages of another kind (a thumbnail, a pyramid) do not count.
    """
    if len(series) != 1 or not (file.is_ome or file.is_imagej or file.is_shaped):
        return bool(series)
    pages = list(series[0]._pages)
    described = len({page.index for page in pages if page is not None})
    if len(pages) == 1:  # of one frame, or of many that follow without a page of their own
        described = math.prod(series[0].shape) // series[0].keyframe.size
    if len(file.pages) <= described:
        return True
    with tifffile.TiffFile(path, **_NO_DESCRIPTION) as raw:
        alike = sum(page.hash == series[0].keyframe.hash for page in raw.pages)
    return alike <= described


@contextmanager
def _damage() -> Iterator[None]:
    """Turn what tifffile raises on a damaged file, which is anything at all, into a sentence."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"This TIFF is damaged ({_reason(error)}).") from error


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def _is_palette(page: Any, axes: str, is_imagej: bool) -> bool:
    """Whether the pixels are indices into a palette; colours are refused."""
    palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
    grey = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    if "S" in axes or page.samplesperpixel > 1 or not (grey or palette):
        raise ValueError(_COLOUR)
    return palette and not is_imagej  # ImageJ's lookup tables are for display only
