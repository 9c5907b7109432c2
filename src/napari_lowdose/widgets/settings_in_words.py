"""The settings of a result in words, to name it by what differs from an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_lowdose.widgets.words import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 2**30
STRENGTHS: dict[str, dict[str, Any]] = {
    "faithful": {"stacks": "random"},
    "balanced": {"stacks": "alike", "deviations": "keep"},
    "strongest": {"stacks": "alike", "deviations": "average"},
}
WORDS = {None: "automatic", "psf": "PSF width", True: "on", False: "off"}
NOT_SETTINGS = ("start", "preview", "pixel_size", "pixel_unit", "affine", "channel_axis")


def what_differs(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the settings of `now` that differ from those `before`; empty if none does.

    Parameters
    ----------
    before, now : mapping from str to object
        Parameters in the records of two results.

    Examples
    --------
    >>> what_differs({"n_stacks": 5, "seed": 0}, {"n_stacks": None, "seed": 0})
    'stacks automatic'
    >>> random, alike = {"stacks": "random"}, {"stacks": "alike", "deviations": "keep"}
    >>> what_differs(random, alike)
    'strength balanced'
    >>> what_differs({"seed": 0}, {"seed": 0})
    ''
    """
    old, new = _settings(before), _settings(now)
    return ", ".join(f"{label} {value}" for label, value in new.items() if old.get(label) != value)


def _settings(parameters: Mapping[str, Any]) -> dict[str, str]:
    strength = next(
        (
            name
            for name, given in STRENGTHS.items()
            if all(parameters.get(key) == value for key, value in given.items())
        ),
        None,
    )
    settings = {} if strength is None else {"strength": strength}
    for name, value in parameters.items():
        # What makes a strength is no setting of its own, and neither is what was not asked for.
        if name in NOT_SETTINGS or (strength and name in ("stacks", "deviations")):
            continue
        if parameters.get("stacks") == "alike" and name in ("n_stacks", "memory_limit"):
            continue  # without effect
        settings[LABELS.get(name, name.replace("_", " "))] = _value(name, value)
    return settings


def _value(name: str, value: Any) -> str:
    if name == "memory_limit" and value:
        return f"{value / GIB:.2g} GiB"
    if isinstance(value, str | bool) or value is None:
        return WORDS.get(value, str(value))
    return f"{value:g}" if isinstance(value, float) else str(value)
