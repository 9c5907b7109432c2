"""What denoises the image after a training: the network, or a method that is better."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.engine import Engine, run_to_end
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.noise2noise.baseline import BaselineApplication, baseline_of
from napari_lowdose.noise2noise.channel_application import ChannelApplication
from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
from napari_lowdose.noise2noise.evaluation.told_gain import RESULT_BY, warn_of_no_gain
from napari_lowdose.noise2noise.model import n_orientations
from napari_lowdose.warned import warn, warnings_to

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_lowdose.engine import Step
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
        warn(_about_fallback(step, len(given.exposures)), stacklevel=3)
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
    # Some channels may have another method
    channels = tuple(part.model for part in parts)
    record = {**model.record, "channels": [dict(each.record) for each in channels]}
    if step.told_gain is not None:
        record |= step.told_gain.for_record()
    model = replace(model, record=record, channels=channels)
    return ChannelApplication(model, tuple(parts), model.channels_along(given.leading))


@dataclass(frozen=True, eq=False)
class Interrupted(Engine):
    """What an interrupted movie has been denoised with so far.

    Parameters
    ----------
    model : Noise2NoiseModel
        From the result of `result_of`: its record, or that of each channel, names the method that
        is better than the network.
    """

    title = "Noise2Noise"
    takes = "either"

    model: Noise2NoiseModel

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Build the networks, and replace those that are not better; see `Engine.prepare`."""
        applied = yield from self.model.prepare(given)
        if isinstance(applied, ChannelApplication):
            return replace(applied, parts=tuple(map(_as_before, applied.parts)))
        return _as_before(applied)


def _as_before(applied: Any) -> Engine:
    """Return the application of a network, or of the method that was better."""
    model: Noise2NoiseModel = applied.model
    if (name := model.record.get(RESULT_BY)) is None:
        return applied  # type: ignore[no-any-return]
    return BaselineApplication(model, in_stack=applied.in_stack, baseline=baseline_of(name))


def _about_fallback(step: TrainingStep, n_exposures: int) -> str:
    """Say why the result is not by the network."""
    assert step.instead is not None
    assert step.instead_gain is not None
    gain = GainInterval(*step.instead_gain)
    network = "not known" if step.gain is None else str(GainInterval(*step.gain))
    averaged = ", applied to each exposure and averaged," if n_exposures > 1 else ""
    doubt = f" These gains cannot be trusted: {step.doubt}." if step.doubt else ""
    return (
        f"the result is by {step.instead.name}{averaged} because its gain is {gain}, and that of "
        f"the network {network} after {step.trained}. Train longer for the network, or take it in "
        f"any case (fallback=False).{doubt}"
    )
