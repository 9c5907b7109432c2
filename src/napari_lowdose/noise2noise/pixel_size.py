"""Pixel size: a network knows structure in pixels, so images need the one it was trained at."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any, Protocol

_UNLIKE = 1.25  # times larger or smaller: a lattice of 8 pixels is then one of 10
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
_NO_UNIT |= {"inch", "inches", "in"}  # dots per inch are for printers: 72 by default


class HasPixelSize(Protocol):
    """A network, or anything else that has a pixel size."""

    @property
    def pixel_size(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def pixel_unit(self) -> str | None: ...  # noqa: D102


def pixel_size_warning(model: HasPixelSize, pixel_size: Any, unit: Any) -> str | None:
    """Compare the pixel size of an image with the one that a network was trained at.

    Parameters
    ----------
    model : Noise2NoiseModel
    pixel_size : float, (float, float) or None
        Of the image: height and width, or one number for both.  The sign does not matter.
    unit : str, pint.Unit or None
        Of `pixel_size`: "nm", "angstrom", "µm", "micrometer" ...

    Returns
    -------
    str or None
        A sentence if the two differ by a factor of 1.25 or more, or if the network does not
        know the pixel size of its training images.  None if they agree, or if the pixel size
        of the image is unknown.

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
            f"this image has a pixel size of {_in_words(here, str(unit))}, and the network does "
            "not know the one it was trained at: it fits images of about the same pixel size only."
        )
    factor = _conversion(unit, model.pixel_unit)
    if factor is None:
        return None
    here = (here[0] * factor, here[1] * factor)
    ratios = [max(a / b, b / a) for a, b in zip(here, trained, strict=True)]
    if max(ratios) < _UNLIKE * (1 - 1e-6):
        return None
    name = str(model.pixel_unit)
    return (
        f"this network was trained at a pixel size of {_in_words(trained, name)}, and this image "
        f"has {_in_words(here, name)}: it may blur or miss detail, or change the contrast. Train a "
        "network at this pixel size, or resample the exposures before training."
    )


def checked_pixel_size(pixel_size: Any, unit: Any) -> tuple[tuple[float, float] | None, str | None]:
    """Return pixel size and unit as plain values.

    Parameters
    ----------
    pixel_size : float, (float, float) or None
    unit : str, pint.Unit or None

    Returns
    -------
    pixel_size : (float, float) or None
        None if either is unknown, or the unit is the pixel itself.
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
    """Return height and width; None where they are not positive numbers."""
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
    """Return by what to multiply a length in `unit` to have it in `wanted`; None if unknown."""
    one, other = _key(unit), _key(wanted)
    if one in _NO_UNIT or other in _NO_UNIT:
        return None
    if one in _METRES and other in _METRES:
        return _METRES[one] / _METRES[other]
    return 1.0 if one == other else None  # the same, whatever it means: "1/nm"


def _key(unit: Any) -> str:
    r"""Return a unit in one spelling: "µm", "\\u00B5m" (ImageJ) and "um" are one."""
    key = "" if unit is None else str(unit).strip()
    key = key.replace("\\u00B5", "u").replace("\N{MICRO SIGN}", "u").replace("μ", "u")
    key = key.replace("\\u00C5", "å").lower()  # lower case of either angstrom sign is å
    singular = key.removesuffix("s")
    return singular if singular in _METRES else key


def _in_words(lengths: tuple[float, float], unit: str) -> str:
    height, width = (f"{length:.3g}" for length in lengths)
    return f"{height} {unit}" if height == width else f"{height} x {width} {unit}"
