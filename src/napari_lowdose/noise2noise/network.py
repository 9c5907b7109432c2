"""The network R of the pair paper: a U-Net, Fig. 1(b)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_lowdose.noise2noise.device import in_full_precision

if TYPE_CHECKING:
    from napari_lowdose.noise2noise.config import UNetConfig


class DoubleConvolution(nn.Sequential):
    """Two 3 x 3 convolutions, each followed by optional batch normalisation and ReLU.

    Parameters
    ----------
    n_in, n_out : int
        Number of channels.
    batch_norm : bool

    References
    ----------
    Pair paper (Yang et al. 2023), Fig. 1(b).
    """

    def __init__(self, n_in: int, n_out: int, batch_norm: bool) -> None:
        layers: list[nn.Module] = []
        for n in (n_in, n_out):
            layers.append(nn.Conv2d(n, n_out, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(n_out))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class UNet(nn.Module):
    """U-Net of the paper, optionally with pixel unshuffling and a smoothing bypass.

    Parameters
    ----------
    config : UNetConfig

    References
    ----------
    Pair paper (Yang et al. 2023), Fig. 1(b).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**level for level in range(config.levels + 1)]
        n_pixels = config.unshuffle**2  # channels after unshuffling
        norm = config.batch_norm
        self.first = DoubleConvolution(config.n_frames * n_pixels, widths[0], norm)
        self.down = nn.ModuleList(
            DoubleConvolution(above, below, norm) for above, below in pairwise(widths)
        )
        pairs = list(pairwise(widths))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for above, below in pairs)
        self.join = nn.ModuleList(DoubleConvolution(2 * above, above, norm) for above, _ in pairs)
        self.last = nn.Conv2d(widths[0], n_pixels, 1)
        self.smooth: nn.Conv2d | None = None
        if config.smoothing:
            self.smooth = _smoothing(config.smoothing, config.n_frames)
            with torch.no_grad():  # the initial output is close to the smoothed input
                self.last.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network.

        Parameters
        ----------
        x : (B, F, Y, X) tensor
            Normalised exposures: F successive frames around the one to denoise, or that frame
            alone.  Y and X must be multiples of `size_multiple`.

        Returns
        -------
        (B, 1, Y, X) float32 tensor
        """
        # x: (B, F, Y, X)
        h = functional.pixel_unshuffle(x, self.config.unshuffle)  # (B, F u², Y/u, X/u)
        h = self.first(h.contiguous(memory_format=torch.channels_last))  # (B, W, Y/u, X/u)
        skipped = []
        for down in self.down:
            skipped.append(h)
            h = down(functional.max_pool2d(h, 2))  # (B, 2W, Y/2u, X/2u), ...
        for up, join in zip(self.up, self.join, strict=True):
            h = join(torch.cat([up(h), skipped.pop()], 1))
        with in_full_precision(x.device):  # bfloat16 has only 8 significant bits
            y = functional.pixel_shuffle(self.last(h.float()), self.config.unshuffle)
            return y if self.smooth is None else y + self.smooth(x)  # (B, 1, Y, X)


def size_multiple(config: UNetConfig) -> int:
    """Return the number of pixels that must divide the sides of an input image."""
    return config.unshuffle << config.levels


def receptive_field_radius(config: UNetConfig) -> int:
    """Return the maximum distance at which an input pixel influences an output pixel, pixels."""
    convolutions = 2 * config.unshuffle  # two 3 x 3 kernels, each of radius 1 at its level
    levels = range(config.levels)
    way_down_and_up = sum(2 * convolutions << level for level in levels)
    bottom = convolutions << config.levels
    # Pooling and transposed convolution together add up to one pixel of the coarsest level
    return max(way_down_and_up + bottom + size_multiple(config), config.smoothing // 2)


def _smoothing(width: int, n_frames: int) -> nn.Conv2d:
    """Return a learnable convolution whose initial kernel is a Gaussian in the middle frame."""
    convolution = nn.Conv2d(n_frames, 1, width, padding=width // 2, bias=False)
    distance = torch.arange(width) - width // 2
    kernel = torch.exp(-(distance**2) / (2 * (width / 6) ** 2))
    kernel = kernel / kernel.sum()
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, n_frames // 2] = kernel[:, None] * kernel
    return convolution
