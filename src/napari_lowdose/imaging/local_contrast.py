"""Contrast of each pixel to its surroundings, and the standard error that noise gives it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

SITE = 6.25  # PSF widths per standard deviation of the site: the best filter for single atoms
SURROUNDINGS = 3.0  # standard deviation of the surroundings, relative to that of the site


def site_sigma(psf_width: float) -> float:
    """Return the standard deviation of a site, pixels."""
    return max(1.0, psf_width / SITE)


def contrast_reach(psf_width: float) -> int:
    """Return the distance of the farthest rows and columns that enter the contrast, pixels."""
    return int(np.ceil(4 * SURROUNDINGS * site_sigma(psf_width)))


class LocalContrast:
    r"""Gaussian mean of a site minus that of its surroundings.

    .. math:: C[u] = \frac{G_\sigma * (m u)}{G_\sigma * m} - \frac{G_{3\sigma} * (m u)}
              {G_{3\sigma} * m}, \qquad \sigma = \max(1, w / 6.25)

    with the PSF width :math:`w` and the mask :math:`m` of valid pixels.  Noise that is
    uncorrelated between pixels, of variance :math:`v`, gives :math:`C[u]` the variance
    :math:`C^2[v]`, with the square of each weight.

    Parameters
    ----------
    valid : (Y, X) bool array
        Pixels to use.  Outliers and an info bar are left out.
    psf_width : float
        Pixels.
    surroundings : bool
        Whether to subtract the mean of the surroundings.

    Examples
    --------
    >>> contrast = LocalContrast(np.ones((64, 64), bool), psf_width=9)
    >>> noise = np.random.default_rng(0).normal(0, 3, (64, 64))
    >>> z = contrast(noise) / np.sqrt(contrast.variance(np.full((64, 64), 9.0)))
    >>> print(f"{z.std():.1f}")
    1.0
    """

    def __init__(
        self, valid: NDArray[np.bool_], psf_width: float, surroundings: bool = True
    ) -> None:
        sigma = site_sigma(psf_width)
        reach = contrast_reach(psf_width)
        x = np.arange(-reach, reach + 1)
        self._site, self._around = (
            np.exp(-0.5 * (x / s) ** 2) / (np.sqrt(2 * np.pi) * s)
            for s in (sigma, SURROUNDINGS * sigma)
        )
        self._around *= surroundings
        self._has_surroundings = surroundings  # if not, half of the convolutions give 0
        self._valid = valid.astype(np.float64)
        # Dividing by the weights inside the image makes the means right at its border, too.
        tiny = np.finfo(np.float32).tiny
        self._site_total = np.maximum(_separable(self._valid, self._site), tiny)
        self._around_total = self._site_total
        if surroundings:
            self._around_total = np.maximum(_separable(self._valid, self._around), tiny)

    def __call__(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Return the local contrast of an image.

        Parameters
        ----------
        image : (Y, X) array

        Returns
        -------
        (Y, X) float64 array
            In the units of `image`.
        """
        pixels = image * self._valid
        site = _separable(pixels, self._site) / self._site_total
        if not self._has_surroundings:
            return np.asarray(site)
        around = _separable(pixels, self._around) / self._around_total
        return np.asarray(site - around)

    def variance(self, variance: NDArray[Any]) -> NDArray[np.float64]:
        """Return the variance of the local contrast.

        Parameters
        ----------
        variance : (Y, X) array
            Noise variance of each pixel.

        Returns
        -------
        (Y, X) float64 array
        """
        return np.maximum(self._sum(variance, 2), 0)

    def standard_error(self, noise: PoissonGaussian, level: NDArray[Any]) -> NDArray[np.float64]:
        """Return the standard error of the local contrast of an image of known intensity.

        Parameters
        ----------
        noise : PoissonGaussian
        level : (Y, X) array
            Expected intensity, for example a denoised image.

        Returns
        -------
        (Y, X) float64 array
            At least the contrast of a single electron or photon: where none is expected, the
            variance is 0, and one of them would be infinitely significant.  For additive noise it
            is infinite where no pixel is valid.
        """
        electron = noise.gain * float(self._site.max() ** 2 - self._around.max() ** 2)
        variance = np.maximum(self.variance(noise.variance(level)), electron**2)
        return np.sqrt(np.where(variance > 0, variance, np.inf))

    def z_score(
        self,
        difference: NDArray[Any],
        noise: PoissonGaussian,
        level: NDArray[Any],
        error: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        r"""Return the local contrast of noise, as a standard normal variable.

        A few electrons are skewed: large sums are more frequent than small ones.  The skewness
        :math:`g` of the contrast is therefore taken out (Wilson and Hilferty),

        .. math:: z = \frac{6}{g} \left[ \left( 1 + \frac{g}{2} \frac{C}{s} \right)^{1/3}
                  - 1 \right] + \frac{g}{6}

        Parameters
        ----------
        difference : (Y, X) array
            Image minus its expected intensity.
        noise : PoissonGaussian
        level : (Y, X) array
            Expected intensity.
        error : (Y, X) array, optional
            Its `standard_error`, if it is known.

        Returns
        -------
        (Y, X) float64 array
        """
        if error is None:
            error = self.standard_error(noise, level)
        z = self(difference) / error
        if noise.gain == 0:
            return z
        poisson = noise.variance(level) - noise.read_noise**2
        skewness = self._sum(noise.gain * poisson, 3) / error**3
        skewness = np.maximum(skewness, 1e-3)  # the limit is z itself
        return np.asarray(6 / skewness * (np.cbrt(1 + skewness * z / 2) - 1) + skewness / 6)

    def _sum(self, image: NDArray[Any], power: int) -> NDArray[np.float64]:
        """Sum pixels with a power of the weights of the contrast (binomial formula)."""
        pixels = image * self._valid
        total = np.zeros(self._valid.shape)
        for k in range(power + 1 if self._has_surroundings else 1):
            weights = self._site ** (power - k) * self._around**k
            scale = self._site_total ** (power - k) * self._around_total**k
            total += (-1) ** k * math.comb(power, k) * _separable(pixels, weights) / scale
        return total


def _separable(image: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve rows and columns with symmetric weights; 0 outside of the image."""
    for axis in (0, 1):
        image = scipy.ndimage.correlate1d(image, weights, axis, mode="constant")
    return np.asarray(image)
