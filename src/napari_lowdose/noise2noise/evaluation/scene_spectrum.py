"""Where in the spectrum the scene lies: what makes the estimated gain precise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tiles = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["SceneSpectrum", "scene_spectrum", "tile_spectrum"]

_STRONG = 0.5  # of the noise's power: from here on, tiles tell more than the whole image
_SIGNIFICANT = 3.0  # standard errors, of rings taken together
_MARGIN = 1.2  # beyond the outermost ring with scene in it: what falls off there
_MAX_PIXELS = 2**22  # read: of a longer stack, frames evenly spread


@dataclass(frozen=True, eq=False)
class SceneSpectrum:
    """Power of the scene in the cosine transform of tiles, from a pair alone.

    Attributes
    ----------
    strong : (side, side) bool array
        Coefficients in which the scene has at least half the power of the noise.
    weak : (side, side) bool array
        The other coefficients within the scene's band limit.
    weak_power, weak_error : float
        Mean square of the scene in the weak coefficients, per pixel, and its
        standard error.
    noise : float
        Variance of the noise of an exposure, the mean of both.
    first_share : float
        Share that the first exposure has in the noise variance of the two.
    """

    strong: Mask
    weak: Mask
    weak_power: float
    weak_error: float
    noise: float
    first_share: float


def scene_spectrum(first: Any, second: Any, side: int) -> SceneSpectrum:
    r"""Measure where the scene lies, by what the two exposures have in common.

    In the orthonormal cosine transform (DCT-II) of tiles, the product of the
    two exposures' coefficients is, in expectation, the scene's power: their
    noise is independent.  Beyond the band limit, where rings of coefficients
    show nothing significant any more, there is no scene: a microscope passes
    none.

    Parameters
    ----------
    first, second : (..., Y, X) array
        The exposures, the second in the units of the first.
    side : int
        Of the tiles, pixels; 32 is right for images of 512 by 512 pixels.

    Returns
    -------
    SceneSpectrum

    Raises
    ------
    ValueError
        If the exposures are smaller than a tile.

    Notes
    -----
    Cosines and not a Fourier transform: a tile is no period of the scene, and
    the jump from one border to the other would spread the scene's power over
    the whole spectrum.  Both keep the sum of squares exactly.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scene = 9 * np.sin(np.arange(256) / 4) * np.ones((256, 1))
    >>> first, second = rng.normal(scene, 3), rng.normal(scene, 3)
    >>> spectrum = scene_spectrum(first, second, side=32)
    >>> f"noise {spectrum.noise:.1f}, strong {spectrum.strong.mean():.1%} of the spectrum"
    'noise 9.0, strong 1.3% of the spectrum'
    """
    if min(first.shape[-2:]) < side:
        raise ValueError(f"exposures of shape {first.shape} hold no tile of {side} pixels.")
    level = np.float64(np.asarray(first[(0,) * (first.ndim - 2)]).mean())
    one, two = (tile_spectrum(_tiles(exposure, side) - level) for exposure in (first, second))
    common = one * two
    noise = float(((one - two) ** 2).mean()) / 2
    inside = _within_band_limit(common)
    strong = inside & (common.mean(axis=0) > _STRONG * noise)
    strong[0, 0] = True  # the mean of a tile
    weak = inside & ~strong
    power = float(common[:, weak].sum()) / common.size
    return SceneSpectrum(
        strong, weak, power, _error(one, two, weak), noise, _first_share(one, two, strong)
    )


def tile_spectrum(tiles: NDArray[Any]) -> Tiles:
    """Return the orthonormal cosine transform of (n, side, side) tiles."""
    from scipy.fft import dctn

    spectrum: Tiles = dctn(np.asarray(tiles, dtype=np.float64), axes=(-2, -1), norm="ortho")
    return spectrum


def _tiles(exposure: Any, side: int) -> Tiles:
    """Cut frames, evenly spread over the leading axes, into tiles."""
    n = math.prod(exposure.shape[:-2])
    height, width = (length // side for length in exposure.shape[-2:])
    n_read = max(1, min(n, _MAX_PIXELS // math.prod(exposure.shape[-2:])))
    chosen = np.linspace(0, n - 1, n_read).round().astype(int)
    frames = [exposure[np.unravel_index(int(k), exposure.shape[:-2])] for k in chosen]
    whole = np.stack([np.asarray(frame)[: height * side, : width * side] for frame in frames])
    cut = whole.astype(np.float64).reshape(n_read, height, side, width, side)
    return cut.swapaxes(2, 3).reshape(-1, side, side)


def _within_band_limit(common: Tiles) -> Mask:
    """Mark the coefficients up to the outermost rings that show scene."""
    n, side, _ = common.shape
    index = np.arange(side)
    radius = np.hypot(index[:, None], index)
    ring = radius.round().astype(int)
    totals = np.stack([np.bincount(ring.ravel(), tile.ravel()) for tile in common])
    sums = np.cumsum(np.insert(totals, 0, 0.0, axis=1), axis=1)
    outermost = 0
    for width in (1, 2, 4, 8, 16):  # a faint scene shows in many rings together
        if width >= sums.shape[1] or n < 2:
            break
        window = sums[:, width:] - sums[:, :-width]
        error = window.std(axis=0, ddof=1) / math.sqrt(n)
        found = np.flatnonzero(window.mean(axis=0) > _SIGNIFICANT * error)
        if found.size:
            outermost = max(outermost, int(found[-1]) + (width - 1) // 2)
    limit: Mask = ring <= max(_MARGIN * outermost, outermost + 1)
    return limit


def _error(one: Tiles, two: Tiles, weak: Mask) -> float:
    """Return the standard error of the weak power.

    Of the noise alone: the tiles are the whole image, no sample of it.  Half the
    difference of both powers has the same variance as the common power, whatever the
    noise, and no expectation that varies with the scene.
    """
    if len(one) < 2 or not weak.any():
        return 0.0
    alike = (one[:, weak] ** 2 - two[:, weak] ** 2).sum(axis=1) / 2
    return float(alike.std(ddof=1)) * math.sqrt(len(one)) / one.size


def _first_share(one: Tiles, two: Tiles, strong: Mask) -> float:
    """Return the first's share in the noise, where the scene does not get in the way."""
    quiet = ~strong
    difference = one[:, quiet] - two[:, quiet]
    total = float((difference**2).sum())
    if total == 0:
        return 0.5
    return float(np.clip((one[:, quiet] * difference).sum() / total, 0.0, 1.0))
