"""Learning rate and average of the weights, such that training may end at any step.

A cosine schedule needs to know beforehand when it will end.  Here nothing does: the learning rate
falls with the square root of the steps, and the network that is kept is an average of the weights
over the last part, always the same share, of all steps.  So a training that is stopped after n
steps, one that was told to take n, and one that is continued up to n, all end alike.

References
----------
T. Karras et al., "Analyzing and improving the training dynamics of diffusion models", CVPR 2024,
section 3.1: power function averages.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_lowdose.noise2noise.network import UNet

_WARM_UP = 50  # steps
_DECAY = 200  # steps after which the learning rate begins to fall
_EXPONENT = 6  # the average reaches back over the last seventh of the steps, about


def learning_rate(highest: float, step: int) -> float:
    """Return the learning rate of step number `step`, from 0."""
    return highest * min(1.0, (step + 1) / _WARM_UP) / math.sqrt(1 + step / _DECAY)


class WeightAverage:
    """A copy of a network that holds the average of its weights.

    Parameters
    ----------
    network : UNet
    """

    def __init__(self, network: UNet) -> None:
        self.network = copy.deepcopy(network).eval()

    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step number `step`, from 0."""
        share = 1 - (1 - 1 / (step + 1)) ** _EXPONENT
        with torch.no_grad():
            torch._foreach_lerp_(_floating(self.network), _floating(network), share)


def _floating(network: nn.Module) -> list[Tensor]:
    """Return weights and the running statistics of batch normalisation."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
