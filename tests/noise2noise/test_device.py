"""Choice of the device, its name, and errors of memory."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_lowdose import Noise2Noise
from napari_lowdose.noise2noise import device as device_module
from napari_lowdose.noise2noise.device import (
    choose_device,
    describe,
    in_full_precision,
    in_low_precision,
    is_out_of_memory,
)
from napari_lowdose.run import denoise_frame

CPU = torch.device("cpu")


def machine_with(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    """Make torch find GPUs; tensors on them report an index, as real ones do."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    def empty(n: int, device: torch.device) -> SimpleNamespace:
        if device.type != "cpu" and device.type not in kinds:
            raise AssertionError(f"Torch not compiled with {device.type} enabled")
        index = None if device.type == "cpu" else device.index or 0
        return SimpleNamespace(device=torch.device(device.type, index))

    monkeypatch.setattr(torch, "empty", empty)


@pytest.mark.parametrize(
    ("kinds", "chosen"), [((), "cpu"), (("mps",), "mps:0"), (("cuda",), "cuda:0")]
)
def test_auto_is_the_best_device(
    monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], chosen: str
) -> None:
    machine_with(monkeypatch, *kinds)
    assert choose_device("auto") == torch.device(chosen)


@pytest.mark.parametrize(
    ("wanted", "chosen"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_device_equals_that_of_its_tensors(
    monkeypatch: pytest.MonkeyPatch, wanted: str, chosen: str
) -> None:
    """Otherwise a training on "cuda" would not recognise its weights on "cuda:0"."""
    machine_with(monkeypatch, "cuda")
    assert choose_device(wanted) == torch.device(chosen)


def test_cpu_aliases() -> None:
    assert choose_device("cpu:0") == torch.zeros(1).device


@pytest.mark.parametrize("wanted", ["cuda:99", "gpu", "", "mps", "xpu", "hpu", "meta"])
def test_unavailable_device(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    machine_with(monkeypatch)
    with pytest.raises(ValueError, match=r"is not available: choose one of auto, cpu\.$"):
        choose_device(wanted)


def test_name_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(device_module, "low_precision", lambda _: torch.bfloat16)
    assert describe(CPU) == "CPU (2 threads, bfloat16)"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(device_module, "low_precision", lambda _: None)
    assert describe(CPU) == "CPU (1 thread, float32)"


def test_16_bits_only_with_hardware_support(monkeypatch: pytest.MonkeyPatch) -> None:
    convolution, x = torch.nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 8, 8)
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    with in_low_precision(CPU):
        assert convolution(x).dtype == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    with in_low_precision(CPU):
        assert convolution(x).dtype == torch.bfloat16
        with in_full_precision(CPU):
            assert convolution(x).dtype == torch.float32
    assert convolution(x).dtype == torch.float32


def test_older_torch_without_processor_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert device_module.low_precision(CPU) is None


def test_no_autocast_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch 2.4 cannot even disable autocast for MPS."""

    def refuse(device_type: str, **_: object) -> None:
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")

    monkeypatch.setattr(torch, "autocast", refuse)
    mps = torch.device("mps")
    with in_low_precision(mps), in_full_precision(mps):
        pass


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to ..."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_out_of_memory_errors(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("size mismatch"), ValueError("out of memory"), KeyError("x")]
)
def test_other_errors_are_not_out_of_memory(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_live_networks_leave_half_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.poisson(20 + 9 * np.sin(np.arange(64) / 5), (2, 64, 64))
    model = Noise2Noise(epochs=1, width=8).train(first, second)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        monkeypatch.setattr(device_module, "N_FEW", 2)
        seen: list[int] = []
        model.network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
        denoise_frame(model.for_live(), 0, (), (first,))
        with device_module.few_threads():  # a training goes on beside it
            denoise_frame(model.for_live(), 0, (), (first,))
            seen.append(torch.get_num_threads())
        assert seen == [2, 2, 2]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
