"""The paper's network matches Fig. 1(b); the receptive field is as calculated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_lowdose.noise2noise.config import PRESETS, UNetConfig
from napari_lowdose.noise2noise.network import UNet, receptive_field_radius, size_multiple

NARROW = {name: replace(preset, width=2) for name, preset in PRESETS.items()}


def random_network(preset: UNetConfig, seed: int = 0) -> UNet:
    """Network with random weights, including those initialised as a Gaussian."""
    torch.manual_seed(seed)
    network = UNet(preset).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network


def layers(network: UNet, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def test_paper_network_matches_figure_1b() -> None:
    preset = PRESETS["paper"]
    network = UNet(preset)
    blocks = 2 * preset.levels + 1  # down, bottom, up
    convolutions = layers(network, nn.Conv2d)
    kernels = Counter(layer.kernel_size for layer in convolutions)  # type: ignore[attr-defined]
    assert kernels == {(3, 3): 2 * blocks, (1, 1): 1}
    assert all(layer.stride == (1, 1) for layer in convolutions)
    assert network.last.kernel_size == (1, 1)
    assert len(layers(network, nn.BatchNorm2d)) == len(layers(network, nn.ReLU)) == 2 * blocks
    transposed = layers(network, nn.ConvTranspose2d)
    assert [(up.kernel_size, up.stride) for up in transposed] == [((2, 2), (2, 2))] * preset.levels
    assert network.smooth is None  # nothing goes round it


def test_order_within_a_double_convolution() -> None:
    once = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in UNet(NARROW["paper"]).first] == 2 * once


def test_paper_network_pools_by_two_and_has_skip_connections() -> None:
    preset = NARROW["paper"]
    network = random_network(preset)
    seen: list[tuple[int, int]] = []
    for layer in layers(network, nn.Conv2d):
        layer.register_forward_hook(
            lambda layer, inputs, _: seen.append((layer.in_channels, inputs[0].shape[-1]))
        )
    side = 2 * size_multiple(preset)
    network(torch.zeros(1, 1, side, side))
    sides = [s for _, s in seen]
    down = [side >> level for level in range(preset.levels + 1)]
    assert sides == [s for s in [*down, *down[-2::-1]] for _ in range(2)] + [side]
    # After each transposed convolution the level's own channels are joined to those from below
    joined = [n for n, _ in seen[2 * len(down) : -1 : 2]]
    assert joined == [2 * preset.width << level for level in range(preset.levels)][::-1]


def test_skip_connection_transmits_detail() -> None:
    network = random_network(NARROW["paper"])
    for up in network.up:
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
    x = torch.randn(1, 1, 32, 32)
    assert network(x).std() > 0


def test_initial_output_of_the_fast_network_is_the_smoothed_input() -> None:
    """The first preview is therefore a blurred image, not noise."""
    torch.manual_seed(0)
    network = UNet(PRESETS["fast"]).eval()
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    scene = torch.sin(x / 5) * torch.sin(y / 6)
    with torch.no_grad():
        output = network(scene[None, None])[0, 0]
    inner = slice(8, -8)
    both = torch.stack([output[inner, inner].ravel(), scene[inner, inner].ravel()])
    assert torch.corrcoef(both)[0, 1] > 0.95
    assert 0.5 < output[inner, inner].std() / scene[inner, inner].std() < 1.2


@pytest.mark.parametrize("name", ["fast", "paper"])
@pytest.mark.parametrize("times", [(1, 1), (2, 3), (5, 1)])
def test_any_multiple_of_the_size(name: str, times: tuple[int, int]) -> None:
    preset = NARROW[name]
    shape = (2, 1, *(size_multiple(preset) * n for n in times))
    assert UNet(preset).eval()(torch.zeros(shape)).shape == shape


@pytest.mark.parametrize("name", ["fast", "paper"])
def test_output_is_equivariant_to_shifts_by_the_size_multiple(name: str) -> None:
    preset = replace(NARROW[name], levels=1)
    network, n = random_network(preset), size_multiple(preset)
    margin = -(-receptive_field_radius(preset) // n) * n
    wide = torch.randn(1, 1, 2 * margin + n, 2 * margin + 3 * n)
    with torch.no_grad():
        left, right = network(wide[..., : -2 * n]), network(wide[..., 2 * n :])
        whole = network(wide)
    rows = slice(margin, margin + n)
    for part, start in ((left, 0), (right, 2 * n)):
        found = part[..., rows, margin : margin + n]
        expected = whole[..., rows, start + margin : start + margin + n]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


SMALL = {
    "fast": NARROW["fast"],
    "paper": NARROW["paper"],
    "one level": replace(NARROW["paper"], levels=1),
    "unshuffled by 4": replace(NARROW["fast"], unshuffle=4),
    "no level": replace(NARROW["fast"], levels=0, smoothing=0),
    "wide smoothing": replace(NARROW["fast"], levels=0, smoothing=31),
}


@pytest.mark.parametrize("name", SMALL)
def test_pixels_beyond_the_receptive_field_have_no_influence(name: str) -> None:
    """Tiles that overlap by `receptive_field_radius` are therefore sufficient for any weights."""
    preset = SMALL[name]
    network, n, far = UNet(preset).eval(), size_multiple(preset), receptive_field_radius(preset)
    for parameter in network.parameters():  # above zero, so that no ReLU stops anything
        nn.init.uniform_(parameter, 0.1, 0.3)
    side = -(-(2 * far + n) // n) * n + 2 * n
    farthest = 0
    for at in range(side // 2 - n // 2, side // 2 - n // 2 + n):
        x = torch.rand(1, 1, side, side, requires_grad=True)
        network(x)[0, 0, at, at].backward()
        assert x.grad is not None
        rows = torch.nonzero(x.grad[0, 0].abs().sum(1))
        farthest = max(farthest, int((rows - at).abs().max()))
    assert farthest <= far
    # ... and it overlaps by not much more than it must
    assert farthest > far - 2 * n - 1
