"""Model file: safetensors with a JSON description in its header.

Loading executes no code from the file.  The model imports this module, so the fields of the model
are a plain dictionary here.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import asdict
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_lowdose.io.atomic import atomic_write
from napari_lowdose.noise2noise.config import LARGEST, OptimiserConfig, UNetConfig
from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.normalised_frames import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

Model = TypeVar("Model")
FORMAT = "napari-lowdose noise2noise"
VERSION = 2  # of networks with channels or context; others are written as version 1
# Limits that protect against damaged or malicious files, far beyond any useful network
_LONGEST_HEADER = 2**22  # bytes, about a thousand times the usual length
_DEEPEST, _WIDEST = 8, 8192  # levels, channels
_MOST_CONTEXT = 64  # frames
_LARGEST_BLOCK, _WIDEST_SMOOTHING = 16, 255  # pixels
_SMALLEST = float(np.finfo(np.float32).tiny)  # smallest divisor that float32 can represent
_GREATEST = float(np.finfo(np.float32).max)
_MOST_STEPS = 2**40
_MOST_CHANNELS = 1024
_DTYPES = {"F32": "float32", "I64": "int64"}
# Field of the model for each key of the description, which keeps the names of version 0.1.0
_FIELDS = {
    "offset": "offset",
    "scale": "scale",
    "both": "pair_calibration",
    "one": "single_calibration",
    "value_range": "value_range",
    "shift": "shift",
    "use": "use",
    "normalise": "normalise",
    "orientations": "orientations",
}
_ADDED = (
    "pixel_size",
    "pixel_unit",
    "levels",
    "outliers",
    "affine",
)  # missing in files of version 0.1.0


def save_model(
    path: str | os.PathLike[str],
    fields: Mapping[str, Any],
    channels: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Save the fields of a model to a file, atomically; see `Noise2NoiseModel.save`.

    Parameters
    ----------
    path : path
    fields : mapping
        Fields of the model.
    channels : sequence of mapping
        Fields of the networks of its channels, whose weights are saved instead of its own.
    """
    from safetensors.numpy import save

    about = _description(fields)
    weights = dict(fields["weights"])
    if channels:
        about |= {
            "channel_axis": fields["channel_axis"],
            "channels": [_description(each) for each in channels],
        }
        weights = {
            f"{_prefix(n)}{name}": weight
            for n, each in enumerate(channels)
            for name, weight in each["weights"].items()
        }
    version = str(VERSION if channels or fields["architecture"].context else 1)
    header = {"format": FORMAT, "version": version, "model": json.dumps(about)}
    # Not np.ascontiguousarray, which adds an axis to scalars
    content = save({name: np.asarray(w, order="C") for name, w in weights.items()}, header)
    with atomic_write(path) as file:
        file.write(content)


def _description(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON-ready description of a model, without its weights."""
    architecture = asdict(fields["architecture"])
    if not architecture["context"]:  # earlier readers do not know it
        del architecture["context"]
    return {
        # A single dictionary, as in files of version 0.1.0
        "architecture": {**architecture, **asdict(fields["optimiser"])},
        "match": asdict(fields["match"]),
        "record": dict(fields["record"]),
        **{key: fields[name] for key, name in _FIELDS.items()},
        **{name: fields[name] for name in _ADDED},
    }


def _prefix(channel: int) -> str:
    """Return what the names of the weights of a channel begin with."""
    return f"channels.{channel}."


def load_model(path: str | os.PathLike[str], build: Callable[..., Model]) -> Model:
    """Load a model from a file; see `Noise2NoiseModel.load`.

    Parameters
    ----------
    path : path
    build : callable
        Constructor of the model; its keyword arguments are the fields.
    """
    from safetensors import SafetensorError, safe_open

    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"a network is loaded from the path of its file, not from {path!r:.100}.")
    path = Path(path)
    _check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            _check_header(header, path)
            fields, channels = _fields(header, path)
            named = {_prefix(n): each["architecture"] for n, each in enumerate(channels)}
            # Before reading any weight
            _check_shapes(file, named or {"": fields["architecture"]}, path)
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, AttributeError) as error:
        # TypeError and AttributeError: dtypes that NumPy does not have, such as bfloat16
        raise ValueError(f"{path.name} is damaged, or not a network: {error}.") from error
    _check_weights(weights, path)
    try:
        if not channels:
            return build(weights=weights, **fields)
        parts = tuple(
            build(weights=_beginning_with(_prefix(n), weights), **each)
            for n, each in enumerate(channels)
        )
        return build(weights=_beginning_with(_prefix(0), weights), channels=parts, **fields)
    except _UNREADABLE as error:
        raise ValueError(f"{path.name} is damaged: its description cannot be read.") from error


def _beginning_with(prefix: str, weights: dict[str, Any]) -> dict[str, Any]:
    found = weights.items()
    return {name.removeprefix(prefix): w for name, w in found if name.startswith(prefix)}


# Errors that a malformed description may raise; RecursionError comes from deeply nested lists
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def _check_file(path: Path) -> None:
    """Refuse devices, pipes and huge files before reading them."""
    about = path.stat()  # raises if the file is missing or access is denied
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, "A folder is not a napari-lowdose model", str(path))
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(
            f"{path.name} is a device or a pipe, not a file: it is not a napari-lowdose model."
        )
    if about.st_size > LARGEST:
        raise ValueError(
            f"{path.name} has {about.st_size / 2**30:.1f} GiB: not a napari-lowdose model."
        )
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if about.st_size <= 8 or length > _LONGEST_HEADER:
        raise ValueError(f"{path.name} is damaged, or not a network (safetensors).")


def _check_header(header: dict[str, str], path: Path) -> None:
    if header.get("format") != FORMAT:
        raise ValueError(f"{path.name} is a safetensors file, but not a napari-lowdose model.")
    version = header.get("version", "")
    if not (version.isascii() and version.isdigit()) or version.lstrip("0") not in ("1", "2"):
        raise ValueError(
            f"{path.name} was written by a newer version of napari-lowdose (format "
            f"{version or '?'}; this version reads formats up to {VERSION}): upgrade "
            "napari-lowdose."
        )


def _fields(header: dict[str, str], path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the fields of the model and of its channels, except the weights, from the header."""
    try:
        about = json.loads(header["model"])
        fields = _described(about)
        channels = [_described(each) for each in about.get("channels", ())]
        if channels:
            fields["channel_axis"] = about["channel_axis"]
            if not (
                len(channels) <= _MOST_CHANNELS
                and isinstance(fields["channel_axis"], int)
                and 0 <= fields["channel_axis"] < _MOST_CHANNELS
            ):
                raise ValueError("out of range")
        return fields, channels
    except _UNREADABLE as error:
        raise ValueError(f"{path.name} is damaged: its description cannot be read.") from error


def _described(about: dict[str, Any]) -> dict[str, Any]:
    """Return the fields; raises one of `_UNREADABLE` if the description is invalid."""
    fields = {name: about[key] for key, name in _FIELDS.items()}
    fields |= {name: about.get(name) for name in ("pixel_size", "pixel_unit", "affine")}
    for name in ("offset", "scale"):
        fields[name] = _number(fields[name])
    for name in ("pair_calibration", "single_calibration", "value_range", "shift"):
        low, high = fields[name]
        fields[name] = (_number(low), _number(high))
    levels = fields["levels"] = tuple(
        Level(*map(_number, (contrast, gain, offset)))
        for contrast, gain, offset in about.get("levels", ())
    )
    fields["outliers"] = about.get("outliers", "remove")
    match = fields["match"] = GainMatch(**about["match"])
    for value in (match.gain, match.offset):
        _number(value)
    _check_record(about["record"])
    sensible = (
        fields["scale"] >= _SMALLEST
        and abs(match.gain) >= _SMALLEST
        and fields["value_range"][0] <= fields["value_range"][1]
        and all(one.contrast >= _SMALLEST and abs(one.gain) >= _SMALLEST for one in levels)
        and max(map(abs, fields["shift"])) <= 1
        and isinstance(match.error, (int, float))
        and match.error >= 0
        and isinstance(fields["normalise"], bool)
        and not isinstance(fields["orientations"], (bool, float))
        and isinstance(fields["pixel_unit"], str | None)
    )
    if not sensible:
        raise ValueError("out of range")
    return {**fields, **_configs(about["architecture"]), "record": about["record"]}


def _check_record(record: dict[str, Any]) -> None:
    """Check the parts of the record that other modules read, and that all of it is valid JSON."""
    json.dumps(record, allow_nan=False)
    for name in ("parameters", "preset", "versions", "pairs"):
        dict(record.get(name, {}))
    if exposures := record.get("exposures", {}):
        known = {name: _number(value) for name, value in exposures.items()}
        if not {"mean", "std", "noise"} <= set(known) or min(known["std"], known["noise"]) < 0:
            raise ValueError("no mean, or no standard deviation")
    n_steps, epochs = record.get("n_steps", 0), record.get("epochs", 0)
    if not isinstance(n_steps, int) or not 0 <= _number(n_steps) < _MOST_STEPS:
        raise ValueError(f"n_steps is {n_steps}")
    if _number(epochs) < 0:
        raise ValueError(f"epochs is {epochs}")
    gain = record.get("gain_db")
    if gain is not None:
        low, high = gain
        for limit in (low, high):
            if limit is not None:
                _number(limit)
    for limits in record.get("gain_db_of_channels", ()):
        low, high = limits
        for limit in (low, high):
            if limit is not None:
                _number(limit)
    for earlier in (*record.get("continued_from", ()), *record.get("channels", ())):
        _check_record(earlier)


def _configs(about: dict[str, Any]) -> dict[str, Any]:
    """Return architecture and optimiser; raises if they are invalid."""
    of_optimiser = {each.name for each in fields_of(OptimiserConfig)}
    values = about.items()  # raises if this is no dictionary
    network = UNetConfig(**{key: value for key, value in values if key not in of_optimiser})
    optimiser = OptimiserConfig(**{key: value for key, value in values if key in of_optimiser})
    limits = {
        "width": (1, _WIDEST),
        "levels": (0, _DEEPEST),
        "unshuffle": (1, _LARGEST_BLOCK),
        "smoothing": (0, _WIDEST_SMOOTHING),
        "context": (0, _MOST_CONTEXT),
        "batch_size": (1, 2**12),
        "crop_size": (32, 2**13),
        "epochs": (0, _MOST_STEPS),
        "steps": (0, _MOST_STEPS),
    }
    for name, (lowest, highest) in limits.items():
        value = _number(about.get(name, 0) if name == "context" else about[name])
        if not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError(f"{name} is {value}")
    if (
        not isinstance(network.batch_norm, bool)
        or network.width << network.levels > _WIDEST
        or (network.smoothing and network.smoothing % 2 == 0)
        or not _number(optimiser.learning_rate) > 0
    ):
        raise ValueError("such a network cannot be built")
    return {"architecture": network, "optimiser": optimiser}


def _number(value: Any) -> float:
    """Return `value` if it is a number that float32 can represent, else raise."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not abs(value) <= _GREATEST
    ):
        raise TypeError(f"{value!r:.50} is not a number")
    return value


def _check_shapes(file: Any, architectures: Mapping[str, UNetConfig], path: Path) -> None:
    """Check that the weights match the architecture of each prefix, from the header alone."""
    from napari_lowdose.noise2noise.prediction import weight_shapes  # loads torch

    expected = {
        f"{prefix}{name}": shape
        for prefix, architecture in architectures.items()
        for name, shape in weight_shapes(architecture).items()
    }
    names = set(file.keys())
    found = {}
    for name in names & set(expected):
        part = file.get_slice(name)
        found[name] = (tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), ""))
    if names != set(expected) or found != expected:
        raise ValueError(f"{path.name} is damaged: its weights do not match its architecture.")


def _check_weights(weights: dict[str, NDArray[Any]], path: Path) -> None:
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise ValueError(f"{path.name} is damaged: some of its weights are NaN or infinite.")
        if name.endswith("running_var") and (weight < 0).any():
            raise ValueError(f"{path.name} is damaged: a variance is negative.")
