"""Where the network runs: CUDA, MPS or CPU, and in which precision."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# As the allocators of CUDA and MPS, Linux, Windows, and cuDNN or cuBLAS say it
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def choose_device(wanted: str) -> torch.device:
    """Return the device that is wanted, or the best there is.

    Parameters
    ----------
    wanted : str
        "auto", "cpu", "cuda", "cuda:1", "mps" ...

    Raises
    ------
    ValueError
        If there is no such device here, or it holds no numbers ("meta").
    """
    if wanted == "auto":
        wanted = "mps" if torch.backends.mps.is_available() else "cpu"
        if torch.cuda.is_available():
            wanted = "cuda"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that torch will not know for long
            # As tensors call it: "cuda" is no tensor's device, "cuda:0" is
            device = torch.empty(1, device=torch.device(wanted)).device
        if device.type == "meta":
            raise NotImplementedError("tensors without numbers")
    except Exception as error:  # each back end has its own: ModuleNotFoundError, AssertionError ...
        there = [name for name, module in (("cuda", torch.cuda), ("mps", torch.backends.mps))
                 if module.is_available()]  # fmt: skip
        raise ValueError(
            f"device {wanted!r} cannot be used here: take one of "
            f"{', '.join(['auto', 'cpu', *there])}."
        ) from error
    return device


def low_precision(device: torch.device) -> torch.dtype | None:
    """Return the 16-bit type that `device` multiplies in hardware; None if there is none."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if device.type != "cpu":
        return None
    # Emulated, bfloat16 is slower than float32; these say what the processor itself can do.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    found = any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return torch.bfloat16 if found else None


@contextlib.contextmanager
def in_low_precision(device: torch.device) -> Iterator[None]:
    """Compute convolutions in 16 bits where the device is built for it."""
    dtype = low_precision(device)
    if dtype is None:  # torch 2.4 knows no autocast for MPS, not even to switch it off
        yield
        return
    with torch.autocast(device.type, dtype=dtype):
        yield


@contextlib.contextmanager
def in_full_precision(device: torch.device) -> Iterator[None]:
    """Compute in 32 bits within `in_low_precision`."""
    if low_precision(device) is None:
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield


def describe(device: torch.device) -> str:
    """Return the device in words, for example 'CPU (2 threads, bfloat16)'."""
    precision = "float32" if low_precision(device) is None else "bfloat16"
    if device.type == "cuda":
        return f"CUDA ({torch.cuda.get_device_name(device)}, {precision})"
    if device.type == "cpu":
        n = torch.get_num_threads()
        return f"CPU ({n} thread{'s' * (n > 1)}, {precision})"
    return f"{device.type.upper()} ({precision})"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out: torch says it in several ways."""
    known: tuple[Any, ...] = (MemoryError, getattr(torch, "OutOfMemoryError", MemoryError))
    told = str(error).lower()
    return isinstance(error, known) or (
        isinstance(error, RuntimeError) and any(words in told for words in _OUT_OF_MEMORY)
    )
