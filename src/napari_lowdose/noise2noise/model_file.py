"""The model file: safetensors, whose header says what is in it; nothing in it can be executed."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.atomic import written_whole
from napari_lowdose.noise2noise.brightness_levels import Level
from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.model import Noise2NoiseModel
from napari_lowdose.noise2noise.presets import Preset

if TYPE_CHECKING:
    import os

FORMAT = "napari-lowdose noise2noise"
VERSION = 1
_LARGEST = 2**30  # bytes: no network of ours is a hundredth of it
_DEEPEST, _WIDEST = 8, 8192  # levels, channels
_LARGEST_BLOCK, _WIDEST_SMOOTHING = 16, 255  # pixels
_SMALLEST = float(np.finfo(np.float32).tiny)  # a float32 divides by nothing smaller
_FIELDS = ("offset", "scale", "both", "one", "value_range", "shift", "use", "normalise",
           "orientations")  # fmt: skip
_ADDED = ("pixel_size", "pixel_unit")  # fields that files of version 0.1.0 do not have
_FOR_PIXELS = ("levels", "outliers")  # nor these


def save_model(model: Noise2NoiseModel, path: str | os.PathLike[str]) -> None:
    """Write `model` into the file `path`, as a whole or not at all."""
    from safetensors.numpy import save

    about = {
        "architecture": dataclasses.asdict(model.architecture),
        "match": dataclasses.asdict(model.match),
        "record": dict(model.record),
        **{name: getattr(model, name) for name in (*_FIELDS, *_ADDED, *_FOR_PIXELS)},
    }
    header = {"format": FORMAT, "version": str(VERSION), "model": json.dumps(about)}
    # (np.ascontiguousarray would give a single number an axis)
    # np.ascontiguousarray would make an axis of a single number
    content = save({name: np.asarray(w, order="C") for name, w in model.weights.items()}, header)
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
    except (SafetensorError, TypeError, AttributeError) as error:
        # The last two: types of numbers that NumPy does not have
        raise ValueError(
            f"{path.name} is damaged, or no network (.safetensors) at all: {error}."
        ) from error
    try:
        model = _model(json.loads(header["model"]), weights)
    except _UNREADABLE as error:
        raise ValueError(f"{path.name} is damaged: its description cannot be read.") from error
    _check_weights(model, path)
    return model


# What a description of the wrong form may raise on its way; RecursionError: lists in lists in ...
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def _check_header(header: dict[str, str], path: Path) -> None:
    if header.get("format") != FORMAT:
        raise ValueError(f"{path.name} is a safetensors file, but no network of napari-lowdose.")
    version = header.get("version", "")
    if not (version.isascii() and version.isdigit()) or version.lstrip("0") != str(VERSION):
        raise ValueError(
            f"{path.name} was written by a newer napari-lowdose (its format is {version or '?'}, "
            f"this one reads {VERSION}): upgrade napari-lowdose."
        )


def _model(about: dict[str, Any], weights: dict[str, Any]) -> Noise2NoiseModel:
    """Return the model as described; raises one of `_UNREADABLE` where that makes no sense."""
    fields = {name: about[name] for name in _FIELDS}
    fields |= {name: about.get(name) for name in _ADDED}
    for name in ("offset", "scale"):
        fields[name] = _number(fields[name])
    for name in ("both", "one", "value_range", "shift"):
        low, high = fields[name]
        fields[name] = (_number(low), _number(high))
    fields["levels"] = tuple(
        Level(*map(_number, (contrast, gain, offset)))
        for contrast, gain, offset in about.get("levels", ())
    )
    fields["outliers"] = about.get("outliers", "remove")
    match = GainMatch(**about["match"])
    gain = _number(match.gain)
    _number(match.offset)
    record = about["record"]
    if "exposures" in record:
        for name in ("mean", "std", "noise"):
            _number(record["exposures"][name])
    n_steps = _number(record.get("n_steps", 0))
    sensible = (
        fields["scale"] >= _SMALLEST
        and abs(gain) >= _SMALLEST
        and all(one.contrast > 0 and abs(one.gain) >= _SMALLEST for one in fields["levels"])
        and max(map(abs, fields["shift"])) <= 1
        and isinstance(match.error, float)
        and isinstance(fields["normalise"], bool)
        and not isinstance(fields["orientations"], (bool, float))
        and isinstance(n_steps, int)
        and n_steps >= 0
    )
    if not sensible:
        raise ValueError("out of range")
    architecture = _architecture(Preset(**about["architecture"]))
    return Noise2NoiseModel(
        architecture=architecture, weights=weights, match=match, record=record, **fields
    )


def _architecture(preset: Preset) -> Preset:
    """Return `preset` if such a network can be built and trained, else raise."""
    wholes = {
        "width": (1, _WIDEST),
        "levels": (0, _DEEPEST),
        "unshuffle": (1, _LARGEST_BLOCK),
        "smoothing": (0, _WIDEST_SMOOTHING),
        "batch_size": (1, 2**20),
        "crop_size": (32, 2**20),
        "epochs": (0, 2**40),
        "steps": (0, 2**40),
    }
    for name, (lowest, highest) in wholes.items():
        value = _number(getattr(preset, name))
        if not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError(f"{name} is {value}")
    if (
        not isinstance(preset.batch_norm, bool)
        or preset.width << preset.levels > _WIDEST
        or (preset.smoothing and preset.smoothing % 2 == 0)
        or not _number(preset.learning_rate) > 0
    ):
        raise ValueError("no network that can be built")
    return preset


def _number(value: Any) -> float:
    """Return `value` if it is a finite number, else raise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{value!r:.50} is no number")
    return value


def _check_weights(model: Noise2NoiseModel, path: Path) -> None:
    """Check that the weights are those of the architecture, before torch is asked to."""
    import torch

    from napari_lowdose.noise2noise.network import UNet

    with torch.device("meta"):  # its shapes only: what is described may be larger than the memory
        network = UNet(model.architecture)
    expected = {
        name: (tuple(w.shape), "f" if w.is_floating_point() else "i")
        for name, w in network.state_dict().items()
    }
    found = {name: (tuple(w.shape), w.dtype.kind) for name, w in model.weights.items()}
    if expected != found:
        raise ValueError(f"{path.name} is damaged: its weights do not fit its architecture.")
    if not all(np.isfinite(w).all() for w in model.weights.values()):
        raise ValueError(f"{path.name} is damaged: some of its weights are not numbers.")
