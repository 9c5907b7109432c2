# mypy: allow-untyped-calls
"""A result of which each frame is denoised when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da

from napari_lowdose.denoise import denoise
from napari_lowdose.image_or_pair import ImageOrPair
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.result_layer import pixels_of

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image

    from napari_lowdose.steps import Engine


class LazyRun(LayerRun):
    """A `LayerRun` that is over at once: nothing is computed before it is looked at.

    Parameters
    ----------
    layers : LayerList
    source : Image, or tuple of two
        The movie, or the two of a pair.
    engine : Engine
        A trained network: it must be quick.
    name : str
    """

    def __init__(
        self, layers: LayerList, source: Image | tuple[Image, Image], engine: Engine, name: str
    ) -> None:
        sources = source if isinstance(source, tuple) else (source,)
        movies = tuple(_lazy(layer) for layer in sources)
        super().__init__(layers, source, engine, name=name, pixels=movies)
        clean = denoise(ImageOrPair(movies).given, engine)
        self.run.finished = True
        self.result = self._add(clean, name, sources[0].contrast_limits)
        self.describe()


def _lazy(layer: Image) -> Any:
    pixels = pixels_of(layer)
    if isinstance(pixels, da.Array):
        return pixels
    frames = (*(1,) * (pixels.ndim - 2), *pixels.shape[-2:])
    return da.from_array(pixels, chunks=frames, name=False)
