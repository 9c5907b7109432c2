"""Reading the frames of a TIFF, with checks for missing and truncated ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import psutil

from napari_lowdose.error_line import one_line
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import tifffile
    from numpy.typing import NDArray


def read_frames(path: Path, series: tifffile.TiffPageSeries) -> NDArray[Any]:
    """Read the pixels of a series; uncompressed pixels are memory-mapped.

    Parameters
    ----------
    path : Path
        Path of the file.
    series : tifffile.TiffPageSeries
        A series whose axes end in YX.

    Returns
    -------
    (..., Y, X) array
        With the dtype of the file.  For an aborted acquisition, the complete part along the
        first axis.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If a frame is missing, truncated or cannot be decoded (the message names it), or the
        pixels do not fit into memory.

    Warns
    -----
    UserWarning
        If frames at the end are missing.
    """
    n_frames = math.prod(series.shape[:-2])
    missing, cut_off = _incomplete(series, n_frames)
    if cut_off:
        frames = frame_list(sorted(cut_off), n_frames)
        raise ValueError(f"This TIFF is cut off: the file ends before the end of {frames}.")
    if missing:
        return _complete_part(series, sorted(missing), n_frames)
    # An offset means that the pixels are uncompressed and contiguous: they can be mapped
    if series.dataoffset is not None and series.dtype is not None:
        dtype = series.dtype.newbyteorder(series.keyframe.parent.byteorder)
        return np.memmap(path, dtype, "r", offset=series.dataoffset, shape=tuple(series.shape))
    _check_memory(series.nbytes)
    try:
        return np.asarray(series.asarray())
    except MemoryError:
        raise
    except Exception as error:  # tifffile raises exceptions of any type on a damaged file
        _raise_for_frame(series, n_frames, error)


def frame_list(numbers: Iterable[int], n_frames: int) -> str:
    """Format frame numbers for a message.

    Parameters
    ----------
    numbers : iterable of int
        Frame numbers, counted from 0, in ascending order.
    n_frames : int
        Number of frames in the file.

    Returns
    -------
    str
        Frame numbers counted from 1, at most five ranges.

    Examples
    --------
    >>> frame_list([1, 4, 5, 6], 9)
    'frames 2, 5 to 7 of 9'
    >>> frame_list([0], 1)
    'the image'
    """
    if n_frames == 1:
        return "the image"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    words = [" to ".join(str(number + 1) for number in run) for run in runs[:5]]
    more = [f"{len(runs) - 5} more ranges"] if len(runs) > 5 else []
    one = len(runs) == 1 and len(runs[0]) == 1
    return f"frame{'' if one else 's'} {', '.join([*words, *more])} of {n_frames}"


def grey_levels(page: tifffile.TiffPage, pixels: NDArray[Any]) -> NDArray[Any] | None:
    """Return the intensities of an image with a grey palette.

    If the palette is the usual ramp from black to white, the pixels are the intensities.  Any
    other grey palette (reversed, for example) is applied, because every program displays the
    image that way.

    Parameters
    ----------
    page : tifffile.TiffPage
        The page with the palette.
    pixels : integer array
        Indices into the palette.

    Returns
    -------
    array or None
        Same shape as `pixels`; uint8 or uint16 if the palette is applied.  None if the palette
        has colours.

    Warns
    -----
    UserWarning
        If the palette is applied.
    """
    palette = np.asarray(page.colormap if page.colormap is not None else np.eye(3), np.int64)
    if palette.ndim != 2 or len(palette) != 3 or (palette != palette[0]).any():
        return None
    grey = palette[0]
    if grey.min() == grey.max():  # an empty palette: the intensities are unknown
        return None
    index = np.arange(len(grey))
    brightest = len(grey) - 1
    # Some programs write 8-bit values, although the format requires 16 bits
    full_scale = 255 if grey.max() <= 255 else 65535
    # Rounding may move a level of the ramp by up to one step
    if np.abs(grey * brightest - index * full_scale).max() <= full_scale:
        return pixels
    warn(
        "the grey palette of this image is not a ramp from black to white: its grey levels are "
        "used in place of the stored pixel values.",
        stacklevel=2,
    )
    # 8-bit levels are stored in 16 bits either as level * 257 or as level * 256
    eight_bit = full_scale == 255 or (grey % 257 == 0).all() or (grey % 256 == 0).all()
    if full_scale == 65535 and eight_bit:
        grey = grey >> 8
    levels = grey.astype(np.uint8 if eight_bit else np.uint16)
    return np.asarray(levels[np.minimum(pixels, brightest)])


def _incomplete(series: Any, n_frames: int) -> tuple[set[int], set[int]]:
    """Return the missing frames, and the frames that end beyond the end of the file."""
    missing: set[int] = set()
    cut_off: set[int] = set()
    pages = list(series._pages)
    contiguous = series.dataoffset is not None
    if contiguous and len(pages) < n_frames:  # one page directory for all frames
        frame_bytes = math.prod(series.shape[-2:]) * series.dtype.itemsize
        n_present = (series.parent.filehandle.size - series.dataoffset) // frame_bytes
        cut_off.update(range(max(n_present, 0), n_frames))
        return missing, cut_off
    # A page usually holds one frame, but may hold several
    per_page = max(1, n_frames // max(1, round(math.prod(series.shape) / series.keyframe.size)))
    for number in range(0, n_frames, per_page):
        k = number // per_page
        page = pages[k] if k < len(pages) else None
        frames = range(number, min(number + per_page, n_frames))
        if page is not None and not (page.dataoffsets and page.databytecounts):
            raise ValueError(f"This TIFF is damaged: {frame_list(frames, n_frames)} has no pixels.")
        if page is None or 0 in page.databytecounts:
            # tifffile would fill these with zeros, which look like data
            missing.update(frames)
            continue
        ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=False))
        end = page.dataoffsets[0] + page.nbytes if contiguous else max(ends)
        if end > page.parent.filehandle.size:
            cut_off.update(frames)
    return missing, cut_off


def _complete_part(series: Any, missing: list[int], n_frames: int) -> NDArray[Any]:
    """Return the complete part of a stack whose last frames were never acquired."""
    # Only whole steps of the first axis: half a time point has no place in an array
    steps = series.shape[0] if n_frames > 1 else 1
    complete = missing[0] * steps // n_frames
    at_the_end = missing == list(range(missing[0], n_frames))
    if not complete or not at_the_end:
        raise ValueError(f"This TIFF is incomplete: it lacks {frame_list(missing, n_frames)}.")
    n_read = complete * n_frames // steps
    _check_memory(n_read * math.prod(series.shape[-2:]) * series.keyframe.dtype.itemsize)
    frames = []
    for number, page in enumerate(list(series._pages)[:n_read]):
        try:
            frames.append(page.asarray())
        except MemoryError:
            raise
        except Exception as error:
            raise _undecodable(number, n_frames, error) from error
    warn(
        f"this file lacks {frame_list(missing, n_frames)}, the acquisition seems to have been "
        f"aborted: only the first {complete} of {steps} along {series.axes[0]} are read.",
        stacklevel=2,
    )
    return np.stack(frames).reshape(complete, *series.shape[1:])


def _check_memory(n_bytes: int) -> None:
    available = psutil.virtual_memory().available
    if n_bytes > available:
        raise ValueError(
            f"This TIFF holds {n_bytes / 2**30:.1f} GiB of pixels when decompressed, but only "
            f"{available / 2**30:.1f} GiB of memory are available."
        )


def _raise_for_frame(series: Any, n_frames: int, error: Exception) -> NoReturn:
    """Raise an error that names the first frame that cannot be decoded.

    tifffile does not name the frame, so the frames are decoded one by one.
    """
    for number, page in enumerate(series._pages):
        try:
            page.asarray()
        except Exception as first:
            raise _undecodable(number, n_frames, first) from first
    raise ValueError(f"The pixels of this TIFF cannot be read ({error}).") from error


def _undecodable(number: int, n_frames: int, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None:
        return error
    text = one_line(error)
    if "imagecodecs" in text:
        return ValueError(f"{text}: pip install imagecodecs")
    return ValueError(f"{frame_list([number], n_frames)} of this TIFF cannot be decoded ({text}).")
