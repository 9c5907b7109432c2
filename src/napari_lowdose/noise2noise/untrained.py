"""What is known of a network before its training: the record, and how its input is normalised."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.exposure_statistics import about_exposures
from napari_lowdose.noise2noise.model import Noise2NoiseModel
from napari_lowdose.versions import versions

if TYPE_CHECKING:
    from napari_lowdose.noise2noise.config import TrainingConfig, UNetConfig
    from napari_lowdose.noise2noise.training_data import TrainingPairs

_MAX_FRAMES = 64  # whose noise is measured


def training_record(
    first: Any,
    pairs: TrainingPairs,
    network_config: UNetConfig,
    config: TrainingConfig,
    start: Noise2NoiseModel | None,
    device: str,
) -> dict[str, Any]:
    """Return the JSON-ready record of a training, as far as it is known before the first step."""
    before = [] if start is None else [dict(start.record)]
    for earlier in before:
        earlier.pop("continued_from", None)  # one level is enough
    return {
        "parameters": dict(config.parameters),
        "preset": {**asdict(network_config), **asdict(config.optimiser)},
        "device": device,
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
    """Return statistics of the first exposure, with which other images are compared."""
    if not pairs.levels:
        return about_exposures(
            pairs.exposures[0, 0].astype(np.float64) * pairs.scale + pairs.offset
        )
    # Each frame is in units of its own contrast, in which dim frames are noisier
    found = [about_exposures(each) for each in pairs.exposures[:_MAX_FRAMES, 0]]
    noise = [each["noise"] for each in found if each["noise"]] or [0.0]
    return {"mean": 0.0, "std": 1.0, "noise": max(noise), "least_noise": min(noise)}


def untrained_model(
    pairs: TrainingPairs,
    network_config: UNetConfig,
    config: TrainingConfig,
    start: Noise2NoiseModel | None,
    record: dict[str, Any],
) -> Noise2NoiseModel:
    """Return the model as far as it is known before the training, without weights."""
    # Images without a pixel size take that of the network that is continued
    known = config if config.pixel_size is not None else start or config
    brightest = pairs.exposures[0, 0]
    return Noise2NoiseModel(
        architecture=network_config,
        optimiser=config.optimiser,
        weights={},
        offset=pairs.offset,
        scale=pairs.scale,
        match=pairs.match,
        levels=pairs.levels,
        outliers=config.outliers,
        shift=config.shift,
        affine=config.affine,
        value_range=pairs.in_units(float(brightest.min()), float(brightest.max())),
        record=record,
        use=config.use,
        normalise=config.normalise,
        device=config.device,
        pixel_size=known.pixel_size,
        pixel_unit=known.pixel_unit,
    )
