"""Whether a layer can be denoised at all, as far as can be told without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.widgets.result_layer import is_result

if TYPE_CHECKING:
    from napari.layers import Image

ONE_LAYER = "Choose two different layers: an image that is its own partner teaches nothing."


def validation_error(layer: Image | None) -> str:
    """Return why `layer` cannot be denoised and what to do, in one sentence; empty if it can.

    Parameters
    ----------
    layer : Image or None
        None if no image layer is there.
    """
    if layer is None:
        return "Open an image first: there is no image layer to denoise (labels are not images)."
    name = f"'{layer.name}'"
    if layer.rgb:
        return f"{name} is a colour image: split its channels first (right-click, Split RGB)."
    dtype = np.dtype(layer.dtype)
    if dtype == np.bool_:
        return f"{name} is a mask (boolean): choose the image that it was made from."
    if np.issubdtype(dtype, np.complexfloating):
        return f"{name} is complex: denoise its real and imaginary part, or its modulus."
    return ""


def why_no_pair(first: Image | None, second: Image | None, movie: bool) -> str:
    """Return why two layers are no pair to train on, in one sentence; empty if they may be one.

    Parameters
    ----------
    first, second : Image or None
    movie : bool
        Whether `first` has frames: twice the same movie is a pair, of neighbouring frames.
    """
    if first is None or second is None:
        return "Open the two exposures first: they are to be image layers."
    if why := validation_error(first) or validation_error(second):
        return why
    for layer in (first, second):
        if is_result(layer):
            return no_partner(layer.name)
    return ONE_LAYER if first is second and not movie else ""


def no_partner(name: str) -> str:
    """Return why a result is no exposure."""
    return f"'{name}' is a result: choose two raw exposures."


def denoised_again(layer: Image) -> str:
    """Return a warning if `layer` is a result already, or belongs to one; else nothing."""
    if not is_result(layer):
        return ""
    return (
        f"'{layer.name}' is a result already: to denoise it again takes away detail, and its noise "
        "is no longer that of an exposure; choose the raw image."
    )
