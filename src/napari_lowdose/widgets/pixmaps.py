"""Arrays as pictures in a dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyqtgraph.functions import ndarray_to_qimage
from qtpy.QtGui import QImage, QPixmap

if TYPE_CHECKING:
    from numpy.typing import NDArray


def grey_pixmap(image: NDArray[Any], low: float, high: float) -> QPixmap:
    """Return a (h, w) image from black at `low` to white at `high`."""
    share = np.clip((image - low) / ((high - low) or 1.0), 0, 1)
    return _pixmap(np.uint8(255 * share), QImage.Format.Format_Grayscale8)


def colour_pixmap(colours: NDArray[np.uint8]) -> QPixmap:
    """Return (h, w, 3) colours as a picture."""
    return _pixmap(colours, QImage.Format.Format_RGB888)


def _pixmap(pixels: Any, image_format: QImage.Format) -> QPixmap:
    return QPixmap.fromImage(ndarray_to_qimage(np.ascontiguousarray(pixels), image_format))
