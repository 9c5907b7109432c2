# mypy: allow-untyped-calls
"""The layers of a live run: the clean frame beside the raw one, and what the user keeps of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pint
from napari.layers import Image

from napari_lowdose.widgets.live.layer_source import LayerSource
from napari_lowdose.widgets.live.live_layer import LiveLayer
from napari_lowdose.widgets.live.rates import LiveRates
from napari_lowdose.widgets.result_layer import METADATA_KEY, mark_as_result, placement

if TYPE_CHECKING:
    from napari.components import LayerList
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.live import LiveRun, LiveStep
    from napari_lowdose.widgets.live.paced_refresh import PacedRefresh

LIVE = " live"


class LiveView:
    """Shows the steps of a live run.

    A camera or a folder gets a layer for its raw frames; an image layer has one already.

    Parameters
    ----------
    layers : LayerList
    run : LiveRun
    name : str
        Name of the source.
    refresh : PacedRefresh
    before : LiveView, optional
        View of an earlier run.  If its source had the same name, its layers are used again.

    Attributes
    ----------
    run : LiveRun
    rates : LiveRates
    step : LiveStep or None
        The newest one that was shown.
    raw : LiveLayer or None
        None if the source is a layer.
    clean : LiveLayer
    """

    def __init__(
        self,
        layers: LayerList,
        run: LiveRun,
        name: str,
        refresh: PacedRefresh,
        before: LiveView | None = None,
    ) -> None:
        self.run, self.name = run, name
        self.rates = LiveRates()
        self.step: LiveStep | None = None
        self._layers = layers
        known = before if before is not None and before.name == name else None
        self.raw: LiveLayer | None = None
        if not isinstance(run.source, LayerSource):
            self.raw = LiveLayer(layers, name, self._place, refresh, known.raw if known else None)
        self.clean: LiveLayer = LiveLayer(
            layers, name + LIVE, self._clean_place, refresh, known.clean if known else None
        )
        self._scene: tuple[Any, ...] | None = None  # shape and dtype of the raw frames
        self._recorded: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine that denoises now: that of the run, or a network trained meanwhile."""
        training = self.run.training
        return (training and training.winner) or self.run.engine

    def show(self, step: LiveStep) -> None:
        """Show a step."""
        self.step = step
        pixels = step.frame.pixels
        scene = pixels.shape, pixels.dtype
        new_scene, self._scene = self._scene not in (None, scene), scene
        if self.raw is not None:
            self.raw.show(pixels)
        if step.image is None:
            return
        self.clean.show(step.image, new_scene)
        self.rates.shown(time.perf_counter() - step.frame.arrived)
        layer, engine = self.clean.layer, self.engine
        if layer is not None and engine is not self._recorded:
            self._recorded = engine
            mark_as_result(layer)
            layer.metadata[METADATA_KEY] = self._record(step, self.name)

    def follow(self) -> None:
        """Move the layers to where the source is now."""
        self.clean.follow()
        if self.raw is not None:
            self.raw.follow()

    def keep_frame(self) -> None:
        """Add the newest raw frame, and its clean one, as layers that stay as they are."""
        step = self.step
        if step is None:
            return
        name = f"{self.name} {step.frame.name or f'frame {step.frame.number}'}"
        raw = self._keep(step.frame.pixels, name, self._place(), self._raw_layer)
        if step.image is not None:
            record = {METADATA_KEY: self._record(step, raw.name)}
            place, like = self._clean_place(), self.clean.layer
            clean = self._keep(step.image, f"{name} clean", place, like, metadata=record)
            mark_as_result(clean)

    def keep_last(self) -> None:
        """Add the last raw frames as a layer, (T, Y, X)."""
        frames = self.run.buffer.last()
        place = self._place()
        place["units"] = ("pixel", *place["units"])
        place["axis_labels"] = ("t", *place["axis_labels"])
        self._keep(frames, f"{self.name} last {len(frames)} frames", place, self._raw_layer)

    @property
    def _raw_layer(self) -> Image | None:
        source = self.run.source
        return self.raw.layer if self.raw is not None else getattr(source, "layer", None)

    def _keep(
        self,
        pixels: NDArray[Any],
        name: str,
        place: dict[str, Any],
        like: Image | None,
        **options: Any,
    ) -> Image:
        """Add a layer that looks as `like` does."""
        if like is not None:
            options |= {"contrast_limits": like.contrast_limits, "colormap": like.colormap}
        layer = Image(np.array(pixels), name=name, **(place | options))
        self._layers.append(layer)
        return layer

    def _place(self, corner: tuple[float, float] = (0.0, 0.0)) -> dict[str, Any]:
        """Return the arguments of a layer that begins at `corner`, in pixels of the source."""
        source = self.run.source
        if isinstance(source, LayerSource):
            return placement(source.layer, 2, corner)
        scale = source.pixel_size or (1.0, 1.0)
        translate = tuple(size * at for size, at in zip(scale, corner, strict=True))
        units = (_unit(source.unit if source.pixel_size else None),) * 2
        return {"scale": scale, "translate": translate, "units": units, "axis_labels": ("y", "x")}

    def _clean_place(self) -> dict[str, Any]:
        y, x = getattr(self.run.engine, "origin", (0, 0))  # the first view of a beamsplitter
        return self._place((float(y), float(x)))

    def _record(self, step: LiveStep, name: str) -> dict[str, Any]:
        pixels = step.frame.pixels
        given = {
            "layer": name,
            "shape": list(pixels.shape),
            "dtype": str(pixels.dtype),
            "number": step.frame.number,
        }
        return {**self.engine.about(), "input": given}


def _unit(name: str | None) -> Any:
    """Return the unit of a pixel size; that of a file may be any word."""
    units: Any = pint.get_application_registry()
    try:
        return units.Unit(name or "pixel")
    except pint.PintError:
        return units.Unit("pixel")
