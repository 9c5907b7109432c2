"""The device is chosen by itself, named, and never a reason for a stack trace."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from napari_lowdose.noise2noise import device as device_module
from napari_lowdose.noise2noise.device import (
    choose_device,
    describe,
    in_full_precision,
    in_low_precision,
    is_out_of_memory,
)

CPU = torch.device("cpu")


def machine_with(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    """Let torch find GPUs; a tensor on one tells its index, as real ones do."""
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
def test_auto_is_the_best_there_is(
    monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], chosen: str
) -> None:
    machine_with(monkeypatch, *kinds)
    assert choose_device("auto") == torch.device(chosen)


@pytest.mark.parametrize(
    ("wanted", "chosen"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_a_device_is_called_as_its_tensors_call_it(
    monkeypatch: pytest.MonkeyPatch, wanted: str, chosen: str
) -> None:
    """Else a training on "cuda" would never find its own weights, on "cuda:0", again."""
    machine_with(monkeypatch, "cuda")
    assert choose_device(wanted) == torch.device(chosen)


def test_cpu_by_another_name() -> None:
    assert choose_device("cpu:0") == torch.zeros(1).device


@pytest.mark.parametrize("wanted", ["cuda:99", "gpu", "", "mps", "xpu", "hpu", "meta"])
def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    machine_with(monkeypatch)
    with pytest.raises(ValueError, match=r"is not available: choose one of auto, cpu\.$"):
        choose_device(wanted)


def test_the_cpu_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(device_module, "low_precision", lambda _: torch.bfloat16)
    assert describe(CPU) == "CPU (2 threads, bfloat16)"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(device_module, "low_precision", lambda _: None)
    assert describe(CPU) == "CPU (1 thread, float32)"


def test_sixteen_bits_only_where_the_processor_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_older_torch_says_nothing_of_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert device_module.low_precision(CPU) is None


def test_no_autocast_where_torch_knows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """For MPS torch 2.4 refuses to switch autocast even off."""

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
def test_memory_ran_out(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("size mismatch"), ValueError("out of memory"), KeyError("x")]
)
def test_something_else_went_wrong(error: BaseException) -> None:
    assert not is_out_of_memory(error)
