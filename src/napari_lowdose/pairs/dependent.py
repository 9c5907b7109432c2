"""Whether the noise of two exposures is independent, or one is made of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.correlation_peak import fourier_grid, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINEST = 0.5  # cycles per pixel from which on, towards the corners, noise is all there is
COHERENT = 0.5  # of the finest detail: that of one exposure and the mean of two is 0.7
NONE_OF_ITS_OWN = (
    0.15  # of its finest detail, at most, is only in the one that is made of the other
)
SOME_OF_ITS_OWN = 0.3  # at least, only in the other: else it is a pattern, or the scene, in both
SURE = 5.0  # standard errors


def made_of_the_other(first: NDArray[Any], second: NDArray[Any]) -> str | None:
    """Return which of two exposures in place holds the noise of the other and none of its own.

    At the finest frequencies there is noise only.  If that of the two is coherent, and what the
    two differ in is coherent with one of them alone, the other is made of it: the mean or sum of
    both, or the same but for rounding.

    Parameters
    ----------
    first, second : (Y, X) array

    Returns
    -------
    {"first", "second"} or None

    Examples
    --------
    >>> import numpy as np
    >>> scene = 20 + 10 * np.sin(np.arange(64) / 5)
    >>> one, other = np.random.default_rng(0).poisson(scene, (2, 64, 64))
    >>> made_of_the_other(one, (one + other) / 2)
    'second'
    >>> made_of_the_other(one, other) is None
    True
    """
    from scipy import fft

    sides = first.shape
    down, along, count = fourier_grid(sides)
    finest = count * (np.hypot(down, along) > FINEST)
    cut = np.outer(*(window(side) for side in sides))
    a, b = (fft.rfft2(cut * (frame - np.mean(frame))) for frame in (first, second))
    powers = [float((finest * np.abs(spectrum) ** 2).sum()) for spectrum in (a, b)]
    common = float((finest * (a.conj() * b).real).sum())
    if min(powers) <= 0:
        return None
    coherence = common / np.sqrt(powers[0] * powers[1])
    if coherence < max(COHERENT, SURE / np.sqrt(finest.sum())):
        return None
    # Of the noise of each, what follows the other: all of it, if the other is made of it alone.
    gain = _scene_gain(a, b, finest, count)
    own = [1 - common / gain / powers[0], 1 - common * gain / powers[1]]
    least = int(np.argmin(own))
    made = abs(own[least]) < NONE_OF_ITS_OWN and own[1 - least] > SOME_OF_ITS_OWN
    return ("first", "second")[least] if made else None


def _scene_gain(a: Any, b: Any, finest: Any, count: Any) -> float:
    """Return how much brighter the scene is in the second, from all that is coarser."""
    coarse = count * (finest == 0)
    powers = [float((coarse * np.abs(spectrum) ** 2).sum()) for spectrum in (a, b)]
    noise = [
        float((finest * np.abs(spectrum) ** 2).sum() / finest.sum() * coarse.sum())
        for spectrum in (a, b)
    ]
    signal = [power - each for power, each in zip(powers, noise, strict=True)]
    if min(signal) <= 0:
        return float(np.sqrt(powers[1] / powers[0]))
    return float(np.sqrt(signal[1] / signal[0]))
