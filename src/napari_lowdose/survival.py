"""Fraction of a known change of one site that survives denoising."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.denoise import denoise
from napari_lowdose.evidence import checked_frame, checked_noise, valid_pixels
from napari_lowdose.image_or_pair import check_engine
from napari_lowdose.imaging.local_contrast import LocalContrast
from napari_lowdose.reucid.noise_estimate import estimate_noise
from napari_lowdose.reucid.psf_width import psf_width as estimate_psf_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

SPOT = 4.5  # PSF widths per standard deviation of a spot, see `psf_width`
REACH = 4.0  # radius of the planted spot, standard deviations
ROUNDING = 0.2  # minimum error of the grey levels, electrons: they may be rounded
VISIBLE = 3.0  # minimum contrast of a site, standard errors


@dataclass(frozen=True, eq=False)
class Survival:
    """Fraction of a planted contrast that survives denoising; see `survival`.

    Attributes
    ----------
    share : float
        Mean fraction that survives: 1 if the change is kept, 0 if it is lost.
    error : float
        Standard error of `share`; NaN for a single draw.
    shares : (k, n) float64 array
        Fraction for each site and draw.
    planted : (k,) float64 array
        Planted change of the centre of each site, grey levels.  Negative if it is dimmed.
    visibility : (k,) float64 array
        Planted contrast in standard errors of the noise.  Below 3 it can hardly be distinguished
        from noise in the raw image, so no method can promise to keep it.
    noise : PoissonGaussian
        Noise of the image.
    """

    share: float
    error: float
    shares: NDArray[np.float64]
    planted: NDArray[np.float64]
    visibility: NDArray[np.float64]
    noise: PoissonGaussian

    def __str__(self) -> str:
        """Return the result in one sentence."""
        error = "" if math.isnan(self.error) else f" ± {self.error:.2f}"
        return (
            f"{self.share:.2f}{error} of the planted contrast survives "
            f"({np.abs(self.visibility).mean():.1f} standard errors of the noise in the image)"
        )


def survival(
    image: Any,
    engine: Engine,
    at: Sequence[float] | ArrayLike,
    contrast: float = -0.5,
    n: int = 5,
    noise: PoissonGaussian | None = None,
    seed: int = 0,
    *,
    psf_width: int | None = None,
) -> Survival:
    r"""Dim or brighten a site of an image, and measure how much of the change is left.

    A spot :math:`\Delta` as wide as the PSF is planted into the raw image, with the noise that
    belongs to it, and the image is denoised with and without it.  With the contrast :math:`C` of
    the site to its surroundings (`napari_lowdose.imaging.local_contrast.LocalContrast`) the
    surviving fraction is

    .. math:: \frac{C[D(y + \Delta)] - C[D(y)]}{C[\Delta]}

    where :math:`D` is the engine.

    Parameters
    ----------
    image : (Y, X) array
        Raw image with finite pixels, any real dtype.
    engine : Engine
        Method for a single image, or a trained network.
    at : (2,) or (k, 2) array
        Position (y, x) of the site, pixels, or of several sites.  Each is changed by itself.
    contrast : float
        Change, as a fraction of the contrast of the site to its surroundings: -1 removes the
        site, -0.5 halves it, 0.5 adds half of it.
    n : int
        Number of noise draws for each site.
    noise : PoissonGaussian, optional
        Noise of `image`; by default that of `estimate_noise`.
    seed : int
        Seed of the noise draws.
    psf_width : int, optional
        Width of the spot, pixels; by default that of `image`.

    Returns
    -------
    Survival

    Raises
    ------
    ValueError
        If the image cannot be denoised, the site is outside of it or does not stand out of the
        noise, or if the engine takes a pair.

    Warns
    -----
    UserWarning
        If the planted contrast is below 3 standard errors of the noise.

    Notes
    -----
    To dim a pixel, its electrons are thinned: their number is drawn given the grey level and the
    read noise, each of them is removed with the same probability, and the read noise stays.  To
    brighten it, electrons are added.  Both give exactly the Poisson-Gaussian noise of the changed
    specimen.  Additive noise (a gain of 0) does not change.

    The noise of the image itself is the same in all draws.  For an error that includes it, give
    several sites of the same kind.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import PoissonGaussian, Reucid
    >>> y, x = np.mgrid[:96, :96]
    >>> truth = 20 + 200 * np.exp(-((y % 16 - 8) ** 2 + (x % 16 - 8) ** 2) / 8)
    >>> image = np.random.default_rng(0).poisson(truth)
    >>> noise = PoissonGaussian(gain=1, offset=0, read_noise=0)
    >>> kept = survival(image, Reucid(patch_size="psf"), at=(40, 56), noise=noise)
    >>> bool(kept.share > 0.9)
    True
    """
    check_engine(engine)
    if engine.takes == "pair":
        raise ValueError(
            f"{type(engine).__name__} takes a pair: train it first, and give the trained network."
        )
    frame = checked_frame(image, "the image")
    noise = checked_noise(noise)
    sites = _checked_sites(at, frame.shape)
    if not (math.isfinite(contrast) and contrast != 0 and contrast >= -1):
        raise ValueError(
            f"contrast is a fraction from -1 (removes the site) upward and not 0, not {contrast}."
        )
    if n < 1:
        raise ValueError(f"n, the number of noise draws, is at least 1, not {n}.")
    noise = noise or estimate_noise(image)
    width = psf_width or estimate_psf_width(frame)
    local = LocalContrast(valid_pixels(frame), width)
    level = _level(frame, noise, width)
    contrasts, errors = local(frame), local.standard_error(noise, level)
    before = local(np.asarray(denoise(frame, engine)))

    shares = np.empty((len(sites), n))
    planted, visibility = np.empty(len(sites)), np.empty(len(sites))
    for k, site in enumerate(sites):
        pixel = tuple(np.rint(site).astype(int))
        if abs(contrasts[pixel]) < VISIBLE * errors[pixel]:
            raise ValueError(
                f"The site at y={site[0]:g}, x={site[1]:g} stands out of its surroundings by "
                f"{abs(contrasts[pixel]) / errors[pixel]:.1f} standard errors of the noise only: "
                f"choose one with at least {VISIBLE:g}."
            )
        spot = _spot(frame.shape, site, width / SPOT)
        height = contrast * contrasts[pixel] / local(spot)[pixel]
        spot_change = Change(frame, height * spot, level, noise)
        expected = local(spot_change.expected)[pixel]
        planted[k] = spot_change.expected[pixel]
        visibility[k] = expected / errors[pixel]
        for draw in range(n):
            changed = spot_change.draw(np.random.default_rng([seed, k, draw]))
            after = local(np.asarray(denoise(changed, engine)))
            shares[k, draw] = (after - before)[pixel] / expected
    if (weakest := float(np.abs(visibility).min())) < VISIBLE:
        warnings.warn(
            f"the planted contrast is {weakest:.1f} standard errors of the noise, so it can hardly "
            "be seen in the raw image: no method can promise to keep it.",
            UserWarning,
            stacklevel=2,
        )
    # Draws at one site share the noise of the image, so that sites are the independent samples.
    samples = shares.mean(axis=1) if len(sites) > 1 else shares[0]
    error = float(samples.std(ddof=1) / math.sqrt(len(samples))) if len(samples) > 1 else math.nan
    return Survival(float(shares.mean()), error, shares, planted, visibility, noise)


class Change:
    """Change of the expected intensity of an image, with the noise that belongs to it.

    Parameters
    ----------
    image : (Y, X) array
    change : (Y, X) array
        Change of the expected intensity, grey levels.
    level : (Y, X) array
        Expected intensity before.  A pixel cannot be dimmed below the offset.
    noise : PoissonGaussian

    Attributes
    ----------
    expected : (Y, X) float64 array
        Mean of `draw` minus the image.  Where it is dimmed, it is proportional to the electrons
        that the pixel has, not to those of `level`, which is only an estimate.
    """

    def __init__(
        self, image: NDArray[Any], change: NDArray[Any], level: NDArray[Any], noise: PoissonGaussian
    ) -> None:
        self._image, self._noise = np.asarray(image, np.float64), noise
        self.expected = np.array(change, np.float64)
        if noise.gain == 0:
            return
        self._darker, self._brighter = change < 0, change > 0
        electrons = np.maximum(level[self._darker] - noise.offset, 0) / noise.gain
        removed = -change[self._darker] / noise.gain
        tiny = np.finfo(float).tiny
        self._removed_share = np.clip(removed / np.maximum(electrons, tiny), 0, 1)
        self._numbers, self._cumulative = self._posterior(electrons)
        probabilities = np.diff(self._cumulative, axis=1, prepend=0)
        mean = np.sum(self._numbers * probabilities, axis=1)
        self.expected[self._darker] = -noise.gain * self._removed_share * mean

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the changed image, with new noise of the change.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        (Y, X) float64 array
        """
        gain = self._noise.gain
        if gain == 0:
            return self._image + self.expected
        image = self._image.copy()
        image[self._brighter] += gain * rng.poisson(self.expected[self._brighter] / gain)
        quantile = rng.random((len(self._numbers), 1))
        chosen = np.argmax(self._cumulative >= quantile, axis=1)
        electrons = np.take_along_axis(self._numbers, chosen[:, np.newaxis], axis=1)[:, 0]
        image[self._darker] -= gain * rng.binomial(electrons, self._removed_share)
        return image

    def _posterior(
        self, expected: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the distribution of the number of electrons of each pixel that is dimmed.

        It is given by the expected number and by the grey level, with its read noise.
        """
        counts = (self._image[self._darker] - self._noise.offset) / self._noise.gain
        read = max(self._noise.read_noise / self._noise.gain, ROUNDING)
        if not counts.size:
            return np.zeros((0, 1), np.int64), np.ones((0, 1))
        # The number is between grey level and expectation, or a few standard deviations beyond.
        low, high = np.minimum(counts, expected), np.maximum(counts, expected)
        reach = 8 * np.sqrt(np.maximum(high, 0) + 1)
        first = np.maximum(np.floor(low - reach), 0).astype(np.int64)
        width = int(np.ceil(np.max(np.maximum(high + reach, 0) - first))) + 1
        numbers = first[:, np.newaxis] + np.arange(width)
        mean = np.maximum(expected, 1e-9)[:, np.newaxis]
        log = scipy.stats.poisson.logpmf(numbers, mean)
        log -= 0.5 * ((counts[:, np.newaxis] - numbers) / read) ** 2
        probabilities = np.exp(log - log.max(axis=1, keepdims=True))
        cumulative = np.cumsum(probabilities, axis=1)
        cumulative /= cumulative[:, -1:]
        return numbers, cumulative


def _level(frame: NDArray[Any], noise: PoissonGaussian, width: int) -> NDArray[np.float64]:
    """Return the expected intensity: Gaussian means, sharpened so that spots keep their height."""
    sigma = max(1.0, width / 9)
    blurred = scipy.ndimage.gaussian_filter(frame, sigma)
    level = 2 * blurred - scipy.ndimage.gaussian_filter(blurred, sigma)
    return np.asarray(np.maximum(level, noise.offset) if noise.gain > 0 else level)


def _spot(shape: tuple[int, ...], site: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return a Gaussian spot of height 1."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    squared = ((y - site[0]) ** 2 + (x - site[1]) ** 2) / sigma**2
    return np.where(squared < REACH**2, np.exp(-0.5 * squared), 0.0)


def _checked_sites(at: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the sites as a (k, 2) array of positions inside the image."""
    try:
        sites = np.atleast_2d(np.asarray(at, np.float64))
    except (TypeError, ValueError):
        sites = np.empty((0, 0))
    if sites.ndim != 2 or sites.shape[1] != 2 or not len(sites):
        raise ValueError(f"at is a position (y, x), or several of them, not {at!r}.")
    for y, x in sites:
        if not (0 <= y <= shape[0] - 1 and 0 <= x <= shape[1] - 1):  # also refuses NaN
            raise ValueError(
                f"The site at y={y:g}, x={x:g} is outside of the image of {shape[0]} x "
                f"{shape[1]} pixels."
            )
    return sites
