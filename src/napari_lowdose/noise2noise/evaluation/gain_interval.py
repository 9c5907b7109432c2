"""How good is the result?  The gain in PSNR, told by the pair alone, without a clean image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.noise2noise.evaluation.scene_spectrum import SceneSpectrum, tile_spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GainInterval", "gain_interval"]

_CONFIDENCE = 0.95
_FEWEST_TILES = 3
_DOMINATES = 10.0  # times the noise of all other tiles: outliers, and no gain can be told


@dataclass(frozen=True)
class GainInterval:
    """Between what and what the gain in PSNR over one exposure lies, with 95 % confidence.

    Attributes
    ----------
    low, high : float
        Decibels.  `high` is infinite where the error left in the result is too
        small to be told from none; `low` is minus infinity where nothing is known.
    """

    low: float
    high: float

    def __str__(self) -> str:
        """Return '9.8 to 10.6 dB', 'at least 17 dB' or 'not known'."""
        if math.isinf(self.low):
            return "not known"
        if math.isinf(self.high):
            return f"at least {math.floor(self.low)} dB"
        return f"{_decibels(self.low)} to {_decibels(self.high)} dB"


def gain_interval(
    r1: NDArray[Any],
    r2: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    spectrum: SceneSpectrum | None = None,
    *,
    use: Literal["both", "first"] = "both",
) -> GainInterval:
    r"""Estimate the gain on tiles that training never saw.

    With the outputs :math:`R_1 = R(\hat I')`, :math:`R_2 = R(\hat I'')` and
    noise that is independent in the two exposures, the mean squares

    .. math::

       e_{11} &= \langle R_1^2 - 2 R_1 \hat I'' + \hat I' \hat I'' \rangle, \qquad
       e_{22} = \langle R_2^2 - 2 R_2 \hat I' + \hat I' \hat I'' \rangle, \\
       e_{12} &= \langle (R_1 - \hat I') (R_2 - \hat I'') \rangle

    are without bias those of the errors of either output and their product.
    The error of the mean of both, :math:`M`, is :math:`(e_{11} + e_{22} + 2 e_{12}) / 4`,
    which can be written

    .. math:: e = \langle (\hat I' - R_1)(\hat I'' - R_2) \rangle
       + \tfrac14 \langle (R_1 - R_2)^2 \rangle
       = \langle M^2 - R_1 \hat I'' - R_2 \hat I' \rangle + \langle \hat I' \hat I'' \rangle:

    what both outputs lack, and what they disagree in.  The gain is
    :math:`10 \log_{10} (\sigma^2 / e)` with the noise variance of an exposure,
    :math:`\sigma^2 = \langle (\hat I' - \hat I'')^2 \rangle / 2`.

    The scatter comes from the product of both noises, :math:`\sigma^2 / \sqrt N`
    for N pixels, which beside a small error is large.  A `spectrum` of the whole
    pair confines it.  In the cosine transform of the tiles

    - strong coefficients, where the scene is, are estimated as above;
    - in weak ones the last term, :math:`\langle \hat I' \hat I'' \rangle`, the
      scene's own power, is taken from the whole pair (ten times the pixels):
      still without bias;
    - beyond the band limit the scene's power is taken to be nothing, and all
      that the output has there counts as error.  What a scene may hide there
      without being seen is, at most, about :math:`3 \sigma^2 / \sqrt{N_\text{pair}}`
      (and usually far less), with the pixels of the whole pair.

    Parameters
    ----------
    r1, r2 : (n, side, side) arrays
        The network's output on the held-out tiles, in the input's units, for
        the first and the second exposure; each a function of its own exposure,
        of training that did not have these tiles as target, and of nothing else.
    first, second : (n, side, side) arrays
        The exposures there, the second in the units of the first.
    spectrum : SceneSpectrum, optional
        Of the whole pair, for tiles of this side; without it, full band.
    use : {"both", "first"}
        Whether the result is the mean of both outputs, or the first one.

    Returns
    -------
    GainInterval
        The scatter is that of the tiles, with Student's t; so the interval
        covers as well what other tiles of this image would have said.  Unknown
        for fewer than 3 tiles, without noise, and where one tile has ten times the
        noise of all others together: outliers.

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    Notes
    -----
    With ``use="first"``, e\ :sub:`11` as it stands scatters with the product of
    scene and noise.  Used is :math:`\langle (\hat I' - R_1)(\hat I'' - R_2)
    \rangle + w \langle (R_1 - R_2)^2 \rangle`, where w is the first's share in
    the noise, 1/2 for equal exposures: the same for a network that amplifies
    the noise of both alike.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> first, second = rng.normal(100, 5, (2, 25, 32, 32))
    >>> r1, r2 = (100 + 0.3 * (image - 100) for image in (first, second))  # 0.3²/2: 13.5 dB
    >>> print(gain_interval(r1, r2, first, second))
    13.2 to 14.3 dB
    """
    shapes = {image.shape for image in (r1, r2, first, second)}
    if len(shapes) > 1 or first.ndim != 3:
        raise ValueError(f"the tiles must all have one shape (n, side, side), not {shapes}.")
    if spectrum is not None and first.shape[1:] != spectrum.strong.shape:
        raise ValueError(
            f"the tiles of {first.shape[1:]} pixels and the spectrum of tiles of "
            f"{spectrum.strong.shape} do not fit together."
        )
    if len(first) < _FEWEST_TILES:
        return GainInterval(-math.inf, math.inf)
    error, noise = _tile_errors(r1, r2, first, second, spectrum, use)
    largest_noise = float(noise.max())
    if not noise.mean() > 0 or largest_noise > _DOMINATES * (noise.sum() - largest_noise):
        return GainInterval(-math.inf, math.inf)
    ratio = float(error.mean() / noise.mean())
    # Where there is more noise there is more error: the ratio scatters less than either
    scatter = (error - ratio * noise) / noise.mean()
    margin = _student(len(error)) * float(scatter.std(ddof=1)) / math.sqrt(len(error))
    if spectrum is not None:
        ratio += spectrum.weak_power / spectrum.noise
        margin = math.hypot(margin, _student(math.inf) * spectrum.weak_error / spectrum.noise)
    # No error is negative, whatever the estimate
    largest, smallest = max(ratio, 0.0) + margin, ratio - margin
    low = -10 * math.log10(largest) if largest > 0 else math.inf
    return GainInterval(low, -10 * math.log10(smallest) if smallest > 0 else math.inf)


def _tile_errors(
    r1: NDArray[Any],
    r2: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    spectrum: SceneSpectrum | None,
    use: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean squared error (without the weak power) and noise variance of each tile."""
    level = first.mean(dtype=np.float64)
    out1, out2, one, two = (
        tile_spectrum(tiles.astype(np.float64) - level) for tiles in (r1, r2, first, second)
    )
    difference = (out1 - out2) ** 2
    error = ((out1 + out2) / 2) ** 2
    if spectrum is None:
        share = 0.5
        error += one * two - out1 * two - out2 * one
    else:
        share = spectrum.first_share
        error += np.where(spectrum.strong, one * two, 0.0)
        error -= np.where(spectrum.strong | spectrum.weak, out1 * two + out2 * one, 0.0)
    if use == "first":
        error += (share - 0.25) * difference
    noise = (one - two) ** 2 / 2
    return error.mean(axis=(1, 2)), noise.mean(axis=(1, 2))


def _student(n: float) -> float:
    """Return how many standard errors the interval reaches to each side, for n values."""
    from scipy.stats import norm, t

    quantile = (1 + _CONFIDENCE) / 2
    return float(norm.ppf(quantile) if math.isinf(n) else t.ppf(quantile, n - 1))


def _decibels(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0")
