"""The file that a layer shows the whole of, and what its axes are."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_lowdose.widgets.result_layer import pixels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

TIFF = (".tif", ".tiff")
CHANNEL = ("c", "ch", "channel", "channels", "wavelength")
EVERY = 64  # rows: every so many of the first frame are compared with the file


def file_of(layer: Image | None) -> str | None:
    """Return the file whose pixels `layer` shows, all of them and as they are.

    A layer keeps the path that it was loaded from, whatever becomes of its data.

    Parameters
    ----------
    layer : Image or None

    Returns
    -------
    str or None
        None where there is no single file (a folder, a stack of several files), or where
        the data were cropped or replaced since.  Of a TIFF, shape, dtype and a few rows are
        compared; of other formats nothing can be known without reading them again.
    """
    path = layer.source.path if layer is not None else None
    if layer is None or path is None or not Path(path).is_file():
        return None
    tiff = Path(path).suffix.lower() in TIFF
    return str(path) if not tiff or _shows(pixels_of(layer), path) else None


def axis_names(layer: Image) -> tuple[str, ...]:
    """Return what the axes of `layer` are called, in lower case; empty where nobody has said.

    Parameters
    ----------
    layer : Image

    Returns
    -------
    tuple of str
        The labels of the layer; where napari made them up (-3, -2, -1), the axes of the TIFF
        that it shows the whole of.
    """
    labels = tuple(str(label).strip().lower() for label in layer.axis_labels)
    path = None if any(map(_is_name, labels)) else file_of(layer)
    if path is not None and Path(path).suffix.lower() in TIFF:
        with contextlib.suppress(Exception), tifffile.TiffFile(path) as file:
            labels = tuple(file.series[0].axes.lower())
    names = tuple(label if _is_name(label) else "" for label in labels)
    return names if len(names) == layer.ndim else ("",) * layer.ndim


def channel_axis(names: Sequence[str]) -> int | None:
    """Return the leading axis whose frames are channels, by its name; None if there is none."""
    return next((n for n, name in enumerate(names[:-2]) if name in CHANNEL), None)


def _is_name(label: str) -> bool:
    return label[:1].isalpha() and label not in ("q", "i")  # tifffile's for axes unknown


def _shows(data: Any, path: str) -> bool:
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.shape != data.shape or series.dtype != data.dtype:
                return False
            mappable = series.dataoffset is not None
        if not mappable or not isinstance(data, np.ndarray):
            return True
        rows: tuple[Any, ...] = (*(0,) * (data.ndim - 2), slice(None, None, EVERY))
        return bool((tifffile.memmap(path, mode="r")[rows] == data[rows]).all())
    except Exception:  # tifffile raises anything at all on a damaged file
        return False
