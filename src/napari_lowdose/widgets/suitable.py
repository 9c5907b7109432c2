"""Whether a layer can be denoised at all, as far as can be told without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image


def why_unsuitable(layer: Image | None) -> str:
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
