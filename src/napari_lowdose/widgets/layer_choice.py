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
    """Return which frame of `layer` is in view, or is nearest to what is: its index."""
    shape = _shape(layer)[:-2]
    position = _position(dims, layer)
    return tuple(
        int(np.clip(np.round(at), 0, n - 1)) for at, n in zip(position, shape, strict=True)
    )


def why_not_in_view(dims: Dims, layer: Image, all_frames: bool = False) -> str:
    """Return why what the canvas shows of `layer` cannot be denoised, in one sentence.

    Parameters
    ----------
    dims : Dims
    layer : Image
    all_frames : bool
        Whether all frames are meant, or the one in view.

    Returns
    -------
    str
        Empty where the last two axes of the layer are on the canvas, whichever of them is
        vertical: they are its frames.
    """
    ndim = len(_shape(layer))
    if ndim < 3:
        return ""
    name = f"'{layer.name}'"
    if dims.ndisplay == 3:
        if all_frames:
            return ""
        return f"{name} is shown in 3D: switch to 2D to choose a frame of it, or take all frames."
    offset = dims.ndim - ndim
    shown = sorted([axis - offset for axis in dims.order if axis >= offset][-2:])
    if shown != [ndim - 2, ndim - 1]:
        one, other = shown
        return (
            f"{name} is seen along another axis: on the canvas are its axes {one} and {other}, and "
            f"its frames are axes {ndim - 2} and {ndim - 1}. Roll the dimensions back, or, where a "
            f"frame is what you see, add it again as "
            f"np.moveaxis(layer.data, ({one}, {other}), (-2, -1))."
        )
    if all_frames:
        return ""
    position = _position(dims, layer)
    inside = all(0 <= np.round(at) < n for at, n in zip(position, _shape(layer)[:-2], strict=True))
    return "" if inside else f"{name} has no frame at this position of the sliders: move them."


def _position(dims: Dims, layer: Image) -> list[float]:
    """Return where the sliders are along the leading axes of `layer`, in its pixels.

    As napari has it, which cuts a layer that is rotated out of the canvas as if it were not.
    """
    n_leading = len(_shape(layer)) - 2
    point = [*dims.point[-n_leading - 2 : -2], 0.0, 0.0]
    return [float(at) for at in layer.world_to_data(point)[:n_leading]]


def _images(layers: LayerList) -> list[Image]:
    images = [layer for layer in layers if isinstance(layer, Image)]
    return [layer for layer in images if not is_result(layer)] or images


def _shape(layer: Image) -> tuple[int, ...]:
    return tuple(pixels_of(layer).shape)
