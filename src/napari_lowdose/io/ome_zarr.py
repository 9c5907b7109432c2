"""The metadata of OME-Zarr: axes, pixel size and units, as other programs write and expect them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSION = "0.5"
LEVEL = "0"  # the array of full resolution, in what we write
_MOST_AXES = 5
_DEFAULT_AXES = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TCZYX"}
_LETTERS = {
    "T": ("t", "time", "frame", "frames"),
    "C": ("c", "channel", "channels"),
    "Z": ("z", "plane", "planes", "slice", "slices", "depth"),
    "Y": ("y", "row", "rows", "height"),
    "X": ("x", "column", "columns", "col", "width"),
}
_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
# The name of a unit in OME-Zarr, the symbol for it in TIFF, and what else it is called
_UNITS = (
    ("angstrom", "Å", ("Å", "A", "Ang", "angstroms", "ångström")),
    ("picometer", "pm", ("picometre", "picometers")),
    ("nanometer", "nm", ("nanometre", "nanometers")),
    ("micrometer", "µm", ("μm", "um", "micron", "microns", "micrometre", "micrometers")),
    ("millimeter", "mm", ("millimetre", "millimeters")),
    ("centimeter", "cm", ("centimetre", "centimeters")),
    ("meter", "m", ("metre", "meters")),
    ("inch", "inch", ("in", "inches")),
    ("microsecond", "µs", ("μs", "us", "microseconds")),
    ("millisecond", "ms", ("milliseconds",)),
    ("second", "s", ("sec", "seconds")),
    ("minute", "min", ("minutes",)),
    ("hour", "h", ("hours",)),
)
_NAMES = {word: name for name, symbol, others in _UNITS for word in (name, symbol, *others)}
_SYMBOLS = {name: symbol for name, symbol, _ in _UNITS}
_TIMES = ("microsecond", "millisecond", "second", "minute", "hour")


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What is known of the axes of an array.

    Attributes
    ----------
    letters : str
        One for each axis: "TYX".
    scale : tuple of float, optional
        Of each axis.
    units : tuple of str, optional
        Of each axis, as symbols: "nm", "pixel" where there is none.
    """

    letters: str
    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None


def default_axes(ndim: int) -> str:
    """Return the axes of an array that does not say; empty for more than five."""
    return _DEFAULT_AXES.get(ndim, "")


def letters(names: Iterable[Any]) -> str | None:
    """Return a letter for each name of an axis; None if any is unknown, or two are the same.

    Parameters
    ----------
    names : iterable of str
        As napari, xarray and OME-Zarr have them.

    Examples
    --------
    >>> letters(("time", "y", "x")), letters(("-2", "-1")), letters("TYX")
    ('TYX', None, 'TYX')
    """
    known = {word: letter for letter, words in _LETTERS.items() for word in words}
    found = [known.get(str(name).strip().lower()) for name in names]
    if None in found or len(set(found)) < len(found):
        return None
    return "".join(letter for letter in found if letter)


def unit_name(unit: Any) -> str | None:
    """Return what OME-Zarr calls a unit; None if it knows none such.

    Examples
    --------
    >>> unit_name("nm"), unit_name("Å"), unit_name("pixel")
    ('nanometer', 'angstrom', None)
    """
    return _NAMES.get(str(unit).strip())


def unit_symbol(unit: Any) -> str:
    """Return the symbol of a unit, "pixel" for none; what is unknown stays as it is.

    Examples
    --------
    >>> unit_symbol("micrometer"), unit_symbol(None)
    ('µm', 'pixel')
    """
    text = str(unit).strip() if unit is not None else ""
    return _SYMBOLS.get(_NAMES.get(text, ""), text or "pixel")


def metadata(
    ndim: int, axes: str | None, scale: Sequence[float] | None, units: Sequence[str] | None
) -> dict[str, Any]:
    """Return the attributes of a group that make it an OME-Zarr image of one resolution.

    Parameters
    ----------
    ndim : int
    axes : str, optional
        A letter for each axis.
    scale, units : sequence, optional
        Of each axis.

    Returns
    -------
    dict
        ``{"ome": ...}``; empty for more axes than OME-Zarr has.

    Examples
    --------
    >>> about = metadata(2, "YX", (0.5, 0.5), ("nm", "nm"))["ome"]
    >>> about["multiscales"][0]["axes"][0]
    {'name': 'y', 'type': 'space', 'unit': 'nanometer'}
    """
    if not 2 <= ndim <= _MOST_AXES:
        return {}
    described = []
    for k, letter in enumerate(axes or default_axes(ndim)):
        axis = {"name": letter.lower()}
        kind = _TYPES.get(letter)
        if kind is not None:
            axis["type"] = kind
        unit = unit_name(units[k]) if units is not None else None
        if unit is not None and kind == ("time" if unit in _TIMES else "space"):
            axis["unit"] = unit
        described.append(axis)
    factors = [1.0] * ndim if scale is None else [float(factor) for factor in scale]
    dataset = {
        "path": LEVEL,
        "coordinateTransformations": [{"type": "scale", "scale": factors}],
    }
    image = {"axes": described, "datasets": [dataset]}
    return {"ome": {"version": VERSION, "multiscales": [image]}}


def axis_names(attributes: Mapping[str, Any]) -> list[str] | None:
    """Return the names of the axes in what `metadata` has made."""
    found = multiscales(attributes)
    return [axis["name"] for axis in found[0]["axes"]] if found else None


def order_of_axes(axes: str) -> tuple[int, ...]:
    """Return the axes, as indices, in the order that OME-Zarr asks for: time, channel, space.

    Examples
    --------
    >>> order_of_axes("TZCYX")
    (0, 2, 1, 3, 4)
    """
    ranks = {"T": 0, "Z": 2, "Y": 3, "X": 4}  # any other is a channel, or the like
    return tuple(sorted(range(len(axes)), key=lambda k: ranks.get(axes[k], 1)))


def multiscales(attributes: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the images that a group describes; None if it describes none.

    Parameters
    ----------
    attributes : mapping
        Of the group: OME-Zarr 0.5 (under "ome") or 0.4.

    Returns
    -------
    list of dict or None
        Those that name at least one array.
    """
    ome = attributes.get("ome")
    found = (ome if isinstance(ome, dict) else attributes).get("multiscales")
    if not isinstance(found, list):
        return None
    return [each for each in found if isinstance(each, dict) and dataset_paths(each)]


def dataset_paths(multiscale: Mapping[str, Any]) -> list[str]:
    """Return the paths of the arrays of an image, full resolution first."""
    found = multiscale.get("datasets")
    levels = found if isinstance(found, list) else []
    paths = [level.get("path") for level in levels if isinstance(level, dict)]
    return [path for path in paths if isinstance(path, str)]


def axes_of_level(multiscale: Mapping[str, Any], path: str, ndim: int) -> Axes | None:
    """Return what an image says of the axes of one of its arrays; None if it does not fit.

    Parameters
    ----------
    multiscale : mapping
    path : str
        Of the array in the group.
    ndim : int
        Of the array.
    """
    given = multiscale.get("axes")
    if not isinstance(given, list) or len(given) != ndim:
        return None
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in given]  # 0.3: names
    found = letters(axis.get("name") for axis in axes)
    if found is None:
        return None
    level = next(d for d in multiscale["datasets"] if isinstance(d, dict) and d.get("path") == path)
    places = (level, multiscale)  # one after the other
    scales = [_scale_in(each.get("coordinateTransformations"), ndim) for each in places]
    known = [scale for scale in scales if scale is not None]
    scale = tuple(math.prod(factors) for factors in zip(*known, strict=True)) if known else None
    units = tuple(unit_symbol(axis.get("unit")) for axis in axes)
    return Axes(letters=found, scale=scale, units=units)


def numbers(values: Any, n: int) -> tuple[float, ...] | None:
    """Return `n` finite numbers that are not zero; None if these are no such."""
    if not isinstance(values, (list, tuple)) or len(values) != n:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return None
    found = tuple(float(value) for value in values)
    return found if all(math.isfinite(v) and v for v in found) else None


def _scale_in(transformations: Any, ndim: int) -> tuple[float, ...] | None:
    for each in transformations if isinstance(transformations, list) else ():
        if isinstance(each, dict) and each.get("type") == "scale":
            return numbers(each.get("scale"), ndim)
    return None
