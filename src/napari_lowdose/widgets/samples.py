"""Sample images for File > Open Sample, each with its noise-free image as a hidden layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose import samples
from napari_lowdose.samples import chloroplasts, nuclei

if TYPE_CHECKING:
    from numpy.typing import NDArray

Layers = list[tuple[Any, dict[str, Any], str]]


def stem_low_dose() -> Layers:
    """Return the simulated low-dose STEM image above the hidden noise-free image.

    Returns
    -------
    list of (image, keywords, "image")
        Layer data tuples of napari.
    """
    noisy, truth = samples.stem_low_dose()
    place = _place("Å", samples.PIXEL_SIZE)
    return [
        (truth, {"name": "STEM without noise", "visible": False, **place}, "image"),
        (noisy, {"name": "Low-dose STEM", **place}, "image"),
    ]


def stem_pair() -> Layers:
    """Return two STEM exposures of a specimen with defects, above the hidden truth.

    Returns
    -------
    list of (image, keywords, "image")
        Layer data tuples of napari: truth, first, second.
    """
    first, second, truth = samples.stem_pair()
    return _pair("STEM", first, second, truth, _place("Å", samples.PIXEL_SIZE))


def nuclei_pair() -> Layers:
    """Return two low-dose exposures of fluorescent nuclei, above the hidden truth.

    Returns
    -------
    list of (image, keywords, "image")
        Layer data tuples of napari: truth, first, second.
    """
    first, second, truth = samples.nuclei_pair()
    return _pair("Nuclei", first, second, truth, _place("µm", nuclei.PIXEL_SIZE))


def beamsplitter_frame() -> Layers:
    """Return a camera frame with two views of fluorescent nuclei, above the hidden truth.

    Returns
    -------
    list of (image, keywords, "image")
        Layer data tuples of napari; the metadata hold the true shift, regions and ratio.
    """
    frame, truth = samples.beamsplitter_frame()
    return _camera("Beamsplitter frame", frame, truth, _place("µm", nuclei.PIXEL_SIZE), 320)


def beamsplitter_movie() -> Layers:
    """Return a camera movie with two views of streaming chloroplasts, above the hidden truth.

    Returns
    -------
    list of (movie, keywords, "image")
        Layer data tuples of napari; the metadata hold the true shift, regions and ratio.
    """
    movie, truth = samples.beamsplitter_movie()
    place = _place("µm", chloroplasts.PIXEL_SIZE)
    place["scale"] = (1 / samples.FRAMES_PER_SECOND, *place["scale"])
    place["units"] = ("s", *place["units"])
    place["axis_labels"] = ("t", "y", "x")
    return _camera("Beamsplitter movie", movie, truth, place, 192)


def _place(unit: str, pixel_size: float) -> dict[str, Any]:
    return {"scale": (pixel_size,) * 2, "units": (unit,) * 2, "axis_labels": ("y", "x")}


def _pair(
    name: str,
    first: NDArray[Any],
    second: NDArray[Any],
    truth: NDArray[Any],
    place: dict[str, Any],
) -> Layers:
    """Return the layers of a pair, with common contrast limits."""
    common = {"contrast_limits": _limits(first, truth), **place}
    # The truth at the bottom and hidden, so that the exposures are suggested as the pair.
    return [
        (truth, {"name": f"{name} without noise", "visible": False, **common}, "image"),
        (first, {"name": f"{name}, first", **common}, "image"),
        (second, {"name": f"{name}, second", **common}, "image"),
    ]


def _camera(
    name: str, noisy: NDArray[Any], truth: NDArray[Any], place: dict[str, Any], side: int
) -> Layers:
    """Return the layers of a camera image behind the splitter, with square views of `side`."""
    splitter = samples.Beamsplitter()
    known = {
        "true shift of the second view (dy, dx), pixels": splitter.shift,
        "views (y0, y1, x0, x1)": splitter.regions((side, side)),
        "share of the light in the first view": splitter.ratio,
        "offset": splitter.offset,
    }
    common = {"contrast_limits": _limits(noisy, truth), **place}
    return [
        (truth, {"name": f"{name} without noise", "visible": False, **common}, "image"),
        (noisy, {"name": name, "metadata": known, **common}, "image"),
    ]


def _limits(noisy: NDArray[Any], truth: NDArray[Any]) -> tuple[float, float]:
    """Return common contrast limits: from the darkest true to nearly the brightest noisy pixel."""
    first_frame = (0,) * (truth.ndim - 2)
    return float(truth[first_frame].min()), float(np.percentile(noisy[first_frame], 99.5))
