"""Noise2Noise with a Pearson loss: the engine and its parameters."""

from __future__ import annotations

import math
import os
import time
import warnings
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_lowdose.engine import Engine, run_to_end
from napari_lowdose.io.arrays import as_image
from napari_lowdose.noise2noise.config import OPTIMISERS, PRESETS, TrainingConfig
from napari_lowdose.noise2noise.model import Noise2NoiseModel, n_orientations
from napari_lowdose.noise2noise.pair_checks import refuse_bad_pair
from napari_lowdose.noise2noise.pixel_size import checked_pixel_size, pixel_size_warning
from napari_lowdose.noise2noise.training_step import TrainingStep, how_far
from napari_lowdose.parameters import (
    device_name,
    finite_numbers,
    flag,
    one_of,
    positive,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_lowdose.engine import Step
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.config import PresetName, UNetConfig
    from napari_lowdose.noise2noise.model import Pair

_LARGEST_SHIFT = 1.0  # pixels: more is cut away at whole pixels first
_POSITIVE = {"epochs": 1e9, "time_budget": 1e9, "learning_rate": 1.0}  # and the most
_WHOLE = {"batch_size": (1, 4096), "crop_size": (32, 8192), "width": (1, 1024)}


@dataclass(frozen=True)
class Noise2Noise(Engine):
    """Noise2Noise with a Pearson loss: a network learns from one pair of noisy images.

    Two exposures of the same scene differ in their noise alone.  A network that is to predict
    one from the other cannot learn the noise, and so learns the scene.  It knows nothing but
    this pair, and invents nothing that both exposures do not show.

    Parameters
    ----------
    preset : "auto", "fast" or "paper"
        "paper" is the paper's U-Net, "fast" a smaller one for CPUs.  "auto" is the paper's
        where there is an NVIDIA GPU.
    epochs : float, optional
        Train for so many epochs.
    time_budget : float, optional
        Train and denoise within so many seconds.  Without either, training ends when the
        held-out tiles promise less than 0.1 dB from more of it, at the latest after 2000 steps
        (paper: 300 epochs).
    use : "both" or "first"
        The result is the mean of the network applied to either exposure, which gains about
        2 dB, or to the first alone, which is right where the two are not the same instant.
    normalise : bool
        Return the paper's normalised result, from about 0 to 1, and not the input's units.
    device : str or torch.device
        "auto" (or None), "cpu", "cuda", "cuda:1", "mps".
    seed : int
        Of every random choice: same seed, same result (on a CPU with as many threads).
    every : int
        Of a stack of pairs: train on one pair of so many.
    batch_size : int, optional
        Crops in a batch; by default what the preset says.
    crop_size : int, optional
        Side of a crop, pixels.
    learning_rate : float, optional
        Peak learning rate of the optimiser (Adam), at most 1.
    width : int, optional
        Channels of the network's first level.
    shift : (float, float)
        What lies at (y, x) in the first exposure lies at (y + dy, x + dx) in the second, in
        pixels.  At most 1: cut the rest away at whole pixels.
    outliers : "remove" or "keep"
        Cosmic rays, hot and dead pixels take no part in the training.  In the result they show
        the scene that the network finds there, or stay as they are.
    preview : tuple of int
        Of a stack of pairs: which one the interim images show.
    pixel_size : float or (float, float), optional
        Height and width of a pixel, kept with the network: it fits images of about this
        pixel size only.
    pixel_unit : str, optional
        The unit of `pixel_size`, for example "nm".
    start : Noise2NoiseModel or path, optional
        A network to train further, or its file; `preset` and `width` are then its own.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    MemoryError
        While training, if the memory does not suffice.

    References
    ----------
    D. Yang et al., "Low-dose imaging denoising with one pair of noisy images", Optics Express
    31 (2023), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import Noise2Noise, denoise
    >>> from napari_lowdose.samples import stem_pair
    >>> first, second, truth = stem_pair()
    >>> clean = denoise((first, second), Noise2Noise(epochs=20))
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

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "preset": one_of("preset", self.preset, ("auto", "fast", "paper")),
            "use": one_of("use", self.use, ("both", "first")),
            "outliers": one_of("outliers", self.outliers, ("remove", "keep")),
            "normalise": flag("normalise", self.normalise),
            "device": device_name(self.device),
            "seed": whole_number("seed", self.seed, 0),
            "every": whole_number("every", self.every, 1),
        }
        for name, highest in _POSITIVE.items():
            if (value := getattr(self, name)) is not None:
                checked[name] = positive(name, value, highest)
        for name, limits in _WHOLE.items():
            if (value := getattr(self, name)) is not None:
                checked[name] = whole_number(name, value, *limits)
        shift = finite_numbers(self.shift) or ()
        if len(shift) != 2 or not all(abs(along) <= _LARGEST_SHIFT for along in shift):
            raise ValueError(
                f"shift must be (dy, dx) of at most {_LARGEST_SHIFT:g} pixel each, not "
                f"{self.shift}: cut the exposures at whole pixels first (register_pair does)."
            )
        preview = finite_numbers(self.preview)
        if preview is None or not all(along.is_integer() for along in preview):
            raise ValueError(f"preview must be the index of a frame, not {self.preview!r}.")
        checked |= {"shift": shift, "preview": tuple(map(int, preview))}
        checked["start"] = _network(self.start)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        size, unit = checked_pixel_size(self.pixel_size, self.pixel_unit)
        object.__setattr__(self, "pixel_size", size)
        object.__setattr__(self, "pixel_unit", unit)

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the share of the training: about as long as it takes to apply to 20 frames."""
        return 1 / (1 + 0.05 * given.n_frames)

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Train a network on a pair.

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
            The network, ready to be applied to the pair.

        Raises
        ------
        ValueError
            If the two are no pair.
        """
        begun = time.perf_counter()
        first, second = given.exposures
        # A time budget holds for both; a lazy movie is denoised whenever it is looked at
        passes = 2 * n_orientations(given.shape) * given.n_frames if given.in_memory else 0
        model = None
        for step in self._train(first, second, begun, reserve=1.1 * passes):
            model = step.model
            yield step
        assert model is not None  # the last step has one
        return run_to_end(model.prepare(given))

    def load_model(self, path: Path) -> Noise2NoiseModel:
        """Load a network that was trained with this engine."""
        return Noise2NoiseModel.load(path)

    def with_pixel_size(
        self, pixel_size: tuple[float, float] | None, unit: str | None
    ) -> Noise2Noise:
        """Return the engine whose network remembers the pixel size of its training images."""
        return replace(self, pixel_size=pixel_size, pixel_unit=unit)

    def with_training_of(self, model: Noise2NoiseModel) -> Noise2Noise:
        """Return the engine that trains for as many epochs as `model`, whatever ended that.

        Parameters
        ----------
        model : Noise2NoiseModel
            Result of a training with this engine.

        Returns
        -------
        Noise2Noise
            With the network of `model` as its preset, where that was "auto".
        """
        a, record = model.architecture, model.record
        presets = [
            name
            for name, p in PRESETS.items()
            if (p.levels, p.unshuffle) == (a.levels, a.unshuffle)
        ]
        before = 0 if self.start is None else self.start.record.get("n_steps", 0)
        share = (record["n_steps"] - before) / record["n_steps"]  # of the epochs, in this run
        preset: Any = presets[0] if presets else self.preset
        return replace(self, preset=preset, time_budget=None, epochs=record["epochs"] * share)

    def summary(self, records: Sequence[Mapping[str, Any]], model: Any) -> list[str]:
        """Summarise how long the network was trained, and its gain; see `Engine.summary`."""
        if model is None:
            return []
        words = [how_far(model.record["epochs"], model.record["n_steps"])]
        if gain := model.record.get("gain_db"):
            from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval

            # JSON has no infinity: the record has None at an open end
            low, high = gain
            low = -math.inf if low is None else low
            high = math.inf if high is None else high
            words.append(f"gain {GainInterval(low, high)}")
        return words

    def training_steps(
        self, first: Any, second: Any, shift: tuple[float, float] | None = None
    ) -> Iterator[TrainingStep]:
        """Train a network step by step: stop iterating to end, and keep the last `model`.

        Parameters
        ----------
        first, second : (..., Y, X) arrays
            Leading axes are pairs.
        shift : (float, float), optional
            Instead of the engine's.

        Yields
        ------
        TrainingStep

        Raises
        ------
        ValueError
            If the two are no pair.
        """
        begun = time.perf_counter()
        engine = self if shift is None else replace(self, shift=shift)
        yield from engine._train(*_as_pair((first, second)), begun, reserve=0.0)

    def train(
        self, first: Any, second: Any, shift: tuple[float, float] | None = None
    ) -> Noise2NoiseModel:
        """Train a network to the end.

        Parameters
        ----------
        first, second : (..., Y, X) arrays
            Leading axes are pairs.
        shift : (float, float), optional
            Instead of the engine's.

        Returns
        -------
        Noise2NoiseModel

        Raises
        ------
        ValueError
            If the two are no pair.
        """
        model = None
        for step in self.training_steps(first, second, shift):
            model = step.model
        assert model is not None  # the last step has one
        return model

    def _train(
        self, first: Any, second: Any, begun: float, reserve: float
    ) -> Iterator[TrainingStep]:
        yield TrainingStep(
            fraction=0.0, message="looking at the pair", epoch=0.0, n_steps=0, loss=math.nan
        )
        refuse_bad_pair(first, second, self.shift)
        if self.start is not None and self.start.pixel_size is not None:
            warning = pixel_size_warning(self.start, self.pixel_size, self.pixel_unit)
            if warning is not None:
                warnings.warn(warning, UserWarning, stacklevel=3)
        from napari_lowdose.noise2noise.training import training_steps

        network, config = self._configs()
        yield from training_steps(first, second, network, config, self.start, begun, reserve)

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
            if self.width is not None:
                network = replace(network, width=self.width)
        given = {name: getattr(self, name) for name in ("batch_size", "crop_size", "learning_rate")}
        optimiser = replace(optimiser, **{k: v for k, v in given.items() if v is not None})
        parameters = {each.name: getattr(self, each.name) for each in fields(self)}
        del parameters["start"]  # recorded separately
        of_training = {each.name for each in fields(TrainingConfig)}
        shared = {name: value for name, value in parameters.items() if name in of_training}
        return network, TrainingConfig(optimiser=optimiser, parameters=parameters, **shared)


def _as_pair(pair: Any) -> Pair:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError(
            "Noise2Noise needs a pair, (first, second): two exposures of the same scene. For one "
            "image take Reucid, or a network that was trained before."
        )
    return as_image(pair[0], "the first exposure"), as_image(pair[1], "the second exposure")


def _network(start: Any) -> Noise2NoiseModel | None:
    """Return the network to start from; a path is that of its file."""
    if isinstance(start, (str, os.PathLike)):
        return Noise2NoiseModel.load(start)
    if start is not None and not isinstance(start, Noise2NoiseModel):
        raise ValueError(
            f"start must be a Noise2NoiseModel, or the path of its file, not {start!r:.100}."
        )
    return start
