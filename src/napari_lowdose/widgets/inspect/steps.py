"""The work of the widget 'Inspect', for a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.inspection import (
    PixelScale,
    box_statistics,
    histograms,
    inspection_steps,
    line_profile,
    point_contrast,
)
from napari_lowdose.reucid.psf_width import psf_width as estimate_psf_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lowdose.inspection import BoxStatistics, Inspection, LineProfile, PointContrast
    from napari_lowdose.inspection.histogram import Histograms
    from napari_lowdose.widgets.inspect.chosen_frames import ChosenFrames

    Line = tuple[tuple[float, float], tuple[float, float]]
    Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class InspectionStep(Step):
    """The last step of an inspection.

    Attributes
    ----------
    found : Inspection or None
        None before the end.
    """

    found: Inspection | None = None


def inspect_steps(frames: ChosenFrames) -> Iterator[Step]:
    """Inspect the chosen frames; lazy ones are read here.

    Parameters
    ----------
    frames : ChosenFrames
    """
    yield Step(fraction=0.0, message="reading the frames")
    # Copies: the layers may be changed meanwhile.
    images: dict[str, Any] = {name: np.array(image) for name, image in frames.images.items()}
    steps = inspection_steps(
        **images, pixel_size=frames.pixel_size, unit=frames.unit, record=frames.record
    )
    while True:
        try:
            yield next(steps)
        except StopIteration as end:
            yield InspectionStep(fraction=1.0, message="done", found=end.value)
            return


@dataclass(frozen=True, kw_only=True)
class MeasuredStep(Step):
    """What is measured while the user draws.

    Attributes
    ----------
    profiles : dict of str to LineProfile
    boxes : dict of str to BoxStatistics
    contrasts : dict of str to PointContrast
    histograms : Histograms or None
    problem : str
        Why something could not be measured; empty if nothing.
    """

    profiles: dict[str, LineProfile] = field(default_factory=dict)
    boxes: dict[str, BoxStatistics] = field(default_factory=dict)
    contrasts: dict[str, PointContrast] = field(default_factory=dict)
    histograms: Histograms | None = None
    problem: str = ""


def measure_steps(
    frames: ChosenFrames,
    line: Line | None,
    box: Box | None,
    point: tuple[float, float] | None,
    *,
    offset: float = 0.0,
    psf_width: int | None = None,
) -> Iterator[MeasuredStep]:
    """Measure along a line, in a box and at a point of the chosen frames.

    Parameters
    ----------
    frames : ChosenFrames
    line : ((float, float), (float, float)), optional
        Start and end (y, x), pixels.
    box : (float, float, float, float), optional
        y0, y1, x0, x1, pixels.
    point : (float, float), optional
        (y, x), pixels.
    offset : float
        Grey level of zero electrons.
    psf_width : int, optional
        Pixels; by default it is estimated, if there is a point.
    """
    images: dict[str, Any] = {
        name: np.asarray(image) for name, image in frames.images.items() if name != "second"
    }
    scale = PixelScale.of(frames.pixel_size, frames.unit)
    found = MeasuredStep(fraction=1.0, message="measured", histograms=histograms(images))
    problem = ""
    try:
        if line is not None:
            for name, image in images.items():
                found.profiles[name] = line_profile(image, *line, scale=scale)
        if box is not None:
            for name, image in images.items():
                found.boxes[name] = box_statistics(image, box, offset=offset)
        if point is not None:
            width = psf_width or estimate_psf_width(np.asarray(images["raw"]))
            for name, image in images.items():
                found.contrasts[name] = point_contrast(image, point, width)
    except ValueError as error:
        problem = str(error)
    yield MeasuredStep(
        fraction=1.0,
        message="measured",
        profiles=found.profiles,
        boxes=found.boxes,
        contrasts=found.contrasts,
        histograms=found.histograms,
        problem=problem,
    )


def report_steps(
    path: str,
    frames: ChosenFrames,
    found: Inspection | None,
    *,
    title: str,
    script: str,
    lines: list[Line],
    boxes: list[Box],
) -> Iterator[Step]:
    """Write the report, after an inspection if there is none.

    Parameters
    ----------
    path : str
    frames : ChosenFrames
    found : Inspection or None
        Of the same frames.
    title, script, lines, boxes
        See `napari_lowdose.inspection.report`.
    """
    from napari_lowdose.inspection.html_report import write_report

    if found is None:
        for step in inspect_steps(frames):
            if isinstance(step, InspectionStep):
                found = step.found
            else:
                yield step
    assert found is not None  # of the last step
    yield Step(fraction=0.98, message="writing the report")
    images = {name: np.asarray(image) for name, image in frames.images.items() if name != "second"}
    write_report(
        path,
        found,
        images["raw"],
        images["result"],
        truth=images.get("truth"),
        record=frames.record,
        script=script,
        title=title,
        lines=lines,
        boxes=boxes,
    )
    yield InspectionStep(fraction=1.0, message="written", found=found)
