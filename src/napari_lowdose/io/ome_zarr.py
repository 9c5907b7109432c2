"""OME-Zarr metadata: axes, pixel size and units.

Version 0.5 is written; 0.4 and 0.5 are read, and the axes of 0.3.  Reading is tolerant, because
invalid metadata must not prevent reading the pixels.  A validating library would reject such files.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSION = "0.5"
LEVEL = "0"  # path of the full-resolution array in the groups that are written
_MAX_AXES = 5
_DEFAULT_AXES = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TCZYX"}
_LETTERS = {
    "T": ("t", "time", "frame", "frames"),
    "C": ("c", "channel", "channels"),
    "Z": ("z", "plane", "planes", "slice", "slices", "depth"),
    "Y": ("y", "row", "rows", "height"),
    "X": ("x", "column", "columns", "col", "width"),
}
_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
# Name in OME-Zarr, symbol in TIFF, and other spellings
_UNITS = (
    ("angstrom", "Å", ("A", "Ang", "angstroms", "ångström")),
    ("picometer", "pm", ("picometre", "picometers")),
    ("nanometer", "nm", ("nanometre", "nanometers")),
    ("micrometer", "µm", ("um", "micron", "microns", "micrometre", "micrometers")),
    ("millimeter", "mm", ("millimetre", "millimeters")),
    ("centimeter", "cm", ("centimetre", "centimeters")),
    ("meter", "m", ("metre", "meters")),
    ("inch", "inch", ("in", "inches")),
    ("microsecond", "µs", ("us", "microseconds")),
    ("millisecond", "ms", ("milliseconds",)),
    ("second", "s", ("sec", "seconds")),
    ("minute", "min", ("minutes",)),
    ("hour", "h", ("hours",)),
)
_UNIT_NAMES = {
    unicodedata.normalize("NFKC", word): name
    for name, symbol, others in _UNITS
    for word in (name, symbol, *others)
}
_SYMBOLS = {name: symbol for name, symbol, _ in _UNITS}
TIME_UNITS = ("microsecond", "millisecond", "second", "minute", "hour")


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Axes of an array, with scale and units if known.

    Attributes
    ----------
    letters : str
        One letter per axis: "TYX".
    scale : tuple of float, optional
        Pixel size along each axis, in `units`.
    units : tuple of str, optional
        Unit of each axis, as a symbol: "nm", or "pixel" for none.
    """

    letters: str
    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None


def default_axes(ndim: int) -> str:
    """Return the default axes of an array without axis names; empty for more than five.

    Examples
    --------
    >>> default_axes(3), default_axes(6)
    ('TYX', '')
    """
    return _DEFAULT_AXES.get(ndim, "")


def letters(names: Iterable[Any]) -> str | None:
    """Convert axis names to letters.

    Parameters
    ----------
    names : iterable of str
        Axis names of napari, xarray or OME-Zarr.

    Returns
    -------
    str or None
        One of T, C, Z, Y and X per axis; None if a name is unknown or a letter occurs twice.

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
    """Convert a unit to its name in OME-Zarr; None if OME-Zarr does not have it.

    Examples
    --------
    >>> unit_name("nm"), unit_name("Angstrom"), unit_name("pixel")
    ('nanometer', 'angstrom', None)
    """
    # µ and Å exist twice in Unicode: as signs, and as the letters that NFKC makes of them
    text = unicodedata.normalize("NFKC", str(unit).strip())
    # Symbols differ by case, words do not
    return _UNIT_NAMES.get(text) or (_UNIT_NAMES.get(text.lower()) if len(text) > 3 else None)


def unit_symbol(unit: Any) -> str:
    """Convert a unit to its symbol: "pixel" for none; an unknown unit stays as it is.

    Examples
    --------
    >>> unit_symbol("micrometer"), unit_symbol(None)
    ('µm', 'pixel')
    """
    text = str(unit).strip() if unit is not None else ""
    return _SYMBOLS.get(unit_name(unit) or "", text or "pixel")


def metadata(
    ndim: int, axes: str | None, scale: Sequence[float] | None, units: Sequence[str] | None
) -> dict[str, Any]:
    """Return the group attributes of an OME-Zarr 0.5 image with a single resolution.

    Parameters
    ----------
    ndim : int
        Number of axes of the image.
    axes : str, optional
        One letter per axis.
    scale : sequence of float, optional
        Pixel size along each axis, in `units`.
    units : sequence of str, optional
        Unit of each axis; units that OME-Zarr does not have are left out.

    Returns
    -------
    dict
        ``{"ome": ...}``; empty if `ndim` is not between 2 and 5, the limits of OME-Zarr.

    Examples
    --------
    >>> ome = metadata(2, "YX", (0.5, 0.5), ("nm", "nm"))["ome"]
    >>> ome["multiscales"][0]["axes"][0]
    {'name': 'y', 'type': 'space', 'unit': 'nanometer'}
    """
    if not 2 <= ndim <= _MAX_AXES:
        return {}
    described = []
    for k, letter in enumerate(axes or default_axes(ndim)):
        axis = {"name": letter.lower()}
        kind = _TYPES.get(letter)
        if kind is not None:
            axis["type"] = kind
        unit = unit_name(units[k]) if units is not None else None
        # OME-Zarr allows units of length on space axes only, and units of time on the time axis
        if unit is not None and kind == ("time" if unit in TIME_UNITS else "space"):
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
    """Return the axis names in the attributes that `metadata` returned; None if they are empty."""
    found = multiscales(attributes)
    return [axis["name"] for axis in found[0]["axes"]] if found else None


def order_of_axes(axes: str) -> tuple[int, ...]:
    """Return the permutation of axes into the order required by OME-Zarr: time, channel, space.

    Parameters
    ----------
    axes : str
        One letter per axis.

    Returns
    -------
    tuple of int
        Indices into `axes`.

    Examples
    --------
    >>> order_of_axes("TZCYX")
    (0, 2, 1, 3, 4)
    """
    ranks = {"T": 0, "Z": 2, "Y": 3, "X": 4}  # OME-Zarr puts custom axes in the place of C
    return tuple(sorted(range(len(axes)), key=lambda k: ranks.get(axes[k], 1)))


def multiscales(attributes: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the valid entries of "multiscales" in the attributes of a group.

    Parameters
    ----------
    attributes : mapping
        Attributes of OME-Zarr 0.5 (under the key "ome") or 0.4.

    Returns
    -------
    list of dict or None
        Entries that list at least one array; None if "multiscales" is missing.
    """
    ome = attributes.get("ome")
    found = (ome if isinstance(ome, dict) else attributes).get("multiscales")
    if not isinstance(found, list):
        return None
    return [each for each in found if isinstance(each, dict) and dataset_paths(each)]


def dataset_paths(multiscale: Mapping[str, Any]) -> list[str]:
    """Return the array paths in an entry of "multiscales", full resolution first."""
    found = multiscale.get("datasets")
    levels = found if isinstance(found, list) else []
    paths = [level.get("path") for level in levels if isinstance(level, dict)]
    return [path for path in paths if isinstance(path, str)]


def axes_of_level(multiscale: Mapping[str, Any], path: str, ndim: int) -> Axes | None:
    """Return the axes of one resolution level of an image.

    Parameters
    ----------
    multiscale : mapping
        Entry of "multiscales".
    path : str
        Path of the array in the group; listed in `multiscale`.
    ndim : int
        Number of axes of the array.

    Returns
    -------
    Axes or None
        None if the axes are missing, unknown, or do not match `ndim`.
    """
    given = multiscale.get("axes")
    if not isinstance(given, list) or len(given) != ndim:
        return None
    # OME-Zarr 0.3 has plain names
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in given]
    found = letters(axis.get("name") for axis in axes)
    if found is None:
        return None
    level = next(d for d in multiscale["datasets"] if isinstance(d, dict) and d.get("path") == path)
    # The scale of the level is applied first, then the one that all levels share
    places = (level, multiscale)
    scales = [_scale_in(each.get("coordinateTransformations"), ndim) for each in places]
    known = [scale for scale in scales if scale is not None]
    scale = tuple(math.prod(factors) for factors in zip(*known, strict=True)) if known else None
    units = tuple(unit_symbol(axis.get("unit")) for axis in axes)
    return Axes(letters=found, scale=scale, units=units)


def numbers(values: Any, n: int) -> tuple[float, ...] | None:
    """Return `values` as floats; None unless they are `n` finite numbers other than zero."""
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
