"""Shift the output of the network by a fraction of a pixel, with a cubic spline.

Noisy exposures are never interpolated, which would smooth their noise and correlate it between
neighbours.  The output is smooth, so a cubic spline shifts it almost without loss.  Linear
interpolation would blur it, and the network would learn to sharpen.

Training needs the gradient of the shift with respect to the image, and a shift of its own for each
crop, so this is a convolution in torch and not `scipy.ndimage.shift`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: Radius of the convolution kernel, pixels.  Closer to the border, the border pixels are repeated.
RADIUS = 8
_BORDER = 3  # within it the spline depends on pixels outside of a crop, pixels
_POLE = 3**0.5 - 2  # of the recursive prefilter of the cubic B-spline


def spline_shift(image: Tensor, shifts: Tensor) -> Tensor:
    """Shift images by a fraction of a pixel.

    Parameters
    ----------
    image : (B, 1, Y, X) tensor
    shifts : (B, 2) tensor
        Shift of each image, (dy, dx), at most 1 pixel.  The value at (y, x) moves to
        (y + dy, x + dx).

    Returns
    -------
    (B, 1, Y, X) tensor
        The border pixels are repeated beyond the image, which affects pixels within `RADIUS` of
        the border.

    References
    ----------
    M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing
    Magazine 16 (1999): the cardinal cubic spline.

    Examples
    --------
    >>> x = torch.arange(64.0)
    >>> wave = torch.sin(x / 3).expand(1, 1, 64, 64)
    >>> moved = spline_shift(wave, torch.tensor([[0.0, 0.5]]))
    >>> error = (moved - torch.sin((x - 0.5) / 3))[..., RADIUS:-RADIUS]
    >>> bool(error.abs().max() < 1e-3)
    True
    """
    # The kernels are computed on the CPU, because MPS has no float64
    kernels = _cardinal_spline(shifts.cpu()).to(image.device)  # (B, 2, 2 RADIUS + 1)
    n, _, height, width = image.shape
    padded = functional.pad(image, (RADIUS,) * 4, mode="replicate")
    # Images as channels, and a group each, so that each is convolved with its own kernel
    row = padded.reshape(1, n, height + 2 * RADIUS, width + 2 * RADIUS)
    row = functional.conv2d(row, kernels[:, 1, None, None, :], groups=n)
    row = functional.conv2d(row, kernels[:, 0, None, :, None], groups=n)
    return row.reshape(n, 1, height, width)


def shift_inside(output: Tensor, shifts: Tensor) -> Tensor:
    """Shift the output of the network onto the partner, except for its outermost pixels.

    There the spline would need pixels outside the crop.  They stay in the loss, unshifted:
    without them the network would not learn the border of an image.

    Parameters
    ----------
    output, shifts
        As for `spline_shift`.
    """
    moved = spline_shift(output, shifts)
    inner = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    whole = output.clone()
    whole[inner] = moved[inner]
    return whole


def shifted(image: NDArray[Any], shift: tuple[float, float]) -> NDArray[np.float32]:
    """Shift a single (Y, X) image; see `spline_shift`."""
    single = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
    moved: NDArray[np.float32] = spline_shift(single, torch.tensor([shift]))[0, 0].numpy()
    return moved


def noise_left(shift: tuple[float, float]) -> float:
    """Return the fraction of the variance of white noise that remains after a shift."""
    impulse = torch.zeros(1, 1, 4 * RADIUS + 1, 4 * RADIUS + 1)
    impulse[0, 0, 2 * RADIUS, 2 * RADIUS] = 1
    return float((spline_shift(impulse, torch.tensor([shift])) ** 2).sum())


def _cardinal_spline(shifts: Tensor) -> Tensor:
    """Return the cardinal (interpolating) cubic spline at integer distances plus a shift."""
    at = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    # torch correlates: input pixel k contributes to output pixel 0 with the spline at k + shift
    distance = at + shifts.double()[..., None]  # (B, 2, 2 RADIUS + 1)
    knots = torch.arange(-2 * RADIUS, 2 * RADIUS + 1, dtype=torch.float64)
    prefilter = -6 * _POLE / (1 - _POLE**2) * abs(_POLE) ** knots.abs() * (-1.0) ** knots.abs()
    spline = _b_spline(distance[..., None] - knots)  # (B, 2, 2 RADIUS + 1, knots)
    kernel = (spline * prefilter).sum(-1)
    # The truncated kernel is normalised, so that a constant image stays constant
    return (kernel / kernel.sum(-1, keepdim=True)).to(torch.float32)


def _b_spline(x: Tensor) -> Tensor:
    """Return the cubic B-spline at x."""
    x = x.abs()
    inner = 2 / 3 - x**2 + x**3 / 2
    outer = (2 - x).clamp_min(0) ** 3 / 6
    return torch.where(x < 1, inner, outer)
