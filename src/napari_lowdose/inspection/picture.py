"""Images as pictures inside of an HTML file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SIDE = 512  # largest side of an overview, pixels
CLIPPED = 0.1  # percentage of the pixels beyond each limit


def display_limits(image: NDArray[Any]) -> tuple[float, float]:
    """Return grey levels (low < high) that enclose nearly all pixels."""
    step = max(1, int(np.sqrt(image.size / 2**20)))
    low, high = np.percentile(image[::step, ::step], (CLIPPED, 100 - CLIPPED)).tolist()
    return (low, high) if high > low else (low, low + 1)


def reduced(image: NDArray[Any]) -> NDArray[Any]:
    """Return every n-th pixel, so that the overview is small: a mean would hide the noise."""
    step = max(1, -(-max(image.shape) // SIDE))
    return image[::step, ::step]


def png(image: NDArray[Any], limits: tuple[float, float]) -> str:
    """Return an image as a data address of a PNG file.

    Parameters
    ----------
    image : (Y, X) array
    limits : (float, float)
        Grey levels shown as black and as white.

    Examples
    --------
    >>> png(np.eye(4), (0, 1))[:22]
    'data:image/png;base64,'
    """
    low, high = limits
    grey = np.clip((np.asarray(image, np.float64) - low) / (high - low), 0, 1)
    file = io.BytesIO()
    Image.fromarray(np.uint8(np.rint(255 * grey))).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def figure(
    image: NDArray[Any],
    limits: tuple[float, float],
    caption: str,
    boxes: Iterable[tuple[int, int, int, int]] = (),
) -> str:
    """Return an HTML figure of an image with boxes drawn on it.

    Parameters
    ----------
    image : (Y, X) array
        Of any size; larger than 512 pixels, it is reduced.
    limits : (float, float)
        Grey levels shown as black and as white.
    caption : str
        HTML.
    boxes : iterable of (int, int, int, int)
        y0, y1, x0, x1, pixels.
    """
    height, width = image.shape
    rectangles = "".join(
        f'<rect x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"/>'
        for y0, y1, x0, x1 in boxes
    )
    return (
        f'<figure><div class="picture"><img src="{png(reduced(image), limits)}" alt="">'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{rectangles}</svg></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
