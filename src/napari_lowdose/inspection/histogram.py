"""Histograms of several images over the same bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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
        At least one.

    Returns
    -------
    Histograms
        Over the range of the widest image, but for 0.05 % of its pixels at each end.

    Examples
    --------
    >>> found = histograms({"raw": np.arange(100.0), "result": np.full(100, 50.0)})
    >>> bool(np.allclose((found.density["raw"] * np.diff(found.edges)).sum(), 1, atol=0.05))
    True
    """
    samples = {name: _sample(image) for name, image in images.items()}
    ends = [np.percentile(each, (CLIPPED, 100 - CLIPPED)) for each in samples.values()]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    n_bins = N_BINS
    if all(np.issubdtype(np.asarray(image).dtype, np.integer) for image in images.values()):
        n_bins = int(min(n_bins, max(1, high - low + 1)))  # counts: no empty bins between them
    edges = np.linspace(low, high if high > low else low + 1, n_bins + 1)
    density = {
        name: np.histogram(each, edges)[0] / (each.size * np.diff(edges))
        for name, each in samples.items()
    }
    return Histograms(edges, density)


def _sample(image: Any) -> NDArray[Any]:
    pixels = np.asarray(image)
    step = max(1, int(np.ceil(np.sqrt(pixels.size / SAMPLE))))
    return pixels[(slice(None, None, step),) * pixels.ndim].ravel()
