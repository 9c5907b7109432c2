"""Layout file: the calibration of a beamsplitter as JSON.

docs/pairs.md describes the format.  The layout imports this module, so its fields are a plain
dictionary here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lowdose.io.atomic import atomic_write
from napari_lowdose.pairs.view_map import checked_matrix
from napari_lowdose.parameters import finite_numbers, is_finite, one_of, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "napari-lowdose beamsplitter layout"
VERSION = 1
LARGEST = 2**20  # bytes, far beyond any layout
SHIFTS = ("shift", "shift_error", "fraction")
NUMBERS = ("gain", "offset", "correlation", "noise_corrected_correlation")
OF_DISTORTION = ("rotation", "rotation_error", "magnification", "magnification_error", "at_corners")


def save_layout(path: str | os.PathLike[str], fields: Mapping[str, Any]) -> None:
    """Save the fields of a layout to a file, atomically; see `SplitLayout.save`."""
    content = json.dumps({"format": FORMAT, "version": VERSION, **fields}, indent=2) + "\n"
    with atomic_write(path) as file:
        file.write(content.encode())


def load_layout(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a layout from its file; see `SplitLayout.load`."""
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"a layout is loaded from the path of its file, not from {path!r:.100}.")
    path = Path(path)
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    try:
        about = json.loads(content) if len(content) <= LARGEST else None
    except (ValueError, RecursionError):  # not JSON, or not even text
        about = None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(
            f"{path.name} is not the layout of a beamsplitter: choose a file that "
            "SplitLayout.save has written."
        )
    if about.get("version") != VERSION:
        raise ValueError(
            f"{path.name} was written by a newer version of napari-lowdose (format "
            f"{about.get('version')!r:.20}; this version reads format {VERSION}): upgrade "
            "napari-lowdose."
        )
    try:
        return _fields(about)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{path.name} is damaged ({error}): measure the layout again with split_frame."
        ) from error


def _fields(about: dict[str, Any]) -> dict[str, Any]:
    """Return the fields; raises an error if one is missing or makes no sense."""
    shape = _whole(about, "shape", 2)
    fields: dict[str, Any] = {
        "axis": one_of("axis", about["axis"], ("side by side", "above")),
        "mirrored": about["mirrored"] and one_of("mirrored", about["mirrored"], ("x", "y")),
        "shape": shape,
        "integer_shift": _whole(about, "integer_shift", 2, least=-max(shape)),
    }
    for name in ("regions", "views"):
        first, second = about[name]
        fields[name] = _region(name, first, shape), _region(name, second, shape)
    (y0, y1, x0, x1), (v0, v1, u0, u1) = fields["regions"]
    if (y1 - y0, x1 - x0) != (v1 - v0, u1 - u0):
        raise ValueError("its regions differ in size")
    for name in SHIFTS:
        values = finite_numbers(about[name])
        if values is None or len(values) != 2:
            raise ValueError(f"{name} is not two numbers")
        fields[name] = values
    if max(map(abs, fields["fraction"])) > 1:
        raise ValueError("fraction is more than a pixel")
    fields |= {name: _number(about, name) for name in NUMBERS}
    if fields["gain"] == 0:
        raise ValueError("gain is 0")
    fields["distortion"] = distortion = about["distortion"]
    if distortion is not None:
        fields["distortion"] = {
            **{name: _number(distortion, name) for name in OF_DISTORTION},
            "significant": bool(distortion["significant"]),
        }
        if distortion.get("residual") is not None:  # optional
            fields["distortion"]["residual"] = _number(distortion, "residual")
    if about.get("affine") is not None:
        fields["affine"] = checked_matrix(about["affine"])
    return fields


def _number(about: dict[str, Any], name: str) -> float:
    if not is_finite(about[name]):
        raise ValueError(f"{name} is not a number")
    return float(about[name])


def _whole(about: dict[str, Any], name: str, n: int, least: int = 1) -> tuple[int, ...]:
    values = tuple(whole_number(name, value, least) for value in about[name])
    if len(values) != n:
        raise ValueError(f"{name} has {len(values)} numbers, not {n}")
    return values


def _region(name: str, region: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    y0, y1, x0, x1 = values = tuple(whole_number(name, value, 0) for value in region)
    if not (y0 < y1 <= shape[0] and x0 < x1 <= shape[1]):
        raise ValueError(f"{name} are not within the frame")
    return values
