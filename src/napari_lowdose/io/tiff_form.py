"""The form of TIFF that a result is written in: the input's, unless that cannot hold it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_lowdose.io.tiff_description import Flavour, with_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_lowdose.io.tiff import ImageFile

# Beyond this an ImageJ TIFF has one directory and all pixels after it, as ImageJ itself does it.
IMAGEJ_LIMIT = 2**32 - 2**25
TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
_BIG = (".btf", ".tf2", ".tf8")  # endings of BigTIFF files
_NAMES = {"imagej": "an ImageJ TIFF", "ome": "an OME-TIFF", "plain": "a plain TIFF"}
_OME_UNITS = {
    **dict.fromkeys(("Å", "angstrom", "Angstrom", "A"), "Å"),
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer"), "µm"),
    **{unit: unit for unit in ("pm", "nm", "mm", "cm", "m")},
    "inch": "in",
}


@dataclass(frozen=True, kw_only=True)
class TiffForm:
    """How to write a TIFF.

    Attributes
    ----------
    flavour : {"imagej", "ome", "plain"}
    writer : dict
        Arguments of tifffile's TiffWriter.
    options : dict
        Arguments of its `write`.
    note : str
        What a person should know before the work begins; mostly empty.
    """

    flavour: Flavour
    writer: dict[str, Any]
    options: dict[str, Any]
    note: str = ""


def tiff_form(path: Path, like: ImageFile, history: Sequence[dict[str, Any]] = ()) -> TiffForm:
    """Return the form that a result gets, tried out on an image of the same axes.

    Parameters
    ----------
    path : Path
        A name that ends in ``.ome.tif`` makes it an OME-TIFF, whatever the input is.
    like : ImageFile
        The input.
    history : sequence of dict
        Records to keep in the file.

    Returns
    -------
    TiffForm

    Raises
    ------
    ValueError
        If the name promises an OME-TIFF, which cannot hold the axes.
    """
    name = path.name.lower()
    named_ome = name.removesuffix(path.suffix.lower()).endswith(".ome")
    big_name = path.suffix.lower() in _BIG
    as_ome = named_ome or (big_name and like.flavour == "imagej")
    wanted: Flavour = "ome" if as_ome else like.flavour
    shape = like.pixels.shape
    big = 4 * math.prod(shape) > IMAGEJ_LIMIT
    reason = ""
    for flavour, given in _candidates(wanted, like):
        imagej = flavour == "imagej"
        writer = {
            "bigtiff": (big or big_name) and not imagej,
            "imagej": imagej,
            "ome": flavour == "ome",
        }
        metadata = with_records(flavour, given["metadata"], list(history))
        # Without photometric (Y, X, 3) would be taken for colours
        options = {"photometric": "minisblack", **given, "metadata": metadata}
        options["truncate"] = imagej and big
        try:
            _try(shape, writer, options)
        except OSError:
            raise
        except Exception as error:  # tifffile raises many things
            reason = reason or " ".join(str(error).split())
            continue
        if flavour == wanted:
            return TiffForm(flavour=flavour, writer=writer, options=options)
        if named_ome:
            break
        note = f"the axes {like.axes} do not fit {_NAMES[wanted]}: writing {_NAMES[flavour]}"
        return TiffForm(flavour=flavour, writer=writer, options=options, note=note)
    raise ValueError(
        f"{path.name}: {_NAMES[wanted]} cannot hold the axes {like.axes} ({reason}); name the "
        "result .tif or .zarr."
    )


def _candidates(wanted: Flavour, like: ImageFile) -> Iterator[tuple[Flavour, dict[str, Any]]]:
    """Yield flavours and options, the best first."""
    options = {"metadata": {"axes": like.axes}, **like.options}
    resolution = {k: v for k, v in options.items() if k in ("resolution", "resolutionunit")}
    if wanted == like.flavour:
        yield wanted, options
    if wanted == "imagej":
        unit = {"unit": like.unit} if like.unit else {}
        yield "imagej", {**resolution, "metadata": {"axes": _named(like.axes), **unit}}
    if wanted != "plain":
        yield "ome", {**resolution, "metadata": _ome_metadata(like, _texts(like))}
        yield "ome", {**resolution, "metadata": _ome_metadata(like, {})}
    yield "plain", {**resolution, "metadata": {"axes": like.axes}}
    yield "plain", {"metadata": {}}


def _named(axes: str) -> str:
    """Return axes with a name of ImageJ and OME for each that has another one, or none."""
    free = [name for name in "TZC" if name not in axes]
    return "".join(axis if axis in "TZCYX" else (free.pop(0) if free else axis) for axis in axes)


def _ome_metadata(like: ImageFile, texts: dict[str, Any]) -> dict[str, Any]:
    metadata = {"axes": _named(like.axes), **texts}
    unit = _OME_UNITS.get(like.unit or "")
    if like.pixel_size is not None and unit is not None:
        for axis, size in zip("YX", like.pixel_size, strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    return metadata


def _texts(like: ImageFile) -> dict[str, Any]:
    """Return the text that describes the image, as OME keeps it."""
    text = like.options.get("description", b"")
    text = text.decode() if isinstance(text, bytes) else str(text)
    text = text or str(like.options.get("metadata", {}).get("Info", ""))
    return {"Description": text} if text else {}


def _try(shape: tuple[int, ...], writer: dict[str, Any], options: dict[str, Any]) -> None:
    """Write a small image with the same leading axes into memory."""
    leading = shape[:-2]
    if math.prod(leading) > 1000:
        leading = tuple(min(n, 2) for n in leading)
    with tifffile.TiffWriter(io.BytesIO(), **writer) as file:
        file.write(np.zeros((*leading, 2, 2), np.float32), **options)
