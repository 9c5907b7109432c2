"""The pixel size of a layer, as a network remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_lowdose.noise2noise import pixel_size_warning

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_lowdose.noise2noise import Noise2NoiseModel

SOME_UNIT = "units"  # a scale without a unit can still be compared with another one
NOT_KNOWN = (
    "the pixel size that this network was trained at is not known: it fits images of the same "
    "pixel size only."
)


def layer_pixel_size(layer: Image) -> tuple[tuple[float, float] | None, str | None]:
    """Return height and width of a pixel, and their unit; (None, None) if nobody said.

    Parameters
    ----------
    layer : Image
    """
    height, width = (abs(float(each)) for each in layer.scale[-2:])
    unit = f"{layer.units[-1]:~}" if layer.units else ""
    if unit not in ("", "px", "pix", "pixel"):
        return (height, width), unit
    return (None, None) if height == width == 1 else ((height, width), SOME_UNIT)


def pixel_size_note(model: Noise2NoiseModel, layer: Image) -> str:
    """Return a warning if a network and a layer do not have, or may not have, one pixel size.

    Parameters
    ----------
    model : Noise2NoiseModel
    layer : Image

    Returns
    -------
    str
        Empty if they agree, or if the layer does not say.
    """
    size, unit = layer_pixel_size(layer)
    if size is None:
        return ""
    if model.pixel_size is None:
        return NOT_KNOWN
    return pixel_size_warning(model, size, unit) or ""
