"""Training: the network R learns from pairs alone, Eqs. (3) and (4) of the paper."""

from __future__ import annotations

import copy
import math
import threading
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_lowdose.engine import map_yields
from napari_lowdose.noise2noise.config import LARGEST, PRESETS, Preset
from napari_lowdose.noise2noise.crops import draw_crops
from napari_lowdose.noise2noise.device import (
    choose_device,
    describe,
    in_low_precision,
    is_out_of_memory,
)
from napari_lowdose.noise2noise.evaluation.plateau import LearningCurve
from napari_lowdose.noise2noise.evaluation.validation import Validation, Verdict
from napari_lowdose.noise2noise.loss import pearson_loss
from napari_lowdose.noise2noise.model import Noise2NoiseModel
from napari_lowdose.noise2noise.network import UNet, period
from napari_lowdose.noise2noise.prediction import (
    Predictor,
    build_network,
    numpy_weights,
    weight_shapes,
)
from napari_lowdose.noise2noise.preview import Preview
from napari_lowdose.noise2noise.schedule import WeightAverage, learning_rate
from napari_lowdose.noise2noise.spline_shift import spline_shift
from napari_lowdose.noise2noise.training_data import TrainingPairs, training_pairs
from napari_lowdose.noise2noise.training_record import training_record
from napari_lowdose.noise2noise.training_step import TrainingStep

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.noise2noise import Noise2Noise

_SIGN_OF_LIFE = 0.25  # seconds between steps, at most
_PREVIEW = 1.5  # seconds between previews, at least
_PREVIEW_SHARE = 0.08  # of the time that goes into previews, at most
_NEVER = 2**62  # steps
_BORDER = 3  # pixels, where the cubic spline feels the border of a crop
_seeding = threading.Lock()  # torch's own source of chance is the whole process's


def training_steps(
    first: Any, second: Any, engine: Noise2Noise, begun: float, reserve: float = 0.0
) -> Iterator[TrainingStep]:
    """Train a network on pairs; see `Noise2Noise.training_steps`.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
    engine : Noise2Noise
    begun : float
        When the time budget began, by `time.perf_counter`.
    reserve : float
        How many passes over a frame the caller still wants to make within the time budget.
    """
    device = choose_device(engine.device)
    start = engine.start
    normalisation = None if start is None else (start.offset, start.scale)
    by_frame = None if start is None else bool(start.levels)
    pairs = training_pairs(first, second, engine.every, engine.seed, normalisation, by_frame)
    preset = preset_of(engine, device)
    about = training_record(first, pairs, engine, preset, device)
    training = _Training(pairs, engine, preset, device, about)
    yield training.step_so_far("training")
    yield from training.steps(begun, reserve, Preview(first, second, engine))


def warm_up() -> None:
    """Load what the first step of a training loads: seconds that nobody needs to wait for."""
    weight = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([weight])
    weight.sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def preset_of(engine: Noise2Noise, device: torch.device) -> Preset:
    """Return the network and how to train it, as the engine's parameters say."""
    name = engine.preset
    if name == "auto":
        name = "paper" if device.type == "cuda" else "fast"
    preset, free = PRESETS[name], ["batch_size", "crop_size", "learning_rate", "width"]
    if engine.start is not None:  # whose width is what it is
        preset, free = engine.start.architecture, free[:-1]
    wanted: dict[str, Any] = {each: getattr(engine, each) for each in free}
    preset = replace(preset, **{each: set_ for each, set_ in wanted.items() if set_ is not None})
    size = 4 * sum(math.prod(shape) for shape, _ in weight_shapes(preset).values())
    if size > LARGEST:
        raise ValueError(
            f"width {preset.width} makes a network of {size / 2**30:.0f} GiB: choose a smaller one."
        )
    return preset


class _Pace:
    """How long training has taken, and how long the steps ahead will."""

    def __init__(self, begun: float, first_step: float, budget: float) -> None:
        self._begun, self._first_step, self._budget = begun, first_step, budget
        self.still_to_come = 0.0  # seconds, after the last step

    def over(self) -> bool:
        """Whether the time budget is used up."""
        return time.perf_counter() - self._begun + self.still_to_come > self._budget

    def seconds_left(self, n_steps: int, done: int, now: float) -> float:
        """Return the time that the steps up to `n_steps` take, and what comes after them."""
        each = (now - self._first_step) / done
        left = max(0, n_steps - done) * each + self.still_to_come
        return max(0.0, min(left, self._budget - (now - self._begun)))

    def fraction(self, now: float, left: float) -> float:
        """Return how much of the training is done if so many seconds are left."""
        spent = now - self._begun
        return min(spent / (spent + left), 0.99) if spent + left > 0 else 0.0


@dataclass
class _State:
    """A training between two steps: what it takes to go on as if nothing had happened."""

    network: UNet
    average: WeightAverage
    optimiser: torch.optim.Optimizer
    rng: np.random.Generator
    step: int = 0


def _begin(engine: Noise2Noise, preset: Preset, device: torch.device) -> _State:
    """Return a training before its first step, or where that of `engine.start` ended."""
    start = engine.start
    if start is not None and isinstance(start.state, _State):
        state = copy.deepcopy(start.state)  # so that it can be continued twice
        if next(state.network.parameters()).device == device:
            return state
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(engine.seed % 2**63)
        network = UNet(preset) if start is None else build_network(preset, start.weights)
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=preset.learning_rate, betas=(0.9, 0.99))
    rng = np.random.default_rng(engine.seed)
    step = 0 if start is None else int(start.record.get("n_steps", 0))
    return _State(network, WeightAverage(network), optimiser, rng, step)


class _Training:
    """One network in training; `about` is what its record says before the first step."""

    def __init__(
        self,
        pairs: TrainingPairs,
        engine: Noise2Noise,
        preset: Preset,
        device: torch.device,
        about: dict[str, Any],
    ) -> None:
        n, _, height, width = pairs.exposures.shape
        fitting = min(preset.crop_size, height, width)
        self.crop_size = fitting - fitting % period(preset)
        self.pairs, self.engine, self.preset, self.device = pairs, engine, preset, device
        self.about = about
        self.validation = Validation(pairs, preset, engine.shift, engine.use)
        self.exposures = torch.from_numpy(pairs.exposures).to(device)
        self.seen = torch.from_numpy(pairs.seen).to(device)
        batch = preset.batch_size * self.crop_size**2
        self.steps_per_epoch: int = max(1, round(n * height * width / batch))
        self.state = _begin(engine, preset, device)
        self.first_step = self.state.step
        self.best: Noise2NoiseModel | None = None
        self.verdict: Verdict | None = None  # the last one
        self.best_loss = math.inf
        self.diverged = False
        self.by_quality = engine.epochs is None and engine.time_budget is None
        self.n_steps = self._n_steps()
        self.curve = LearningCurve(self.first_step + self.n_steps)
        self.losses: list[torch.Tensor] = []  # since the last TrainingStep
        self.loss = math.nan

    def steps(self, begun: float, reserve: float, preview: Preview) -> Iterator[TrainingStep]:
        """Train until epochs or time are used up, or until more of it promises too little."""
        if self.engine.start is not None:  # to end with nothing worse than this
            self._judge()
        told = time.perf_counter()
        pace = _Pace(begun, told, self.engine.time_budget or math.inf)
        previewed, cost, fraction = told - _PREVIEW / 2, 0.0, 0.0
        pause = _PREVIEW
        while True:
            self._advance()
            done = self.state.step - self.first_step
            pace.still_to_come = cost + reserve * preview.pass_seconds
            used_up = done >= self.n_steps or pace.over()
            # At steps that no clock decides: what is kept is the same on every machine
            judged = used_up or self.state.step % _judge_every(self.state.step) == 0
            if judged:
                self._judge()
            ended = used_up or self.diverged or (judged and self.by_quality and self.curve.flat)
            now = time.perf_counter()
            left = (0.0, 0.0, 0.0) if ended else self._seconds_left(pace, done, now)
            if left is not None:  # that it takes longer than thought takes nothing back
                fraction = max(fraction, 1.0 if ended else pace.fraction(now, left[1]))
            if not ended and now - previewed > pause:
                first = cost == 0
                image = yield from self._picture(preview, fraction, left)
                step = self.step_so_far("training", fraction, self.verdict, left=left)
                if np.isfinite(image).all():  # else training has diverged, as will be noticed
                    step = replace(step, image=image, index=preview.index)
                yield step
                previewed = told = time.perf_counter()
                cost = previewed - now
                # The first pass is cold: what it took is no measure of the next
                pause = _PREVIEW if first else max(_PREVIEW, cost / _PREVIEW_SHARE)
            elif judged or ended or now - told > _SIGN_OF_LIFE:
                verdict = self.verdict if judged else None
                yield self.step_so_far("training", fraction, verdict, ended, left)
                told = time.perf_counter()
            if ended:
                return

    def _seconds_left(
        self, pace: _Pace, done: int, now: float
    ) -> tuple[float, float, float] | None:
        """Return the least, the expected and the greatest time left; None while unknown."""
        if not self.by_quality:
            seconds = pace.seconds_left(self.n_steps, done, now)
            return seconds, seconds, seconds
        end = self.curve.end()
        if end is None:
            return None
        least, expected, most = (
            pace.seconds_left(step - self.first_step, done, now) for step in end
        )
        return least, expected, most

    def _picture(
        self, preview: Preview, fraction: float, left: tuple[float, float, float] | None
    ) -> Generator[TrainingStep, None, NDArray[np.float32]]:
        """Yield signs of life, and return the preview of the network as it is."""
        predictor = self._predictor()
        self.verdict = self.verdict or self.validation.judge(predictor)
        self.best = self.best or self._model(self.verdict)
        model = replace(
            self.best,
            both=self.verdict.both,
            one=self.verdict.one,
            value_range=self._value_range(self.verdict),
        )
        work = preview.steps(predictor, model)
        return (
            yield from map_yields(work, lambda _: self.step_so_far("training", fraction, left=left))
        )

    def step_so_far(
        self,
        message: str,
        fraction: float = 0.0,
        verdict: Verdict | None = None,
        last: bool = False,
        left: tuple[float, float, float] | None = None,
    ) -> TrainingStep:
        """Return how far training has come."""
        if self.losses:
            self.loss = float(torch.stack(self.losses).mean())
            self.losses.clear()
        epoch = self.state.step / self.steps_per_epoch
        so_far = f"epoch {epoch:.0f}" if epoch >= 1 else f"step {self.state.step}"
        return TrainingStep(
            fraction=fraction,
            message=f"{message}: {so_far}" if self.state.step else message,
            seconds_left=None if left is None else left[1],
            seconds_range=(left[0], left[2]) if left is not None and left[0] < left[2] else None,
            epoch=epoch,
            n_steps=self.state.step,
            loss=self.loss,
            validation_loss=None if verdict is None else verdict.loss,
            gain=None if verdict is None else verdict.gain,
            model=self.best,
            device=describe(self.device),
            last=last,
        )

    def _n_steps(self) -> int:
        """Return after how many steps training ends if nothing else ends it."""
        if self.engine.epochs is not None:
            return max(1, round(self.engine.epochs * self.steps_per_epoch))
        if self.engine.time_budget is not None:
            return _NEVER
        return max(self.preset.epochs * self.steps_per_epoch, self.preset.steps)

    def _advance(self) -> None:
        """Take one step of the optimiser."""
        try:
            self._take_step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(
                "there is not enough memory to train: choose a smaller batch_size or crop_size, "
                "or train on fewer pairs (every)."
            ) from error

    def _take_step(self) -> None:
        state, preset = self.state, self.preset
        shift = self.engine.shift
        crops = draw_crops(
            self.exposures, self.seen, shift, preset.batch_size, self.crop_size, state.rng
        )
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(preset.learning_rate, state.step)
        with in_low_precision(self.device):
            output = state.network(crops.inputs)
        if any(shift):
            output = _shifted(output.float(), crops.shifts)
        loss = pearson_loss(output, crops.partners, crops.seen)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimiser.step()
        state.average.update(state.network, state.step)
        state.step += 1
        self.losses.append(loss.detach())

    def _predictor(self) -> Predictor:
        # Anew: where memory ran out, the one before went on with a copy
        return Predictor(self.state.average.network, self.device)

    def _judge(self) -> None:
        """Ask the held-out tiles, and keep the network if it is the best so far."""
        verdict = self.validation.judge(self._predictor())
        if not math.isfinite(verdict.loss):
            if self.best is None:
                raise ValueError("training diverged: choose a lower learning rate.")
            self.diverged = True
            warnings.warn(
                f"training diverged after {self.state.step} steps: the best network before that "
                "is kept. Choose a lower learning rate.",
                UserWarning,
                stacklevel=2,
            )
            return
        self.verdict = verdict
        self.curve.add(self.state.step, verdict.loss, verdict.gain)
        better = verdict.loss < self.best_loss
        if better:
            self.best_loss = verdict.loss
        if better or self.best is None:
            self.best = self._model(verdict)
        else:  # an older network is kept, but training goes on from here
            self.best = replace(self.best, state=copy.deepcopy(self.state))

    def _model(self, verdict: Verdict) -> Noise2NoiseModel:
        pairs, engine = self.pairs, self.engine
        # Of images that do not say, that of the network they continue
        known = engine if engine.pixel_size is not None else engine.start or engine
        epochs = self.state.step / self.steps_per_epoch
        return Noise2NoiseModel(
            architecture=self.preset,
            weights=numpy_weights(self.state.average.network),
            offset=pairs.offset,
            scale=pairs.scale,
            match=pairs.match,
            levels=pairs.levels,
            outliers=engine.outliers,
            shift=engine.shift,
            both=verdict.both,
            one=verdict.one,
            value_range=self._value_range(verdict),
            record={
                **self.about,
                "n_steps": self.state.step,
                "epochs": epochs,
                "validation_loss": verdict.loss,
                "gain_db": verdict.gain and [_json(limit) for limit in verdict.gain],
            },
            use=engine.use,
            normalise=engine.normalise,
            device=engine.device,
            pixel_size=known.pixel_size,
            pixel_unit=known.pixel_unit,
            state=copy.deepcopy(self.state),
        )

    def _value_range(self, verdict: Verdict) -> tuple[float, float]:
        low, high = verdict.value_range
        scale, offset = self.pairs.scale, self.pairs.offset
        return low * scale + offset, high * scale + offset


def _shifted(output: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Shift the network's output to where the partner lies, but for its outermost pixels.

    There the spline would need what lies beyond.  They stay where they are: if the loss did not
    see them at all, the network would never learn what to do at the border of an image.
    """
    moved = spline_shift(output, shifts)
    inner = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    whole = output.clone()
    whole[inner] = moved[inner]
    return whole


def _judge_every(step: int) -> int:
    """Return after how many steps the held-out tiles are asked: rarer as training slows down."""
    return 25 << max(0, (step // 400).bit_length() - 1)


def _json(limit: float) -> float | None:
    """Return None for an infinite limit, which JSON does not know."""
    return limit if math.isfinite(limit) else None
