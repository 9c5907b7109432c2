"""An engine at work on a movie, frame by frame into a zarr folder, and the layer that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import ImageOrPair
from napari_lowdose.io.ome_zarr import default_axes, letters
from napari_lowdose.streaming import Stream
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.result_layer import PARTIAL, contrast_limits, pixels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from napari.layers import Image

    from napari_lowdose.engine import Engine, Step


class ZarrRun(LayerRun):
    """A `LayerRun` whose result is on disk; no more than a frame of it is in memory.

    Stopped, or ended by whatever else, the same run goes on after the frames that are finished.

    Parameters
    ----------
    layers : LayerList
    source : Image, or tuple of two
        The movie, or the two of a pair.
    engine : Engine
    path : str
        A folder ``.zarr``: a new one, or one that the same run has begun.
    name : str
        Of the result layer.
    """

    run: Any

    def __init__(
        self,
        layers: LayerList,
        source: Image | tuple[Image, Image],
        engine: Engine,
        path: str,
        name: str,
    ) -> None:
        sources = source if isinstance(source, tuple) else (source,)
        movies = tuple(pixels_of(each) for each in sources)
        super().__init__(layers, source, engine, name=name, pixels=movies)
        about = {
            "scale": [float(each) for each in sources[0].scale],
            "units": [str(each) for each in sources[0].units],
            # napari numbers the axes of which it does not know the names
            "axes": letters(sources[0].axis_labels) or default_axes(sources[0].ndim) or None,
        }
        self.run = Stream(ImageOrPair(movies).given, engine, path, attributes=about)

    def show(self, steps: Sequence[Step]) -> None:
        """Show the movie on disk as soon as there is a frame of it."""
        newest = next((s.image for s in reversed(steps) if s.image is not None), None)
        if self.result_removed or (newest is None and not self.run.finished):
            return
        if self.result is None:
            movie = self.run.image
            if newest is None:  # all were there already
                newest = np.asarray(movie[(0,) * (movie.ndim - 2)])
            self.result = self._add(movie, self._name + PARTIAL, contrast_limits(newest))
        else:
            self.result.refresh()
        self.describe()

    def end(self) -> None:
        """Mark the result as finished if it is."""
        self.show(())
        if self.run.finished and self.result is not None and not self.result_removed:
            self.result.data = self.run.image  # what replaced something was elsewhere until now
        super().end()
