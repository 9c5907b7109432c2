"""Bringing two layers into register, as steps for the job runner, and the layers it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_lowdose.engine import Step
from napari_lowdose.widgets.pair_shift import remember_shift
from napari_lowdose.widgets.result_layer import placement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import LayerList

    from napari_lowdose.pairs.register import Registration


@dataclass(frozen=True, kw_only=True)
class RegisterStep(Step):
    """Two exposures are in register.

    Attributes
    ----------
    first, second : (..., Y, X) arrays
        Cut to what both show; lazy where they were.
    registration : Registration
    """

    first: Any
    second: Any
    registration: Registration


def register_steps(first: Any, second: Any) -> Iterator[RegisterStep]:
    """Yield the two arrays in register; of lazy ones (dask) a few frames are read only now."""
    from napari_lowdose.pairs.register import register_pair

    one, other, registration = register_pair(first, second)
    yield RegisterStep(
        fraction=1, message="registered", first=one, second=other, registration=registration
    )


def add_registered(
    layers: LayerList, first: Image, second: Image, step: RegisterStep
) -> tuple[Image, Image]:
    """Add the two as layers that show each scene where the first layer shows it.

    Parameters
    ----------
    layers : LayerList
    first, second : Image
        The layers that were brought into register.
    step : RegisterStep

    Returns
    -------
    (Image, Image)
    """
    whole, left = step.registration.integer_shift, step.registration.fraction
    corner = (float(max(0, -whole[0])), float(max(0, -whole[1])))
    behind = (corner[0] - left[0], corner[1] - left[1])
    made = []
    for layer, data, origin in ((first, step.first, corner), (second, step.second, behind)):
        place = placement(first, data.ndim, origin) | {"colormap": layer.colormap}
        name = f"{layer.name} registered"
        made.append(
            Image(data, name=name, multiscale=False, contrast_limits=layer.contrast_limits, **place)
        )
        layers.append(made[-1])
    remember_shift(made[0], made[1], left)
    first.visible = second.visible = False
    return made[0], made[1]
