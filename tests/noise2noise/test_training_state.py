"""Learning rate and weight average match their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_lowdose.noise2noise.config import PRESETS
from napari_lowdose.noise2noise.network import UNet
from napari_lowdose.noise2noise.training_state import learning_rate, weight_average

TINY = replace(PRESETS["paper"], width=1, levels=1)


def filled(network: UNet, value: float) -> UNet:
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(value)
    return network


def average_of(values: list[float]) -> float:
    """Average of a network whose weights took these values."""
    network = UNet(TINY)
    average = weight_average(network)
    for value in values:
        average.update_parameters(filled(network, value))
    tensors = [t for t in average.module.state_dict().values() if t.is_floating_point()]
    found = torch.cat([t.flatten() for t in tensors])
    # The running statistics of batch normalisation too
    assert found.max() - found.min() < 1e-5
    return float(found.mean())


def test_first_step_discards_the_initial_weights() -> None:
    assert average_of([5.0]) == pytest.approx(5.0)


def test_average_of_constant_weights() -> None:
    assert average_of([3.0] * 50) == pytest.approx(3.0)


def test_average_covers_a_fixed_fraction_of_the_steps() -> None:
    """Power function average: step k of n has a weight about (k / n)^5."""
    for n in (70, 280):
        k = np.arange(1, n + 1)
        weights = (k / n) ** 5
        expected = np.sum(weights * k) / weights.sum()
        assert average_of([float(each) for each in k]) == pytest.approx(expected, rel=0.02)
        assert n - expected == pytest.approx(n / 7, rel=0.1)


def test_average_is_a_copy_in_evaluation_mode() -> None:
    network = UNet(TINY).train()
    average = weight_average(network)
    filled(network, 9.0)
    assert not average.module.training
    assert all((w != 9).all() for w in average.module.parameters())


def test_learning_rate() -> None:
    rates = np.array([learning_rate(2e-3, step) for step in range(4000)])
    assert rates[0] < rates.max() / 20  # it begins gently
    assert rates.max() <= 2e-3
    highest = int(rates.argmax())
    assert highest < 100
    assert (np.diff(rates[highest:]) < 0).all()  # and falls ever after,
    assert rates[3200] / rates[800] == pytest.approx(0.5, abs=0.08)  # with the root of the steps
