# mypy: allow-untyped-calls
"""A region of an image to denoise first: what is in view, or a drawn rectangle."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Shapes

from napari_lowdose.widgets.result_layer import layer_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image

Region = tuple[int, int, int, int]
"""First row, row behind the last one, and the same of columns, pixels."""

Where = Literal["whole", "view", "rectangle"]
WHERE: dict[str, Where] = {
    "whole image": "whole",
    "what is in view": "view",
    "drawn rectangle": "rectangle",
}
WHERE_HELP = (
    "<qt>Try the settings on a part of a large image first: what is in view, or a rectangle of a "
    "Shapes layer (the selected one, or else the last). The result lies over its place.</qt>"
)


def chosen_region(where: Where, layers: Iterable[Any], layer: Image) -> Region | None:
    """Return the region of `layer` to denoise; None for the whole image.

    Parameters
    ----------
    where : {"whole", "view", "rectangle"}
    layers : iterable of Layer
        Where a Shapes layer is looked for, the topmost one first.
    layer : Image

    Raises
    ------
    ValueError
        If there is no rectangle, or nothing of the image is in the region.
    """
    if where == "whole":
        return None
    corners = _view(layer) if where == "view" else _rectangle(layers, layer)
    rows, columns = layer_pixels(layer).shape[-2:]
    first, last = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    y0, x0 = (int(each) for each in np.clip(first, 0, (rows, columns)))
    y1, x1 = (int(each) for each in np.clip(last, 0, (rows, columns)))
    if y0 >= y1 or x0 >= x1:
        place = "view" if where == "view" else "the rectangle"
        raise ValueError(f"Nothing of '{layer.name}' is in {place}: move it there.")
    return None if (y0, y1, x0, x1) == (0, rows, 0, columns) else (y0, y1, x0, x1)


def middle_of(region: Region | None, shape: tuple[int, int], most: int) -> Region:
    """Return the middle of a region, or of the whole image.

    Parameters
    ----------
    region : (int, int, int, int) or None
    shape : (int, int)
        Of the image.
    most : int
        Largest side, pixels.

    Examples
    --------
    >>> middle_of(None, (100, 2000), 512)
    (0, 100, 744, 1256)
    """
    y0, y1, x0, x1 = region or (0, shape[0], 0, shape[1])
    y0, x0 = y0 + max(y1 - y0 - most, 0) // 2, x0 + max(x1 - x0 - most, 0) // 2
    return y0, min(y1, y0 + most), x0, min(x1, x0 + most)


def region_slices(region: Region | None) -> tuple[Any, ...]:
    """Return the index that cuts a region out of an array (..., Y, X)."""
    if region is None:
        return (...,)
    y0, y1, x0, x1 = region
    return ..., slice(y0, y1), slice(x0, x1)


def region_name(region: Region | None) -> str:
    """Return a region as Python writes it; empty for the whole image.

    Examples
    --------
    >>> region_name((0, 64, 32, 96))
    '[0:64, 32:96]'
    """
    return "" if region is None else "[{}:{}, {}:{}]".format(*region)


def _view(layer: Image) -> Any:
    """Return opposite corners (y, x) of the part of a layer that is on the canvas."""
    corners = np.asarray(layer.corner_pixels, float)
    if layer.multiscale:  # in pixels of the level that is shown
        corners = corners * layer.downsample_factors[layer.data_level]
    corners = corners[:, -2:]
    return corners + [[0, 0], [1, 1]]  # the last pixel belongs to it


def _rectangle(layers: Iterable[Any], layer: Image) -> Any:
    """Return the corners (y, x) of a drawn rectangle, in pixels of `layer`."""
    drawn = [each for each in layers if isinstance(each, Shapes) and each.visible and each.nshapes]
    if not drawn:
        raise ValueError("Draw a rectangle first, on a Shapes layer ('New shapes layer').")
    shapes = drawn[-1]
    selected = sorted(shapes.selected_data)
    vertices = np.asarray(shapes.data[selected[-1] if selected else -1], float)[:, -2:]
    # All corners: the layers may be rotated against each other
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    found = []
    for y, x in itertools.product((low[0], high[0]), (low[1], high[1])):
        world = shapes.data_to_world([0.0] * (shapes.ndim - 2) + [y, x])[-2:]
        pixels = layer.world_to_data([0.0] * (layer.ndim - 2) + list(world))[-2:]
        found.append(np.asarray(pixels) + 0.5)  # pixel centres are at whole numbers
    return np.asarray(found)
