"""Convolution kernel of REUCID with a single patch stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray


def kernel(eigenpatches: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the (2p - 1, 2p - 1) kernel."""
    p = eigenpatches.shape[-1]
    shape = (2 * p - 1,) * 2
    power = np.square(np.abs(scipy.fft.rfft2(np.asarray(eigenpatches, np.float64), shape))).sum(0)
    return np.asarray(np.fft.fftshift(scipy.fft.irfft2(power, shape)) / p**2)
