"""Zarr folders as images: lazy, with axes, pixel size and what was done to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lowdose.imaging.tiff import ImageFile

if TYPE_CHECKING:
    import os

KEY = "napari-lowdose"
_AXES = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TZCYX"}


def read_zarr(path: str | os.PathLike[str]) -> ImageFile:
    """Open a zarr array; nothing of it is read.

    Parameters
    ----------
    path : path
        Of the array, not of a group of arrays.

    Returns
    -------
    ImageFile
        Its pixels are a dask array; it is written as an ImageJ TIFF.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        If there is no such array.
    """
    import dask.array as da
    import zarr

    path = Path(path)
    path.stat()  # missing or forbidden: let the system say so
    try:
        array = zarr.open_array(path, mode="r")
    except Exception as error:  # zarr raises many things
        raise ValueError(f"This is no zarr array that can be read ({error}).") from error
    ours = array.attrs.get(KEY)
    ours = ours if isinstance(ours, dict) else {}
    if ours.get("finished") is False:
        raise ValueError("This movie is not finished: the last frames are missing.")
    if array.ndim not in _AXES:
        raise ValueError(f"An image needs two to five axes, this array has {array.ndim}.")
    axes = array.attrs.get("axes")
    axes = axes if isinstance(axes, str) and len(axes) == array.ndim else _AXES[array.ndim]
    pixel_size, unit = _pixel_size(dict(array.attrs), array.ndim)
    options: dict[str, Any] = {"metadata": {"axes": axes}}
    if pixel_size is not None:
        options |= {"resolution": (1 / pixel_size[1], 1 / pixel_size[0]), "resolutionunit": 1}
        options["metadata"]["unit"] = unit
    return ImageFile(
        pixels=da.from_zarr(array),  # type: ignore[no-untyped-call]
        axes=axes,
        pixel_size=pixel_size,
        unit=unit,
        flavour="imagej",
        source=path,
        options=options,
        history=tuple(ours.get("history", ())),
    )


def attributes_like(image: ImageFile) -> dict[str, Any]:
    """Return the attributes that a zarr array made from `image` should have."""
    attributes: dict[str, Any] = {"axes": image.axes, KEY: {"history": list(image.history)}}
    if image.pixel_size is not None:
        leading = len(image.axes) - 2
        attributes["scale"] = [*[1.0] * leading, *image.pixel_size]
        attributes["units"] = [*["pixel"] * leading, *[image.unit or "pixel"] * 2]
    return attributes


def add_to_record(path: Path, *, source: str | list[str], warnings: list[str]) -> None:
    """Write into the last record of a zarr array what it was made from, and what was warned of."""
    import zarr

    array = zarr.open_array(path, mode="r+")
    ours: Any = array.attrs[KEY]
    *before, last = ours["history"]
    told = [*last.get("warnings", []), *warnings]  # a resumed run adds to the first
    last = {**last, "source": source, "warnings": list(dict.fromkeys(told))}
    array.attrs[KEY] = {**ours, "history": [*before, last]}


def _pixel_size(
    attributes: dict[str, Any], ndim: int
) -> tuple[tuple[float, float] | None, str | None]:
    scale, units = attributes.get("scale"), attributes.get("units")
    if not isinstance(scale, list) or not isinstance(units, list):
        return None, None
    if len(scale) != ndim or len(units) != ndim:
        return None, None
    height, width = (abs(float(length)) for length in scale[-2:])
    return ((height, width), str(units[-1])) if height and width else (None, None)
