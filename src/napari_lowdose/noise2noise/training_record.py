"""What is remembered of a training, in the model file and with every result."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.device import describe
from napari_lowdose.noise2noise.exposure_statistics import about_exposures
from napari_lowdose.versions import versions

if TYPE_CHECKING:
    import torch

    from napari_lowdose.noise2noise.config import Preset
    from napari_lowdose.noise2noise.noise2noise import Noise2Noise
    from napari_lowdose.noise2noise.training_data import TrainingPairs


_MOST = 64  # frames: enough to know what they are like


def training_record(
    first: Any, pairs: TrainingPairs, engine: Noise2Noise, preset: Preset, device: torch.device
) -> dict[str, Any]:
    """Return what is known before the first step, as JSON-ready values."""
    parameters = {
        field.name: getattr(engine, field.name)
        for field in dataclasses.fields(engine)
        if field.name != "start"
    }
    before = [] if engine.start is None else [dict(engine.start.record)]
    for earlier in before:
        earlier.pop("continued_from", None)  # one level is enough
    return {
        "parameters": parameters,
        "preset": dataclasses.asdict(preset),
        "device": describe(device),
        "exposures": _about_exposures(pairs),
        "pairs": {"n": len(pairs), "shape": list(first.shape), "dtype": str(first.dtype)},
        "left_out": {reason: len(each) for reason, each in pairs.choice.left_out.items()},
        "outliers": pairs.n_outliers,
        "levels": [level._asdict() for level in pairs.levels],
        "held_out_tiles": len(pairs.tiles),
        "gain_of_second": pairs.match.gain,
        "offset_of_second": pairs.match.offset,
        "continued_from": before,
        "versions": versions("napari-lowdose", "torch", "numpy"),
    }


def _about_exposures(pairs: TrainingPairs) -> dict[str, float]:
    """Return what the frames of the first exposure are like, for frames to be compared with."""
    if not pairs.levels:
        return about_exposures(
            pairs.exposures[0, 0].astype(np.float64) * pairs.scale + pairs.offset
        )
    # Each in units of its own contrast, in which the dim ones are the noisier
    found = [about_exposures(each) for each in pairs.exposures[:_MOST, 0]]
    noise = [each["noise"] for each in found if each["noise"]] or [0.0]
    return {"mean": 0.0, "std": 1.0, "noise": max(noise), "least_noise": min(noise)}
