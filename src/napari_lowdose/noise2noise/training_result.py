"""What denoises the image after a training: the network, or a method that is better."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_lowdose.engine import run_to_end
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.noise2noise.baseline import BaselineApplication, baseline_of
from napari_lowdose.noise2noise.channel_application import ChannelApplication
from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
from napari_lowdose.noise2noise.evaluation.told_gain import RESULT_BY, warn_of_no_gain
from napari_lowdose.noise2noise.model import n_orientations
from napari_lowdose.warned import warn, warnings_to

if TYPE_CHECKING:
    from napari_lowdose.engine import Engine
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.model import Noise2NoiseModel
    from napari_lowdose.noise2noise.training_step import TrainingStep

_TOO_LONG = 1.5  # times the time left: the measured pace is not exact


def result_of(
    step: TrainingStep, given: ImageOrPair, seconds: float = math.inf, *, fallback: bool = True
) -> Engine:
    """Return the engine for the result of a training; see `Noise2Noise.result_of`."""
    model = step.model
    assert model is not None  # the last step has one
    if step.channels:
        return _result_of_channels(step, given, fallback)
    if step.instead is not None:
        for exposure in given.exposures:
            check_image(exposure)
        warn(about_fallback(step), stacklevel=3)
        return BaselineApplication(
            replace(model, record={**model.record, RESULT_BY: step.instead.name}),
            in_stack=bool(given.leading),
            baseline=step.instead,
        )
    passes = len(given.exposures) * n_orientations(given.shape) * given.n_frames
    if given.in_memory and passes * step.pass_seconds > _TOO_LONG * max(seconds, 0.0):
        applied = replace(model, orientations=1).applied_to(given.leading, given.shape)
        return replace(applied, model=model)
    return run_to_end(model.prepare(given))


def _result_of_channels(step: TrainingStep, given: ImageOrPair, fallback: bool) -> Engine:
    """Return the engine for the result of a training with a network for each channel."""
    model = step.model
    assert model is not None  # the last step has one
    if not fallback:
        warn_of_no_gain(model)
    parts: list[Engine] = []
    for number, each in enumerate(step.channels, start=1):
        told: list[str] = []
        with warnings_to(told.append):
            parts.append(result_of(each, given, fallback=fallback))
        for sentence in told:
            warn(f"In channel {number}, {sentence}", stacklevel=4)
    if step.told_gain is not None:  # some channels may have another method
        model = replace(model, record={**model.record, **step.told_gain.for_record()})
    return ChannelApplication(model, tuple(parts), model.channels_along(given.leading))


def interrupted(model: Noise2NoiseModel) -> Engine:
    """Return the method that an interrupted movie has been denoised with so far."""
    return BaselineApplication(model, in_stack=True, baseline=baseline_of(model.record[RESULT_BY]))


def about_fallback(step: TrainingStep) -> str:
    """Say why the result is not by the network."""
    assert step.instead is not None
    assert step.instead_gain is not None
    gain = GainInterval(*step.instead_gain)
    network = "not known" if step.gain is None else str(GainInterval(*step.gain))
    doubt = f" These gains cannot be trusted: {step.doubt}." if step.doubt else ""
    return (
        f"the result is by {step.instead.name}, applied to each exposure and averaged, because its "
        f"gain is {gain}, and that of the network {network} after {step.trained}. Train longer "
        f"for the network, or take it in any case (fallback=False).{doubt}"
    )
