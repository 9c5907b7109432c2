"""The first picture of a training, before any check and before PyTorch is loaded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.image_checks import check_pixels
from napari_lowdose.noise2noise.application import SMALLEST_FRAME
from napari_lowdose.noise2noise.baseline import REUCID, BaselineApplication
from napari_lowdose.noise2noise.config import PRESETS
from napari_lowdose.noise2noise.gain_matching import match_gain
from napari_lowdose.noise2noise.model import Noise2NoiseModel
from napari_lowdose.noise2noise.training_step import TrainingStep
from napari_lowdose.noise2noise.valid_pixels import valid_pixels
from napari_lowdose.warned import without_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lowdose.noise2noise.noise2noise import Noise2Noise


def first_picture(first: Any, second: Any, engine: Noise2Noise) -> Iterator[TrainingStep]:
    """Denoise one pair by REUCID.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        The training exposures.
    engine : Noise2Noise
        Parameters of the training.

    Yields
    ------
    TrainingStep
        The last one has the `image`.  There is none if the frame cannot be denoised: the checks
        of the pair will say why.
    """
    index = engine.preview or (0,) * (first.ndim - 2)
    try:
        frames = [np.asarray(exposure[index]) for exposure in (first, second)]
        for frame in frames:
            check_pixels(frame, SMALLEST_FRAME)
        valid = valid_pixels(*frames)
        if any(valid.constant):
            return
        match = match_gain(*valid.frames)
        mean, scale = (float(f(valid.frames[0], dtype=np.float64)) for f in (np.mean, np.std))
        exposures = Noise2NoiseModel(
            PRESETS["fast"],
            weights={},
            offset=mean,
            scale=scale,
            match=match,
            shift=engine.shift,
            affine=engine.affine,
            use=engine.use,
            value_range=(float(valid.frames[0].min()), float(valid.frames[0].max())),
            normalise=engine.normalise,
            outliers=engine.outliers,
        )
        steps: Any = BaselineApplication(exposures, baseline=REUCID).frame_steps(*frames)
        for step in without_warnings(steps):  # given by the checks and by the result
            yield TrainingStep(
                fraction=0.0,
                message="first picture, by REUCID",
                image=step.image,
                index=index,
                epoch=0.0,
                n_steps=0,
                loss=math.nan,
            )
    except (ValueError, IndexError):
        return
