"""Confidence interval of the PSNR gain, from a pair of noisy exposures without a clean image.

The spectrum of the scene, measured on the whole pair, makes the interval narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.frames import evenly_spaced

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tiles = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = [
    "GainInterval",
    "SceneSpectrum",
    "cut_tiles",
    "error_difference",
    "gain_interval",
    "scene_spectrum",
]

_CONFIDENCE = 0.95
_FEWEST_TILES = 3
# Noise of one tile relative to that of all others together.  Above it there are outliers.
_DOMINATES = 10.0
# Power of the scene relative to the noise.  Above it, the tiles alone are more precise than the
# whole pair.
_STRONG = 0.5
_SIGNIFICANT = 3.0  # standard errors, of the power in several rings together
_MARGIN = 1.2  # the band limit lies this factor beyond the outermost significant ring
_MAX_PIXELS = 2**22  # of a longer stack, evenly spread frames are read


@dataclass(frozen=True)
class GainInterval:
    """95 % confidence interval of the PSNR gain over one exposure.

    Attributes
    ----------
    low, high : float
        Limits, dB.  `high` is infinite if the remaining error is too small to be
        measured.  `low` is minus infinity if nothing is known.
    """

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a lower limit."""
        return math.isfinite(self.low)

    def plus(self, decibels: float) -> GainInterval:
        """Return the interval of a gain that is larger by `decibels`."""
        return GainInterval(self.low + decibels, self.high + decibels)

    def over_unshifted(self, noise_left: float) -> GainInterval:
        """Return the gain relative to the noise before the first exposure was shifted.

        Parameters
        ----------
        noise_left : float
            Fraction of the variance of its noise that remains after the shift.
        """
        return self.plus(10 * math.log10(2 / (1 + noise_left)))

    def __str__(self) -> str:
        """Format as '9.8 to 10.6 dB', 'at least 17 dB' or 'not known'."""
        if math.isinf(self.low):
            return "not known"
        if math.isinf(self.high):
            return f"at least {math.floor(self.low)} dB"
        return f"{_decibels(self.low)} to {_decibels(self.high)} dB"


@dataclass(frozen=True, eq=False)
class SceneSpectrum:
    """Power spectrum of the scene, estimated from a pair of exposures.

    The coefficients are those of the cosine transform of tiles.

    Attributes
    ----------
    strong : (side, side) bool array
        Coefficients in which the scene has at least half the power of the noise.
    weak : (side, side) bool array
        The other coefficients within the band limit of the scene.
    weak_power, weak_error : float
        Mean square of the scene in the weak coefficients, per pixel, and its
        standard error.
    noise : float
        Noise variance of one exposure, the mean of both.
    first_share : float
        Noise variance of the first exposure as a fraction of the sum of both.
    """

    strong: Mask
    weak: Mask
    weak_power: float
    weak_error: float
    noise: float
    first_share: float


def gain_interval(
    r1: NDArray[Any],
    r2: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    spectrum: SceneSpectrum | None = None,
    *,
    use: Literal["both", "first"] = "both",
) -> GainInterval:
    r"""Estimate the PSNR gain on held-out tiles.

    With the outputs :math:`R_1 = R(\hat I')`, :math:`R_2 = R(\hat I'')` and
    independent noise in the two exposures, the means

    .. math::

       e_{11} &= \langle R_1^2 - 2 R_1 \hat I'' + \hat I' \hat I'' \rangle, \qquad
       e_{22} = \langle R_2^2 - 2 R_2 \hat I' + \hat I' \hat I'' \rangle, \\
       e_{12} &= \langle (R_1 - \hat I') (R_2 - \hat I'') \rangle

    are unbiased estimates of the mean squared errors of the outputs and of the
    mean product of their errors.  The mean of both outputs, :math:`M`, has the
    mean squared error :math:`(e_{11} + e_{22} + 2 e_{12}) / 4`, which equals

    .. math:: e = \langle (\hat I' - R_1)(\hat I'' - R_2) \rangle
       + \tfrac14 \langle (R_1 - R_2)^2 \rangle
       = \langle M^2 - R_1 \hat I'' - R_2 \hat I' \rangle + \langle \hat I' \hat I'' \rangle:

    signal missing in both outputs, and disagreement between them.  The gain is
    :math:`10 \log_{10} (\sigma^2 / e)`, where
    :math:`\sigma^2 = \langle (\hat I' - \hat I'')^2 \rangle / 2` is the noise
    variance of one exposure.

    The product of both noises gives the estimate a standard error of
    :math:`\sigma^2 / \sqrt N` for N pixels, which is large compared with a small
    :math:`e`.  The `spectrum` of the whole pair reduces it.  In the cosine
    transform of the tiles,

    - strong coefficients, which hold most of the scene, are estimated as above;
    - in weak coefficients the last term, :math:`\langle \hat I' \hat I'' \rangle`,
      is the power of the scene, and is measured on the whole pair, which has about
      ten times the pixels.  The estimate stays unbiased;
    - beyond the band limit the power of the scene is taken to be zero, so
      everything that the output has there counts as error.  Undetected power of
      the scene there is at most about :math:`3 \sigma^2 / \sqrt{N_\text{pair}}`,
      and usually far less, for :math:`N_\text{pair}` pixels in the pair.

    Parameters
    ----------
    r1, r2 : (n, side, side) arrays
        Outputs of the network for the first and the second exposure on the
        held-out tiles, in the units of the input.  Each must depend on its own
        exposure only, and training must not have used these tiles as target.
    first, second : (n, side, side) arrays
        The exposures on the same tiles, the second in the units of the first.
    spectrum : SceneSpectrum, optional
        Spectrum of the whole pair for tiles of the same side.  Without it, all
        coefficients count as strong.
    use : {"both", "first"}
        Whether the result is the mean of both outputs, or the first output.

    Returns
    -------
    GainInterval
        From the scatter of the tiles, by Student's t distribution.  It is unknown
        for fewer than 3 tiles, without noise, and if one tile has ten times the
        noise of all others together, which indicates outliers.

    Raises
    ------
    ValueError
        If the shapes do not match.

    Notes
    -----
    With ``use="first"``, the scatter of e\ :sub:`11` contains the product of
    scene and noise.  Therefore :math:`\langle (\hat I' - R_1)(\hat I'' - R_2)
    \rangle + w \langle (R_1 - R_2)^2 \rangle` is used instead, where w is the
    first exposure's fraction of the noise variance, 1/2 for equal exposures.
    The two are equal for a network that amplifies the noise of both exposures
    alike.

    References
    ----------
    Pair paper (Yang et al. 2023), Eq. (3): the network R.

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
        raise ValueError(f"all tiles must have the same shape (n, side, side), not {shapes}.")
    if spectrum is not None and first.shape[1:] != spectrum.strong.shape:
        raise ValueError(
            f"the tiles have shape {first.shape[1:]}, but the spectrum is for tiles of shape "
            f"{spectrum.strong.shape}."
        )
    if len(first) < _FEWEST_TILES:
        return GainInterval(-math.inf, math.inf)
    error, noise = _tile_errors(r1, r2, first, second, spectrum, use)
    largest_noise = float(noise.max())
    if not noise.mean() > 0 or largest_noise > _DOMINATES * (noise.sum() - largest_noise):
        return GainInterval(-math.inf, math.inf)
    ratio = float(error.mean() / noise.mean())
    # Tiles with more noise have more error, so the ratio scatters less than either of them
    scatter = (error - ratio * noise) / noise.mean()
    margin = _critical_value(len(error)) * float(scatter.std(ddof=1)) / math.sqrt(len(error))
    if spectrum is not None:
        ratio += spectrum.weak_power / spectrum.noise
        margin = math.hypot(
            margin, _critical_value(math.inf) * spectrum.weak_error / spectrum.noise
        )
    # The estimate of the error may be negative, the error itself may not
    largest, smallest = max(ratio, 0.0) + margin, ratio - margin
    low = -10 * math.log10(largest) if largest > 0 else math.inf
    return GainInterval(low, -10 * math.log10(smallest) if smallest > 0 else math.inf)


def error_difference(
    ours: tuple[NDArray[Any], NDArray[Any]],
    others: tuple[NDArray[Any], NDArray[Any]],
    first: NDArray[Any],
    second: NDArray[Any],
    spectrum: SceneSpectrum | None = None,
    *,
    use: Literal["both", "first"] = "both",
) -> float:
    """Compare two methods on the same tiles.

    The product of both noises, which dominates the scatter of `gain_interval`, is the same for
    both methods and cancels in the difference of their errors.

    Parameters
    ----------
    ours, others : tuple of two (n, side, side) arrays
        Outputs of each method for the first and the second exposure, as in `gain_interval`.
    first, second, spectrum, use
        As in `gain_interval`.

    Returns
    -------
    float
        Mean squared error of ours minus that of the others, in units of the noise variance; 0 if
        it is not known.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pair = rng.normal(100, 5, (2, 25, 32, 32))
    >>> ours, others = ([100 + s * (image - 100) for image in pair] for s in (0.2, 0.3))
    >>> round(error_difference(ours, others, *pair), 3)  # 0.2²/2 - 0.3²/2
    -0.026
    """
    (one, noise), (other, _) = (
        _tile_errors(*each, first, second, spectrum, use) for each in (ours, others)
    )
    if len(one) < _FEWEST_TILES or not noise.mean() > 0:
        return 0.0
    return float((one - other).mean() / noise.mean())


def _tile_errors(
    r1: NDArray[Any],
    r2: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    spectrum: SceneSpectrum | None,
    use: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean squared error, without the weak power, and noise variance of each tile."""
    level = first.mean(dtype=np.float64)
    out1, out2, one, two = (
        _tile_spectrum(tiles.astype(np.float64) - level) for tiles in (r1, r2, first, second)
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
        # 1/4 of the squared difference is in the error of the mean already
        error += (share - 0.25) * difference
    noise = (one - two) ** 2 / 2
    return error.mean(axis=(1, 2)), noise.mean(axis=(1, 2))


def _critical_value(n: float) -> float:
    """Return half the width of the interval in standard errors, for n values."""
    from scipy.stats import norm, t

    quantile = (1 + _CONFIDENCE) / 2
    return float(norm.ppf(quantile) if math.isinf(n) else t.ppf(quantile, n - 1))


def _decibels(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0")


def scene_spectrum(first: Any, second: Any, side: int) -> SceneSpectrum:
    r"""Estimate the power spectrum of the scene from a pair of exposures.

    In the orthonormal cosine transform (DCT-II) of tiles, the expected product of
    the coefficients of the two exposures is the power of the scene, because their
    noise is independent.  The band limit of the microscope is taken to lie where
    rings of coefficients show no significant power any more.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        The exposures, the second in the units of the first.
    side : int
        Side of a tile, pixels; 32 is suitable for images of 512 x 512 pixels.

    Returns
    -------
    SceneSpectrum

    Raises
    ------
    ValueError
        If the exposures are smaller than a tile.

    Notes
    -----
    The transform is a cosine transform because a tile is not periodic.  In a
    Fourier transform the jump between opposite borders would spread the power of
    the scene over the whole spectrum.  Both transforms preserve the sum of
    squares.

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
    # A large offset would cost precision in the squares below
    level = np.float64(np.asarray(first[(0,) * (first.ndim - 2)]).mean())
    one, two = (_tile_spectrum(cut_tiles(exposure, side) - level) for exposure in (first, second))
    common = one * two
    noise = float(((one - two) ** 2).mean()) / 2
    inside = _within_band_limit(common)
    strong = inside & (common.mean(axis=0) > _STRONG * noise)
    strong[0, 0] = True  # the mean of a tile
    weak = inside & ~strong
    power = float(common[:, weak].sum()) / common.size
    return SceneSpectrum(
        strong, weak, power, _weak_error(one, two, weak), noise, _first_share(one, two, strong)
    )


def _tile_spectrum(tiles: NDArray[Any]) -> Tiles:
    """Return the orthonormal cosine transform of (n, side, side) tiles."""
    from scipy.fft import dctn

    spectrum: Tiles = dctn(np.asarray(tiles, dtype=np.float64), axes=(-2, -1), norm="ortho")
    return spectrum


def cut_tiles(exposure: Any, side: int) -> Tiles:
    """Cut evenly spread frames of (..., Y, X) into (n, side, side) tiles."""
    n = math.prod(exposure.shape[:-2])
    height, width = (length // side for length in exposure.shape[-2:])
    chosen = evenly_spaced(n, max(1, _MAX_PIXELS // math.prod(exposure.shape[-2:])))
    frames = [exposure[np.unravel_index(k, exposure.shape[:-2])] for k in chosen]
    whole = np.stack([np.asarray(frame)[: height * side, : width * side] for frame in frames])
    cut = whole.astype(np.float64).reshape(len(chosen), height, side, width, side)
    return cut.swapaxes(2, 3).reshape(-1, side, side)


def _within_band_limit(common: Tiles) -> Mask:
    """Mark the coefficients within the band limit of the scene."""
    n, side, _ = common.shape
    index = np.arange(side)
    radius = np.hypot(index[:, None], index)
    ring = radius.round().astype(int)
    totals = np.stack([np.bincount(ring.ravel(), tile.ravel()) for tile in common])
    sums = np.cumsum(np.insert(totals, 0, 0.0, axis=1), axis=1)
    outermost = 0
    for width in (1, 2, 4, 8, 16):  # a faint scene is significant only in many rings together
        if width >= sums.shape[1] or n < 2:
            break
        window = sums[:, width:] - sums[:, :-width]
        error = window.std(axis=0, ddof=1) / math.sqrt(n)
        found = np.flatnonzero(window.mean(axis=0) > _SIGNIFICANT * error)
        if found.size:
            outermost = max(outermost, int(found[-1]) + (width - 1) // 2)
    limit: Mask = ring <= max(_MARGIN * outermost, outermost + 1)
    return limit


def _weak_error(one: Tiles, two: Tiles, weak: Mask) -> float:
    """Return the standard error of the weak power due to noise.

    The tiles cover the whole image, so differences of the scene between them are no error.
    Half the difference of the two powers has the variance of the common power for any noise,
    and its expectation does not depend on the scene.
    """
    if len(one) < 2 or not weak.any():
        return 0.0
    difference = (one[:, weak] ** 2 - two[:, weak] ** 2).sum(axis=1) / 2
    return float(difference.std(ddof=1)) * math.sqrt(len(one)) / one.size


def _first_share(one: Tiles, two: Tiles, strong: Mask) -> float:
    """Return the first exposure's fraction of the noise variance, from the weak coefficients."""
    others = ~strong
    difference = one[:, others] - two[:, others]
    total = float((difference**2).sum())
    if total == 0:
        return 0.5
    return float(np.clip((one[:, others] * difference).sum() / total, 0.0, 1.0))
