"""Apply a network to frames of any size: in tiles, in eight orientations, within the memory."""

from __future__ import annotations

import copy
import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_lowdose.engine import rescale_progress
from napari_lowdose.noise2noise.device import describe, in_low_precision, is_out_of_memory
from napari_lowdose.noise2noise.network import (
    DoubleConvolution,
    UNet,
    receptive_field_radius,
    size_multiple,
)
from napari_lowdose.noise2noise.tiles import tiles

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_lowdose.noise2noise.config import UNetConfig

logger = logging.getLogger(__name__)

_SIDE = 768  # of a tile: about a third of a second on two CPU cores, so that Stop is quick
_LEAST_SIDE = 128
_ORIENTATIONS = [(turns, flip) for flip in (False, True) for turns in range(4)]


class Predictor:
    """A network ready to be applied.

    Parameters
    ----------
    network : UNet
    device : torch.device

    Attributes
    ----------
    side : int
        Of a tile, pixels; smaller after memory ran out.
    """

    def __init__(self, network: UNet, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device
        self.side = _SIDE

    def steps(
        self, frame: NDArray[np.float32], orientations: int = 1
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Yield how much of `frame` is done, and return the output.

        Parameters
        ----------
        frame : (Y, X) float32 array
            Normalised.
        orientations : int
            1, or 8: the mean over all flips and rotations by 90°.

        Raises
        ------
        MemoryError
            If even small tiles on the CPU need more memory than there is.
        """
        total = np.zeros(frame.shape, np.float32)
        for number, (turns, flip) in enumerate(_ORIENTATIONS[:orientations]):
            turned = np.ascontiguousarray(np.rot90(frame[:, ::-1] if flip else frame, turns))
            begun = number / orientations
            output = yield from rescale_progress(
                self._in_memory(turned), begun, begun + 1 / orientations
            )
            output = np.rot90(output, -turns)
            total += output[:, ::-1] if flip else output
        return total / np.float32(orientations)

    def _in_memory(self, frame: NDArray[np.float32]) -> Generator[float, None, NDArray[np.float32]]:
        """Take smaller tiles, and then the CPU, until the memory suffices."""
        while True:
            try:
                return (yield from self._tiled(frame))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._need_less(error)

    def _need_less(self, error: BaseException) -> None:
        if self.side > _LEAST_SIDE:
            self.side //= 2
            logger.warning("not enough memory: going on with tiles of %d pixels", self.side)
        elif self.device.type != "cpu":
            self.device, self.side = torch.device("cpu"), _SIDE
            # A copy: the network may be in training, and that goes on where it is
            self.network = copy.deepcopy(self.network).to(self.device)
            logger.warning("not enough memory on the GPU: going on with %s", describe(self.device))
        else:
            raise MemoryError(
                "there is not enough memory to apply the network, even in small tiles: close "
                "other programs."
            ) from error

    def _tiled(self, frame: NDArray[np.float32]) -> Generator[float, None, NDArray[np.float32]]:
        config = self.network.config
        padded = pad_to_multiple(frame, config)
        overlap = receptive_field_radius(config)
        whole = max(padded.shape) <= self.side + 2 * overlap
        side = max(padded.shape) if whole else self.side
        parts = list(tiles(padded.shape, side, overlap, size_multiple(config)))
        output = np.empty(padded.shape, np.float32)
        for number, tile in enumerate(parts):
            read = torch.from_numpy(padded[tile.read]).to(self.device)[None, None]
            output[tile.write] = self.forward(read)[0, 0].cpu().numpy()[tile.inner]
            yield (number + 1) / len(parts)
        return output[: frame.shape[0], : frame.shape[1]]

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, float32, of a (B, 1, Y, X) batch whose sides fit the network."""
        with torch.inference_mode(), in_low_precision(self.device):
            output: Tensor = self.network(x)
            return output.float()


def pad_to_multiple(frame: NDArray[np.float32], config: UNetConfig) -> NDArray[np.float32]:
    """Return a frame of any size with sides that the network can halve, by reflection."""
    n = size_multiple(config)
    missing = [-length % n for length in frame.shape]
    if not any(missing):
        return frame
    return np.pad(frame, [(0, more) for more in missing], mode="symmetric")


def weight_shapes(config: UNetConfig) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and dtype of each weight of such a network, without the memory for it."""
    with torch.device("meta"):
        weights = UNet(config).state_dict()
    return {
        name: (tuple(w.shape), str(w.dtype).removeprefix("torch.")) for name, w in weights.items()
    }


def build_network(config: UNetConfig, weights: Mapping[str, Any]) -> UNet:
    """Return the network of `config` with NumPy `weights`."""
    network = UNet(config)
    network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
    return network


def fused(network: UNet) -> UNet:
    """Return a copy with batch normalisation made part of the convolutions: to apply only."""
    network = copy.deepcopy(network).eval()
    for block in network.modules():
        if isinstance(block, DoubleConvolution):
            for at, (one, two) in enumerate(pairwise(block)):
                if isinstance(one, nn.Conv2d) and isinstance(two, nn.BatchNorm2d):
                    block[at], block[at + 1] = fuse_conv_bn_eval(one, two), nn.Identity()
    return network


def numpy_weights(network: UNet) -> dict[str, NDArray[Any]]:
    """Return the weights as NumPy arrays that are nobody else's."""
    return {name: w.detach().cpu().numpy().copy() for name, w in network.state_dict().items()}
