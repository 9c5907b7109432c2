# mypy: allow-untyped-calls
"""A result of which each frame is denoised when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
from napari.layers import Image

from napari_lowdose.denoise import Run, denoise
from napari_lowdose.widgets.result_layer import (
    METADATA_KEY,
    mark_as_result,
    pixels_of,
    placement,
)

if TYPE_CHECKING:
    from napari.components import LayerList

    from napari_lowdose.steps import Engine


def add_lazy_result(
    layers: LayerList, source: Image | tuple[Image, Image], engine: Engine, name: str
) -> Image:
    """Add a layer of a movie's frames that are denoised one by one, as they are shown.

    Parameters
    ----------
    layers : LayerList
    source : Image, or tuple of two
        The movie, or the two of a pair.
    engine : Engine
        A trained network: it must be quick.
    name : str

    Returns
    -------
    Image
    """
    sources = source if isinstance(source, tuple) else (source,)
    movies = tuple(_lazy(layer) for layer in sources)
    clean = denoise(movies if len(movies) == 2 else movies[0], engine)
    first = sources[0]
    place = placement(first, clean.ndim)
    layer = Image(
        clean, name=name, multiscale=False, contrast_limits=first.contrast_limits, **place
    )
    record = Run(movies if len(movies) == 2 else movies[0], engine).record()
    record["input"] |= {"layer": [each.name for each in sources]}
    layer.metadata[METADATA_KEY] = record
    mark_as_result(layer)
    layers.append(layer)
    return layer


def _lazy(layer: Image) -> Any:
    pixels = pixels_of(layer)
    if isinstance(pixels, da.Array):
        return pixels
    frames = (*(1,) * (pixels.ndim - 2), *pixels.shape[-2:])
    return da.from_array(pixels, chunks=frames, name=False)
