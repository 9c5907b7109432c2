"""State of a training between two steps: network, weight average, optimiser, random numbers.

Training may end at any step, so neither the learning rate nor the average depends on its length.
A cosine schedule would.  The learning rate falls with the square root of the number of steps, and
the network that is kept is an average of the weights over a fixed share of all steps.  Three
trainings end alike: one stopped after n steps, one set to n steps, and one continued up to n.

References
----------
T. Karras et al., "Analyzing and improving the training dynamics of diffusion models", CVPR 2024,
section 3.1: power function averages.
"""

from __future__ import annotations

import copy
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from napari_lowdose.noise2noise.network import UNet
from napari_lowdose.noise2noise.prediction import build_network

if TYPE_CHECKING:
    from napari_lowdose.noise2noise.config import TrainingConfig, UNetConfig
    from napari_lowdose.noise2noise.model import Noise2NoiseModel

_WARM_UP = 50  # steps
_DECAY = 200  # steps after which the learning rate begins to fall
_EXPONENT = 6  # averages over about the last seventh of the steps
_seeding = threading.Lock()  # torch's global random state is shared by all threads


@dataclass
class TrainingState:
    """All that is needed to continue a training as if it had not been interrupted.

    Attributes
    ----------
    network : UNet
    average : AveragedModel
        The weight average, in `average.module`.
    optimiser : torch.optim.Optimizer
    rng : numpy.random.Generator
        Draws the crops.
    step : int
        Optimiser steps so far, over all continuations.
    """

    network: UNet
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    rng: np.random.Generator
    step: int = 0

    @property
    def averaged_network(self) -> UNet:
        """The network with averaged weights, in evaluation mode."""
        network: Any = self.average.module
        averaged: UNet = network.eval()
        return averaged


def initial_state(
    network_config: UNetConfig,
    config: TrainingConfig,
    start: Noise2NoiseModel | None,
    device: torch.device,
) -> TrainingState:
    """Return the state before the first step, or the one in which `start` ended.

    Parameters
    ----------
    network_config : UNetConfig
    config : TrainingConfig
    start : Noise2NoiseModel or None
        Network to continue.  Continuation is exact if it was trained in this process and on this
        device; a network from a file has a new optimiser.
    device : torch.device
    """
    if start is not None and isinstance(start.state, TrainingState):
        state = copy.deepcopy(start.state)  # so that it can be continued more than once
        if next(state.network.parameters()).device == device:
            return state
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed % 2**63)
        if start is None:
            network = UNet(network_config)
        else:
            network = build_network(network_config, start.weights)
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(
        network.parameters(),
        lr=config.optimiser.learning_rate,
        betas=(0.9, 0.99),
        fused=device.type in ("cpu", "cuda"),  # one call instead of one for each weight
    )
    rng = np.random.default_rng(config.seed)
    step = 0 if start is None else int(start.record.get("n_steps", 0))
    return TrainingState(network, weight_average(network, step), optimiser, rng, step)


def learning_rate(peak: float, step: int) -> float:
    """Return the learning rate of step number `step`, counted from 0.

    Not a `LambdaLR`, whose own step count and base rate would have to be restored when a network
    from a file is continued, or when it is continued at another peak rate.
    """
    return peak * min(1.0, (step + 1) / _WARM_UP) / math.sqrt(1 + step / _DECAY)


def weight_average(network: UNet, step: int = 0) -> AveragedModel:
    """Return a power function average of the weights of a network, as it is after `step` steps."""
    average = AveragedModel(network, multi_avg_fn=_update_average, use_buffers=True).eval()
    # AveragedModel overwrites the average at its first update: a continued one must not be
    average.n_averaged.fill_(step)
    return average


@torch.no_grad()
def _update_average(averages: Any, weights: Any, n_averaged: Any) -> None:
    """Move averages towards the weights; `n_averaged` is the number of updates before."""
    if not averages[0].is_floating_point():
        return  # the number of batches that batch normalisation has seen
    # All on the device: reading the number would make the CPU wait for the GPU in every step
    # 1 - (n / (n + 1))^6, by functions that keep its precision in float32 for many steps
    share = -torch.expm1(_EXPONENT * torch.log1p(-1 / (n_averaged + 1.0)))
    change = torch._foreach_sub(weights, averages)
    torch._foreach_mul_(change, share)
    torch._foreach_add_(averages, change)
