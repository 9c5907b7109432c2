"""What is known of the shift between two layers, remembered with the second of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image

SHIFT_KEY = "napari-lowdose pair"


def remember_shift(first: Image, second: Image, shift: tuple[float, float]) -> None:
    """Write into the metadata of `second` by how many pixels its scene lies off that of `first`."""
    second.metadata[SHIFT_KEY] = {"first": first.name, "shift": [float(each) for each in shift]}


def known_shift(first: Image, second: Image) -> tuple[float, float]:
    """Return the shift (dy, dx) of `second` against `first`, pixels; zero if nothing is known."""
    for one, other, sign in ((first, second, 1), (second, first, -1)):
        known = other.metadata.get(SHIFT_KEY, {})
        if known.get("first") == one.name:
            dy, dx = known["shift"]
            return sign * float(dy), sign * float(dx)
    return 0.0, 0.0
