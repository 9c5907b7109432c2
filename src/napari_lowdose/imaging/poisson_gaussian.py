r"""Poisson-Gaussian noise, and its variance stabilisation.

An electron or photon counts as :math:`\alpha` grey levels.  A pixel of expected intensity
:math:`x` is

.. math:: y = \alpha P + g + N, \qquad P \sim Poisson((x - g) / \alpha), \quad N \sim (0, \sigma^2)

with the gain :math:`\alpha`, the offset :math:`g` and the read noise :math:`\sigma`.  Its variance
grows linearly with its intensity.  The generalised Anscombe transform makes it 1 everywhere.

References
----------
M. Makitalo and A. Foi, "Optimal inversion of the generalized Anscombe transformation for
Poisson-Gaussian noise", IEEE Trans. Image Process. 22, 91 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.parameters import is_finite

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Above this number of electrons the Taylor series of the inverse is accurate to 1e-3 of the noise
_MANY = 100.0
_NODES = 41  # of the Gauss-Hermite quadrature over the read noise


@dataclass(frozen=True)
class PoissonGaussian:
    """Noise of a detector that counts electrons or photons.

    Parameters
    ----------
    gain : float
        Grey levels per electron or photon.  0 for additive noise, which does not depend on the
        intensity.
    offset : float
        Grey level of zero electrons.
    read_noise : float
        Standard deviation of the noise that does not depend on the intensity, grey levels.

    Raises
    ------
    ValueError
        If the gain or the read noise is negative or not finite, or if both are 0.

    Examples
    --------
    >>> noise = PoissonGaussian(gain=2.0, offset=100.0, read_noise=3.0)
    >>> noise.variance([100, 150]).tolist()
    [9.0, 109.0]
    """

    gain: float
    offset: float
    read_noise: float

    def __post_init__(self) -> None:
        values = self.gain, self.offset, self.read_noise
        if not all(map(is_finite, values)) or self.gain < 0 or self.read_noise < 0:
            raise ValueError(
                "The gain and the read noise must be zero or positive, and the offset finite: got "
                f"gain={self.gain!r}, offset={self.offset!r}, read_noise={self.read_noise!r}."
            )
        if self.gain == self.read_noise == 0:
            raise ValueError("There is no noise: gain and read noise are both 0.")

    def variance(self, level: ArrayLike) -> NDArray[np.float64]:
        """Return the noise variance of pixels of the given expected intensity.

        Parameters
        ----------
        level : array
            Expected intensity, grey levels.  Below `offset` there are no electrons.

        Returns
        -------
        array of the same shape, grey levels squared
        """
        electrons = np.maximum(np.asarray(level, np.float64) - self.offset, 0)
        return np.asarray(self.gain * electrons + self.read_noise**2)

    def draw(self, level: ArrayLike, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return a noisy image of the given expected intensity.

        Parameters
        ----------
        level : array
            Expected intensity, grey levels.  Below `offset` there are no electrons.
        rng : numpy.random.Generator

        Returns
        -------
        array of the same shape, grey levels

        Examples
        --------
        >>> noise = PoissonGaussian(gain=2.0, offset=100.0, read_noise=3.0)
        >>> image = noise.draw(np.full((256, 256), 150.0), np.random.default_rng(0))
        >>> print(f"{image.mean():.0f}, {image.var():.0f}")
        150, 108
        """
        expected = np.asarray(level, np.float64)
        read = rng.normal(0, self.read_noise, expected.shape)
        if self.gain == 0:
            return np.asarray(expected + read)
        electrons = rng.poisson(np.maximum(expected - self.offset, 0) / self.gain)
        return np.asarray(self.gain * electrons + self.offset + read)

    def stabilise(self, image: ArrayLike) -> NDArray[np.float32]:
        r"""Transform an image to noise of variance 1 (generalised Anscombe transform).

        .. math:: z = \frac{2}{\alpha}
                  \sqrt{\alpha (y - g) + \tfrac{3}{8} \alpha^2 + \sigma^2}

        Parameters
        ----------
        image : array
            Grey levels.

        Returns
        -------
        float32 array of the same shape
        """
        levels = np.asarray(image, np.float64) - self.offset
        if self.gain == 0:
            return np.asarray(levels / self.read_noise, np.float32)
        inside = levels / self.gain + 0.375 + (self.read_noise / self.gain) ** 2
        return np.asarray(2 * np.sqrt(np.maximum(inside, 0)), np.float32)

    def unstabilise(self, stabilised: ArrayLike) -> NDArray[np.float32]:
        """Transform a denoised image back to grey levels, exactly unbiased.

        The mean of a root is not the root of the mean.  The inverse is therefore that of the
        expected value of `stabilise`, not of its formula, which loses 9 dB at one electron per
        pixel.

        Parameters
        ----------
        stabilised : array
            Denoised image, in units of the noise.

        Returns
        -------
        float32 array of the same shape
            Grey levels.  They can be below `offset`, as nothing is clipped.
        """
        values = np.asarray(stabilised, np.float64)
        if self.gain == 0:
            return np.asarray(values * self.read_noise + self.offset, np.float32)
        read = self.read_noise / self.gain
        # Taylor series of the mean to the second order: z = 2 t - 1 / (4 t), with t the root of
        # the mean of the radicand.
        root = (values + np.sqrt(values**2 + 2)) / 4
        found = root**2 - 0.375 - read**2
        if read**2 < _MANY:
            electrons, expected, _ = _moments_of_root(round(read, 6))
            # Below no electrons at all: along the first chord, as nothing is clipped.
            slope = (electrons[1] - electrons[0]) / (expected[1] - expected[0])
            few = np.interp(values, expected, electrons)
            few += np.minimum(values - expected[0], 0) * slope
            found = np.where(values < expected[-1], few, found)
        return np.asarray(found * self.gain + self.offset, np.float32)

    def stabilised_variance(self, stabilised: ArrayLike) -> NDArray[np.float64]:
        """Return the variance that is left after `stabilise`.

        It is 1, except below a few electrons per pixel, where it falls to that of the read noise.

        Parameters
        ----------
        stabilised : array
            Denoised image, in units of the noise.

        Returns
        -------
        array of the same shape
        """
        values = np.asarray(stabilised, np.float64)
        if self.gain == 0 or self.read_noise**2 >= _MANY * self.gain**2:
            return np.ones_like(values)
        _, expected, variance = _moments_of_root(round(self.read_noise / self.gain, 6))
        return np.asarray(np.interp(values, expected, variance, right=1.0))


def checked_noise(noise: Any) -> PoissonGaussian | None:
    """Return `noise`; raise a ValueError if it is neither a `PoissonGaussian` nor None."""
    if noise is None or isinstance(noise, PoissonGaussian):
        return noise
    raise ValueError(
        f"noise is a PoissonGaussian(gain, offset, read_noise) or None, not {noise!r}."
    )


@lru_cache(maxsize=64)
def _moments_of_root(read_noise: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Tabulate the mean and the variance of the stabilised pixel.

    Parameters
    ----------
    read_noise : float
        Electrons.

    Returns
    -------
    electrons, expected, variance : (k,) float64 array
        Expected number of electrons, ascending; mean and variance of the stabilised pixel.
    """
    electrons = np.concatenate([[0.0], np.geomspace(1e-2, _MANY, 300)])
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights /= weights.sum()
    counts = np.arange(int(_MANY + 12 * np.sqrt(_MANY)))
    inside = counts[:, np.newaxis] + read_noise * nodes + 0.375 + read_noise**2
    squares = 4 * np.maximum(inside, 0)
    # Not by scipy.stats, whose import takes longer than all the rest
    mean = electrons[:, np.newaxis]
    probabilities = np.exp(
        scipy.special.xlogy(counts, mean) - scipy.special.gammaln(counts + 1) - mean
    )
    expected = probabilities @ (np.sqrt(squares) @ weights)
    variance = probabilities @ (squares @ weights) - expected**2
    return electrons, expected, variance
