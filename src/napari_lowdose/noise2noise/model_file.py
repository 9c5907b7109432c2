"""The model file: safetensors, whose header says what is in it; nothing in it can be executed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.atomic import written_whole
from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.model import Noise2NoiseModel
from napari_lowdose.noise2noise.presets import Preset

if TYPE_CHECKING:
    import os

FORMAT = "napari-lowdose noise2noise"
VERSION = 1
_LARGEST = 2**30  # bytes: no network of ours is a hundredth of it
_DEEPEST, _WIDEST = 8, 1024
_FIELDS = ("offset", "scale", "both", "one", "value_range", "shift", "use", "normalise",
           "orientations")  # fmt: skip


def save_model(model: Noise2NoiseModel, path: str | os.PathLike[str]) -> None:
    """Write `model` into the file `path`, as a whole or not at all."""
    from safetensors.numpy import save

    about = {
        "architecture": dataclasses.asdict(model.architecture),
        "match": dataclasses.asdict(model.match),
        "record": dict(model.record),
        **{name: getattr(model, name) for name in _FIELDS},
    }
    header = {"format": FORMAT, "version": str(VERSION), "model": json.dumps(about)}
    content = save({name: np.ascontiguousarray(w) for name, w in model.weights.items()}, header)
    with written_whole(path) as file:
        file.write(content)


def load_model(path: str | os.PathLike[str]) -> Noise2NoiseModel:
    """Read what `save_model` wrote; see `Noise2NoiseModel.load`."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    with open(path, "rb") as file:  # missing or forbidden: let the system say so
        size = file.seek(0, 2)
    if size > _LARGEST:
        raise ValueError(f"{path.name} has {size / 2**30:.1f} GiB: it is no network of ours.")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            _check_header(header, path)
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"{path.name} is damaged, or no network (.safetensors) at all: {error}."
        ) from error
    try:
        model = _model(json.loads(header["model"]), weights)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is damaged: its description cannot be read.") from error
    _check_weights(model, path)
    return model


def _check_header(header: dict[str, str], path: Path) -> None:
    if header.get("format") != FORMAT:
        raise ValueError(f"{path.name} is a safetensors file, but no network of napari-lowdose.")
    version = header.get("version", "")
    if not version.isdigit() or int(version) > VERSION:
        raise ValueError(
            f"{path.name} was written by a newer napari-lowdose (its format is {version or '?'}, "
            f"this one reads {VERSION}): upgrade napari-lowdose."
        )


def _model(about: dict[str, Any], weights: dict[str, Any]) -> Noise2NoiseModel:
    fields = {name: about[name] for name in _FIELDS}
    for name in ("both", "one", "value_range", "shift"):
        low, high = fields[name]
        fields[name] = (float(low), float(high))
    return Noise2NoiseModel(
        architecture=Preset(**about["architecture"]),
        weights=weights,
        match=GainMatch(**about["match"]),
        record=about["record"],
        **fields,
    )


def _check_weights(model: Noise2NoiseModel, path: Path) -> None:
    """Check that the weights are those of the architecture, before torch is asked to."""
    from napari_lowdose.noise2noise.network import UNet

    a = model.architecture
    numbers = (a.width, a.levels, a.unshuffle, a.smoothing)
    sound = all(isinstance(n, int) and n >= 0 for n in numbers) and a.width and a.unshuffle
    if not sound or a.levels > _DEEPEST or a.width * 2**a.levels > _WIDEST * 8 or a.unshuffle > 16:
        raise ValueError(f"{path.name} is damaged: it describes no network that can be built.")
    expected = {name: tuple(w.shape) for name, w in UNet(a).state_dict().items()}
    found = {name: tuple(w.shape) for name, w in model.weights.items()}
    if expected != found:
        raise ValueError(f"{path.name} is damaged: its weights do not fit its architecture.")
    if not all(np.isfinite(w).all() for w in model.weights.values()):
        raise ValueError(f"{path.name} is damaged: some of its weights are not numbers.")
