"""The network R of the paper: a U-Net, Fig. 1(b)."""

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
    """Twice: convolution 3 x 3, batch normalisation (if wanted), ReLU."""

    def __init__(self, n_in: int, n_out: int, batch_norm: bool) -> None:
        layers: list[nn.Module] = []
        for n in (n_in, n_out):
            layers.append(nn.Conv2d(n, n_out, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(n_out))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class UNet(nn.Module):
    """The paper's U-Net, and with pixel-unshuffling and a smoothing bypass the fast one.

    Parameters
    ----------
    config : UNetConfig
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**level for level in range(config.levels + 1)]
        n_pixels = config.unshuffle**2  # of a block, as channels
        norm = config.batch_norm
        self.first = DoubleConvolution(n_pixels, widths[0], norm)
        self.down = nn.ModuleList(
            DoubleConvolution(above, below, norm) for above, below in pairwise(widths)
        )
        pairs = list(pairwise(widths))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for above, below in pairs)
        self.join = nn.ModuleList(DoubleConvolution(2 * above, above, norm) for above, _ in pairs)
        self.last = nn.Conv2d(widths[0], n_pixels, 1)
        self.smooth: nn.Conv2d | None = None
        if config.smoothing:
            self.smooth = _smoothing(config.smoothing)
            with torch.no_grad():  # so that the output starts close to the smoothed input
                self.last.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for normalised exposures with sides that `size_multiple` divides."""
        # x: (B, 1, Y, X)
        h = functional.pixel_unshuffle(x, self.config.unshuffle)  # (B, u², Y/u, X/u)
        h = self.first(h.contiguous(memory_format=torch.channels_last))  # (B, W, Y/u, X/u)
        skipped = []
        for down in self.down:
            skipped.append(h)
            h = down(functional.max_pool2d(h, 2))  # (B, 2W, Y/2u, X/2u), ...
        for up, join in zip(self.up, self.join, strict=True):
            h = join(torch.cat([up(h), skipped.pop()], 1))
        with in_full_precision(x.device):  # 8 bits are too few for grey levels
            y = functional.pixel_shuffle(self.last(h.float()), self.config.unshuffle)
            return y if self.smooth is None else y + self.smooth(x)  # (B, 1, Y, X)


def size_multiple(config: UNetConfig) -> int:
    """Return the number of which the sides of an image must be multiples, pixels."""
    return config.unshuffle << config.levels


def receptive_field_radius(config: UNetConfig) -> int:
    """Return the largest distance at which an input pixel influences an output pixel."""
    convolutions = 2 * config.unshuffle  # two of them, one pixel of their level each
    levels = range(config.levels)
    way_down_and_up = sum(2 * convolutions << level for level in levels)
    bottom = convolutions << config.levels
    # Pooling and transposed convolution add up to one step of the coarsest grid
    return max(way_down_and_up + bottom + size_multiple(config), config.smoothing // 2)


def _smoothing(width: int) -> nn.Conv2d:
    """Return a convolution that begins as a Gaussian."""
    convolution = nn.Conv2d(1, 1, width, padding=width // 2, bias=False)
    distance = torch.arange(width) - width // 2
    kernel = torch.exp(-(distance**2) / (2 * (width / 6) ** 2))
    kernel = kernel / kernel.sum()
    with torch.no_grad():
        convolution.weight.copy_(kernel[:, None] * kernel)
    return convolution
