# mypy: allow-untyped-calls
"""A layer whose picture is replaced many times a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_lowdose.frames import is_constant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import LayerList
    from numpy.typing import NDArray

    from napari_lowdose.widgets.live.paced_refresh import PacedRefresh

FOLLOWED = frozenset({"scale", "translate", "rotate", "shear", "affine", "units", "axis_labels"})


class LiveLayer:
    """Shows the newest frame in an image layer, which is added with the first frame.

    The contrast limits are set once, as by napari's own button, and again when shape or dtype
    change.

    Parameters
    ----------
    layers : LayerList
    name : str
    place : mapping
        Arguments of the layer: scale, units and so on.
    refresh : PacedRefresh
    layer : Image, optional
        Layer of an earlier run, which is used again if it is still there.

    Attributes
    ----------
    layer : Image or None
        None before the first frame.
    """

    def __init__(
        self,
        layers: LayerList,
        name: str,
        place: Mapping[str, Any],
        refresh: PacedRefresh,
        layer: Image | None = None,
    ) -> None:
        self.layer = layer if layer in layers else None
        self._layers, self._name, self._place, self._refresh = layers, name, place, refresh
        self._pixels: NDArray[Any] | None = None  # ours: nobody else's array is written into
        self._blank = False  # whether the contrast limits are those of a constant frame
        if self.layer is not None:
            self.follow(place)

    @property
    def removed(self) -> bool:
        """Whether the user has removed the layer."""
        return self.layer is not None and self.layer not in self._layers

    def show(self, pixels: NDArray[Any], new_scene: bool = False) -> None:
        """Show a frame.

        Parameters
        ----------
        pixels : (Y, X) array
        new_scene : bool
            Set the contrast limits again.
        """
        if self.removed:
            return
        if self.layer is None:
            self._pixels = np.array(pixels)
            self._blank = is_constant(pixels)
            self.layer = Image(self._pixels, name=self._name, **self._place)
            self._layers.append(self.layer)
            return
        shown = self.layer.data
        new_scene |= (shown.shape, shown.dtype) != (pixels.shape, pixels.dtype)
        if new_scene or shown is not self._pixels:
            self._pixels = np.array(pixels)
            self.layer.data = self._pixels
        else:
            # Half as long as `layer.data = pixels`, which works out the extent of all layers.
            np.copyto(shown, pixels)
            self._refresh.request(self.layer)
        if new_scene or (self._blank and not is_constant(pixels)):
            self._blank = is_constant(pixels)
            self.layer.reset_contrast_limits_range("data")
            self.layer.reset_contrast_limits("data")

    def follow(self, place: Mapping[str, Any]) -> None:
        """Move the layer to where its source is now."""
        if self.layer is None:
            return
        for name in FOLLOWED.intersection(place):
            value = getattr(self.layer, name)
            if not np.array_equal(getattr(value, "affine_matrix", value), place[name]):
                setattr(self.layer, name, place[name])
