"""Zarr folders as images: an array, or a group that is an OME-Zarr image; lazy."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lowdose.io.ome_zarr import (
    LEVEL,
    Axes,
    axes_of_level,
    dataset_paths,
    default_axes,
    letters,
    multiscales,
    numbers,
    order_of_axes,
    unit_symbol,
)
from napari_lowdose.io.tiff import ImageFile
from napari_lowdose.io.zarr_frames import ZarrFrames

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

KEY = "napari-lowdose"  # of our own attributes
_MARKS = ("zarr.json", ".zarray", ".zgroup")
_DEEPEST = 4  # levels of groups in which arrays are looked for
_SOME = 5  # paths that a sentence names, at most


@dataclass(frozen=True, eq=False, kw_only=True)
class ZarrImage(ImageFile):
    """An image as it was found in a zarr folder.

    Attributes
    ----------
    scale, units : tuple or None
        Of each axis.
    """

    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array or group, whatever its name."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def is_array(path: Path) -> bool:
    """Whether a folder is a zarr array."""
    import zarr

    try:
        return is_zarr(path) and isinstance(zarr.open(path, mode="r"), zarr.Array)
    except Exception:  # zarr raises many things
        return False


def read_zarr(path: str | os.PathLike[str]) -> ZarrImage:
    """Open a zarr array, or the full resolution of an OME-Zarr image; nothing of it is read.

    Parameters
    ----------
    path : path
        Of an array, or of a group that is an OME-Zarr image (0.4 or 0.5).

    Returns
    -------
    ZarrImage
        Its pixels are a dask array, rows and columns last.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        If there is no such array, or several.
    """
    path = Path(path)
    path.stat()  # missing or forbidden: let the system say so
    array, about = _open(path)
    ours = about.get(KEY)
    ours = ours if isinstance(ours, dict) else {}
    if ours.get("finished") is False:
        raise ValueError("This movie is not finished: the last frames are missing.")
    if not default_axes(array.ndim):
        raise ValueError(f"An image needs two to five axes, this array has {array.ndim}.")
    axes = axes_of(array, about, path)
    order = _rows_and_columns_last(axes.letters)
    scale = None if axes.scale is None else tuple(axes.scale[k] for k in order)
    units = None if axes.units is None else tuple(axes.units[k] for k in order)
    named = "".join(axes.letters[k] for k in order)
    pixel_size, unit = _pixel_size(scale, units)
    history = ours["history"] if isinstance(ours.get("history"), list) else []
    return ZarrImage(
        pixels=ZarrFrames(array, order).lazy(),
        axes=named,
        pixel_size=pixel_size,
        unit=unit,
        source=path,
        history=tuple(record for record in history if isinstance(record, dict)),
        scale=scale,
        units=units,
        **_as_tiff(named, pixel_size, unit),
    )


def in_order(image: ImageFile) -> ImageFile:
    """Return an image with its axes in the order of OME-Zarr; its pixels stay where they are.

    Parameters
    ----------
    image : ImageFile

    Returns
    -------
    ImageFile
    """
    order = order_of_axes(image.axes)
    if order == tuple(range(len(order))) or not image.axes.endswith("YX"):
        return image
    changes: dict[str, Any] = {}
    if isinstance(image, ZarrImage):
        changes = {
            name: tuple(values[k] for k in order)
            for name in ("scale", "units")
            if (values := getattr(image, name)) is not None
        }
    axes = "".join(image.axes[k] for k in order)
    return replace(image, pixels=image.pixels.transpose(order), axes=axes, **changes)


def attributes_like(image: ImageFile) -> dict[str, Any]:
    """Return the attributes that a zarr array made from `image` should have."""
    attributes: dict[str, Any] = {"axes": image.axes, KEY: {"history": list(image.history)}}
    if isinstance(image, ZarrImage) and image.scale is not None:
        attributes["scale"] = list(image.scale)
        attributes["units"] = list(image.units or ["pixel"] * len(image.axes))
    elif image.pixel_size is not None:
        leading = len(image.axes) - 2
        attributes["scale"] = [*[1.0] * leading, *image.pixel_size]
        attributes["units"] = [*["pixel"] * leading, *[image.unit or "pixel"] * 2]
    return attributes


def add_to_record(path: Path, *, source: str | list[str], warnings: list[str]) -> None:
    """Write into the last record of a result what it was made from, and what was warned of."""
    import zarr

    group = zarr.open_group(path, mode="r+")
    ours: Any = group.attrs[KEY]
    *before, last = ours["history"]
    found = [*last.get("warnings", []), *warnings]  # a resumed run adds to the first
    last = {**last, "source": source, "warnings": list(dict.fromkeys(found))}
    ours = {**ours, "history": [*before, last]}
    for node in (zarr.open_array(path / LEVEL, mode="r+"), group):
        node.attrs[KEY] = ours


def axes_of(array: Any, about: Mapping[str, Any], path: Path | None = None) -> Axes:
    """Return the axes of a zarr array, from the first place that names them.

    Parameters
    ----------
    array : zarr.Array
    about : mapping
        Attributes of the array, and of the image that it belongs to.
    path : Path, optional
        Of the array or of the group that holds it.

    Returns
    -------
    Axes
    """
    ndim = array.ndim
    units = about.get("units")
    known = isinstance(units, list) and len(units) == ndim
    own: dict[str, Any] = {
        "scale": numbers(about.get("scale"), ndim),
        "units": tuple(map(unit_symbol, units)) if known and isinstance(units, list) else None,
    }
    candidates = [Axes(letters=each, **own) for each in _named_axes(array, about)]
    for multiscale in multiscales(about) or ():
        for level in dataset_paths(multiscale):
            if _joined(array.path, path).endswith(f"/{level}"):
                level_axes = axes_of_level(multiscale, level, ndim)
                candidates += [level_axes] if level_axes is not None else []
    candidates.append(Axes(letters=default_axes(ndim), **own))
    first = candidates[0]
    scaled = (c for c in candidates if c.scale is not None and c.letters == first.letters)
    return next(scaled, first)


def check_order(array: Any) -> None:
    """Raise if a zarr array says that its rows and columns do not come last.

    Parameters
    ----------
    array : array
        Of zarr; others say nothing of their axes.

    Raises
    ------
    ValueError
    """
    if not hasattr(array, "store_path"):
        return
    for axes in _named_axes(array, dict(array.attrs)):
        if {"Y", "X"} <= set(axes) and set(axes[-2:]) != {"Y", "X"}:
            raise ValueError(
                f"The zarr array has the axes {axes}, and rows and columns (Y, X) must come last: "
                "give da.moveaxis(da.from_zarr(array), ...)."
            )


def _named_axes(array: Any, about: Mapping[str, Any]) -> list[str]:
    """Return the axes of a zarr array from all places that name them, as letters."""
    places = (
        about.get("axes"),
        getattr(array.metadata, "dimension_names", None),
        about.get("_ARRAY_DIMENSIONS"),  # xarray's
    )
    found = [letters(names) for names in places if isinstance(names, (str, list, tuple))]
    return [each for each in found if each and len(each) == array.ndim]


def _joined(inside: str, path: Path | None) -> str:
    return "/".join(part for part in (path.as_posix() if path else "", inside) if part)


def _open(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the array that `path` stands for, and all attributes that are about it."""
    import zarr

    if not is_zarr(path):
        raise ValueError("This is no zarr array that can be read (there is none in this folder).")
    try:
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            return node, {**_attributes_of_image(path), **dict(node.attrs)}
        about = dict(node.attrs)
        level = _full_resolution(path, about)
        array = node[level]
    except ValueError:
        raise
    except Exception as error:  # zarr raises many things
        raise ValueError(f"This is no zarr array that can be read ({error}).") from error
    if not isinstance(array, zarr.Array):
        raise ValueError(f"This OME-Zarr image is damaged: {level} is no array.")
    return array, {**dict(array.attrs), **about}


def _attributes_of_image(path: Path) -> dict[str, Any]:
    """Return the attributes of the OME-Zarr image of which the array `path` is a level, if any."""
    import zarr

    for group in itertools.islice(path.absolute().parents, _DEEPEST):
        if not is_zarr(group):
            continue
        try:
            about = dict(zarr.open_group(group, mode="r").attrs)
        except Exception:  # it is of no concern
            continue
        level = path.absolute().relative_to(group).as_posix()
        mine = [m for m in multiscales(about) or () if level in dataset_paths(m)]
        if mine:
            about = {key: about[key] for key in ("axes", "scale", "units", KEY) if key in about}
            # Of another resolution the pixel size is not that of the image
            if level != dataset_paths(mine[0])[0]:
                about = {key: about[key] for key in ("axes",) if key in about}
            return {**about, "multiscales": mine}
    return {}


def _full_resolution(path: Path, about: Mapping[str, Any]) -> str:
    """Return the path of the array to take in a group, or say which there are."""
    ome = about.get("ome") if isinstance(about.get("ome"), dict) else about
    assert isinstance(ome, dict)
    images = multiscales(about) or []
    if "image-label" in ome or (not images and isinstance(ome.get("labels"), list)):
        raise ValueError("These are labels, not an image: name the image that they belong to.")
    if len(images) == 1:
        return dataset_paths(images[0])[0]
    kind = "group of arrays that does not say which of them is the image"
    if images:
        inside = [dataset_paths(image)[0] for image in images]
        kind = "group of several images"
    else:
        inside = list(itertools.islice(_images_inside(path), _SOME + 1))
        if "plate" in ome or "well" in ome:
            kind = "plate" if "plate" in ome else "well of a plate"
        elif len(inside) > 1:
            kind = "group of several images"
    if not inside:
        raise ValueError("This zarr group holds no image.")
    paths = [str(path / each) for each in inside[:_SOME]]
    others = " (or another)" if len(inside) > _SOME else ""
    raise ValueError(f"This is a {kind}: name one of them, {', '.join(paths)}{others}.")


def _images_inside(group: Path, depth: int = 0) -> Iterator[str]:
    """Yield the paths of the images, or else arrays, in a group."""
    import zarr

    for child in sorted(group.iterdir()) if depth < _DEEPEST else ():
        if not is_zarr(child) or child.name == "labels":
            continue
        try:
            node = zarr.open(child, mode="r")
        except Exception:  # no use naming it
            continue
        if isinstance(node, zarr.Array) or multiscales(dict(node.attrs)):
            yield child.name
        else:
            yield from (f"{child.name}/{each}" for each in _images_inside(child, depth + 1))


def _rows_and_columns_last(axes: str) -> tuple[int, ...]:
    if not {"Y", "X"} <= set(axes):
        raise ValueError(
            f"This zarr array has the axes {axes}: rows and columns (Y, X) are missing."
        )
    leading = [k for k, letter in enumerate(axes) if letter not in "YX"]
    return (*leading, axes.index("Y"), axes.index("X"))


def _pixel_size(
    scale: tuple[float, ...] | None, units: tuple[str, ...] | None
) -> tuple[tuple[float, float] | None, str | None]:
    if scale is None or units is None:
        return None, None
    height, width = (abs(length) for length in scale[-2:])
    if units[-1] == "pixel" and height == width == 1:
        return None, None
    return (height, width), units[-1]


def _as_tiff(axes: str, pixel_size: tuple[float, float] | None, unit: str | None) -> dict[str, Any]:
    """Return which TIFF is written: ImageJ's where its order of axes is kept, else OME's."""
    about: dict[str, Any] = {"axes": axes}
    if re.fullmatch("T?Z?C?YX", axes):
        options: dict[str, Any] = {"metadata": about}
        if pixel_size is not None:
            options |= {"resolution": (1 / pixel_size[1], 1 / pixel_size[0]), "resolutionunit": 1}
            about["unit"] = unit
        return {"flavour": "imagej", "options": options}
    if pixel_size is not None:
        about |= {f"PhysicalSize{a}": size for a, size in zip("YX", pixel_size, strict=True)}
        about |= {f"PhysicalSize{a}Unit": unit for a in "YX"}
    return {"flavour": "ome", "options": {"metadata": about}}
