"""Gain and offset between the two exposures: a splitter is never 50:50."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.frames import check_same_shape
from napari_lowdose.noise2noise.standardised import standardised

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.standardised import Standardised

    Pixels = NDArray[np.float32]
    Sums = NDArray[np.float64]

__all__ = [
    "GainMatch",
    "common_signal",
    "evenly_spread",
    "match_gain",
    "match_standardised",
    "same_scene",
]

_RADII = (0, 1, 2, 4)  # rings of neighbours between these: 3 x 3, 5 x 5 and 9 x 9 pixels
_BLOCKS = 8  # along each side of a frame: their scatter is the error
_MAX_ERROR = 0.25  # relative: a gain known worse than that is not used
_CHANCE = 5.0  # standard errors
_UNITS = 1e3  # times the contrast: exposures in different units, where a gain of 1 is a bad guess
_MAX_PIXELS = 2**22  # read: of a longer stack, frames evenly spread


@dataclass(frozen=True)
class GainMatch:
    """How the second exposure is scaled against the first: ``gain * first + offset``.

    Attributes
    ----------
    gain : float
        1 where the two show too little for it to be known.
    offset : float
        In the units of the second.
    error : float
        Standard error of `gain`, relative.  Infinite where it is not known.
    """

    gain: float
    offset: float
    error: float = math.inf

    def to_first(self, second: Any) -> Any:
        """Bring the second exposure into the units of the first.

        Parameters
        ----------
        second : array
            NumPy or dask (which stays lazy).

        Returns
        -------
        float32 array of the same shape

        Examples
        --------
        >>> import numpy as np
        >>> GainMatch(gain=0.5, offset=100.0).to_first(np.array([100, 101], np.uint16))
        array([0., 2.], dtype=float32)
        """
        # A float32 would lose an int32's offset, a float16 the difference
        return ((second.astype(np.float64) - self.offset) / self.gain).astype(np.float32)


def match_gain(first: Any, second: Any) -> GainMatch:
    r"""Estimate gain and offset of the second exposure against the first.

    A regression of one on the other would be wrong: both are noisy, and noise
    in the regressor makes the slope too small.  Instead both are correlated
    with an instrument that follows the scene and has none of the pixel's own
    noise: its neighbours, without itself, in both exposures,

    .. math:: z = \frac{\bar I'}{\sigma(I')} + \frac{\bar I''}{\sigma(I'')}, \qquad
       g = \frac{\operatorname{Cov}(I'', z)}{\operatorname{Cov}(I', z)}

    with :math:`\bar I` the mean over a ring of neighbours and :math:`\sigma`
    the standard deviation of an exposure.  Exchange the two, and the gain is
    exactly the inverse.  Of three rings (up to 1, 2 and 4 pixels away) the one
    with the smallest error is taken: the standard error of log g, by jackknife
    over blocks of the image.  The offset is what makes the means agree.

    Parameters
    ----------
    first, second : (..., Y, X) array
        The two exposures, aligned to a pixel or so; leading axes are pairs that
        share one gain.  NumPy or dask.

    Returns
    -------
    GainMatch
        With gain 1, and the means matched, where the gain has a relative error
        above 25 %: it then matters little, and guessing it would do harm.

    Raises
    ------
    ValueError
        If the shapes differ or are smaller than 10 by 10 pixels.

    Notes
    -----
    Assumed is noise that neighbouring pixels do not share.  Where they do (an
    interpolated image, a scintillator), the noise counts as scene in both
    exposures: no harm as long as it is as strong, against the scene, in both.
    The same holds for a shift that was not corrected.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scene = 20 + 10 * np.sin(np.arange(256) / 5) * np.ones((256, 1))
    >>> match = match_gain(rng.poisson(1.2 * scene), rng.poisson(0.8 * scene) + 100)
    >>> print(f"{match.gain:.1f}, {match.offset:.0f}")
    0.7, 100
    """
    check_same_shape(first, second)
    if first.ndim < 2 or min(first.shape[-2:]) < 2 * _RADII[-1] + 2:
        raise ValueError(f"exposures of shape {first.shape} are too small to match their gain.")
    leading = first.shape[:-2]
    chosen = (
        tuple(int(i) for i in np.unravel_index(k, leading))
        for k in evenly_spread(math.prod(leading), first.shape)
    )
    return match_standardised(
        (standardised(np.asarray(first[at])), standardised(np.asarray(second[at]))) for at in chosen
    )


def match_standardised(pairs: Iterable[tuple[Standardised, Standardised]]) -> GainMatch:
    """Estimate gain and offset as `match_gain` does, of pairs that are standardised already.

    Parameters
    ----------
    pairs : iterable of two Standardised

    Returns
    -------
    GainMatch
    """
    sums: list[list[Sums]] = [[] for _ in _RADII[1:]]
    means, deviations = [], []
    unit: list[float] = []  # of either exposure: products of small numbers would be none
    for pair in pairs:
        means.append([frame.mean for frame in pair])
        deviations.append([frame.deviation for frame in pair])
        if not all(deviations[-1]):
            continue
        unit = unit or deviations[-1]
        images = [
            frame.image * np.float32(frame.deviation / one)
            for frame, one in zip(pair, unit, strict=True)
        ]
        for ring, (inner, outer) in enumerate(pairwise(_RADII)):
            sums[ring].append(_block_sums(images, inner, outer))
    shown = [all(each) for each in deviations]
    if not any(shown):
        shown = [True] * len(shown)
    mean, deviation = (np.mean(np.array(each)[shown], axis=0) for each in (means, deviations))
    gain, error = 1.0, math.inf
    if unit:
        spread = deviation / unit
        candidates = (_gain(np.concatenate(blocks, axis=1), spread) for blocks in sums)
        gain, error = min(candidates, key=lambda candidate: candidate[1])
        gain *= unit[1] / unit[0]
    if error > _MAX_ERROR:
        ratio = float(deviation[1] / deviation[0]) if deviation.all() else 1.0
        gain, error = 1.0 if 1 / _UNITS < ratio < _UNITS else ratio, math.inf
    return GainMatch(gain, float(mean[1] - gain * mean[0]), error)


def common_signal(first: Pixels, second: Pixels) -> float:
    """Return what pixels of one exposure share with their neighbours in the other.

    Parameters
    ----------
    first, second : (Y, X) float32 array
        Standardised.

    Returns
    -------
    float
        The covariance in its standard errors, by the ring that shows most: above about 4 it is
        a scene.
    """
    found = []
    for inner, outer in pairwise(_RADII):
        across = _block_sums([first, second], inner, outer)[2]
        deviation = float(across.std(ddof=1))
        found.append(float(across.mean()) / deviation * math.sqrt(across.size) if deviation else 0)
    return max(found)


def same_scene(first: Pixels, second: Pixels) -> bool:
    """Tell whether two small exposures show the same scene, where `common_signal` is too unsure.

    What neighbours share across the exposures is beyond the chance of white noise, and at least
    half of what they share within each.

    Parameters
    ----------
    first, second : (Y, X) float32 array
        Standardised.
    """
    border = _RADII[-1]
    pixel = [frame[border:-border, border:-border] for frame in (first, second)]
    for inner, outer in pairwise(_RADII):
        ring = [
            _box(frame, outer, border) - _box(frame, inner, border) for frame in (first, second)
        ]
        within = [float(np.vdot(one, around)) for one, around in zip(pixel, ring, strict=True)]
        across = float(np.vdot(pixel[0], ring[1]) + np.vdot(pixel[1], ring[0])) / 2
        chance = math.sqrt(float(pixel[0].var() * ring[1].var()) * pixel[0].size)
        if min(within) > 0 and across > max(_CHANCE * chance, math.sqrt(math.prod(within)) / 2):
            return True
    return False


def evenly_spread(n: int, shape: tuple[int, ...]) -> list[int]:
    """Return which of `n` frames of (..., Y, X) to read, where reading all would take long."""
    n_read = max(1, min(n, _MAX_PIXELS // (shape[-2] * shape[-1])))
    return [int(k) for k in np.linspace(0, n - 1, n_read).round()]


def _block_sums(pair: list[Pixels], inner: int, outer: int) -> Sums:
    """Sum pixel times ring of neighbours over blocks, of each exposure and across.

    Parameters
    ----------
    pair : two (Y, X) arrays
        Without their means.
    inner, outer : int
        The ring: at most `outer` pixels away, and more than `inner`, along an axis.

    Returns
    -------
    (3, blocks) array
        First with first, second with second, across.
    """
    border = _RADII[-1]  # the same pixels for all rings
    pixel = [frame[border:-border, border:-border] for frame in pair]
    ring = [_box(frame, outer, border) - _box(frame, inner, border) for frame in pair]
    products = (
        pixel[0] * ring[0],
        pixel[1] * ring[1],
        (pixel[0] * ring[1] + pixel[1] * ring[0]) / 2,
    )
    return np.stack([_blocks(product) for product in products])


def _blocks(product: NDArray[Any]) -> Sums:
    """Sum over blocks of the frame."""
    sums: Any = product
    for axis in (1, 0):  # rows are contiguous: along them first
        size = product.shape[axis]
        n = min(_BLOCKS, size)
        starts = np.arange(n) * size // n
        sums = np.add.reduceat(sums, starts, axis=axis, dtype=np.float64)
    blocks: Sums = sums.ravel()
    return blocks


def _box(frame: Pixels, radius: int, border: int) -> Pixels:
    """Sum over the square of that radius around each pixel that is not in the border."""
    from scipy.ndimage import uniform_filter

    side = 2 * radius + 1
    mean: Pixels = uniform_filter(frame, side)[border:-border, border:-border]
    return mean * np.float32(side**2)


def _gain(blocks: Sums, deviation: Sums) -> tuple[float, float]:
    """Return the gain and its relative error; an infinite one where there is no gain."""
    total = blocks.sum(axis=1, keepdims=True)
    left_out = np.concatenate([total, total - blocks], axis=1)
    auto_first, auto_second, cross = left_out
    of_second = cross / deviation[0] + auto_second / deviation[1]
    of_first = auto_first / deviation[0] + cross / deviation[1]
    if (of_second <= 0).any() or (of_first <= 0).any():
        return 1.0, math.inf
    logarithm = np.log(of_second / of_first)
    n = blocks.shape[1]
    error = math.sqrt((n - 1) / n * float(((logarithm[1:] - logarithm[1:].mean()) ** 2).sum()))
    return float(np.exp(logarithm[0])), error
