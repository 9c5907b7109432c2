"""The raw frame of a result and how it was denoised, to plant a defect into it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_lowdose.reucid import Reucid
from napari_lowdose.widgets.inspect.chosen_frames import NOT_CHOSEN
from napari_lowdose.widgets.layers import frame_in_view
from napari_lowdose.widgets.result_layer import METADATA_KEY
from napari_lowdose.widgets.standard_error_layer import engine_of
from napari_lowdose.widgets.survival.planted_sites import Subject, raw_frame_in_view

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image

OF_REUCID = (
    "'{}' is no result of REUCID: plant a defect in the widget that denoised it, where its network "
    "is known."
)


def recorded_subject(dims: Dims, raw: Image | None, result: Image | None) -> Subject:
    """Return the raw frame in view, and the engine of its result.

    Parameters
    ----------
    dims : Dims
    raw, result : Image or None

    Raises
    ------
    ValueError
        If there is no raw frame, or the result is not of REUCID.
    """
    if raw is None or result is None or raw == result:
        raise ValueError(NOT_CHOSEN)
    frame = raw_frame_in_view(dims, raw)
    record = result.metadata.get(METADATA_KEY, {})
    if record.get("engine") != Reucid.__name__:
        raise ValueError(OF_REUCID.format(result.name))
    how = f"as '{result.name}'"
    engine = engine_of(record, frame_in_view(dims, result))
    if engine.frames_together > 1:
        engine = replace(engine, frames_together=1)
        how += ", but from this frame alone"
    return Subject(raw, frame, engine, result.name, how)
