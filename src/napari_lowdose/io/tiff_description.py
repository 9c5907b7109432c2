"""What a TIFF says besides its pixels: axes, pixel size, and what was done to them.

A flavour of TIFF a function.  The record of what was done is JSON: in ImageJ's
Info (Image > Show Info), in OME's Description, in the description of a plain TIFF.
"""

from __future__ import annotations

import json
import re
import warnings
from typing import TYPE_CHECKING, Any, Literal

import tifffile

from napari_lowdose.io.ome_xml import UnusableError, length, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What marks a record, in every flavour of TIFF.
RECORD = "napari-lowdose"

Flavour = Literal["imagej", "ome", "plain"]


def describe(file: tifffile.TiffFile, axes: str) -> tuple[Flavour, dict[str, Any]]:
    """Return the flavour of a TIFF, and the fields of `ImageFile` that depend on it.

    Parameters
    ----------
    file : tifffile.TiffFile
    axes : str
        Of its only series.

    Returns
    -------
    flavour : {"imagej", "ome", "plain"}
    fields : dict
        pixel_size, unit, options and history.
    """
    # Axes that ImageJ and OME have no name for can only be kept in a plain file.
    if file.is_ome and set(axes) <= set("TZCYX"):
        return "ome", _ome(file, axes)
    if file.is_imagej and re.fullmatch("T?Z?C?YX", axes):
        return "imagej", _imagej(file, axes)
    return "plain", _plain(file, axes)


def _imagej(file: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    metadata = dict(file.imagej_metadata or {})
    info, history = _take_records(metadata.pop("Info", "") or "")
    unit = _unescape(str(metadata.pop("unit", ""))) or None
    resolution, code = _resolution(file.pages.first)
    calibrated = unit is not None and unit not in ("pixel", "pixels")
    metadata |= {"axes": axes} | ({"Info": info} if info else {})
    metadata |= {"unit": unit} if unit else {}
    return {
        "pixel_size": _pixel_size(resolution) if calibrated else None,
        "unit": unit if calibrated else None,
        "options": _resolution_options(resolution, code) | {"metadata": metadata},
        "history": history,
    }


def _ome(file: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    try:
        image = parse(file.ome_metadata or "").find("{*}Image")
    except UnusableError:
        image = None
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:  # a companion file has the description
        return _plain(file, axes)
    metadata: dict[str, Any] = {"axes": axes}
    for name, text in pixels.attrib.items():
        if name in ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement"):
            _keep_length(metadata, name, text, pixels.get(f"{name}Unit"))
    if title := image.get("Name"):
        metadata["Name"] = title
    description, history = _take_records(image.findtext("{*}Description") or "")
    if description:
        metadata["Description"] = description
    channels = [dict(channel.attrib) for channel in pixels.findall("{*}Channel")]
    shared = set.intersection(*map(set, channels)) if channels else set()
    if shared := shared - {"ID", "SamplesPerPixel"}:
        metadata["Channel"] = {key: [c[key] for c in channels] for key in sorted(shared)}
    resolution, code = _resolution(file.pages.first)
    sizes = [length(metadata.get(f"PhysicalSize{axis}")) for axis in "YX"]
    known = None not in sizes
    return {
        "pixel_size": tuple(sizes) if known else None,
        "unit": metadata.get("PhysicalSizeXUnit", "µm") if known else None,
        "options": _resolution_options(resolution, code) | {"metadata": metadata},
        "history": history,
    }


def _keep_length(metadata: dict[str, Any], name: str, text: str, unit: str | None) -> None:
    if length(text) is None:
        warnings.warn(
            f"{name} in the metadata is {text!r:.30}, which is not a length: it is ignored.",
            UserWarning,
            stacklevel=2,
        )
        return
    metadata[name] = text
    if unit is not None:
        metadata[f"{name}Unit"] = unit


def _plain(file: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    page = file.pages.first
    shaped = dict((file.shaped_metadata or ({},))[0])
    history = _records(shaped.pop(RECORD, []))
    metadata = {k: v for k, v in shaped.items() if k not in ("shape", "truncated")}
    metadata["axes"] = axes
    resolution, code = _resolution(page)
    options = _resolution_options(resolution, code) | {"metadata": metadata}
    if page.description and not (page.is_shaped or page.is_ome or page.is_imagej):
        options["description"] = page.description.encode(errors="replace")
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        options["photometric"] = "miniswhite"
    unit = {2: "inch", 3: "cm"}.get(code)
    return {
        "pixel_size": _pixel_size(resolution) if unit else None,
        "unit": unit,
        "options": options,
        "history": history,
    }


def _records(found: Any) -> tuple[dict[str, Any], ...]:
    """Return the records in a file; what another program wrote under their name is none."""
    return tuple(r for r in found if isinstance(r, dict)) if isinstance(found, list) else ()


def with_records(
    flavour: Flavour, metadata: Mapping[str, Any], history: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return tifffile's metadata of a file to be written, with the records in it.

    Parameters
    ----------
    flavour : {"imagej", "ome", "plain"}
    metadata : mapping
        As `describe` found it.
    history : list of dict
        Oldest first.

    Returns
    -------
    dict
    """
    metadata = dict(metadata)
    if flavour == "imagej":
        metadata |= {
            k: _escape(v) for k, v in metadata.items() if isinstance(v, str) and k != "Info"
        }
    if not history:
        return metadata
    if flavour == "plain":
        return metadata | {RECORD: history}
    place = {"imagej": "Info", "ome": "Description"}[flavour]
    lines = [f"{RECORD}: {json.dumps(record)}" for record in history]
    text = str(metadata.get(place, "")).rstrip("\n")
    return metadata | {place: "\n".join(([text] if text else []) + lines)}


def _take_records(text: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Return the text without the records in it, and the records."""
    records, others = [], []
    for line in text.split("\n"):
        try:
            head, _, tail = line.partition(f"{RECORD}: ")
            if head or not tail:
                raise ValueError
            record = json.loads(tail)
            if not isinstance(record, dict):
                raise ValueError
            records.append(record)
        except (ValueError, RecursionError):
            others.append(line)
    return "\n".join(others), tuple(records)


def _resolution(page: Any) -> tuple[tuple[tuple[int, int], tuple[int, int]] | None, int]:
    """Return X and Y resolution as they are written, and the code of their unit."""
    code = page.tags.valueof("ResolutionUnit", 2)
    along = [_rational(page.tags.valueof(f"{axis}Resolution")) for axis in "XY"]
    if None in along:
        return None, 1
    return (along[0], along[1]), code if code in (1, 2, 3) else 1  # type: ignore[return-value]


def _rational(value: Any) -> tuple[int, int] | None:
    """Return numerator and denominator if they make a resolution."""
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    if not all(isinstance(part, int) and 0 < part < 2**32 for part in value):
        return None
    return value


def _resolution_options(resolution: Any, code: int) -> dict[str, Any]:
    return {} if resolution is None else {"resolution": resolution, "resolutionunit": code}


def _pixel_size(resolution: Any) -> tuple[float, float] | None:
    if resolution is None:
        return None
    (x_count, x_length), (y_count, y_length) = resolution
    return y_length / y_count, x_length / x_count


def _escape(text: str) -> str:
    r"""Write other than ASCII as ImageJ does: ``\u00B5m``."""
    return "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in text)


def _unescape(unit: str) -> str:
    return re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), unit)
