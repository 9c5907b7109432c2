"""A report on a result: one HTML file with pictures, plots, parameters and the script."""

from __future__ import annotations

import json
import time
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import map_yields, run_to_end
from napari_lowdose.inspection.box_statistics import box_statistics
from napari_lowdose.inspection.inspect_result import Inspection, inspection_steps, noise_notes
from napari_lowdose.inspection.line_profile import line_profile
from napari_lowdose.inspection.picture import display_limits, figure
from napari_lowdose.inspection.repeat_script import repeat_script
from napari_lowdose.inspection.svg_plot import Curve, svg_plot
from napari_lowdose.io.arrays import as_image
from napari_lowdose.io.atomic import atomic_write, check_file
from napari_lowdose.versions import versions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

    Line = tuple[tuple[float, float], tuple[float, float]]
    Box = tuple[float, float, float, float]

#: Colours of the curves, of reports and widgets.
COLOURS = {
    "raw": "#8a8f98",
    "result": "#2fbf71",
    "residual": "#c061cb",
    "truth": "#e5a50a",
    "noise": "#4a90d9",
}
DETAIL = 160  # pixels, side of the detail that is shown pixel by pixel
DEVIATIONS = 3.0  # standard deviations shown as black and white in the residual
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em;
       background: Canvas; color: CanvasText; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin: 1.6em 0 .4em; }
.verdict { border-left: 5px solid #2fbf71; padding: .3em 1em; margin: 1em 0; }
.verdict.weakened, .verdict.unknown { border-color: #e5a50a; }
.verdict.removed, .verdict.invented { border-color: #e0424d; }
.verdict strong { font-size: 1.15em; }
.row { display: flex; flex-wrap: wrap; gap: 14px; }
figure { margin: 0; width: 315px; } figcaption { font-size: .9em; opacity: .85; }
.picture { position: relative; line-height: 0; }
.picture img { width: 100%; image-rendering: pixelated; }
.picture svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.picture rect { fill: none; stroke: #ff3b47; stroke-width: 2px;
                vector-effect: non-scaling-stroke; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg .frame { fill: none; stroke: currentColor; stroke-opacity: .5; }
svg .tick { stroke: currentColor; } svg .grid { stroke: currentColor; stroke-opacity: .12; }
svg .marker { stroke: #e0424d; stroke-dasharray: 2 3; }
table { border-collapse: collapse; }
td, th { padding: .15em 1em .15em 0; text-align: left; vertical-align: top; }
pre { overflow-x: auto; padding: .8em; border: 1px solid #8a8f9866; border-radius: 4px; }
"""


def report(
    raw: Any,
    result: Any,
    path: str | os.PathLike[str],
    *,
    second: Any = None,
    truth: Any = None,
    noise: PoissonGaussian | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    unit: str | None = None,
    record: Mapping[str, Any] | None = None,
    script: str | None = None,
    title: str = "Inspection of a denoised image",
    lines: Sequence[Line] = (),
    boxes: Sequence[Box] = (),
    progress: Callable[[Step], object] | None = None,
) -> Inspection:
    """Inspect a result, and write a report: one HTML file that needs no other file.

    Parameters
    ----------
    raw, result, second, truth, noise, pixel_size, unit, record
        See `inspect_result`.
    path : path
        Output file; an existing one is replaced, only once the new one is complete.
    script : str, optional
        Python source that repeats the result; by default it follows from `record`.
    title : str
    lines : sequence of ((float, float), (float, float))
        Start and end (y, x) of line profiles, pixels; by default one across the middle.
    boxes : sequence of (float, float, float, float)
        Boxes (y0, y1, x0, x1), pixels, whose mean and RSD are given.
    progress : callable, optional
        Called with each `Step`.

    Returns
    -------
    Inspection

    Raises
    ------
    ValueError
        As `inspect_result`, or if `path` is a folder or lies in a folder that does not exist.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from scipy.ndimage import gaussian_filter
    >>> raw = np.random.default_rng(0).poisson(20, (96, 96))
    >>> path = pathlib.Path(tempfile.mkdtemp(), "report.html")
    >>> found = report(raw, gaussian_filter(raw.astype(float), 3), path)
    >>> found.verdict.headline in path.read_text(encoding="utf-8")
    True
    """
    check_file(path)
    steps = inspection_steps(
        raw, result, second=second, truth=truth, noise=noise, pixel_size=pixel_size, unit=unit,
        record=record,
    )  # fmt: skip
    found = run_to_end(steps if progress is None else map_yields(steps, progress))
    write_report(
        path, found, raw, result, truth=truth, record=record, script=script, title=title,
        lines=lines, boxes=boxes,
    )  # fmt: skip
    return found


def write_report(
    path: str | os.PathLike[str],
    found: Inspection,
    raw: Any,
    result: Any,
    *,
    truth: Any = None,
    record: Mapping[str, Any] | None = None,
    script: str | None = None,
    title: str = "Inspection of a denoised image",
    lines: Sequence[Line] = (),
    boxes: Sequence[Box] = (),
) -> None:
    """Write the report of an inspection that is done; see `report`.

    Parameters
    ----------
    path : path
    found : Inspection
    raw, result, truth, record, script, title, lines, boxes
        See `report`.
    """
    images = {"raw": raw, "result": result, **({} if truth is None else {"truth": truth})}
    frames = {name: np.asarray(as_image(image)) for name, image in images.items()}
    record = record or {}
    if script is None:
        size = None if found.scale.unit == "px" else (found.scale.height, found.scale.width)
        script = repeat_script(record, pixel_size=size, unit=found.scale.unit)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _verdict(found),
        _section("Pictures", _pictures(found, frames)),
        _section("Profiles", _profiles(found, frames, lines)),
        _section("Spectra", _spectra(found)),
        _section("What was removed", _residual(found)),
        _section("Numbers", [_numbers(found, frames, boxes)]),
        _section("How it was made", [_made(record), f"<pre>{escape(script)}</pre>"], row=False),
    ]
    page = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        + "".join(parts)
        + "</body></html>\n"
    )
    with atomic_write(path) as file:
        file.write(page.encode("utf-8"))


def _section(title: str, parts: Any, row: bool = True) -> str:
    inside = "".join(parts)
    return f"<h2>{title}</h2>" + (f'<div class="row">{inside}</div>' if row else inside)


def _verdict(found: Inspection) -> str:
    sentences = [*found.verdict.sentences, *([str(found.rings)] if found.rings else [])]
    sentences += noise_notes(found.noise)
    lines = "<br>".join(map(escape, sentences))
    return (
        f'<div class="verdict {found.verdict.finding}"><strong>'
        f"{escape(found.verdict.headline)}</strong><br>{lines}</div>"
    )


def _pictures(found: Inspection, frames: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    limits = display_limits(frames["result"])
    normalised = (-DEVIATIONS, DEVIATIONS)
    boxes = [place.box for place in found.places.places]
    for name, frame in frames.items():
        yield figure(frame, limits, name, boxes if name == "result" else ())
    outlined = ": places where it is not noise are outlined" if boxes else ""
    yield figure(
        found.residual.normalised,
        normalised,
        f"residual, {-DEVIATIONS:g} to {DEVIATIONS:g} standard deviations of the noise{outlined}",
        boxes,
    )
    detail = _detail(found, frames["raw"].shape)
    where = f"y {detail[0].start} to {detail[0].stop}, x {detail[1].start} to {detail[1].stop} px"
    for name, frame in frames.items():
        yield figure(frame[detail], limits, f"{name}, {where}")
    yield figure(found.residual.normalised[detail], normalised, f"residual, {where}")


def _detail(found: Inspection, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the strongest place, or the middle, pixel by pixel."""
    height, width = shape
    y, x = height // 2, width // 2
    if found.places.places:
        y0, y1, x0, x1 = found.places.places[0].box
        y, x = (y0 + y1) // 2, (x0 + x1) // 2
    corner = [
        min(max(0, at - DETAIL // 2), max(0, n - DETAIL)) for at, n in ((y, height), (x, width))
    ]
    (top, left) = corner
    return slice(top, min(height, top + DETAIL)), slice(left, min(width, left + DETAIL))


def _profiles(
    found: Inspection, frames: Mapping[str, NDArray[Any]], lines: Sequence[Line]
) -> Iterator[str]:
    height, width = frames["raw"].shape
    for start, end in lines or [((height / 2, 0.0), (height / 2, width - 1.0))]:
        curves = []
        for name, frame in frames.items():
            profile = line_profile(frame, start, end, scale=found.scale)
            curves.append(Curve(name, profile.distance, profile.values, COLOURS[name]))
        plot = svg_plot(curves, found.scale.length_label, "grey levels")
        where = f"from y {start[0]:.0f}, x {start[1]:.0f} to y {end[0]:.0f}, x {end[1]:.0f} px"
        yield _plot(plot, f"Line profile {where}.")
    edges = found.histograms.edges
    middles = (edges[:-1] + edges[1:]) / 2
    histogram = [
        Curve(name, middles, density, COLOURS[name])
        for name, density in found.histograms.density.items()
    ]
    yield _plot(svg_plot(histogram, "grey levels", "density"), "Histogram.")


def _spectra(found: Inspection) -> Iterator[str]:
    label = found.scale.frequency_label
    curves = [
        Curve(name, spectrum.frequency, spectrum.power, COLOURS[name])
        for name, spectrum in found.spectra.items()
    ]
    yield _plot(
        svg_plot(curves, label, "power", logarithmic=True),
        "Power spectrum, mean over all directions.",
    )
    gains = [Curve("measured", found.gain.frequency, found.gain.gain, COLOURS["result"])]
    if found.transfer is not None:
        frequency, gain, highest = found.transfer
        gains += [
            Curve("REUCID", frequency, gain, COLOURS["noise"]),
            Curve("its best direction", frequency, highest, COLOURS["noise"], dashed=True),
        ]
    yield _plot(
        svg_plot(gains, label, "gain", y_range=(0.0, 1.05)),
        "Gain from the raw image to the result"
        + (", and the transfer function of REUCID with one stack." if found.transfer else "."),
    )
    if found.rings is not None:
        rings = found.rings
        curves = [
            Curve("FRC", rings.frequency, rings.correlation, COLOURS["result"]),
            Curve("half a bit", rings.frequency, rings.half_bit, COLOURS["raw"], dashed=True),
            Curve("1/7", rings.frequency, np.full(len(rings.frequency), 1 / 7),
                  COLOURS["truth"], dashed=True),
        ]  # fmt: skip
        markers = [rings.at_seventh, rings.at_half_bit]
        yield _plot(
            svg_plot(curves, label, "correlation", y_range=(-0.2, 1.0), markers=markers),
            f"Fourier ring correlation. {escape(str(rings))}",
        )
    for name in ("raw", "result", "residual"):
        picture = found.spectra[name].picture
        # One grey scale for all: what is dark in the residual was not removed.
        least, most = (found.spectra["raw"].picture.min(), found.spectra["raw"].picture.max())
        up, along = found.spectra[name].extent
        caption = f"Spectrum of the {name} (logarithm), ±{along:.3g} by ±{up:.3g} per "
        yield figure(picture, (float(least), float(most)), caption + escape(found.scale.unit))


def _residual(found: Inspection) -> Iterator[str]:
    spectrum, curve = found.residual_spectrum, found.curve
    ratio = [
        Curve("residual", spectrum.frequency, spectrum.ratio, COLOURS["residual"]),
        Curve("noise", spectrum.frequency, np.ones(len(spectrum.frequency)), COLOURS["noise"],
              dashed=True),
    ]  # fmt: skip
    yield _plot(
        svg_plot(ratio, spectrum.scale.frequency_label, "power over that of the noise"),
        "Spectrum of the residual relative to the noise: above 1 structure was removed, below 1 "
        "noise was left.",
    )
    variance = [
        Curve("residual", curve.levels, curve.variances, COLOURS["residual"], points=True),
        Curve("noise", curve.levels, curve.expected, COLOURS["noise"]),
    ]
    yield _plot(
        svg_plot(variance, "intensity (grey levels)", "variance"),
        "Variance of the residual against intensity, and that of the noise.",
    )


def _plot(svg: str, caption: str) -> str:
    return f'<figure style="width:460px">{svg}<figcaption>{caption}</figcaption></figure>'


def _numbers(found: Inspection, frames: Mapping[str, NDArray[Any]], boxes: Sequence[Box]) -> str:
    noise = found.noise
    rows = [
        ("noise", f"gain {noise.gain:.4g}, offset {noise.offset:.4g}, "
                  f"read noise {noise.read_noise:.3g} grey levels"),
        ("PSF width", f"{found.psf_width} px"),
        ("pixel", f"{found.scale.height:.4g} × {found.scale.width:.4g} {found.scale.unit}"),
        ("image", " × ".join(map(str, frames["raw"].shape)) + " px"),
    ]  # fmt: skip
    rows += [(name, f"{value:.2f} dB") for name, value in found.metrics.items()]
    for number, box in enumerate(boxes, start=1):
        where = "y {:.0f} to {:.0f}, x {:.0f} to {:.0f} px".format(*box)
        for name, frame in frames.items():
            numbers = box_statistics(frame, box, offset=noise.offset)
            rows.append((f"box {number} ({where}), {name}", str(numbers)))
    return _table(rows)


def _made(record: Mapping[str, Any]) -> str:
    known = record.get("versions") or {}
    now = versions("napari-lowdose", "numpy", "scipy", "scikit-image")
    rows = [
        ("engine", str(record.get("engine", "not known"))),
        *((name, json.dumps(value)) for name, value in record.get("parameters", {}).items()),
        ("versions of the result", _listed(known) or "not known"),
        ("versions of this report", _listed(now)),
        ("written", time.strftime("%Y-%m-%d %H:%M")),
    ]
    whole = escape(json.dumps(record, indent=1, default=str)) if record else ""
    details = f"<details><summary>Record</summary><pre>{whole}</pre></details>" if record else ""
    return f"{_table(rows)}{details}<p>The script that repeats it:</p>"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    inside = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{inside}</table>"


def _listed(named: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items())
