"""Which layers a person most likely means, and which frame of one is in view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Image

from napari_lowdose.widgets.result_layer import is_result, pixels_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import Dims, LayerList


def image_combo(layers: Iterable[Any]) -> ComboBox:
    """Return a choice of the image layers; they are read again at every `reset_choices`.

    Parameters
    ----------
    layers : iterable of Layer

    Returns
    -------
    magicgui.widgets.ComboBox
    """
    return ComboBox(
        choices=lambda _: [(each.name, each) for each in layers if isinstance(each, Image)],
        nullable=False,
    )


def most_likely_layer(layers: LayerList) -> Image | None:
    """Return what a person most likely wants to denoise: what is active, or on top.

    Parameters
    ----------
    layers : LayerList

    Returns
    -------
    Image or None
        A result only where there is nothing else.
    """
    images = _images(layers)
    active = layers.selection.active
    if active in images:
        return active
    return next((layer for layer in reversed(images) if layer.visible), (images or [None])[-1])


def most_likely_pair(layers: LayerList) -> tuple[Image | None, Image | None]:
    """Return the two exposures of one scene that a person most likely means.

    Parameters
    ----------
    layers : LayerList

    Returns
    -------
    (Image or None, Image or None)
        First and second: two layers that are selected, or else the topmost two visible ones of
        one shape; the lower one first.  Twice the same where there is one image only.
    """
    images = _images(layers)
    selected = [layer for layer in images if layer in layers.selection]
    if len(selected) == 2:
        return selected[0], selected[1]
    seen = [layer for layer in images if layer.visible] or images
    for n, second in reversed(list(enumerate(seen))):
        for first in reversed(seen[:n]):
            if _shape(first) == _shape(second) and first.rgb == second.rgb:
                return first, second
    if len(images) > 1:
        return images[-2], images[-1]
    return (images[0], images[0]) if images else (None, None)


def frame_in_view(dims: Dims, layer: Image) -> tuple[int, ...]:
    """Return which frame of `layer` is in view: its index along each leading axis."""
    shape = _shape(layer)[:-2]
    position = layer.world_to_data(dims.point)
    return tuple(
        int(np.clip(round(float(at)), 0, n - 1)) for at, n in zip(position, shape, strict=False)
    )


def _images(layers: LayerList) -> list[Image]:
    images = [layer for layer in layers if isinstance(layer, Image)]
    return [layer for layer in images if not is_result(layer)] or images


def _shape(layer: Image) -> tuple[int, ...]:
    return tuple(pixels_of(layer).shape)
