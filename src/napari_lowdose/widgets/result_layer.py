# mypy: allow-untyped-calls
"""A result layer: lies where the input lies, and says what was done to it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from napari.utils.transforms import CompositeAffine

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray

METADATA_KEY = "napari-lowdose"
PARTIAL = " (partial)"
# Share of pixels, in per cent, that may lie beyond each end of the contrast limits.
BEYOND = 0.1
ENOUGH = 2**20  # pixels to find the limits from: sorting more would hold up the user interface

_made: weakref.WeakSet[Image] = weakref.WeakSet()


def mark_as_result(layer: Image) -> None:
    """Remember that `layer` is ours, residuals included."""
    _made.add(layer)


def is_result(layer: Image) -> bool:
    """Whether `layer` was made here, now or before it was saved; nobody denoises a result."""
    return layer in _made or METADATA_KEY in layer.metadata


def pixels_of(layer: Image) -> Any:
    """Return the layer's full-resolution data, as something that can be sliced at no cost.

    Parameters
    ----------
    layer : Image

    Returns
    -------
    (..., Y, X) array
        NumPy as it is; anything else (zarr, HDF5, dask) as dask, so that nothing is read in
        the thread of the user interface.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    return data if isinstance(data, np.ndarray) else da.asarray(data)


def placement(layer: Image, ndim: int, corner: tuple[float, ...] = (0.0, 0.0)) -> dict[str, Any]:
    """Return the arguments of `add_image` that lay a result over `layer`.

    Parameters
    ----------
    layer : Image
    ndim : int
        Dimensions of the result: those of the layer, or 2 for what lies on every frame.
    corner : tuple of float
        Where in the layer the first pixel of the result lies, in pixels: (y, x), or the index of
        a frame before them.

    Returns
    -------
    dict
        scale, translate, rotate, shear, affine, units, axis_labels and colormap.
    """
    axes = list(range(layer.ndim - ndim, layer.ndim))
    # As the layer has them: to take them out of one matrix would turn a flipped axis (a negative
    # scale) into a rotation.
    own = CompositeAffine(
        scale=layer.scale,
        translate=layer.translate,
        rotate=layer.rotate,
        shear=layer.shear,
        ndim=layer.ndim,
    ).set_slice(axes)
    return {
        "scale": own.scale,
        "translate": own(np.array([0.0] * (ndim - len(corner)) + [float(at) for at in corner])),
        "rotate": own.rotate,
        "shear": own.shear,
        "affine": layer.affine.set_slice(axes).affine_matrix,
        "units": tuple(layer.units[axis] for axis in axes),
        "axis_labels": tuple(layer.axis_labels[axis] for axis in axes),
        "colormap": layer.colormap,
    }


def contrast_limits(frame: NDArray[Any]) -> tuple[float, float]:
    """Return limits that show nearly all of `frame`, and always some contrast."""
    step = max(1, int(np.sqrt(frame.size / ENOUGH)))
    sample = frame[::step, ::step]
    low, high = (float(limit) for limit in np.percentile(sample, (BEYOND, 100 - BEYOND)))
    return (low, high) if high > low else (low, low + 1)


def residual(image: Any, result: NDArray[np.float32]) -> Any:
    """Return `image` minus `result`, float32: what was taken away.

    Lazy for a stack of frames, which may be large, and where `image` is lazy (dask): a frame is
    read and subtracted when it is shown.
    """
    if isinstance(image, np.ndarray) and image.ndim == 2:
        return image.astype(np.float32) - result
    frames = (*(1,) * (image.ndim - 2), *image.shape[-2:])
    # Without a name dask would hash all the pixels for one.
    if isinstance(image, np.ndarray):
        image = da.from_array(image, chunks=frames, name=False)
    return image.astype(np.float32) - da.from_array(result, chunks=frames, name=False)


def residual_limits(
    image: Any, result: NDArray[np.float32], limits: tuple[float, float]
) -> tuple[float, float]:
    """Return contrast limits of the residual, alike on both sides of zero.

    Parameters
    ----------
    image, result : (..., Y, X) array
    limits : (float, float)
        Contrast limits of the result.

    Returns
    -------
    (float, float)
        Three standard deviations of the first frame.  Of a lazy image, which is not read
        again for this, half of what `limits` span.
    """
    if isinstance(image, np.ndarray):
        first = (0,) * (image.ndim - 2)
        spread = 3 * float(np.std(image[first].astype(np.float32) - result[first])) or 1.0
    else:
        spread = (limits[1] - limits[0]) / 2
    return -spread, spread
