"""TIFF files in and out, with their axes, pixel size and what was done to them.

ImageJ, OME and plain TIFF are each written back as what they were.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_lowdose.imaging.atomic import written_whole
from napari_lowdose.imaging.tiff_description import Flavour, describe, with_records

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

# Beyond this an ImageJ TIFF has one directory and all pixels after it, as ImageJ itself does it.
IMAGEJ_LIMIT = 2**32 - 2**25


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
    with _broken_chains() as broken:
        try:
            file = tifffile.TiffFile(path)
        except OSError:
            raise
        except Exception as error:  # tifffile raises anything at all on a damaged file
            raise ValueError(f"This is not a TIFF that can be read ({error}).") from error
        with file:
            try:
                series, page = file.series, file.pages.first
            except Exception as error:
                raise ValueError(f"This TIFF is damaged ({error}).") from error
            if len(series) != 1:
                raise ValueError(
                    f"This TIFF holds {len(series)} separate images;"
                    " save the one to be denoised as a file of its own."
                )
            axes = series[0].axes
            _refuse_colours(page, axes, file.is_imagej)
            if not axes.endswith("YX"):
                raise ValueError(f"This TIFF has the axes {axes}; rows and columns must come last.")
            flavour, described = describe(file, axes)
            pixels = _pixels(path, file)
    if broken:
        raise ValueError("This TIFF is cut off: frames at its end are missing.")
    return ImageFile(pixels=pixels, axes=axes, flavour=flavour, source=path, **described)


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
        An OME-TIFF should end in ``.ome.tif``.
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
        If `path` is the input, or the shapes differ.
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
    options = dict(like.options)
    metadata = options.get("metadata", {"axes": like.axes})
    options["metadata"] = with_records(like.flavour, metadata, history)
    options.setdefault("photometric", "minisblack")  # or (Y, X, 3) would be taken for colours
    imagej = like.flavour == "imagej"
    big = 4 * pixels.size > IMAGEJ_LIMIT
    options["truncate"] = imagej and big
    with (
        written_whole(path) as file,
        tifffile.TiffWriter(
            file, bigtiff=big and not imagej, imagej=imagej, ome=like.flavour == "ome"
        ) as writer,
    ):
        writer.write(np.asarray(pixels, dtype=np.float32), **options)


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


def _refuse_colours(page: Any, axes: str, is_imagej: bool) -> None:
    palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
    grey = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    # ImageJ's lookup tables are for display; elsewhere the indices mean colours.
    if "S" in axes or page.samplesperpixel > 1 or not (grey or (palette and is_imagej)):
        raise ValueError(
            "This is a colour (RGB or indexed) image;"
            " split it into channels and save the one to be denoised as greyscale."
        )


def _pixels(path: Path, file: tifffile.TiffFile) -> Any:
    series = file.series[0]
    try:
        if series.dataoffset is not None:  # uncompressed, in one piece
            return tifffile.memmap(path, mode="r")
        if any(page is None or 0 in page.databytecounts for page in series.pages):
            # tifffile fills these with zeros, which would look like data.
            raise ValueError("some are missing")
        return series.asarray()
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"The pixels of this TIFF cannot be read ({error}).") from error


class _BrokenChains(logging.Filter):
    """Catches what tifffile only logs: a file that ends before its last page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "invalid page offset" not in message:
            return True
        self.found.append(message)
        return False


@contextmanager
def _broken_chains() -> Iterator[list[str]]:
    watch = _BrokenChains()
    log = logging.getLogger("tifffile")
    log.addFilter(watch)
    try:
        yield watch.found
    finally:
        log.removeFilter(watch)
