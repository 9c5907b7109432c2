"""The sample image for napari's menu File > Open Sample."""

from __future__ import annotations

from typing import Any

from napari_lowdose import samples


def stem_low_dose() -> list[tuple[Any, dict[str, Any], str]]:
    """Return the simulated low-dose STEM image, and the specimen without noise, hidden below it.

    Returns
    -------
    list of (image, keywords, "image")
        As napari takes layers.
    """
    noisy, truth = samples.stem_low_dose()
    place = {"scale": (samples.PIXEL_SIZE,) * 2, "units": ("Å", "Å")}
    return [
        (truth, {"name": "STEM without noise", "visible": False, **place}, "image"),
        (noisy, {"name": "Low-dose STEM", **place}, "image"),
    ]
