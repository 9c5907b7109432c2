"""Gain and offset of the second exposure relative to the first.

A beamsplitter never divides the light exactly 50:50, and two cameras have different offsets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import evenly_spaced
from napari_lowdose.imaging.image_checks import check_same_shape
from napari_lowdose.noise2noise.valid_pixels import standardise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.valid_pixels import Standardised

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

_RADII = (0, 1, 2, 4)  # rings of neighbours: within 3 x 3, 5 x 5 and 9 x 9 pixels
_BLOCKS = 8  # along each side of a frame; their scatter gives the standard error
_MAX_ERROR = 0.25  # maximum relative error of a gain that is used
_SIGNIFICANT = 5.0  # standard errors
_UNITS = 1e3  # ratio of the contrasts above which the units differ, so that a gain of 1 is wrong
_MAX_PIXELS = 2**22  # of a longer stack, evenly spread frames are read


@dataclass(frozen=True)
class GainMatch:
    """Gain and offset: the second exposure is ``gain * first + offset``.

    Attributes
    ----------
    gain : float
        1 if the exposures show too little to measure it.
    offset : float
        In the units of the second exposure.
    error : float
        Relative standard error of `gain`.  Infinite if the gain was not measured.
    """

    gain: float
    offset: float
    error: float = math.inf

    def to_first(self, second: Any) -> Any:
        """Convert the second exposure to the units of the first.

        Parameters
        ----------
        second : array
            NumPy or dask.  A dask array stays lazy.

        Returns
        -------
        float32 array of the same shape

        Examples
        --------
        >>> import numpy as np
        >>> GainMatch(gain=0.5, offset=100.0).to_first(np.array([100, 101], np.uint16))
        array([0., 2.], dtype=float32)
        """
        # In float64: float32 cannot hold every int32, and the difference may overflow float16
        return ((second.astype(np.float64) - self.offset) / self.gain).astype(np.float32)


def match_gain(first: Any, second: Any) -> GainMatch:
    r"""Estimate gain and offset of the second exposure relative to the first.

    A regression of one exposure on the other is biased: noise in the regressor
    makes the slope too small.  Instead both are correlated with an instrumental
    variable that follows the scene but is independent of the noise of the pixel:
    the mean of its neighbours in both exposures,

    .. math:: z = \frac{\bar I'}{\sigma(I')} + \frac{\bar I''}{\sigma(I'')}, \qquad
       g = \frac{\operatorname{Cov}(I'', z)}{\operatorname{Cov}(I', z)}

    with the mean :math:`\bar I` over a ring of neighbours and the standard
    deviation :math:`\sigma` of an exposure.  Exchanging the exposures gives
    exactly the inverse gain.  Of three rings (up to 1, 2 and 4 pixels away) the
    one with the smallest standard error of log g is used, which is estimated by
    a jackknife over blocks of the image.  The offset makes the means agree.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        The two exposures, aligned to about a pixel, NumPy or dask.  Leading axes
        are pairs that share one gain.

    Returns
    -------
    GainMatch
        If the relative error of the gain is above 25 %, the gain is 1, and only
        the means are matched.  A gain that cannot be measured matters little,
        and a wrong one would do harm.

    Raises
    ------
    ValueError
        If the shapes differ or are smaller than 10 by 10 pixels.

    Notes
    -----
    The noise of neighbouring pixels is assumed to be uncorrelated.  Correlated
    noise (an interpolated image, a scintillator) counts as scene.  This does no
    harm if both exposures have the same ratio of correlated noise to scene.  The
    same holds for an uncorrected shift.

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
        (standardise(np.asarray(first[at])), standardise(np.asarray(second[at]))) for at in chosen
    )


def match_standardised(pairs: Iterable[tuple[Standardised, Standardised]]) -> GainMatch:
    """Estimate gain and offset of standardised pairs; see `match_gain`.

    Parameters
    ----------
    pairs : iterable of (Standardised, Standardised)
        First and second exposure of each pair.

    Returns
    -------
    GainMatch
    """
    sums: list[list[Sums]] = [[] for _ in _RADII[1:]]
    means, deviations = [], []
    # Products of very small intensities would underflow, so they are in units of the first pair
    unit: list[float] = []
    for pair in pairs:
        means.append([frame.mean for frame in pair])
        deviations.append([frame.deviation for frame in pair])
        if not all(deviations[-1]):
            continue
        unit = unit or deviations[-1]
        images = [
            frame.image * np.float32(frame.deviation / each)
            for frame, each in zip(pair, unit, strict=True)
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
    """Return the covariance of pixels in one exposure and their neighbours in the other.

    Parameters
    ----------
    first, second : (Y, X) float32 arrays
        Standardised frames.

    Returns
    -------
    float
        In standard errors, for the most significant ring of neighbours.  A scene gives more than
        about 4.
    """
    found = []
    for inner, outer in pairwise(_RADII):
        across = _block_sums([first, second], inner, outer)[2]
        deviation = float(across.std(ddof=1))
        found.append(float(across.mean()) / deviation * math.sqrt(across.size) if deviation else 0)
    return max(found)


def same_scene(first: Pixels, second: Pixels) -> bool:
    """Return whether two frames show the same scene; for frames too small for `common_signal`.

    The covariance of neighbours across the exposures must be significant against white noise, and
    at least half of their covariance within each exposure.

    Parameters
    ----------
    first, second : (Y, X) float32 arrays
        Standardised frames.
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
        if min(within) > 0 and across > max(
            _SIGNIFICANT * chance, math.sqrt(math.prod(within)) / 2
        ):
            return True
    return False


def evenly_spread(n: int, shape: tuple[int, ...]) -> list[int]:
    """Return the numbers of evenly spread frames out of `n`, limited so that reading is fast."""
    return evenly_spaced(n, max(1, _MAX_PIXELS // (shape[-2] * shape[-1])))


def _block_sums(pair: list[Pixels], inner: int, outer: int) -> Sums:
    """Sum the product of each pixel and its ring of neighbours over blocks.

    Parameters
    ----------
    pair : two (Y, X) arrays
        The exposures without their means.
    inner, outer : int
        The ring: pixels at most `outer`, and more than `inner`, away along an axis.

    Returns
    -------
    (3, n_blocks) array
        Products within the first exposure, within the second, and across both.
    """
    border = _RADII[-1]  # the largest, so that all rings use the same pixels
    pixel = [frame[border:-border, border:-border] for frame in pair]
    ring = [_box(frame, outer, border) - _box(frame, inner, border) for frame in pair]
    products = (
        pixel[0] * ring[0],
        pixel[1] * ring[1],
        (pixel[0] * ring[1] + pixel[1] * ring[0]) / 2,
    )
    return np.stack([_blocks(product) for product in products])


def _blocks(product: NDArray[Any]) -> Sums:
    """Sum over blocks of a frame."""
    sums: Any = product
    for axis in (1, 0):  # along rows first, which are contiguous in memory
        size = product.shape[axis]
        n = min(_BLOCKS, size)
        starts = np.arange(n) * size // n
        sums = np.add.reduceat(sums, starts, axis=axis, dtype=np.float64)
    blocks: Sums = sums.ravel()
    return blocks


def _box(frame: Pixels, radius: int, border: int) -> Pixels:
    """Return sums over squares of `2 radius + 1` pixels, without the border of the frame."""
    from scipy.ndimage import uniform_filter

    side = 2 * radius + 1
    mean: Pixels = uniform_filter(frame, side)[border:-border, border:-border]
    return mean * np.float32(side**2)


def _gain(blocks: Sums, deviation: Sums) -> tuple[float, float]:
    """Return the gain and its relative error, which is infinite if there is no gain."""
    total = blocks.sum(axis=1, keepdims=True)
    # Jackknife: the first column uses all blocks, each other one leaves one block out
    auto_first, auto_second, cross = np.concatenate([total, total - blocks], axis=1)
    of_second = cross / deviation[0] + auto_second / deviation[1]
    of_first = auto_first / deviation[0] + cross / deviation[1]
    if (of_second <= 0).any() or (of_first <= 0).any():
        return 1.0, math.inf
    logarithm = np.log(of_second / of_first)
    n = blocks.shape[1]
    error = math.sqrt((n - 1) / n * float(((logarithm[1:] - logarithm[1:].mean()) ** 2).sum()))
    return float(np.exp(logarithm[0])), error
