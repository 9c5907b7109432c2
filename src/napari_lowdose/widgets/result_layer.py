# mypy: allow-untyped-calls
"""Result layers: placement over the input, contrast limits, residuals, and their mark."""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import CompositeAffine

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray

METADATA_KEY = "napari-lowdose"
RESIDUAL_KEY = "napari-lowdose residual of"  # of the metadata of a residual: the name of the result
PARTIAL = " (partial)"
# Percentage of pixels beyond each end of the contrast limits.
CLIPPED_PERCENTAGE = 0.1
MAX_SAMPLE = 2**20  # pixels to find the limits from: sorting more would block the user interface

# Residuals have no record in their metadata.  Weak, so that removed layers can be deleted.
_results: weakref.WeakSet[Image] = weakref.WeakSet()


def without_partial(name: str) -> str:
    """Return the name of a layer without its mark as partial.

    Examples
    --------
    >>> without_partial("STEM REUCID (partial) [1]")  # napari numbers equal names
    'STEM REUCID'
    """
    return re.sub(r" \(partial\)( \[\d+\])?$", "", name)


def mark_as_result(layer: Image) -> None:
    """Remember that `layer` is a result or a residual."""
    _results.add(layer)


def is_result(layer: Image) -> bool:
    """Whether `layer` is a result or a residual, of this session or loaded from a file."""
    return layer in _results or METADATA_KEY in layer.metadata


def layer_pixels(layer: Image) -> Any:
    """Return the full-resolution data of a layer, as an array that is sliced at no cost.

    Parameters
    ----------
    layer : Image

    Returns
    -------
    (..., Y, X) array
        NumPy arrays unchanged; others (zarr, HDF5, dask) as dask, so that nothing is read in
        the thread of the user interface.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    if isinstance(data, np.ndarray):
        return data
    import dask.array as da  # 0.4 s, which most people need not wait for

    return da.asarray(data)


def placement(layer: Image, ndim: int, corner: tuple[float, ...] = (0.0, 0.0)) -> dict[str, Any]:
    """Return the arguments of `add_image` that place a result over `layer`.

    Parameters
    ----------
    layer : Image
    ndim : int
        Dimensions of the result: those of the layer, or 2 for an overlay on every frame.
    corner : tuple of float
        Position of the first pixel of the result in pixels of the layer, (y, x), after the
        index of a frame if any.

    Returns
    -------
    dict
        scale, translate, rotate, shear, affine, units, axis_labels and colormap.
    """
    axes = list(range(layer.ndim - ndim, layer.ndim))
    # The parameters of the layer one by one: decomposing its matrix would turn a flipped axis
    # (a negative scale) into a rotation.
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
    """Return limits (low < high) that enclose nearly all pixels of `frame`."""
    step = max(1, int(np.sqrt(frame.size / MAX_SAMPLE)))
    sample = frame[::step, ::step]
    low, high = (
        float(limit)
        for limit in np.percentile(sample, (CLIPPED_PERCENTAGE, 100 - CLIPPED_PERCENTAGE))
    )
    return (low, high) if high > low else (low, low + 1)


def residual(image: Any, result: NDArray[np.float32]) -> Any:
    """Return `image` minus `result`, float32.

    Lazy for stacks of frames, which may be large, and for lazy images (dask): each frame is read
    and subtracted when it is shown.
    """
    if isinstance(image, np.ndarray) and image.ndim == 2:
        return image.astype(np.float32) - result
    import dask.array as da

    frames = (*(1,) * (image.ndim - 2), *image.shape[-2:])
    # Without name=False, dask would hash all pixels.
    if isinstance(image, np.ndarray):
        image = da.from_array(image, chunks=frames, name=False)
    return image.astype(np.float32) - da.from_array(result, chunks=frames, name=False)


def residual_limits(
    image: Any, result: NDArray[np.float32], limits: tuple[float, float]
) -> tuple[float, float]:
    """Return contrast limits of the residual, symmetric about zero.

    Parameters
    ----------
    image, result : (..., Y, X) array
    limits : (float, float)
        Contrast limits of the result.

    Returns
    -------
    (float, float)
        Three standard deviations of the first frame; for a lazy image, which is not read again
        for this, half the span of `limits`.
    """
    if isinstance(image, np.ndarray):
        first = (0,) * (image.ndim - 2)
        spread = 3 * float(np.std(image[first].astype(np.float32) - result[first])) or 1.0
    else:
        spread = (limits[1] - limits[0]) / 2
    return -spread, spread
