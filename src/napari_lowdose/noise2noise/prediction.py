"""Apply a network to frames of any size: in overlapping tiles, averaged over orientations."""

from __future__ import annotations

import contextlib
import copy
import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_lowdose.engine import rescale_progress
from napari_lowdose.noise2noise.device import (
    describe,
    few_threads,
    in_low_precision,
    is_out_of_memory,
)
from napari_lowdose.noise2noise.network import (
    DoubleConvolution,
    UNet,
    receptive_field_radius,
    size_multiple,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_lowdose.noise2noise.config import UNetConfig

logger = logging.getLogger(__name__)

_SIDE = 768  # tile side, pixels: about 0.3 s on two CPU cores, so that Stop is quick
_LEAST_SIDE = 128
# Number of quarter turns, and whether the frame is flipped
_ORIENTATIONS = [(turns, flip) for flip in (False, True) for turns in range(4)]


class Tile(NamedTuple):
    """One tile of a frame.

    Attributes
    ----------
    read : (slice, slice)
        Region of the frame that is input: the tile and its overlap.
    write : (slice, slice)
        Region of the frame that is output: the tile itself.
    inner : (slice, slice)
        The output region relative to `read`.
    """

    read: tuple[slice, slice]
    write: tuple[slice, slice]
    inner: tuple[slice, slice]


def tiles(shape: tuple[int, int], side: int, overlap: int, multiple: int = 1) -> Iterator[Tile]:
    """Yield overlapping tiles whose output regions cover a frame exactly once.

    Parameters
    ----------
    shape : (int, int)
        Shape of the frame, (Y, X).
    side : int
        Maximum side of an output region, pixels.  It is rounded down to a multiple of `multiple`.
    overlap : int
        Minimum overlap on every side, pixels; less at the border of the frame.
    multiple : int
        All corners are multiples of this number, so that a network that halves the image sees
        the same grid in every tile.

    Yields
    ------
    Tile

    Examples
    --------
    >>> [tile.read[1] for tile in tiles((8, 20), side=8, overlap=2)]
    [slice(0, 10, None), slice(6, 18, None), slice(14, 20, None)]
    """
    side = max(side - side % multiple, multiple)
    overlap = -(-overlap // multiple) * multiple
    for y0 in range(0, shape[0], side):
        for x0 in range(0, shape[1], side):
            rows = _tile_along(y0, side, overlap, shape[0])
            columns = _tile_along(x0, side, overlap, shape[1])
            yield Tile(*zip(rows, columns, strict=True))


def _tile_along(start: int, side: int, overlap: int, length: int) -> tuple[slice, slice, slice]:
    """Return the regions read, write and inner along one axis."""
    stop = min(start + side, length)
    first, last = max(start - overlap, 0), min(stop + overlap, length)
    return slice(first, last), slice(start, stop), slice(start - first, stop - first)


class Predictor:
    """Apply a network to frames, in tiles if they are large.

    Parameters
    ----------
    network : UNet
        It is moved to `device` and set to evaluation mode.
    device : torch.device
    beside : bool
        Leave half of the cores to other work.

    Attributes
    ----------
    side : int
        Maximum side of a tile, pixels.  It is halved when memory runs out.
    """

    def __init__(self, network: UNet, device: torch.device, beside: bool = False) -> None:
        self.network = network.to(device).eval()
        self._threads = few_threads if beside else contextlib.nullcontext
        self.device = device
        self.side = _SIDE

    def steps(
        self, frame: NDArray[np.float32], orientations: int = 1
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Apply the network; yields the fraction done and returns the output.

        Parameters
        ----------
        frame : (Y, X) or (F, Y, X) float32 array
            Normalised frame, for a network with context with the frames around it.
        orientations : 1 or 8
            8 averages the outputs over all flips and rotations by 90°.

        Yields
        ------
        float
            Fraction done, 0 to 1.

        Returns
        -------
        (Y, X) float32 array
            Normalised output.

        Raises
        ------
        MemoryError
            If there is not enough memory even for small tiles on the CPU.
        """
        frame = frame.reshape(-1, *frame.shape[-2:])
        total = np.zeros(frame.shape[1:], np.float32)
        for number, (turns, flip) in enumerate(_ORIENTATIONS[:orientations]):
            flipped = frame[..., ::-1] if flip else frame
            turned = np.ascontiguousarray(np.rot90(flipped, turns, (1, 2)))
            begun = number / orientations
            output = yield from rescale_progress(
                self._within_memory(turned), begun, begun + 1 / orientations
            )
            output = np.rot90(output, -turns)
            total += output[:, ::-1] if flip else output
        return total / np.float32(orientations)

    def _within_memory(
        self, frame: NDArray[np.float32]
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Apply the network, with smaller tiles or on the CPU if memory runs out."""
        while True:
            try:
                return (yield from self._tiled(frame))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._reduce_memory(error)

    def _reduce_memory(self, error: BaseException) -> None:
        if self.side > _LEAST_SIDE:
            self.side //= 2
            logger.warning("not enough memory: continuing with tiles of %d pixels", self.side)
        elif self.device.type != "cpu":
            self.device, self.side = torch.device("cpu"), _SIDE
            # A copy: the network may be in training, which continues on the GPU
            self.network = copy.deepcopy(self.network).to(self.device)
            logger.warning("not enough GPU memory: continuing on %s", describe(self.device))
        else:
            raise MemoryError(
                "there is not enough memory to apply the network, even in small tiles: close "
                "other programs."
            ) from error

    def _tiled(self, frame: NDArray[np.float32]) -> Generator[float, None, NDArray[np.float32]]:
        config = self.network.config
        padded = pad_to_multiple(frame, config)  # (F, Y, X)
        shape = padded.shape[1:]
        overlap = receptive_field_radius(config)
        # A single tile, where a second one would consist mostly of overlap
        whole = max(shape) <= self.side + 2 * overlap
        side = max(shape) if whole else self.side
        parts = list(tiles(shape, side, overlap, size_multiple(config)))
        output = np.empty(shape, np.float32)
        for number, tile in enumerate(parts):
            read = torch.from_numpy(padded[:, *tile.read]).to(self.device)[None]
            output[tile.write] = self.forward(read)[0, 0].cpu().numpy()[tile.inner]
            yield (number + 1) / len(parts)
        return output[: frame.shape[1], : frame.shape[2]]

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for a batch.

        Parameters
        ----------
        x : (B, F, Y, X) tensor
            Normalised frames.  Y and X must be multiples of `size_multiple`.

        Returns
        -------
        (B, 1, Y, X) float32 tensor
        """
        # No yield in here: the consumer of the generator would run in inference mode
        with self._threads(), torch.inference_mode(), in_low_precision(self.device):
            output: Tensor = self.network(x)
            return output.float()


def pad_to_multiple(frame: NDArray[np.float32], config: UNetConfig) -> NDArray[np.float32]:
    """Pad a frame by reflection, to sides that are multiples of `size_multiple`."""
    n = size_multiple(config)
    missing = [-length % n for length in frame.shape[-2:]]
    if not any(missing):
        return frame
    before = [(0, 0)] * (frame.ndim - 2)
    return np.pad(frame, before + [(0, more) for more in missing], mode="symmetric")


def weight_shapes(config: UNetConfig) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and dtype of each weight of a network, without allocating the weights."""
    with torch.device("meta"):
        weights = UNet(config).state_dict()
    return {
        name: (tuple(w.shape), str(w.dtype).removeprefix("torch.")) for name, w in weights.items()
    }


def build_network(config: UNetConfig, weights: Mapping[str, Any]) -> UNet:
    """Build a network from NumPy weights."""
    with torch.device("meta"):  # without initial weights, which would draw random numbers
        network = UNet(config)
    tensors = {name: torch.from_numpy(np.array(w)) for name, w in weights.items()}
    network.load_state_dict(tensors, assign=True)
    return network


def fused(network: UNet) -> UNet:
    """Return a copy for inference, with batch normalisation fused into the convolutions."""
    network = copy.deepcopy(network).eval()
    for block in network.modules():
        if isinstance(block, DoubleConvolution):
            for at, (layer, following) in enumerate(pairwise(block)):
                if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                    block[at], block[at + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
    return network


def numpy_weights(network: UNet) -> dict[str, NDArray[Any]]:
    """Return a copy of the weights as NumPy arrays."""
    # On the CPU, numpy() alone would share memory with a network that training changes
    return {name: w.detach().cpu().numpy().copy() for name, w in network.state_dict().items()}
