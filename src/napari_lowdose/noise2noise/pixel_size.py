"""Pixel size of the training images, and a warning if that of an image differs.

A network learns the size of structures in pixels, so it is only suitable for images of about the
same pixel size.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any, Protocol

_MAX_RATIO = 1.25  # of two pixel sizes: a lattice of 8 pixels becomes one of 10
_PREFIXES = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "c": 1e-2, "k": 1e3}
_NAMES = {
    "femto": 1e-15, "pico": 1e-12, "nano": 1e-9, "micro": 1e-6, "milli": 1e-3, "centi": 1e-2,
    "kilo": 1e3, "": 1.0,
}  # fmt: skip
_METRES = {
    **{f"{prefix}m": size for prefix, size in _PREFIXES.items()},
    **{f"{name}met{end}": size for name, size in _NAMES.items() for end in ("er", "re")},
    **dict.fromkeys(("a", "å", "ang", "angstrom", "ångström", "ångstrom", "angström"), 1e-10),
    "micron": 1e-6,
}
_NO_UNIT = {"", "pixel", "pixels", "px", "none", "dimensionless", "<undefined>", "unknown"}
_NO_UNIT |= {"inch", "inches", "in"}  # print resolution, such as the default of 72 dots per inch


class HasPixelSize(Protocol):
    """An object with a pixel size, such as a network."""

    @property
    def pixel_size(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def pixel_unit(self) -> str | None: ...  # noqa: D102


def pixel_size_warning(model: HasPixelSize, pixel_size: Any, unit: Any) -> str | None:
    """Compare the pixel size of an image with that of the training images of a network.

    Parameters
    ----------
    model : Noise2NoiseModel
    pixel_size : float, (float, float) or None
        Height and width of a pixel of the image, or one number for both.  The sign is ignored.
    unit : str, pint.Unit or None
        Unit of `pixel_size`, for example "nm", "angstrom", "µm" or "micrometer".

    Returns
    -------
    str or None
        A warning if the two differ by a factor of 1.25 or more, or if that of the training images
        is unknown.  None if they agree, or if the pixel size of the image is unknown.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(pixel_size=(0.1, 0.1), pixel_unit="nm")
    >>> pixel_size_warning(model, (1.0, 1.0), "angstrom")
    >>> print(pixel_size_warning(model, 0.4, "nm")[:79])
    this network was trained at a pixel size of 0.1 nm, and this image has 0.4 nm:
    """
    trained, here = _lengths(model.pixel_size), _lengths(pixel_size)
    if here is None or unit is None or _key(unit) in _NO_UNIT:
        return None
    if trained is None:
        return (
            f"this image has a pixel size of {_in_words(here, str(unit))}, but the one that the "
            "network was trained at is unknown: it is only suitable for about the same pixel size."
        )
    factor = _conversion(unit, model.pixel_unit)
    if factor is None:
        return None
    here = (here[0] * factor, here[1] * factor)
    ratios = [max(a / b, b / a) for a, b in zip(here, trained, strict=True)]
    if max(ratios) < _MAX_RATIO * (1 - 1e-6):
        return None
    name = str(model.pixel_unit)
    return (
        f"this network was trained at a pixel size of {_in_words(trained, name)}, and this image "
        f"has {_in_words(here, name)}: the result may be blurred, or detail or contrast may be "
        "wrong. Train a network at this pixel size, or resample the exposures before training."
    )


def checked_pixel_size(pixel_size: Any, unit: Any) -> tuple[tuple[float, float] | None, str | None]:
    """Validate a pixel size and its unit.

    Parameters
    ----------
    pixel_size : float, (float, float) or None
    unit : str, pint.Unit or None

    Returns
    -------
    pixel_size : (float, float) or None
        Height and width.  None if it or its unit is unknown, or if the unit is the pixel.
    unit : str or None

    Raises
    ------
    ValueError
        If the pixel size is not one or two positive numbers.
    """
    if pixel_size is None:
        return None, None
    lengths = _lengths(pixel_size)
    if lengths is None:
        raise ValueError(
            f"pixel_size must be a positive number, or (height, width), not {pixel_size!r}."
        )
    if unit is None or _key(unit) in _NO_UNIT:
        return None, None
    return lengths, str(unit).strip()


def _lengths(pixel_size: Any) -> tuple[float, float] | None:
    """Return height and width; None unless both are positive numbers."""
    given = pixel_size if isinstance(pixel_size, Iterable) else (pixel_size,)
    lengths = []
    for length in given:
        if isinstance(length, bool) or not isinstance(length, numbers.Real):
            return None
        lengths.append(abs(float(length)))
        if not 0 < lengths[-1] < math.inf:
            return None
    if len(lengths) not in (1, 2):
        return None
    return lengths[0], lengths[-1]


def _conversion(unit: Any, wanted: Any) -> float | None:
    """Return the factor that converts lengths in `unit` to `wanted`; None if unknown."""
    one, other = _key(unit), _key(wanted)
    if one in _NO_UNIT or other in _NO_UNIT:
        return None
    if one in _METRES and other in _METRES:
        return _METRES[one] / _METRES[other]
    return 1.0 if one == other else None  # any unit equals itself, for example "1/nm"


def _key(unit: Any) -> str:
    r"""Normalise the spelling of a unit: "µm", "\\u00B5m" (ImageJ) and "um" are the same."""
    key = "" if unit is None else str(unit).strip()
    key = key.replace("\\u00B5", "u").replace("\N{MICRO SIGN}", "u").replace("μ", "u")
    key = key.replace("\\u00C5", "å").lower()  # both angstrom signs become å
    singular = key.removesuffix("s")
    return singular if singular in _METRES else key


def _in_words(lengths: tuple[float, float], unit: str) -> str:
    height, width = (f"{length:.3g}" for length in lengths)
    return f"{height} {unit}" if height == width else f"{height} x {width} {unit}"
