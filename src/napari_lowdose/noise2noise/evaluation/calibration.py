"""Calibrate the intensities of the output, Eq. (9) of the pair paper.

The Pearson loss, Eq. (4), does not depend on gain and offset of the output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["calibrate"]

_CONSTANT = 1e-6  # standard deviation relative to the largest value: rounding errors only


def calibrate(
    r1: NDArray[Any], r2: NDArray[Any] | None, first: NDArray[Any], second: NDArray[Any]
) -> tuple[float, float]:
    r"""Return slope and intercept that map the network's output to the units of the input.

    By Eq. (9) of the pair paper the output is the scene plus an unknown constant;
    the Pearson loss leaves its gain unknown as well.  Both are estimated on
    held-out pixels.  There the noise of
    :math:`\hat I''` is independent of :math:`R_1 = R(\hat I')`, so the expected
    value of their covariance is the covariance of the output and the noise-free
    scene S.  The slope is the regression of the scene on the mean of both
    outputs, :math:`M = (R_1 + R_2) / 2`:

    .. math:: \frac{\operatorname{Cov}(M, S)}{\operatorname{Var} M} \approx
       \frac{\operatorname{Cov}(R_1, \hat I'') + \operatorname{Cov}(R_2, \hat I')}
            {2 \operatorname{Var} M}

    The intercept makes the means agree, which keeps the camera's offset.

    Parameters
    ----------
    r1, r2 : arrays
        Outputs of the network for the first and the second exposure, of the same
        (arbitrary) shape.  If `r2` is None, `r1` alone is the result, and the
        slope is ``Cov(r1, second) / Var(r1)``.
    first, second : arrays of that shape
        The exposures at the same pixels, the second in the units of the first.

    Returns
    -------
    slope, intercept : float
        ``slope * output + intercept`` is in the units of the exposures.  If the
        output is constant, or its covariance with the partner negative, the
        slope is 0 and the intercept the mean.

    Raises
    ------
    ValueError
        If the arrays are empty.

    Notes
    -----
    The numerator is unbiased, and the slope's standard error about
    :math:`\sigma / \sqrt{2 N \operatorname{Var} M}` for N held-out pixels with
    noise of variance :math:`\sigma^2`.  This slope minimises the squared error
    of the result; a single output, being noisier, gets a smaller slope than
    the mean of two.

    References
    ----------
    Pair paper (Yang et al. 2023), Eq. (9).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scene = 100 + 10 * np.sin(np.arange(40000) / 9)
    >>> first, second = rng.normal(scene, 5), rng.normal(scene, 5)
    >>> output = (scene - 100) / 50  # the scene in arbitrary units
    >>> print("{:.1f} {:.1f}".format(*calibrate(output, output, first, second)))
    50.0 100.0
    """
    if not r1.size:
        raise ValueError("there are no pixels to calibrate the intensities.")
    one = r1.astype(np.float64)
    two = one if r2 is None else r2.astype(np.float64)
    mean = (one + two) / 2
    centred = mean - mean.mean()
    level = (first.mean(dtype=np.float64) + second.mean(dtype=np.float64)) / 2
    variance = float((centred**2).mean())
    if variance <= (_CONSTANT * float(np.abs(mean).max())) ** 2:
        return 0.0, float(level)
    covariance = _covariance(one, second)
    if r2 is not None:
        covariance = (covariance + _covariance(two, first)) / 2
    slope = max(0.0, covariance / variance)
    return slope, float(level - slope * mean.mean())


def _covariance(output: NDArray[np.float64], partner: NDArray[Any]) -> float:
    return float(((output - output.mean()) * (partner - partner.mean(dtype=np.float64))).mean())
