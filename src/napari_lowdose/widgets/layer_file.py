"""The file that a layer shows the whole of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_lowdose.widgets.result_layer import pixels_of

if TYPE_CHECKING:
    from napari.layers import Image

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
    tiff = Path(path).suffix.lower() in (".tif", ".tiff")
    return str(path) if not tiff or _shows(pixels_of(layer), path) else None


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
