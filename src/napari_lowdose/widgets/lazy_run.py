# mypy: allow-untyped-calls
"""A result of which each frame is denoised when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from napari_lowdose.denoise import denoise
from napari_lowdose.frames import ImageOrPair
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.result_layer import contrast_limits, pixels_of

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine


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
        seen = da.map_blocks(
            self._look_at, clean, dtype=np.float32, meta=np.empty((0,) * clean.ndim, np.float32)
        )
        self._found: tuple[tuple[float, float], tuple[float, float]] | None = None
        self.run.finished = True
        # Noise spans more than what is below it: the limits of the input would look flat grey.
        self.result = self._add(seen, name, sources[0].contrast_limits)
        self.result.events.set_data.connect(self._set_contrast)
        self._set_contrast()
        self.describe()

    def _look_at(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Find the contrast limits of the first frame that is shown, in whatever thread."""
        if self._found is None and block.size:
            frame = block[(0,) * (block.ndim - 2)]
            self._found = contrast_limits(frame), (float(frame.min()), float(frame.max()))
        return block

    def _set_contrast(self, event: Any = None) -> None:
        if self._found is not None and self.result is not None:
            self.result.events.set_data.disconnect(self._set_contrast)
            limits, whole = self._found
            self.result.contrast_limits_range = (min(whole[0], limits[0]), max(whole[1], limits[1]))
            self.result.contrast_limits = limits


def _lazy(layer: Image) -> Any:
    pixels = pixels_of(layer)
    if isinstance(pixels, da.Array):
        return pixels
    frames = (*(1,) * (pixels.ndim - 2), *pixels.shape[-2:])
    return da.from_array(pixels, chunks=frames, name=False)
