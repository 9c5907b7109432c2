"""Load PyTorch in the background, so that a training begins at once."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from functools import cache

_SPIN = "2000"  # turns for which a thread of OpenMP waits before it gives its core away


def load_torch_for_interface() -> threading.Thread:
    """Load PyTorch in a thread, for work beside an interface that needs a core now and then.

    The threads of OpenMP then spin for a short time only.  What the user has set with
    ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY`` stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN)  # read when PyTorch is loaded
    return load_torch()


@cache
def load_torch() -> threading.Thread:
    """Load PyTorch in a thread, once."""
    thread = threading.Thread(target=_load, name="loading PyTorch", daemon=True)
    thread.start()
    atexit.register(thread.join, 30.0)  # an interpreter that ends within an import may crash
    return thread


def _load() -> None:
    with contextlib.suppress(Exception):  # raised again where PyTorch is used
        import torch

        import napari_lowdose.noise2noise.training  # noqa: F401

        # A step of an optimiser in advance, because the first one imports modules for seconds
        weight = torch.zeros(1, requires_grad=True)
        optimiser = torch.optim.Adam([weight])
        weight.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
