"""Fourier ring correlation of two exposures, with two thresholds of resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.inspection.pixel_scale import PIXELS, PixelScale
from napari_lowdose.metrics import first_below, frc

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SEVENTH = 1 / 7


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """Fourier ring correlation and its crossings; see `ring_correlation`.

    Attributes
    ----------
    frequency : (k,) float64 array
        1/unit.
    correlation : (k,) float64 array
        From -1 to 1.
    half_bit : (k,) float64 array
        Correlation at which a ring has half a bit of information per pixel.
    at_seventh, at_half_bit : float
        Frequency of the first crossing below 1/7 and below `half_bit`, 1/unit.  NaN if there is
        none.  0 if the first ring is below 1/7, and if no ring is above `half_bit`.
    scale : PixelScale
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    half_bit: NDArray[np.float64]
    at_seventh: float
    at_half_bit: float
    scale: PixelScale

    def __str__(self) -> str:
        """Return the resolution, in one sentence."""
        return (
            f"The exposures agree down to {self._detail(self.at_seventh)} (1/7), and to "
            f"{self._detail(self.at_half_bit)} (half a bit)."
        )

    def _detail(self, crossing: float) -> str:
        if math.isnan(crossing):
            return "two pixels, the finest possible detail"
        return f"{1 / crossing:.3g} {self.scale.unit}" if crossing else "no detail at all"


def ring_correlation(
    first: ArrayLike, second: ArrayLike, *, scale: PixelScale = PIXELS
) -> RingCorrelation:
    r"""Return the Fourier ring correlation of two exposures, `napari_lowdose.metrics.frc`.

    Two thresholds are crossed: 1/7, and half a bit of information,

    .. math:: T = \frac{0.2071 + 1.9102 / \sqrt n}{1.2071 + 0.9102 / \sqrt n}

    with the number of pixels :math:`n` of a ring.

    Parameters
    ----------
    first, second : (Y, X) array
        Two aligned exposures of one scene with independent noise.
    scale : PixelScale
        Pixels that are not square are taken for squares as wide as high, on the mean.

    Returns
    -------
    RingCorrelation

    Raises
    ------
    ValueError
        As `napari_lowdose.metrics.frc`.

    References
    ----------
    M. van Heel and M. Schatz, "Fourier shell correlation threshold criteria", J. Struct. Biol.
    151, 250 (2005).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = np.kron(rng.normal(size=(32, 32)), np.ones((4, 4)))
    >>> found = ring_correlation(*(scene + rng.normal(0, 1, (2, 128, 128))))
    >>> bool(0.1 < found.at_seventh < 0.3)
    True
    """
    found = frc(first, second)
    size = math.sqrt(scale.height * scale.width)
    frequency = found.frequencies / size
    height, width = np.shape(first)[-2:]
    n = 2 * np.pi * found.frequencies / min(height, width) * height * width  # pixels of a ring
    half_bit = (0.2071 + 1.9102 / np.sqrt(n)) / (1.2071 + 0.9102 / np.sqrt(n))
    # The first rings have few pixels, so that half a bit is much, and in crystals no structure
    begun = int(np.argmax(found.correlation >= half_bit))
    return RingCorrelation(
        frequency,
        found.correlation,
        half_bit,
        first_below(frequency, found.correlation, SEVENTH),
        first_below(frequency[begun:], found.correlation[begun:], half_bit[begun:]),
        scale,
    )
