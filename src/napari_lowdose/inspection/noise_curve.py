"""Variance of the residual against intensity, beside that of the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.inspection.residual import LEAST_VARIANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.inspection.residual import Residual

N_BINS = 12
LEAST = 100  # pixels of a bin


class NoiseCurve(NamedTuple):
    """Variance of the residual against intensity.

    Attributes
    ----------
    levels : (k,) float64 array
        Mean intensity of the result in each bin, grey levels.
    variances : (k,) float64 array
        Mean square of the residual, grey levels squared.
    expected : (k,) float64 array
        Variance of the noise there.
    """

    levels: NDArray[np.float64]
    variances: NDArray[np.float64]
    expected: NDArray[np.float64]

    @property
    def ratio(self) -> NDArray[np.float64]:
        """Variance of the residual over that of the noise."""
        least = LEAST_VARIANCE * float(self.expected.mean())
        return self.variances / np.maximum(self.expected, least)


def noise_curve(raw: Any, result: Any, residual: Residual) -> NoiseCurve:
    """Return the variance of the residual in bins of the intensity of the result.

    Parameters
    ----------
    raw, result : (Y, X) array
    residual : Residual

    Returns
    -------
    NoiseCurve
        Bins of as many pixels each, from dark to bright.
    """
    step = max(1, int(np.sqrt(np.size(raw) / 2**21)))  # pixels enough for a percent
    part = (slice(None, None, step),) * 2
    valid = residual.valid[part]
    level = np.asarray(result[part], np.float64)[valid]
    squares = (np.asarray(raw[part], np.float64)[valid] - level) ** 2
    edges = np.unique(np.quantile(level, np.linspace(0, 1, N_BINS + 1)))[1:-1]
    bins = np.searchsorted(edges, level, side="right")
    n = np.bincount(bins)
    filled = n >= min(LEAST, n.max())
    sums = (
        np.bincount(bins, each)[filled] for each in (level, squares, residual.noise.variance(level))
    )
    levels, variances, expected = (total / n[filled] for total in sums)
    return NoiseCurve(levels, variances, expected)
