"""Apply a network to frames of any size, whole and in tiles, with limited memory."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from napari_lowdose.engine import run_to_end
from napari_lowdose.noise2noise import device
from napari_lowdose.noise2noise.config import PRESETS, UNetConfig
from napari_lowdose.noise2noise.network import UNet, size_multiple
from napari_lowdose.noise2noise.prediction import (
    Predictor,
    build_network,
    fused,
    numpy_weights,
    pad_to_multiple,
)

CPU = torch.device("cpu")
Frame = NDArray[np.float32]


def frame(*shape: int, seed: int = 0) -> Frame:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def network(preset: UNetConfig) -> UNet:
    """Network with realistic statistics, in which every layer transmits a signal."""
    torch.manual_seed(0)
    network = UNet(preset).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    with torch.no_grad():
        for seed in range(3):
            network(torch.from_numpy(frame(2, 1, 64, 64, seed=seed)))
    return network.eval()


@pytest.fixture(scope="module", params=["fast", "paper"])
def trained(request: pytest.FixtureRequest) -> UNet:
    # As deep as the preset, so that tiles overlap as much; narrow, so that it is quick
    return network(replace(PRESETS[request.param], width=8))


def apply(network: UNet, image: Frame, side: int | None = None, orientations: int = 1) -> Frame:
    predictor = Predictor(network, CPU)
    if side is not None:
        predictor.side = side
    output: Frame = run_to_end(predictor.steps(image, orientations))
    return output


@pytest.mark.parametrize("bits", [32, 16])
def test_tiled_and_whole_agree(trained: UNet, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "low_precision", lambda _: torch.bfloat16 if bits == 16 else None)
    image = frame(360, 72)
    whole = apply(trained, image, side=4096)
    tiled = apply(trained, image, side=96)
    assert np.abs(tiled - whole).max() < 1e-4 * np.ptp(whole)


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (101, 67), (1, 9), (7, 300)])
def test_any_size(trained: UNet, shape: tuple[int, int]) -> None:
    image = frame(*shape)
    output = apply(trained, image)
    assert output.shape == shape
    assert output.dtype == np.float32
    assert np.isfinite(output).all()
    # A size that fits is not touched by what is added to one that does not
    assert pad_to_multiple(image, trained.config).shape[0] % size_multiple(trained.config) == 0


def test_eight_orientations_average_flips_and_rotations(trained: UNet) -> None:
    image = frame(48, 64)
    outputs = []
    for turns in range(4):
        outputs.append(np.rot90(apply(trained, np.rot90(image, turns).copy()), -turns))
        flipped = np.rot90(image.T, turns).copy()
        outputs.append(np.rot90(apply(trained, flipped), -turns).T)
    found = apply(trained, image, orientations=8)
    np.testing.assert_allclose(found, np.mean(outputs, axis=0), atol=1e-2 * np.ptp(found))
    turned = apply(trained, np.rot90(image).copy(), orientations=8)
    np.testing.assert_allclose(np.rot90(turned, -1), found, atol=1e-2 * np.ptp(found))


def test_fused_network_gives_the_same_output(
    trained: UNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "low_precision", lambda _: None)
    image = frame(64, 64)
    quick = fused(trained)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in quick.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in trained.modules())  # a copy
    whole = apply(trained, image)
    np.testing.assert_allclose(apply(quick, image), whole, atol=1e-5 * np.ptp(whole))


def test_weights_to_numpy_and_back(trained: UNet) -> None:
    weights = numpy_weights(trained)
    image = frame(64, 64)
    expected = apply(trained, image)
    again = build_network(trained.config, weights).eval()
    assert np.array_equal(apply(again, image), expected)
    for weight in weights.values():
        weight += 1  # nobody else's
    assert np.array_equal(apply(trained, image), expected)
    assert np.array_equal(apply(again, image), expected)


def test_progress_increases_to_one(trained: UNet) -> None:
    predictor = Predictor(trained, CPU)
    predictor.side = 64
    fractions = list(predictor.steps(frame(256, 32), 8))
    assert fractions == sorted(fractions)
    assert len(fractions) >= 8
    assert fractions[-1] == pytest.approx(1)


class Scarce(Predictor):
    """Simulate memory for inputs of up to a number of pixels."""

    room = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
        return super().forward(x)


def test_out_of_memory_reduces_the_tiles(caplog: pytest.LogCaptureFixture) -> None:
    fast = network(PRESETS["fast"])
    image = frame(700, 300)
    predictor = Scarce(fast, CPU)
    predictor.room = 320 * 320
    with caplog.at_level(logging.WARNING):
        output = run_to_end(predictor.steps(image))
    assert predictor.side == 192
    assert "continuing with tiles of 192 pixels" in caplog.text
    whole = apply(fast, image)
    assert np.abs(output - whole).max() < 1e-2 * np.ptp(whole)


def test_out_of_memory_with_the_smallest_tiles_is_an_error() -> None:
    predictor = Scarce(network(PRESETS["fast"]), CPU)
    with pytest.raises(MemoryError, match="not enough memory to apply the network"):
        run_to_end(predictor.steps(frame(64, 64)))


def test_out_of_memory_on_the_gpu_continues_on_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    """The CPU uses a copy, because a network in training stays on the GPU."""
    fast = network(PRESETS["fast"])

    class OnGPU(Predictor):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.network is fast:
                raise RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)")
            return super().forward(x)

    predictor = OnGPU(fast, CPU)
    moved = torch.Tensor.to
    gpu = SimpleNamespace(type="cuda")
    predictor.device = gpu  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(
            torch.Tensor, "to", lambda x, *a, **k: x if a == (gpu,) else moved(x, *a, **k)
        )
        output = run_to_end(predictor.steps(frame(64, 64)))
    assert predictor.network is not fast
    assert predictor.device == CPU
    assert "continuing on CPU" in caplog.text
    np.testing.assert_array_equal(output, apply(fast, frame(64, 64)))


def test_other_errors_are_raised() -> None:
    class Broken(Predictor):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        run_to_end(Broken(network(PRESETS["fast"]), CPU).steps(frame(64, 64)))


def test_prediction_restores_the_torch_modes(trained: UNet) -> None:
    """A consumer of the steps runs neither in inference mode nor in 16 bits."""
    predictor = Predictor(trained, CPU)
    predictor.side = 64
    for _ in predictor.steps(frame(200, 64)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
