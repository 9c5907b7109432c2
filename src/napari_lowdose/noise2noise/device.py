"""Device and precision of the network: CUDA, MPS or CPU, float32 or bfloat16."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

N_FEW = max(1, (os.cpu_count() or 1) // 2)  # threads beside other work
_few = threading.Lock()
_n_inside = 0  # number of threads within `few_threads`
_n_before = 1

# Messages of CUDA and MPS, Linux, Windows, and of cuDNN and cuBLAS
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def choose_device(wanted: str) -> torch.device:
    """Return the device with the given name.

    Parameters
    ----------
    wanted : str
        "cpu", "cuda", "cuda:1", "mps" and so on, or "auto" for the best one available.

    Raises
    ------
    ValueError
        If the device is not available or cannot compute ("meta").
    """
    if wanted == "auto":
        wanted = "mps" if torch.backends.mps.is_available() else "cpu"
        if torch.cuda.is_available():
            wanted = "cuda"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about deprecated device names
            # From a tensor, so that "cuda" becomes "cuda:0" and compares equal to its tensors
            device = torch.empty(1, device=torch.device(wanted)).device
        if device.type == "meta":
            raise NotImplementedError("meta tensors have no data")
    except Exception as error:  # backends raise ModuleNotFoundError, AssertionError and others
        available = [name for name, module in (("cuda", torch.cuda), ("mps", torch.backends.mps))
                 if module.is_available()]  # fmt: skip
        raise ValueError(
            f"device {wanted!r} is not available: choose one of "
            f"{', '.join(['auto', 'cpu', *available])}."
        ) from error
    return device


def low_precision(device: torch.device) -> torch.dtype | None:
    """Return the 16-bit type that a device supports in hardware; None if there is none."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if device.type != "cpu":
        return None
    # Emulated bfloat16 is slower than float32.  These probes test the processor itself; older
    # versions of torch do not have them.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    found = any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return torch.bfloat16 if found else None


@contextlib.contextmanager
def in_low_precision(device: torch.device) -> Iterator[None]:
    """Compute convolutions in 16 bits if the device supports it in hardware."""
    dtype = low_precision(device)
    if dtype is None:  # torch 2.4 has no autocast for MPS, not even a disabled one
        yield
        return
    with torch.autocast(device.type, dtype=dtype):
        yield


@contextlib.contextmanager
def in_full_precision(device: torch.device) -> Iterator[None]:
    """Compute in 32 bits, also inside `in_low_precision`."""
    if low_precision(device) is None:
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield


@contextlib.contextmanager
def few_threads() -> Iterator[None]:
    """Leave half of the cores to other work, such as a running view.

    The threads of PyTorch wait for each other at the end of every operation, spinning.  If one of
    them waits for a core, the others keep theirs busy with nothing: on two busy cores two threads
    take five times as long as one.

    The limit is the process's: the first to enter sets it, the last to leave lifts it.
    """
    global _n_inside, _n_before
    with _few:
        if _n_inside == 0:
            _n_before = torch.get_num_threads()
            torch.set_num_threads(min(N_FEW, _n_before))
        _n_inside += 1
    try:
        yield
    finally:
        with _few:
            _n_inside -= 1
            if _n_inside == 0:
                torch.set_num_threads(_n_before)


def describe(device: torch.device) -> str:
    """Return the name of a device for display, for example 'CPU (2 threads, bfloat16)'."""
    precision = "float32" if low_precision(device) is None else "bfloat16"
    if device.type == "cuda":
        return f"CUDA ({torch.cuda.get_device_name(device)}, {precision})"
    if device.type == "cpu":
        n = torch.get_num_threads()
        return f"CPU ({n} thread{'s' * (n > 1)}, {precision})"
    return f"{device.type.upper()} ({precision})"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out.

    Some backends of torch raise a plain RuntimeError, which only its message identifies.
    """
    known: tuple[Any, ...] = (MemoryError, getattr(torch, "OutOfMemoryError", MemoryError))
    message = str(error).lower()
    return isinstance(error, known) or (
        isinstance(error, RuntimeError) and any(words in message for words in _OUT_OF_MEMORY)
    )
