"""Reading zarr folders lazily: arrays, and groups that are OME-Zarr images."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lowdose.io.line_file import whole_lines
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
from napari_lowdose.io.tiff_flavours import RECORD_KEY, written_as
from napari_lowdose.io.zarr_frames import ZarrFrames

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

FRAMES = "frames.txt"  # list of the frames of a recording, in the folder of its array
_METADATA_FILES = ("zarr.json", ".zarray", ".zgroup")
_MAX_DEPTH = 4  # levels of nested groups to search; a plate has row / column / field / level
_MAX_LISTED = 5  # paths listed in a message


@dataclass(frozen=True, eq=False, kw_only=True)
class ZarrImage(ImageFile):
    """An image read from a zarr folder.

    Attributes
    ----------
    scale : tuple of float or None
        Pixel size along each axis, in `units`.
    units : tuple of str or None
        Unit of each axis, as a symbol.
    """

    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr array or group, by its content."""
    return path.is_dir() and any((path / name).is_file() for name in _METADATA_FILES)


def is_array(path: Path) -> bool:
    """Return whether a folder is a zarr array."""
    import zarr

    try:
        return is_zarr(path) and isinstance(zarr.open(path, mode="r"), zarr.Array)
    except Exception:  # zarr raises various exceptions on damaged metadata
        return False


def read_zarr(path: str | os.PathLike[str]) -> ZarrImage:
    """Open a zarr array, or the full resolution of an OME-Zarr image, without reading pixels.

    Parameters
    ----------
    path : path
        Folder of an array, or of a group that is an OME-Zarr image (0.4 or 0.5).

    Returns
    -------
    ZarrImage
        With a dask array (..., Y, X) as pixels.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    ValueError
        If there is no image in the folder, there are several, or it is an unfinished result.
    """
    path = Path(path)
    path.stat()  # raises the system's error if the path is missing or forbidden
    array, attributes = open_zarr(path)
    ours = attributes.get(RECORD_KEY)
    ours = ours if isinstance(ours, dict) else {}
    recorded = None
    if ours.get("finished") is False:
        if "recording" not in ours:
            raise ValueError("This movie is not finished: the last frames are missing.")
        recorded = _n_recorded(array)
    if not default_axes(array.ndim):
        raise ValueError(f"An image needs two to five axes, this array has {array.ndim}.")
    axes = axes_of(array, attributes, path)
    order = _rows_and_columns_last(axes.letters)
    scale = None if axes.scale is None else tuple(axes.scale[k] for k in order)
    units = None if axes.units is None else tuple(axes.units[k] for k in order)
    named = "".join(axes.letters[k] for k in order)
    pixel_size, unit = pixel_size_of(scale, units)
    history = ours["history"] if isinstance(ours.get("history"), list) else []
    return ZarrImage(
        pixels=ZarrFrames(array, order).lazy()[:recorded],
        axes=named,
        pixel_size=pixel_size,
        unit=unit,
        source=path,
        history=tuple(record for record in history if isinstance(record, dict)),
        scale=scale,
        units=units,
        **written_as(named, pixel_size, unit),
    )


def own_attributes(folder: Path) -> dict[str, Any] | None:
    """Return the attributes of this package in a zarr folder; None if there are none."""
    try:
        found = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        ours = found["attributes"][RECORD_KEY]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ours if isinstance(ours, dict) else None


def in_ome_zarr_order(image: ImageFile) -> ImageFile:
    """Return an image with its axes in the order required by OME-Zarr.

    Parameters
    ----------
    image : ImageFile

    Returns
    -------
    ImageFile
        With a transposed view of the pixels; the image itself if its axes are in order.
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
    """Return the attributes of a zarr array with the axes, scale and history of `image`."""
    attributes: dict[str, Any] = {"axes": image.axes, RECORD_KEY: {"history": list(image.history)}}
    if isinstance(image, ZarrImage) and image.scale is not None:
        attributes["scale"] = list(image.scale)
        attributes["units"] = list(image.units or ["pixel"] * len(image.axes))
    elif image.pixel_size is not None:
        leading = len(image.axes) - 2
        attributes["scale"] = [*[1.0] * leading, *image.pixel_size]
        attributes["units"] = [*["pixel"] * leading, *[image.unit or "pixel"] * 2]
    return attributes


def update_record(folder: Path, **changes: Any) -> None:
    """Change attributes of this package in a result.

    Parameters
    ----------
    folder : Path
        Folder of the group.
    **changes
        JSON-ready values.
    """
    import zarr

    group = zarr.open_group(folder, mode="r+")
    ours: Any = group.attrs[RECORD_KEY]
    # Both have the attributes, because `denoise_to_zarr` returns the array alone.
    for node in (zarr.open_array(folder / LEVEL, mode="r+"), group):
        node.attrs[RECORD_KEY] = {**ours, **changes}


def add_to_record(path: Path, *, source: str | list[str], warnings: list[str]) -> None:
    """Add the source and the warnings of a run to the last record of a result.

    Parameters
    ----------
    path : Path
        Folder of the result.
    source : str or list of str
        Names of the input files.
    warnings : list of str
        Warnings raised during the run.
    """
    import zarr

    ours: Any = zarr.open_group(path, mode="r").attrs[RECORD_KEY]
    *before, last = ours["history"]
    # A resumed run must keep the warnings of the interrupted one
    every = [*last.get("warnings", []), *warnings]
    last = {**last, "source": source, "warnings": list(dict.fromkeys(every))}
    update_record(path, history=[*before, last])


def axes_of(array: Any, attributes: Mapping[str, Any], path: Path | None = None) -> Axes:
    """Return the axes of a zarr array, from the first source that names them.

    The sources are, in this order: our own attributes, zarr's dimension names, xarray's
    attributes, the OME-Zarr metadata, and the default for the number of axes.

    Parameters
    ----------
    array : zarr.Array
    attributes : mapping
        Attributes of the array and of the image to which it belongs.
    path : Path, optional
        Path of the array or of its group.

    Returns
    -------
    Axes
    """
    ndim = array.ndim
    units = attributes.get("units")
    has_units = isinstance(units, list) and len(units) == ndim
    own: dict[str, Any] = {
        "scale": numbers(attributes.get("scale"), ndim),
        "units": tuple(map(unit_symbol, units)) if has_units and isinstance(units, list) else None,
    }
    candidates = [Axes(letters=each, **own) for each in _named_axes(array, attributes)]
    for multiscale in multiscales(attributes) or ():
        for level in dataset_paths(multiscale):
            if _joined(array.path, path).endswith(f"/{level}"):
                level_axes = axes_of_level(multiscale, level, ndim)
                candidates += [level_axes] if level_axes is not None else []
    candidates.append(Axes(letters=default_axes(ndim), **own))
    # Names may come from one source and the scale from another that agrees on the names
    first = candidates[0]
    scaled = (c for c in candidates if c.scale is not None and c.letters == first.letters)
    return next(scaled, first)


def check_order(array: Any) -> None:
    """Check that rows and columns are the last axes, if a zarr array names its axes.

    Parameters
    ----------
    array : array
        Arrays of other libraries are not checked, because they do not name their axes.

    Raises
    ------
    ValueError
        If the axes are named and the last two are not Y and X.
    """
    if not hasattr(array, "store_path"):
        return
    for axes in _named_axes(array, dict(array.attrs)):
        if {"Y", "X"} <= set(axes) and set(axes[-2:]) != {"Y", "X"}:
            raise ValueError(
                f"The zarr array has the axes {axes}, and rows and columns (Y, X) must come last: "
                "give da.moveaxis(da.from_zarr(array), ...)."
            )


def _named_axes(array: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Return the axes of a zarr array as letters, from every source that names them."""
    sources = (
        attributes.get("axes"),
        getattr(array.metadata, "dimension_names", None),
        attributes.get("_ARRAY_DIMENSIONS"),  # written by xarray to zarr version 2
    )
    found = [letters(names) for names in sources if isinstance(names, (str, list, tuple))]
    return [each for each in found if each and len(each) == array.ndim]


def _joined(inside: str, path: Path | None) -> str:
    return "/".join(part for part in (path.as_posix() if path else "", inside) if part)


def open_zarr(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the array in a folder, and the attributes of the array and of its image."""
    import zarr

    if not is_zarr(path):
        raise ValueError("This folder contains no zarr array.")
    try:
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            return node, {**_attributes_of_image(path), **dict(node.attrs)}
        attributes = dict(node.attrs)
        level = _full_resolution(path, attributes)
        array = node[level]
    except ValueError:
        raise
    except Exception as error:  # zarr raises various exceptions on damaged metadata
        raise ValueError(f"This zarr array cannot be read ({error}).") from error
    if not isinstance(array, zarr.Array):
        raise ValueError(f"This OME-Zarr image is damaged: {level} is not an array.")
    return array, {**dict(array.attrs), **attributes}


def _attributes_of_image(path: Path) -> dict[str, Any]:
    """Return the attributes of the OME-Zarr image that has the array `path` as a level, if any."""
    import zarr

    for group in itertools.islice(path.absolute().parents, _MAX_DEPTH):
        if not is_zarr(group):
            continue
        try:
            attributes = dict(zarr.open_group(group, mode="r").attrs)
        except Exception:  # the array can be read without the group
            continue
        level = path.absolute().relative_to(group).as_posix()
        images = [image for image in multiscales(attributes) or () if level in dataset_paths(image)]
        if images:
            # At a lower resolution, only the axes are those of the image, not its pixel size
            is_full = level == dataset_paths(images[0])[0]
            kept = ("axes", "scale", "units", RECORD_KEY) if is_full else ("axes",)
            found = {key: attributes[key] for key in kept if key in attributes}
            return {**found, "multiscales": images}
    return {}


def _full_resolution(path: Path, attributes: Mapping[str, Any]) -> str:
    """Return the path of the only image in a group; list the images if there are several."""
    ome = attributes.get("ome") if isinstance(attributes.get("ome"), dict) else attributes
    assert isinstance(ome, dict)
    images = multiscales(attributes) or []
    if "image-label" in ome or (not images and isinstance(ome.get("labels"), list)):
        raise ValueError("These are labels, not an image: name the image to which they belong.")
    if len(images) == 1:
        return dataset_paths(images[0])[0]
    kind = "group of arrays without metadata that select one of them"
    if images:
        inside = [dataset_paths(image)[0] for image in images]
        kind = "group of several images"
    else:
        inside = list(itertools.islice(_images_inside(path), _MAX_LISTED + 1))
        if "plate" in ome or "well" in ome:
            kind = "plate" if "plate" in ome else "well of a plate"
        elif len(inside) > 1:
            kind = "group of several images"
    if not inside:
        raise ValueError("This zarr group holds no image.")
    paths = [str(path / each) for each in inside[:_MAX_LISTED]]
    others = " (or another)" if len(inside) > _MAX_LISTED else ""
    raise ValueError(f"This is a {kind}: name one of them, {', '.join(paths)}{others}.")


def _images_inside(group: Path, depth: int = 0) -> Iterator[str]:
    """Yield the relative paths of the images, and of arrays outside images, in a group."""
    import zarr

    for child in sorted(group.iterdir()) if depth < _MAX_DEPTH else ():
        if not is_zarr(child) or child.name == "labels":
            continue
        try:
            node = zarr.open(child, mode="r")
        except Exception:  # it cannot be read, so do not suggest it
            continue
        if isinstance(node, zarr.Array) or multiscales(dict(node.attrs)):
            yield child.name
        else:
            yield from (f"{child.name}/{each}" for each in _images_inside(child, depth + 1))


def _n_recorded(array: Any) -> int:
    """Return the number of frames in a recording that goes on, or whose process was killed."""
    n = len(whole_lines(Path(array.store.root, array.path, FRAMES)))
    if not n:
        raise ValueError("There is no frame in this recording yet.")
    return min(n, int(array.shape[0]))


def _rows_and_columns_last(axes: str) -> tuple[int, ...]:
    if not {"Y", "X"} <= set(axes):
        raise ValueError(
            f"This zarr array has the axes {axes}: rows and columns (Y, X) are missing."
        )
    leading = [k for k, letter in enumerate(axes) if letter not in "YX"]
    return (*leading, axes.index("Y"), axes.index("X"))


def pixel_size_of(
    scale: tuple[float, ...] | None, units: tuple[str, ...] | None
) -> tuple[tuple[float, float] | None, str | None]:
    """Return height and width of a pixel and their unit, from scale and units of all axes."""
    if scale is None or units is None:
        return None, None
    height, width = (abs(length) for length in scale[-2:])
    if units[-1] == "pixel" and height == width == 1:  # not calibrated
        return None, None
    return (height, width), units[-1]
