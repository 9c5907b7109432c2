"""The flavours of TIFF (ImageJ, OME and plain): reading their metadata and writing it back.

Axes, pixel size and texts are kept.  So are the records of earlier processing, as JSON: in ImageJ's
Info (Image > Show Info), in OME's Description, and in the description of a plain TIFF.
"""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tifffile

from napari_lowdose.error_line import one_line
from napari_lowdose.io.ome_xml import UnusableError, parse, positive_length
from napari_lowdose.io.ome_zarr import TIME_UNITS, unit_name, unit_symbol
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_lowdose.io.tiff import ImageFile

#: Key of the processing records, in TIFF metadata and in zarr attributes.
RECORD_KEY = "napari-lowdose"
TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
# Offsets in a TIFF have 32 bits, and an ImageJ TIFF cannot be a BigTIFF.  Above this size (4 GiB
# less 32 MiB for metadata, tifffile's own limit) an ImageJ stack therefore has a single page
# directory, followed by the pixels of all frames, as in the files that ImageJ itself writes.
IMAGEJ_LIMIT = 2**32 - 2**25
_FLOAT32 = np.dtype(np.float32)
_BIGTIFF_SUFFIXES = (".btf", ".tf2", ".tf8")
_IMAGEJ_AXES = re.compile("T?Z?C?YX")
_FLAVOUR_NAMES = {"imagej": "an ImageJ TIFF", "ome": "an OME-TIFF", "plain": "a plain TIFF"}

Flavour = Literal["imagej", "ome", "plain"]


@dataclass(frozen=True, kw_only=True)
class TiffFormat:
    """Arguments for tifffile that write a result.

    Attributes
    ----------
    flavour : {"imagej", "ome", "plain"}
    writer : dict
        Arguments of `tifffile.TiffWriter`.
    options : dict
        Arguments of `tifffile.TiffWriter.write`.
    note : str
        Why the flavour differs from that of the input; empty if it does not.
    """

    flavour: Flavour
    writer: dict[str, Any]
    options: dict[str, Any]
    note: str = ""


def read_metadata(file: tifffile.TiffFile, axes: str) -> tuple[Flavour, dict[str, Any]]:
    """Return the flavour of a TIFF and the fields of `ImageFile` that depend on it.

    Parameters
    ----------
    file : tifffile.TiffFile
        With a single series.
    axes : str
        Axes of the series.

    Returns
    -------
    flavour : {"imagej", "ome", "plain"}
    fields : dict
        ``pixel_size``, ``unit``, ``options`` and ``history``.
    """
    # ImageJ and OME have no name for some axes; only a plain file can keep them.
    if file.is_ome and set(axes) <= set("TZCYX"):
        return "ome", _ome(file, axes)
    if file.is_imagej and _IMAGEJ_AXES.fullmatch(axes):
        return "imagej", _imagej(file, axes)
    return "plain", _plain(file, axes)


def written_as(
    axes: str, pixel_size: tuple[float, float] | None, unit: str | None
) -> dict[str, Any]:
    """Return how the result of an image that is no TIFF is written, as fields of `ImageFile`.

    The flavour is ImageJ if it can keep the order of the axes, else OME.

    Parameters
    ----------
    axes : str
        One letter per axis.
    pixel_size : (float, float) or None
        Height and width of a pixel, in `unit`.
    unit : str or None

    Returns
    -------
    dict
        ``flavour`` and ``options``.
    """
    metadata: dict[str, Any] = {"axes": axes}
    if not _IMAGEJ_AXES.fullmatch(axes):
        metadata |= _ome_sizes(pixel_size, unit)
        return {"flavour": "ome", "options": {"metadata": metadata}}
    options: dict[str, Any] = {"metadata": metadata}
    if pixel_size is not None:
        metadata["unit"] = unit
        options["resolution"] = (1 / pixel_size[1], 1 / pixel_size[0])
        options["resolutionunit"] = 1  # none, as ImageJ keeps the unit in its description
    return {"flavour": "imagej", "options": options}


def output_format(
    path: Path,
    like: ImageFile,
    history: Sequence[dict[str, Any]] = (),
    dtype: np.dtype[Any] = _FLOAT32,
) -> TiffFormat:
    """Choose the TIFF format of a result: the input's, unless it cannot hold the result.

    Each candidate is tested by writing a small image with the same axes to memory.

    Parameters
    ----------
    path : Path
        Output path.  A name that ends in ``.ome.tif`` selects OME-TIFF for any input.
    like : ImageFile
        The input.
    history : sequence of dict
        Processing records to store in the file, oldest first.
    dtype : dtype
        Of the result.

    Returns
    -------
    TiffFormat

    Raises
    ------
    ValueError
        If the name selects OME-TIFF, but OME-TIFF cannot hold the axes.
    """
    name = path.name.lower()
    named_ome = name.removesuffix(path.suffix.lower()).endswith(".ome")
    named_bigtiff = path.suffix.lower() in _BIGTIFF_SUFFIXES
    # An ImageJ TIFF cannot be a BigTIFF; OME keeps its axes and units.
    as_ome = named_ome or (named_bigtiff and like.flavour == "imagej")
    wanted: Flavour = "ome" if as_ome else like.flavour
    shape = like.pixels.shape
    is_large = dtype.itemsize * math.prod(shape) > IMAGEJ_LIMIT
    reason = ""
    for flavour, given in _candidates(wanted, like):
        is_imagej = flavour == "imagej"
        writer = {
            "bigtiff": (is_large or named_bigtiff) and not is_imagej,
            "imagej": is_imagej,
            "ome": flavour == "ome",
        }
        metadata = _add_records(flavour, given["metadata"], list(history))
        # Without photometric, tifffile would write the shape (Y, X, 3) as RGB
        options = {"photometric": "minisblack", **given, "metadata": metadata}
        options["truncate"] = is_imagej and is_large
        try:
            _try_writing(shape, writer, options, dtype)
        except OSError:
            raise
        except Exception as error:  # tifffile raises various exceptions
            reason = reason or one_line(error)
            continue
        if flavour == wanted:
            return TiffFormat(flavour=flavour, writer=writer, options=options)
        if named_ome:
            break
        note = (
            f"the axes {like.axes}{'' if dtype == _FLOAT32 else f' of {dtype}'} do not fit "
            f"{_FLAVOUR_NAMES[wanted]}: "
            f"writing {_FLAVOUR_NAMES[flavour]}"
        )
        return TiffFormat(flavour=flavour, writer=writer, options=options, note=note)
    raise ValueError(
        f"{path.name}: {_FLAVOUR_NAMES[wanted]} cannot hold the axes {like.axes} ({reason}); name "
        "the result .tif or .zarr."
    )


def _imagej(file: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    metadata = dict(file.imagej_metadata or {})
    info, history = _take_records(metadata.pop("Info", "") or "")
    unit = _unescape(str(metadata.pop("unit", ""))) or None
    resolution, code = _resolution(file.pages.first)
    is_calibrated = unit is not None and unit not in ("pixel", "pixels")
    metadata |= {"axes": axes} | ({"Info": info} if info else {})
    metadata |= {"unit": unit} if unit else {}
    return {
        "pixel_size": _pixel_size(resolution) if is_calibrated else None,
        "unit": unit if is_calibrated else None,
        "options": _resolution_options(resolution, code) | {"metadata": metadata},
        "history": history,
    }


def _ome(file: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    try:
        image = parse(file.ome_metadata or "").find("{*}Image")
    except UnusableError:
        image = None
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:  # the metadata are in a companion file
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
    # tifffile writes an attribute for all channels or for none
    channels = [dict(channel.attrib) for channel in pixels.findall("{*}Channel")]
    shared = set.intersection(*map(set, channels)) if channels else set()
    if shared := shared - {"ID", "SamplesPerPixel"}:
        metadata["Channel"] = {key: [c[key] for c in channels] for key in sorted(shared)}
    resolution, code = _resolution(file.pages.first)
    sizes = [positive_length(metadata.get(f"PhysicalSize{axis}")) for axis in "YX"]
    is_known = None not in sizes
    return {
        "pixel_size": tuple(sizes) if is_known else None,
        "unit": metadata.get("PhysicalSizeXUnit", "µm") if is_known else None,  # the OME default
        "options": _resolution_options(resolution, code) | {"metadata": metadata},
        "history": history,
    }


def _keep_length(metadata: dict[str, Any], name: str, text: str, unit: str | None) -> None:
    if positive_length(text) is None:
        warn(
            f"{name} in the metadata is {text!r:.30}, which is not a length: it is ignored.",
            stacklevel=2,
        )
        return
    metadata[name] = text  # as text: a float would change its digits
    if unit is not None:
        metadata[f"{name}Unit"] = unit


def _plain(file: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    page = file.pages.first
    shaped = dict((file.shaped_metadata or ({},))[0])
    history = _valid_records(shaped.pop(RECORD_KEY, []))
    # tifffile writes these two itself, and they describe the input
    metadata = {k: v for k, v in shaped.items() if k not in ("shape", "truncated")}
    metadata["axes"] = axes
    resolution, code = _resolution(page)
    options = _resolution_options(resolution, code) | {"metadata": metadata}
    if page.description and not (page.is_shaped or page.is_ome or page.is_imagej):
        # tifffile accepts only ASCII as str, but any bytes
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


def _resolution(page: Any) -> tuple[tuple[tuple[int, int], tuple[int, int]] | None, int]:
    """Return the X and Y resolution as fractions, and the TIFF code of their unit."""
    code = page.tags.valueof("ResolutionUnit", 2)
    along = [_fraction(page.tags.valueof(f"{axis}Resolution")) for axis in "XY"]
    if None in along:
        return None, 1
    return (along[0], along[1]), code if code in (1, 2, 3) else 1  # type: ignore[return-value]


def _fraction(value: Any) -> tuple[int, int] | None:
    """Return numerator and denominator of a TIFF rational; None if it is not a resolution."""
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


def _candidates(wanted: Flavour, like: ImageFile) -> Iterator[tuple[Flavour, dict[str, Any]]]:
    """Yield flavours and write options, in order of preference: each keeps less metadata."""
    options = {"metadata": {"axes": like.axes}, **like.options}
    resolution = {k: v for k, v in options.items() if k in ("resolution", "resolutionunit")}
    if wanted == like.flavour:
        yield wanted, options
    if wanted == "imagej":
        unit = {"unit": like.unit} if like.unit else {}
        yield "imagej", {**resolution, "metadata": {"axes": _rename_axes(like.axes), **unit}}
    if wanted != "plain":
        yield "ome", {**resolution, "metadata": _ome_metadata(like, _description(like))}
        yield "ome", {**resolution, "metadata": _ome_metadata(like, {})}
    yield "plain", {**resolution, "metadata": {"axes": like.axes}}
    yield "plain", {"metadata": {}}


def _rename_axes(axes: str) -> str:
    """Rename axes that ImageJ and OME do not know to unused ones of T, Z and C."""
    free = [name for name in "TZC" if name not in axes]
    return "".join(axis if axis in "TZCYX" else (free.pop(0) if free else axis) for axis in axes)


def _ome_metadata(like: ImageFile, description: dict[str, Any]) -> dict[str, Any]:
    sizes = _ome_sizes(like.pixel_size, like.unit)
    return {"axes": _rename_axes(like.axes), **description, **sizes}


def _ome_sizes(pixel_size: tuple[float, float] | None, unit: str | None) -> dict[str, Any]:
    """Return a pixel size as OME metadata; empty if it is unknown, or its unit is no length."""
    name, symbol = unit_name(unit), unit_symbol(unit)
    is_length = (name is not None and name not in TIME_UNITS) or symbol == "pixel"
    if pixel_size is None or not is_length:
        return {}
    symbol = {"inch": "in"}.get(symbol, symbol)
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("YX", pixel_size, strict=True)}
    return sizes | {f"PhysicalSize{axis}Unit": symbol for axis in "YX"}


def _description(like: ImageFile) -> dict[str, Any]:
    """Return the text that describes the image, as OME metadata."""
    text = like.options.get("description", b"")
    text = text.decode() if isinstance(text, bytes) else str(text)
    text = text or str(like.options.get("metadata", {}).get("Info", ""))
    return {"Description": text} if text else {}


def _try_writing(
    shape: tuple[int, ...], writer: dict[str, Any], options: dict[str, Any], dtype: np.dtype[Any]
) -> None:
    """Write a small image with the same leading axes to memory."""
    leading = shape[:-2]
    if math.prod(leading) > 1000:
        leading = tuple(min(n, 2) for n in leading)
    with tifffile.TiffWriter(io.BytesIO(), **writer) as file:
        file.write(np.zeros((*leading, 2, 2), dtype), **options)


def _add_records(
    flavour: Flavour, metadata: Mapping[str, Any], history: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return tifffile metadata with the processing records added."""
    metadata = dict(metadata)
    if flavour == "imagej":  # Info is stored as UTF-16, everything else as ASCII
        metadata |= {
            k: _escape(v) for k, v in metadata.items() if isinstance(v, str) and k != "Info"
        }
    if not history:
        return metadata
    if flavour == "plain":
        return metadata | {RECORD_KEY: history}
    key = {"imagej": "Info", "ome": "Description"}[flavour]
    lines = [f"{RECORD_KEY}: {json.dumps(record)}" for record in history]
    text = str(metadata.get(key, "")).rstrip("\n")
    return metadata | {key: "\n".join(([text] if text else []) + lines)}


def _take_records(text: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Return a text without the records in it, and the records."""
    records, others = [], []
    for line in text.split("\n"):
        try:
            head, _, tail = line.partition(f"{RECORD_KEY}: ")
            if head or not tail:
                raise ValueError
            record = json.loads(tail)
            if not isinstance(record, dict):
                raise ValueError
            records.append(record)
        except (ValueError, RecursionError):  # text of the user, or damaged: keep it as it is
            others.append(line)
    return "\n".join(others), tuple(records)


def _valid_records(found: Any) -> tuple[dict[str, Any], ...]:
    """Return the records among JSON values; other programs may use the same key."""
    return tuple(r for r in found if isinstance(r, dict)) if isinstance(found, list) else ()


def _escape(text: str) -> str:
    r"""Escape characters outside ASCII as ImageJ does: ``\u00B5m`` for µm."""
    return "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in text)


def _unescape(unit: str) -> str:
    return re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), unit)
