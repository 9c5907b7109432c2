"""Fill in the NaN and infinite pixels of a layer, in a layer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.widgets.result_layer import layer_pixels, placement

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image
    from numpy.typing import NDArray

FILLED_KEY = "napari-lowdose filled in"
BAD_PIXELS = "pixels are NaN or infinite"  # in the message of the engines


def filled_in(frame: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of a frame whose NaN and infinite pixels are interpolated.

    Parameters
    ----------
    frame : (Y, X) float array
        With at least one finite pixel.

    Returns
    -------
    (Y, X) float array
        Linear between the pixels around a hole; beyond them, as at the border of the image,
        the nearest pixel.

    Examples
    --------
    >>> filled_in(np.array([[0.0, 1, 2], [1, np.nan, 3], [2, 3, np.inf]]))
    array([[0., 1., 2.],
           [1., 2., 3.],
           [2., 3., 3.]])
    """
    from scipy.interpolate import LinearNDInterpolator
    from scipy.ndimage import binary_dilation, distance_transform_edt
    from scipy.spatial import QhullError

    bad = ~np.isfinite(frame)
    filled = frame.copy()
    if not bad.any():
        return filled
    nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
    filled[bad] = frame[tuple(nearest)][bad]
    around = binary_dilation(bad, np.ones((3, 3))) & ~bad
    try:
        linear = LinearNDInterpolator(np.argwhere(around), frame[around])(np.argwhere(bad))
    except QhullError:  # all of them on one line
        return filled
    known = np.isfinite(linear)
    filled[tuple(np.argwhere(bad)[known].T)] = linear[known]
    return filled


def can_be_filled_in(layer: Image | None) -> bool:
    """Whether the pixels of a layer are in memory, and have something to interpolate from."""
    if layer is None or not isinstance(pixels := layer_pixels(layer), np.ndarray):
        return False
    return pixels.dtype.kind == "f" and bool(np.isfinite(pixels).any(axis=(-2, -1)).all())


def add_filled_in(layers: LayerList, layer: Image) -> Image:
    """Add a copy of `layer` with interpolated pixels, named and recorded as such."""
    from napari.layers import Image

    pixels = layer_pixels(layer)
    filled = np.empty_like(pixels)
    for index in np.ndindex(pixels.shape[:-2]):
        filled[index] = filled_in(pixels[index])
    n_bad = int(np.count_nonzero(~np.isfinite(pixels)))
    made = Image(
        filled,
        name=f"{layer.name}, {n_bad} pixel{'s' if n_bad > 1 else ''} filled in",
        metadata={FILLED_KEY: {"layer": layer.name, "pixels": n_bad, "method": "linear"}},
        **placement(layer, layer.ndim),
    )
    layers.append(made)
    return made
