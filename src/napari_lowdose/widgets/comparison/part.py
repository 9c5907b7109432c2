"""The part of an image on which settings are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_lowdose.widgets.layer_run import snapshot
from napari_lowdose.widgets.layers import frame_in_view, validation_error, view_error
from napari_lowdose.widgets.region import chosen_region, middle_of, region_name, region_slices
from napari_lowdose.widgets.result_layer import layer_pixels
from napari_lowdose.widgets.words import use_form_labels

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_lowdose.widgets.region import Where

MOST = 512  # pixels of a side: a second or two with most settings


@dataclass(frozen=True)
class Part:
    """A part of a frame.

    Attributes
    ----------
    layer : Image
    pixels : (h, w) array
        A snapshot, NumPy or dask.
    place : str
        Its rows and columns, for people.
    """

    layer: Image
    pixels: Any
    place: str


def middle_in_view(viewer: napari.viewer.Viewer, layer: Image | None, where: Where) -> Part:
    """Return the middle of what is in view, or of the drawn rectangle.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    layer : Image or None
        The chosen layer.
    where : {"whole", "view", "rectangle"}
        As chosen in the form; of the whole image, what is in view.

    Raises
    ------
    ValueError
        If there is no such part, or it cannot be denoised.
    """
    reason = validation_error(layer)
    if layer is None or reason or (reason := view_error(viewer.dims, layer)):
        raise ValueError(reason)
    region = chosen_region("view" if where == "whole" else where, viewer.layers, layer)
    frame = layer_pixels(layer)[frame_in_view(viewer.dims, layer)]
    region = middle_of(region, frame.shape, MOST)
    place = use_form_labels(region_name(region)).strip("()")
    return Part(layer, snapshot(frame[region_slices(region)]), place)
