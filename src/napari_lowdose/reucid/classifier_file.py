"""File of a classifier: the weights of its two networks, and a record of how it was made.

A safetensors file, of which loading executes no code.  It has the names and shapes of
``classifier.safetensors``: ``remove.conv1.weight``, ..., ``keep.out.bias``, one network for each
treatment of scan noise.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.io.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Weights = dict[str, NDArray[np.float32]]

NETWORKS = ("remove", "keep")  # scan noise
SHAPES = {
    "conv1.weight": (14, 1, 5, 5),
    "conv1.bias": (14,),
    "conv2.weight": (15, 14, 3, 3),
    "conv2.bias": (15,),
    "fc3.weight": (16, 16),
    "fc3.bias": (16,),
    "fc4.weight": (16, 16),
    "fc4.bias": (16,),
    "out.weight": (1, 16),
    "out.bias": (1,),
}
LARGEST = 2**20  # bytes; a classifier has 24 kB


def classifier_path(value: Any) -> str | None:
    """Return the path of a classifier as text; None for the classifier of the package."""
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise ValueError(f"classifier is the path of a file, or None, not {value!r:.100}.")
    return str(os.fspath(value))


def write_classifier(
    path: str | os.PathLike[str],
    networks: Mapping[str, Weights],
    record: Mapping[str, Any],
) -> None:
    """Write a classifier to a safetensors file, atomically.

    Parameters
    ----------
    path : path
        An existing file is replaced.
    networks : mapping from {"remove", "keep"} to dict of arrays
    record : mapping
        How it was made; JSON-ready.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from safetensors.numpy import save

    tensors = {
        f"{network}.{name}": np.ascontiguousarray(array, np.float32)
        for network, weights in networks.items()
        for name, array in weights.items()
    }
    content = save(tensors, metadata={"record": json.dumps(dict(record))})
    with atomic_write(path) as file:
        file.write(content)


def read_classifier(path: str | os.PathLike[str]) -> tuple[dict[str, Weights], dict[str, Any]]:
    """Read a classifier from a safetensors file.

    Parameters
    ----------
    path : path

    Returns
    -------
    networks : dict of dict of arrays
        Weights for ``"remove"`` and for ``"keep"`` scan noise.
    record : dict
        How it was made.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not the file of a classifier, or damaged.
    """
    path = Path(path)
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    try:
        if len(content) > LARGEST:
            raise ValueError("the file is too large")
        return read_networks(content)
    except ValueError as reason:
        raise ValueError(
            f"the file {path.name} is not a classifier of eigenpatches ({reason}): choose a file "
            "that was saved by Teach REUCID, or none for the classifier of the package."
        ) from reason


def read_networks(content: bytes) -> tuple[dict[str, Weights], dict[str, Any]]:
    """Read a classifier from the content of its file; see `read_classifier`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        record = json.loads(metadata.get("record", "{}"))
    except (SafetensorError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no safetensors file, or damaged") from error
    networks = {network: _network(tensors, network) for network in NETWORKS}
    return networks, record if isinstance(record, dict) else {}


def _network(tensors: Mapping[str, NDArray[Any]], network: str) -> Weights:
    weights = {}
    for name, shape in SHAPES.items():
        array = tensors.get(f"{network}.{name}")
        if array is None or array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"{network}.{name} is missing, or is not a {shape} float32 array")
        if not np.isfinite(array).all():
            raise ValueError(f"{network}.{name} has values that are not finite")
        weights[name] = array
    return weights
