"""Parameter validation: return a plain Python value, or raise one clear sentence.

`parameter_help` reads the description of a parameter from its docstring, so that tooltips and
command line help never repeat it.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return the string of `allowed` that `value` equals; enumerations of strings may."""
    for each in allowed:
        if isinstance(value, str) and value == each:
            return each
    choices = ", ".join(repr(each) for each in allowed)
    raise ValueError(f"{name} must be one of {choices}, not {value!r:.100}.")


def flag(name: str, value: Any) -> bool:
    """Return `value` as a Python bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, not {value!r:.100}.")
    return bool(value)


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return `value` as a Python int; 8.0 is a whole number, True is not."""
    value = _scalar(value)
    if not is_finite(value) or value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}, not {value!r:.100}.")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, not {value!r:.100}.")
    return int(value)


def positive(name: str, value: Any, most: float = math.inf) -> float:
    """Return `value` as a Python number: an int stays one."""
    value = _scalar(value)
    if not is_finite(value) or value <= 0:
        raise ValueError(f"{name} must be a positive number, not {value!r:.100}.")
    if value > most:
        raise ValueError(f"{name} must be at most {most:g}, not {value!r:.100}.")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def finite_numbers(values: Any) -> tuple[float, ...] | None:
    """Return a sequence of finite numbers as floats; None if it is anything else."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, (tuple, list)) or not all(map(is_finite, values)):
        return None
    return tuple(map(float, values))


def device_name(value: Any) -> str:
    """Return the name of a device: a string or a torch.device; None is "auto"."""
    if value is None:
        return "auto"
    # Not by isinstance: torch takes seconds to import
    is_device = type(value).__name__ == "device" and type(value).__module__ == "torch"
    if not isinstance(value, str) and not is_device:
        raise ValueError(
            f"device must be a name such as 'auto', 'cpu' or 'cuda:1', not {value!r:.100}."
        )
    return str.lower(value).strip() if isinstance(value, str) else str(value)


def is_finite(value: object) -> bool:
    """Whether `value` is a finite real number; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond every float
        return False


def _scalar(value: Any) -> Any:
    """Return a number out of NumPy or torch, an array without axes included, as a plain one."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def parameter_help(owner: type[Any]) -> dict[str, str]:
    """Return the description of each parameter in a numpydoc docstring, each on one line.

    Parameters
    ----------
    owner : class

    Returns
    -------
    dict
        Parameter name to description.

    Examples
    --------
    >>> from napari_lowdose import Reucid
    >>> parameter_help(Reucid)["seed"]
    'Seed of all random choices. The same seed gives the same result.'
    """
    from docstring_parser import numpydoc

    parameters = numpydoc.parse(owner.__doc__ or "").params
    return {
        p.arg_name: " ".join((p.description or "").replace("`", "").split()) for p in parameters
    }
