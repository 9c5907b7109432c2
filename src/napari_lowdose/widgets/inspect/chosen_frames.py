"""The frames in view of the chosen layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_lowdose.widgets.layers import (
    frame_in_view,
    layer_pixel_size,
    validation_error,
    view_error,
)
from napari_lowdose.widgets.region import region_slices
from napari_lowdose.widgets.result_layer import METADATA_KEY, layer_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import Dims
    from numpy.typing import NDArray

    from napari_lowdose.frames import Index

NOT_CHOSEN = "Choose a raw image and its result, two image layers of the same size."


class ReadOnce:
    """A lazy frame that is read, or denoised, the first time that it is used as an array.

    Parameters
    ----------
    frame : (Y, X) dask array
    """

    def __init__(self, frame: Any) -> None:
        self._lazy = frame
        self._read: NDArray[Any] | None = None
        self.shape = frame.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the pixels."""
        if self._read is None:
            self._read = np.asarray(self._lazy)
        return np.array(self._read, dtype=dtype, copy=copy)


@dataclass(frozen=True, eq=False)
class ChosenFrames:
    """The frames in view; pixels of lazy layers are not read yet.

    Attributes
    ----------
    images : dict of str to (Y, X) array
        "raw" and "result", and "truth" and "second" if they are chosen.
    index, shown : tuple of int
        Of the raw frame and of the result, in their stacks.
    record : dict
        Of the result; empty if it is unknown.
    pixel_size : (float, float) or None
    unit : str or None
    """

    images: dict[str, Any]
    index: Index
    shown: Index
    record: dict[str, Any]
    pixel_size: tuple[float, float] | None
    unit: str | None


def chosen_frames(
    dims: Dims,
    raw: Image | None,
    result: Image | None,
    second: Image | None = None,
    truth: Image | None = None,
) -> ChosenFrames:
    """Return the frames in view of some layers.

    Parameters
    ----------
    dims : Dims
    raw, result, second, truth : Image or None

    Raises
    ------
    ValueError
        If there is no raw image and result, they are the same layer, or cannot be compared.
    """
    if raw is None or result is None or raw == result:
        raise ValueError(NOT_CHOSEN)
    layers = {"raw": raw, "result": result, "second": second, "truth": truth}
    record: dict[str, Any] = result.metadata.get(METADATA_KEY, {})
    shown = frame_in_view(dims, result)
    # A result of one frame is a stack of one frame, at its place in the stack of the input.
    known = record.get("input", {}).get("frame")
    index = frame_in_view(dims, raw) if known is None else tuple(known)
    shape = layer_pixels(result).shape[-2:]
    region = record.get("input", {}).get("region")
    images = {}
    for name, layer in layers.items():
        if layer is None:
            continue
        if reason := validation_error(layer) or view_error(dims, result):
            raise ValueError(reason)
        pixels = layer_pixels(layer)
        if region is not None and pixels.shape[-2:] != shape:  # only this part was denoised
            pixels = pixels[region_slices(region)]
        n_leading = pixels.ndim - 2
        of_layer = shown if name == "result" else index
        # A single image, such as a truth, belongs to every frame.
        of_layer = of_layer[len(of_layer) - n_leading :] if n_leading < len(of_layer) else of_layer
        fits = len(of_layer) == n_leading and all(
            at < n for at, n in zip(of_layer, pixels.shape, strict=False)
        )
        if not fits or pixels.shape[-2:] != shape:
            raise ValueError(
                f"'{layer.name}' and '{result.name}' cannot be compared: their shapes are "
                f"{tuple(pixels.shape)} and {tuple(layer_pixels(result).shape)}."
            )
        frame = pixels[of_layer]
        images[name] = frame if isinstance(frame, np.ndarray) else ReadOnce(frame)
    pixel_size, unit = layer_pixel_size(raw)
    return ChosenFrames(images, index, shown, record, pixel_size, unit)


def inputs_of(result: Image, layers: Iterable[Any]) -> list[Image]:
    """Return the layers that a result was made from, as its record names them.

    Parameters
    ----------
    result : Image
    layers : iterable of Layer

    Returns
    -------
    list of Image
        One, the two of a pair, or none if they are unknown or were removed.
    """
    names = result.metadata.get(METADATA_KEY, {}).get("input", {}).get("layer") or []
    names = [names] if isinstance(names, str) else names
    found = {layer.name: layer for layer in layers if isinstance(layer, Image)}
    return [found[name] for name in names if name in found]
