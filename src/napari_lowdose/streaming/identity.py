"""Identifier of a result: input, engine and parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_lowdose.engine import Engine
    from napari_lowdose.frames import ImageOrPair

# Fields that do not affect the result: state and record of training, device and preview.
_OF_NO_EFFECT = ("state", "record", "device", "preview")


def identity(engine: Engine, image: ImageOrPair, pixels: str) -> str:
    """Return a short identifier of engine, parameters and input.

    Parameters
    ----------
    engine : Engine
    image : ImageOrPair
    pixels : str
        Hash of the pixels to compare.
    """
    about = [type(engine).__name__, _plain(engine), image.about(), pixels]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Return a JSON-ready representation of parameters; arrays are hashed."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f for f in dataclasses.fields(value) if f.compare)
        names = [f.name for f in fields if f.name not in _OF_NO_EFFECT]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
