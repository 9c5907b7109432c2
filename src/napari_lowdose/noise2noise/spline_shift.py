"""The fraction of a pixel between the two exposures, put on the output of the network.

The noisy pixels themselves are never interpolated: that would blur the noise and make neighbours
share it.  The output is smooth, and a cubic spline shifts it without loss; linear interpolation
would blur it, and the network learn to sharpen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

#: How far from the border a shifted pixel depends on what lies beyond, pixels.
RADIUS = 8
_POLE = 3**0.5 - 2  # of the cubic B-spline's prefilter


def spline_shift(image: Tensor, shifts: Tensor) -> Tensor:
    """Shift images by a fraction of a pixel: what was at (y, x) is at (y + dy, x + dx).

    Parameters
    ----------
    image : (B, 1, Y, X) tensor
    shifts : (B, 2) tensor
        (dy, dx) of each, at most 1 pixel.

    Returns
    -------
    (B, 1, Y, X) tensor
        Within `RADIUS` of the border the border pixels are repeated.

    Examples
    --------
    >>> x = torch.arange(64.0)
    >>> wave = torch.sin(x / 3).expand(1, 1, 64, 64)
    >>> moved = spline_shift(wave, torch.tensor([[0.0, 0.5]]))
    >>> error = (moved - torch.sin((x - 0.5) / 3))[..., RADIUS:-RADIUS]
    >>> bool(error.abs().max() < 1e-3)
    True
    """
    # Computed on the CPU, in float64, which MPS does not have
    kernels = _cardinal_spline(shifts.cpu()).to(image.device)  # (B, 2, 2 RADIUS + 1)
    n, _, height, width = image.shape
    padded = functional.pad(image, (RADIUS,) * 4, mode="replicate")
    row = padded.reshape(1, n, height + 2 * RADIUS, width + 2 * RADIUS)
    row = functional.conv2d(row, kernels[:, 1, None, None, :], groups=n)
    row = functional.conv2d(row, kernels[:, 0, None, :, None], groups=n)
    return row.reshape(n, 1, height, width)


def _cardinal_spline(shifts: Tensor) -> Tensor:
    """Return the weights of the pixels around each: the interpolating cubic spline."""
    at = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    # torch correlates: output pixel 0 takes input pixel k with the spline's value at k + shift
    distance = at + shifts.double()[..., None]  # (B, 2, 2 RADIUS + 1)
    knots = torch.arange(-2 * RADIUS, 2 * RADIUS + 1, dtype=torch.float64)
    prefilter = -6 * _POLE / (1 - _POLE**2) * abs(_POLE) ** knots.abs() * (-1.0) ** knots.abs()
    spline = _b_spline(distance[..., None] - knots)  # (B, 2, 2 RADIUS + 1, knots)
    kernel = (spline * prefilter).sum(-1)
    return (kernel / kernel.sum(-1, keepdim=True)).to(torch.float32)


def _b_spline(x: Tensor) -> Tensor:
    """Return the cubic B-spline at x."""
    x = x.abs()
    inner = 2 / 3 - x**2 + x**3 / 2
    outer = (2 - x).clamp_min(0) ** 3 / 6
    return torch.where(x < 1, inner, outer)
