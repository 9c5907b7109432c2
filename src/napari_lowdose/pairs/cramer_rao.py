"""How well a shift can be known at all: the Cramer-Rao bound of two noisy views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shift_bound(
    scene: NDArray[Any], first_variance: NDArray[Any], second_variance: NDArray[Any]
) -> tuple[float, float]:
    """Return the smallest standard error that an unbiased estimate of the shift can have.

    The scene is as unknown as the shift.  Each pixel of the one view that has its image in the
    other tells the shift by the gradient of the scene there, as well as the noise of both lets
    it: the information is J = sum of grad S grad S' / (v1 + v2), and the bound the root of the
    diagonal of the inverse of J.

    Parameters
    ----------
    scene : (Y, X) array
        Without noise, in the units of the first view.
    first_variance, second_variance : (Y, X) array
        Variance of the noise of each view at the same place of the scene, the second brought into
        the units of the first: its variance over the squared gain.  With photons only they are
        `scene` and ``scene / gain``.

    Returns
    -------
    (float, float)
        Of dy and dx, pixels.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> spot = 100 * np.exp(-((y - 32) ** 2 + (x - 32) ** 2) / (2 * 4.0**2)) + 10
    >>> [round(error, 3) for error in shift_bound(spot, spot, spot)]
    [0.075, 0.075]
    """
    slopes = np.gradient(np.asarray(scene, float))
    noise = np.maximum(first_variance + second_variance, np.finfo(float).tiny)
    information = np.array([[(a * b / noise).sum() for b in slopes] for a in slopes])
    dy, dx = np.sqrt(np.diag(np.linalg.inv(information)))
    return float(dy), float(dx)
