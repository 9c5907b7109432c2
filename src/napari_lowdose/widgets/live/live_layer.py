# mypy: allow-untyped-calls
"""A layer whose picture is replaced many times a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_lowdose.frames import is_constant

if TYPE_CHECKING:
    from collections.abc import Callable

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
    place : callable
        Returns the arguments of the layer that place it: scale, units and so on.
    refresh : PacedRefresh
    before : LiveLayer, optional
        That of an earlier run, whose layer is used again if it is still there.

    Attributes
    ----------
    layer : Image or None
        None before the first frame.
    """

    def __init__(
        self,
        layers: LayerList,
        name: str,
        place: Callable[[], dict[str, Any]],
        refresh: PacedRefresh,
        before: LiveLayer | None = None,
    ) -> None:
        self.layer: Image | None = None if before is None or before.removed else before.layer
        self._layers, self._name, self._place, self._refresh = layers, name, place, refresh
        self._pixels: NDArray[Any] | None = None  # ours: nobody else's array is written into
        self._placed: dict[str, Any] = {} if before is None else before._placed
        self._blank = False  # whether the contrast limits are those of a constant frame

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
            self._placed = self._place()
            self.layer = Image(self._pixels, name=self._name, **self._placed)
            self._layers.append(self.layer)
            return
        shown = self.layer.data
        new_scene |= (shown.shape, shown.dtype) != (pixels.shape, pixels.dtype)
        if new_scene or self._pixels is None or shown is not self._pixels:
            self._pixels = np.array(pixels)
            self.layer.data = self._pixels
        else:
            # Half as long as `layer.data = pixels`, which works out the extent of all layers.
            np.copyto(self._pixels, pixels)
            self._refresh.request(self.layer)
        if new_scene or (self._blank and not is_constant(pixels)):
            self._blank = is_constant(pixels)
            self.layer.reset_contrast_limits_range("data")
            self.layer.reset_contrast_limits("data")

    def follow(self) -> None:
        """Move the layer if its source has moved, for example with another objective."""
        if self.layer is None or self.removed:
            return
        before, self._placed = self._placed, self._place()
        for name in FOLLOWED.intersection(self._placed):
            if not np.array_equal(self._placed[name], before.get(name, ())):
                setattr(self.layer, name, self._placed[name])
