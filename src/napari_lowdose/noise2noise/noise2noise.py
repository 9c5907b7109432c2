"""The engine: Noise2Noise with a Pearson loss, and its parameters."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_lowdose.engine import Engine
from napari_lowdose.io.arrays import as_image
from napari_lowdose.noise2noise.channels import channel_axis_of
from napari_lowdose.noise2noise.config import OPTIMISERS, PRESETS, TrainingConfig
from napari_lowdose.noise2noise.context import neighbours_within
from napari_lowdose.noise2noise.context_checks import refuse_context
from napari_lowdose.noise2noise.evaluation.told_gain import RESULT_BY, ToldGain, warn_of_no_gain
from napari_lowdose.noise2noise.model import Noise2NoiseModel, n_orientations
from napari_lowdose.noise2noise.pair_checks import refuse_bad_pair
from napari_lowdose.noise2noise.pixel_size import checked_pixel_size, pixel_size_warning
from napari_lowdose.noise2noise.training_step import TrainingStep, training_length
from napari_lowdose.noise2noise.warm_start import load_torch
from napari_lowdose.pairs.view_map import checked_matrix
from napari_lowdose.parameters import (
    device_name,
    finite_numbers,
    flag,
    one_of,
    positive,
    whole_number,
)
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_lowdose.engine import Step
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.config import PresetName, UNetConfig
    from napari_lowdose.noise2noise.model import Pair
    from napari_lowdose.pairs.view_map import Matrix

_LARGEST_SHIFT = 1.0  # pixels; larger shifts are removed by cropping at integer pixels
_POSITIVE = {"epochs": 1e9, "time_budget": 1e9, "learning_rate": 1.0}  # maximum
MOST_CONTEXT = 8  # frames
_WHOLE = {"batch_size": (1, 4096), "crop_size": (32, 8192), "width": (1, 1024)}  # limits
_FRAME_TIME = 0.05  # time to denoise one frame, as a fraction of the training time


@dataclass(frozen=True)
class Noise2Noise(Engine):
    """Noise2Noise with a Pearson loss: train a network on one pair of noisy images.

    Two exposures of the same scene differ only in their noise.  A network that predicts one from
    the other cannot predict the noise, so it learns the scene.  It learns from this pair only, and
    adds no detail from other images.

    Parameters
    ----------
    preset : "auto", "fast" or "paper"
        Architecture and training parameters.  "paper" is the U-Net of the paper, "fast" a smaller
        one for CPUs.  "auto" is "paper" on an NVIDIA GPU and "fast" otherwise.
    epochs : float, optional
        Number of epochs to train.
    time_budget : float, optional
        Time for training and denoising, seconds.  Without `epochs` and `time_budget`, training
        ends when less than 0.1 dB of further gain is expected, at the latest after 2000 steps
        ("paper": 300 epochs).
    use : "both" or "first"
        "both" averages the results of the two exposures, which gains about 2 dB.  "first" denoises
        only the first exposure, for scenes that change between the exposures.
    normalise : bool
        Scale the result to about 0 to 1, as in the paper, instead of the units of the input.
    device : str or torch.device
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    seed : int
        Seed of all random choices.  The same seed gives the same result on a CPU with the same
        number of threads.
    every : int
        Train on every n-th pair of a stack.
    batch_size : int, optional
        Number of crops in a batch.  By default, that of the preset.
    crop_size : int, optional
        Side of a training crop, pixels.  By default, that of the preset.
    learning_rate : float, optional
        Peak learning rate (Adam), at most 1.  By default, that of the preset.
    width : int, optional
        Number of channels in the first level of the U-Net.  By default, that of the preset.
    shift : (float, float)
        Shift (dy, dx) of the second exposure against the first, at most 1 pixel.  The scene at
        (y, x) in the first is at (y + dy, x + dx) in the second.  Remove larger shifts by cropping.
    affine : ((a, b, ty), (c, d, tx)), optional
        Map between the views of a beamsplitter, ``layout.affine``, in place of `shift`: the scene
        at (y, x) in the first is at (a y + b x + ty, c y + d x + tx) in the second.  The targets of
        the training are resampled; what is denoised is not.
    outliers : "remove" or "keep"
        Cosmic rays, hot and dead pixels are excluded from training.  In the result they are
        replaced by the scene ("remove") or unchanged ("keep").
    fallback : bool
        Where REUCID of both exposures, or just their mean, is better than the network by the
        held-out tiles, for example after a short training, it is the result.  False always gives
        the result of the network.
    channel_axis : int, optional
        Leading axis of the channels in a stack of pairs, counted from 0.  Each channel has its own
        network, and its own gain in dB.  By default, channels are recognised if they differ more
        than threefold in contrast.
    context : int
        Number of frames before and after each frame of a movie or z-stack that the network sees,
        too, at most 8.  Time is the first axis of the two exposures, and the target of frame t is
        the partner of frame t alone.  For the two views of a beamsplitter, `Thinned` movies, or
        even against odd frames; neighbouring frames of one movie are refused, because the
        partner of each frame would be one of its neighbours.
    preview : tuple of int
        Index of the pair of a stack that the previews show.
    pixel_size : float or (float, float), optional
        Height and width of a pixel, stored with the network.  A network is only suitable for
        images of about the same pixel size.
    pixel_unit : str, optional
        Unit of `pixel_size`, for example "nm".
    start : Noise2NoiseModel or path, optional
        Network to continue, or its file.  Its architecture replaces `preset`, `width` and
        `context`.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    MemoryError
        During training, if there is not enough memory.

    References
    ----------
    D. Yang et al., "Low-dose imaging denoising with one pair of noisy images", Optics Express
    31 (2023): Eq. (3), with the loss of Eq. (4).

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import Noise2Noise, denoise
    >>> from napari_lowdose.samples import stem_pair
    >>> first, second, truth = stem_pair()
    >>> clean = denoise((first, second), Noise2Noise(epochs=20, fallback=False))
    >>> gain = 10 * np.log10(np.mean((first - truth) ** 2) / np.mean((clean - truth) ** 2))
    >>> bool(gain > 8), clean.dtype
    (True, dtype('float32'))
    """

    title = "Noise2Noise"
    takes = "pair"
    trains = True

    preset: PresetName = "auto"
    epochs: float | None = None
    time_budget: float | None = None
    use: Literal["both", "first"] = "both"
    normalise: bool = False
    device: str = "auto"
    seed: int = 0
    every: int = 1
    batch_size: int | None = None
    crop_size: int | None = None
    learning_rate: float | None = None
    width: int | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    preview: tuple[int, ...] = field(default=(), metadata={"changes_result": False})
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str | None = None
    start: Noise2NoiseModel | None = field(default=None, repr=False)
    outliers: Literal["remove", "keep"] = "remove"
    fallback: bool = True
    channel_axis: int | None = None
    context: int = 0
    affine: Matrix | None = None

    def __post_init__(self) -> None:
        # The limits of the forms in napari do not apply to scripts, so all are checked here
        checked: dict[str, Any] = {
            "preset": one_of("preset", self.preset, ("auto", "fast", "paper")),
            "use": one_of("use", self.use, ("both", "first")),
            "outliers": one_of("outliers", self.outliers, ("remove", "keep")),
            "normalise": flag("normalise", self.normalise),
            "fallback": flag("fallback", self.fallback),
            "device": device_name(self.device),
            "seed": whole_number("seed", self.seed, 0),
            "every": whole_number("every", self.every, 1),
            "context": whole_number("context", self.context, 0, MOST_CONTEXT),
        }
        for name, highest in _POSITIVE.items():
            if (value := getattr(self, name)) is not None:
                checked[name] = positive(name, value, highest)
        for name, limits in _WHOLE.items():
            if (value := getattr(self, name)) is not None:
                checked[name] = whole_number(name, value, *limits)
        if self.channel_axis is not None:
            checked["channel_axis"] = whole_number("channel_axis", self.channel_axis, 0)
        shift = finite_numbers(self.shift) or ()
        if len(shift) != 2 or not all(abs(along) <= _LARGEST_SHIFT for along in shift):
            raise ValueError(
                f"shift must be (dy, dx) of at most {_LARGEST_SHIFT:g} pixel each, not "
                f"{self.shift}: crop the exposures at integer pixels first (register_pair does)."
            )
        preview = finite_numbers(self.preview)
        if preview is None or not all(along.is_integer() for along in preview):
            raise ValueError(f"preview must be the index of a frame, not {self.preview!r}.")
        checked |= {"shift": shift, "preview": tuple(map(int, preview))}
        checked["affine"] = None if self.affine is None else checked_matrix(self.affine)
        start = checked["start"] = _network(self.start)
        if start is not None:
            if checked["context"] not in (0, start.context):
                raise ValueError(
                    f"the network to continue sees {start.context} frames before and after each "
                    f"frame: leave out context={checked['context']}, or train a new network."
                )
            checked["context"] = start.context
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen
        size, unit = checked_pixel_size(self.pixel_size, self.pixel_unit)
        object.__setattr__(self, "pixel_size", size)
        object.__setattr__(self, "pixel_unit", unit)

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return neighbours_within(number, n_frames, self.context)

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the expected fraction of the total time that training takes."""
        return 1 / (1 + _FRAME_TIME * given.n_frames)

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Train a network on a pair; see `Engine.prepare`.

        Parameters
        ----------
        given : ImageOrPair
            First and second exposure; leading axes are pairs.

        Yields
        ------
        TrainingStep

        Returns
        -------
        Engine
            The network, ready to denoise the pair.

        Raises
        ------
        ValueError
            If the pair is not suitable for training; see `check_pair`.
        """
        begun = time.perf_counter()
        first, second = given.exposures
        # The time budget includes denoising, unless the movie is lazy and denoised on demand
        passes = 2.2 * given.n_frames if given.in_memory else 0
        step = None
        reserve = n_orientations(given.shape) * passes, passes
        for step in self._train(first, second, begun, reserve):
            yield step
        assert step is not None  # the first one is unconditional
        left = (self.time_budget or math.inf) - (time.perf_counter() - begun)
        return self.result_of(step, given, seconds=left)

    def result_of(
        self, step: TrainingStep, given: ImageOrPair, seconds: float = math.inf
    ) -> Engine:
        """Return the engine for the result of a training.

        Parameters
        ----------
        step : TrainingStep
            The last one.
        given : ImageOrPair
            The image or pair to denoise.
        seconds : float
            Time left for it.  Without enough for all flips and rotations, the network is applied
            in one orientation.

        Returns
        -------
        Engine
            The network, or the method that is better.

        Warns
        -----
        UserWarning
            If it is another method.
        """
        from napari_lowdose.noise2noise.training_result import result_of  # loads SciPy

        return result_of(step, given, seconds, fallback=self.fallback)

    def load_model(self, path: Path) -> Noise2NoiseModel:
        """Load a network from a file; see `Noise2NoiseModel.load`."""
        return Noise2NoiseModel.load(path)

    def with_pixel_size(
        self, pixel_size: tuple[float, float] | None, unit: str | None
    ) -> Noise2Noise:
        """Return an engine that stores this pixel size with the network."""
        return replace(self, pixel_size=pixel_size, pixel_unit=unit)

    def with_model(self, model: Noise2NoiseModel) -> Engine:
        """Return the network, or the method that was better; see `Engine.with_model`."""
        from napari_lowdose.noise2noise.training_result import Interrupted  # loads SciPy

        return Interrupted(replace(model, device=self.device))  # a file has no device

    def with_channel_axis(self, axis: int | None) -> Noise2Noise:
        """Return an engine with this `channel_axis`, unless it has one already."""
        return self if self.channel_axis is not None else replace(self, channel_axis=axis)

    def with_training_of(self, model: Noise2NoiseModel) -> Noise2Noise:
        """Return an engine that repeats the training of a model.

        It trains for the number of epochs that the model was trained for, at least one step,
        whether that training ended at a plateau, by time, or was stopped.

        Parameters
        ----------
        model : Noise2NoiseModel
            Result of a training with this engine.

        Returns
        -------
        Noise2Noise
            Its preset is "auto" no longer, because that depends on the device.
        """
        a, record = model.architecture, model.record
        presets = [
            name
            for name, p in PRESETS.items()
            if (p.levels, p.unshuffle) == (a.levels, a.unshuffle)
        ]
        before = 0 if self.start is None else self.start.record.get("n_steps", 0)
        # Without the network continued, than which none may have been better
        share = max(record["n_steps"] - before, 1) / record["n_steps"]
        preset: Any = presets[0] if presets else self.preset
        return replace(self, preset=preset, time_budget=None, epochs=record["epochs"] * share)

    def summary(self, records: Sequence[Mapping[str, Any]], model: Any) -> list[str]:
        """Summarise the length of the training and the gain; see `Engine.summary`."""
        if model is None:
            return []
        words = [training_length(model.record["epochs"], model.record["n_steps"])]
        if name := model.record.get(RESULT_BY):
            words.append(f"the result is by {name}, which is better than the network")
        elif gain := ToldGain.of_record(model.record):
            words.append(f"gain {gain}")
        return words

    def training_steps(
        self,
        first: Any,
        second: Any,
        shift: tuple[float, float] | None = None,
        *,
        checked: bool = False,
        one_scene: bool = False,
    ) -> Iterator[TrainingStep]:
        """Train a network step by step.

        To stop the training, stop iterating.  The last step with a `model` has the best network.

        Parameters
        ----------
        first, second : (..., Y, X) arrays
            The two exposures; leading axes are pairs.
        shift : (float, float), optional
            Overrides the `shift` of the engine, (dy, dx) in pixels.
        checked : bool
            Whether the pair is known to be suitable, as divisions of one image are.
        one_scene : bool
            Whether all pairs of a stack are divisions of one image; see `thin`.

        Yields
        ------
        TrainingStep

        Raises
        ------
        ValueError
            If the pair is not suitable for training; see `check_pair`.
        """
        begun = time.perf_counter()
        engine = self if shift is None else replace(self, shift=shift)
        pair = _as_pair((first, second))
        yield from engine._train(*pair, begun, (0.0, 0.0), checked=checked, one_scene=one_scene)

    def train(
        self, first: Any, second: Any, shift: tuple[float, float] | None = None
    ) -> Noise2NoiseModel:
        """Train a network to the end.

        Parameters
        ----------
        first, second : (..., Y, X) arrays
            The two exposures; leading axes are pairs.
        shift : (float, float), optional
            Overrides the `shift` of the engine, (dy, dx) in pixels.

        Returns
        -------
        Noise2NoiseModel

        Raises
        ------
        ValueError
            If the pair is not suitable for training; see `check_pair`.
        """
        model = None
        engine = replace(self, fallback=False)  # only the network is wanted
        for step in engine.training_steps(first, second, shift):
            model = step.model
        assert model is not None  # the last step has one
        warn_of_no_gain(model)
        return model

    def _train(
        self,
        first: Any,
        second: Any,
        begun: float,
        reserve: tuple[float, float],
        *,
        checked: bool = False,
        one_scene: bool = False,
    ) -> Iterator[TrainingStep]:
        # Before any work, so that the user sees progress at once
        yield TrainingStep(
            fraction=0.0, message="checking the pair", epoch=0.0, n_steps=0, loss=math.nan
        )
        if self.fallback and self.start is None:
            from napari_lowdose.noise2noise.first_picture import first_picture  # loads SciPy

            yield from first_picture(first, second, self)
        load_torch()  # during the checks
        doubt = ""
        if not checked:
            doubt = refuse_bad_pair(first, second, self.shift, self.affine)
        if self.start is not None and self.start.pixel_size is not None:
            warning = pixel_size_warning(self.start, self.pixel_size, self.pixel_unit)
            if warning is not None:
                warn(warning, stacklevel=3)
        from napari_lowdose.noise2noise.training import training_steps  # loads torch

        network, config = self._configs()
        axis = None if one_scene else self._channels(first, second)
        if self.context:
            refuse_context(first, second, self.context, axis, one_scene=one_scene)
        if axis is not None:
            from napari_lowdose.noise2noise.channel_training import channel_training_steps

            yield from channel_training_steps(
                first, second, axis, network, config, self.start, begun, reserve, doubt=doubt
            )
            return
        yield from training_steps(
            first, second, network, config, self.start, begun, reserve,
            one_scene=one_scene, doubt=doubt,
        )  # fmt: skip

    def _channels(self, first: Any, second: Any) -> int | None:
        """Return the axis of the channels that get a network each; None for a single network."""
        if self.start is not None and not self.start.channels:
            return None
        axis = channel_axis_of(first, second, self.channel_axis)
        if axis is None and self.start is not None:
            raise ValueError(
                f"the network to continue has a network for each of {len(self.start.channels)} "
                "channels, and this pair has no channels: continue on the pair of its training."
            )
        return axis

    def _configs(self) -> tuple[UNetConfig, TrainingConfig]:
        """Return the architecture and the training parameters."""
        from napari_lowdose.noise2noise.device import choose_device  # loads torch

        if self.start is not None:  # its architecture is fixed
            network, optimiser = self.start.architecture, self.start.optimiser
        else:
            preset: str = self.preset
            if preset == "auto":
                preset = "paper" if choose_device(self.device).type == "cuda" else "fast"
            network, optimiser = PRESETS[preset], OPTIMISERS[preset]
            network = replace(network, context=self.context)
            if self.width is not None:
                network = replace(network, width=self.width)
        given = {name: getattr(self, name) for name in ("batch_size", "crop_size", "learning_rate")}
        optimiser = replace(optimiser, **{k: v for k, v in given.items() if v is not None})
        parameters = {each.name: getattr(self, each.name) for each in fields(self)}
        del parameters["start"]  # recorded separately
        # The engine and `TrainingConfig` use the same names
        of_training = {each.name for each in fields(TrainingConfig)}
        shared = {name: value for name, value in parameters.items() if name in of_training}
        if self.affine is not None:  # it holds the shift
            shared["shift"] = (0.0, 0.0)
        return network, TrainingConfig(optimiser=optimiser, parameters=parameters, **shared)


def _as_pair(pair: Any) -> Pair:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError(
            "Noise2Noise needs a pair, (first, second): two exposures of the same scene. For a "
            "single image use Reucid or a trained network."
        )
    return as_image(pair[0], "the first exposure"), as_image(pair[1], "the second exposure")


def _network(start: Any) -> Noise2NoiseModel | None:
    """Return the network to continue; load it if a path is given."""
    if isinstance(start, (str, os.PathLike)):
        return Noise2NoiseModel.load(start)
    if start is not None and not isinstance(start, Noise2NoiseModel):
        raise ValueError(
            f"start must be a Noise2NoiseModel or the path of its file, not {start!r:.100}."
        )
    return start
