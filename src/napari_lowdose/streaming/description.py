"""Validation of the attributes of a result: axes, pixel size and units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_lowdose.io.ome_zarr import order_of_axes
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def checked_attributes(attributes: Mapping[str, Any], ndim: int) -> dict[str, Any]:
    """Validate attributes and return them JSON-ready.

    Parameters
    ----------
    attributes : mapping
        ``axes``, ``scale`` and ``units`` are validated, others are returned unchanged.
    ndim : int
        Number of dimensions of the result.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If an attribute does not have one value per axis, or rows and columns are not last.

    Examples
    --------
    >>> import numpy as np
    >>> checked_attributes({"axes": "TYX", "scale": np.array([1, 0.5, 0.5])}, 3)
    {'axes': 'TYX', 'scale': [1.0, 0.5, 0.5]}
    """
    found = {name: value for name, value in attributes.items() if value is not None}
    if "axes" in found:
        found["axes"] = _axes(found["axes"], ndim)
    scale = found.pop("scale", None)
    if scale is not None:
        if getattr(scale, "ndim", 1) == 0 or isinstance(scale, str):
            raise _not_for_each("scale", scale, ndim)
        each = _for_each("scale", scale, ndim)
        found["scale"] = [_factor(getattr(size, "magnitude", size)) for size in each]
        if "units" not in found and any(hasattr(size, "units") for size in each):  # pint
            found["units"] = [getattr(size, "units", "pixel") for size in each]
    if "units" in found:
        each = _for_each("units", found["units"], ndim)
        found["units"] = [str(unit) for unit in each]
    return found


def _axes(axes: Any, ndim: int) -> str:
    letters = "".join(axes) if isinstance(axes, (str, list, tuple)) else ""
    if len(letters) != ndim or not letters.isalpha() or len(set(letters.upper())) != ndim:
        raise ValueError(
            f"axes takes a letter for each of the {ndim} axes, all different, for example "
            f"{'TCZYX'[-ndim:]!r}, not {axes!r}."
        )
    letters = letters.upper()
    if set(letters[-2:]) & set("TC"):
        raise ValueError(
            f"The axes are {letters}, and rows and columns must come last: give the image with its "
            "axes in that order (np.moveaxis)."
        )
    if order_of_axes(letters) != tuple(range(ndim)):
        warn(
            f"OME-Zarr has its axes in the order T, C, Z, Y, X, and these are {letters}: other "
            "programs may not open the result.",
            stacklevel=4,
        )
    return letters


def _for_each(name: str, values: Any, ndim: int) -> Sequence[Any]:
    try:
        each = [] if isinstance(values, str) else list(values)
    except TypeError:
        each = []
    if len(each) != ndim:
        raise _not_for_each(name, values, ndim)
    return each


def _not_for_each(name: str, values: Any, ndim: int) -> ValueError:
    return ValueError(f"{name} takes one for each of the {ndim} axes, not {values!r}.")


def _factor(size: Any) -> float:
    try:
        factor = float(size)
    except (TypeError, ValueError):
        factor = math.nan
    if not math.isfinite(factor) or factor == 0:
        raise ValueError(f"scale takes numbers other than zero, not {size!r}.")
    return factor
