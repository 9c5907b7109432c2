"""Histograms of several images over the same bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.io.arrays import as_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

N_BINS = 128
CLIPPED = 0.05  # percentage of the pixels beyond each end
SAMPLE = 2**20  # pixels of each image


class Histograms(NamedTuple):
    """Histograms over the same bins.

    Attributes
    ----------
    edges : (k + 1,) float64 array
        Grey levels.
    density : dict of str to (k,) float64 array
        Of each image, per grey level: the area is 1.
    """

    edges: NDArray[np.float64]
    density: dict[str, NDArray[np.float64]]


def histograms(images: Mapping[str, Any]) -> Histograms:
    """Return the histograms of some images of the same grey levels.

    Parameters
    ----------
    images : mapping of str to (Y, X) array
        At least one.  NaN and infinite pixels are left out.

    Returns
    -------
    Histograms
        Over the range of the widest image, but for 0.05 % of its pixels at each end.

    Raises
    ------
    ValueError
        If an image is not a single frame, or has no finite pixel.

    Examples
    --------
    >>> ramp = np.arange(100.0).reshape(10, 10)
    >>> found = histograms({"raw": ramp, "result": np.full((10, 10), 50.0)})
    >>> bool(np.allclose((found.density["raw"] * np.diff(found.edges)).sum(), 1, atol=0.05))
    True
    """
    frames = {name: as_frame(image, f"the image {name!r}") for name, image in images.items()}
    samples = {name: _sample(frame, name) for name, frame in frames.items()}
    ends = [np.percentile(each, (CLIPPED, 100 - CLIPPED)) for each in samples.values()]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    n_bins = N_BINS
    if all(frame.dtype.kind in "iu" for frame in frames.values()):
        n_bins = int(min(n_bins, max(1, high - low + 1)))  # counts: no empty bins between them
    edges = np.linspace(low, high if high > low else low + 1, n_bins + 1)
    density = {
        name: np.histogram(each, edges)[0] / (each.size * np.diff(edges))
        for name, each in samples.items()
    }
    return Histograms(edges, density)


def _sample(frame: Any, name: str) -> NDArray[np.float64]:
    step = max(1, int(np.ceil(np.sqrt(frame.size / SAMPLE))))
    pixels = np.asarray(frame[::step, ::step], np.float64)
    finite = pixels[np.isfinite(pixels)]
    if not finite.size:
        raise ValueError(f"The image {name!r} has no finite pixel: there is no histogram of it.")
    return finite
