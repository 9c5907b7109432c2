"""Contrast of a point, such as an atom, against its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.imaging.local_contrast import site_sigma
from napari_lowdose.io.arrays import as_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEIGHBOURS = 6
REACH = 8  # PSF widths within which neighbours are looked for
ONE_SITE = 0.6  # PSF widths within which a maximum is the point itself
DARK = 5  # percentile of the surroundings that is the background


@dataclass(frozen=True, eq=False)
class PointContrast:
    """Contrast of a point against its neighbours; see `point_contrast`.

    Attributes
    ----------
    level : float
        Of the point, grey levels.
    neighbours : (k,) float64 array
        Levels of the neighbours.
    positions : (k, 2) float64 array
        (y, x) of the neighbours, pixels.
    background : float
        Grey level between the points.
    """

    level: float
    neighbours: NDArray[np.float64]
    positions: NDArray[np.float64]
    background: float

    @property
    def relative(self) -> float:
        """Height of the point over the background, relative to that of its neighbours."""
        height = float(self.neighbours.mean()) - self.background
        return (self.level - self.background) / height if height > 0 else math.nan

    @property
    def deviations(self) -> float:
        """Difference to the neighbours in their standard deviations; NaN for fewer than three."""
        if len(self.neighbours) < 3:
            return math.nan
        spread = float(self.neighbours.std(ddof=1))
        return (self.level - float(self.neighbours.mean())) / spread if spread else math.nan

    def __str__(self) -> str:
        """Return the contrast in one line."""
        text = f"{self.relative:.2f} times as high as its {len(self.neighbours)} neighbours"
        if math.isfinite(self.deviations):
            text += f" ({self.deviations:+.1f} of their standard deviations)"
        return text


def point_contrast(image: Any, point: Sequence[float], psf_width: float) -> PointContrast:
    """Compare the level of a point with those of the nearest maxima around it.

    Levels are Gaussian means of the size of a site, as in `napari_lowdose.evidence`.  The point
    itself need not be a maximum: at a vacancy it is none.

    Parameters
    ----------
    image : (Y, X) array
    point : (float, float)
        (y, x), pixels.  It is moved to the nearest maximum within a quarter of the PSF width.
    psf_width : float
        Pixels.

    Returns
    -------
    PointContrast

    Raises
    ------
    ValueError
        If the image is not a single frame, or the point is outside of it or has no maxima around
        it.

    Examples
    --------
    >>> y, x = np.mgrid[:96, :96]
    >>> image = np.exp(-((y % 16 - 8) ** 2 + (x % 16 - 8) ** 2) / 8)
    >>> image[32:48, 48:64] /= 2
    >>> print(point_contrast(image, (40, 56), psf_width=9))
    0.50 times as high as its 6 neighbours
    """
    from skimage.feature import peak_local_max

    y, x = (float(at) for at in point)
    image = as_frame(image)
    height, width = image.shape
    if not (0 <= y <= height - 1 and 0 <= x <= width - 1):
        raise ValueError(f"The point y={y:g}, x={x:g} is outside of the image.")
    reach = math.ceil(REACH * psf_width)
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    part = np.asarray(image[top : int(y) + reach + 1, left : int(x) + reach + 1], np.float64)
    smooth = scipy.ndimage.gaussian_filter(part, site_sigma(psf_width), mode="nearest")
    at = np.array([y - top, x - left])
    maxima = peak_local_max(  # type: ignore[no-untyped-call]
        smooth, min_distance=max(1, int(psf_width / 3)), exclude_border=1
    ).astype(np.float64)
    distance = np.hypot(*(maxima - at).T) if len(maxima) else np.array([])
    if distance.size and distance.min() <= max(1.0, psf_width / 4):
        at = maxima[distance.argmin()]
        distance = np.hypot(*(maxima - at).T)
    # Maxima of the noise between the points are no neighbours.
    background = float(np.percentile(smooth, DARK))
    levels = smooth[tuple(maxima.astype(int).T)] if len(maxima) else np.array([])
    high = levels > (background + levels.max(initial=background)) / 3
    others = np.flatnonzero((distance > ONE_SITE * psf_width) & high)
    nearest = others[np.argsort(distance[others])][:NEIGHBOURS]
    if not nearest.size:
        raise ValueError("There are no maxima around this point to compare it with.")
    level = float(scipy.ndimage.map_coordinates(smooth, at[:, np.newaxis], order=1)[0])
    return PointContrast(level, levels[nearest], maxima[nearest] + [top, left], background)
