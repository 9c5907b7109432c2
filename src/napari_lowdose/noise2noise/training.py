"""Train the network R on pairs of noisy images, Eqs. (3) and (4) of the pair paper."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_lowdose.engine import map_yields
from napari_lowdose.noise2noise.baseline import baselines
from napari_lowdose.noise2noise.config import LARGEST
from napari_lowdose.noise2noise.context import variants
from napari_lowdose.noise2noise.crops import draw_crops
from napari_lowdose.noise2noise.device import (
    choose_device,
    describe,
    in_low_precision,
    is_out_of_memory,
)
from napari_lowdose.noise2noise.evaluation.best_baseline import BestBaseline
from napari_lowdose.noise2noise.evaluation.plateau import LearningCurve
from napari_lowdose.noise2noise.evaluation.seen_tiles import widened_gain
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain, gain_record
from napari_lowdose.noise2noise.evaluation.validation import Evaluation, Validation
from napari_lowdose.noise2noise.loss import pearson_loss
from napari_lowdose.noise2noise.network import size_multiple
from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames
from napari_lowdose.noise2noise.pace import Pace, PreviewSchedule
from napari_lowdose.noise2noise.prediction import (
    Predictor,
    numpy_weights,
    weight_shapes,
)
from napari_lowdose.noise2noise.preview import Preview
from napari_lowdose.noise2noise.resampled_targets import resampled_targets
from napari_lowdose.noise2noise.spare_cores import SpareCores
from napari_lowdose.noise2noise.spline_shift import shift_inside
from napari_lowdose.noise2noise.training_data import TrainingPairs, training_pairs
from napari_lowdose.noise2noise.training_state import initial_state, learning_rate
from napari_lowdose.noise2noise.training_step import TrainingStep
from napari_lowdose.noise2noise.untrained import training_record, untrained_model
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.config import TrainingConfig, UNetConfig
    from napari_lowdose.noise2noise.model import Noise2NoiseModel

_MAX_PAUSE = 0.25  # maximum time between progress reports, so that Stop is quick, seconds
_HALF = 0.5  # fraction of the time budget by which alike stacks must be finished
_TOLD = 0.1  # fraction of a work from which on its pace tells its end
_RESERVED = 0.3  # maximum fraction of the time budget for denoising in all orientations
_WITHOUT_NETWORK = "first pictures, without a network"
_UNLIMITED = 2**62  # steps


def training_steps(
    first: Any,
    second: Any,
    network_config: UNetConfig,
    config: TrainingConfig,
    start: Noise2NoiseModel | None,
    begun: float,
    reserve: tuple[float, float] = (0.0, 0.0),
    *,
    one_scene: bool = False,
    doubt: str = "",
) -> Iterator[TrainingStep]:
    """Train a network on pairs; see `Noise2Noise.training_steps`.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
    network_config : UNetConfig
    config : TrainingConfig
    start : Noise2NoiseModel or None
        Network to continue.
    begun : float
        Start of the time budget, by `time.perf_counter`.
    reserve : (float, float)
        Passes over a frame that the caller still makes within the time budget: in all
        orientations, and if there is not enough time in one.
    one_scene : bool
        See `training_pairs`.
    doubt : str
        Why the estimated gain cannot be trusted; see `ToldGain`.

    Yields
    ------
    TrainingStep

    Raises
    ------
    ValueError
        If no pair is usable, the network is too large, or training diverges at once.
    MemoryError
        If there is not enough memory.

    References
    ----------
    Pair paper (Yang et al. 2023), Eqs. (3) and (4).
    """
    device = choose_device(config.device)
    normalisation = None if start is None else (start.offset, start.scale)
    by_frame = None if start is None else bool(start.levels)
    pairs = training_pairs(
        first, second, config.every, config.seed, normalisation, by_frame,
        one_scene=one_scene, context=network_config.context, affine=config.affine,
    )  # fmt: skip
    size = 4 * sum(math.prod(shape) for shape, _ in weight_shapes(network_config).values())
    if size > LARGEST:
        raise ValueError(
            f"width {network_config.width} makes a network of {size / 2**30:.0f} GiB: choose a "
            "smaller one."
        )
    record = training_record(first, pairs, network_config, config, start, describe(device))
    preview = Preview(first, second, config, network_config.context)
    training = _Training(pairs, network_config, config, start, device, record, doubt)
    yield training.step_so_far("training")
    if config.fallback:
        yield from training.compare_baselines(first, second, preview, begun)
    yield from training.steps(begun, reserve, preview)


class _Training:
    """One network in training, Eq. (3) of the pair paper.

    Parameters
    ----------
    pairs : TrainingPairs
    network_config : UNetConfig
    config : TrainingConfig
    start : Noise2NoiseModel or None
        Network to continue.
    device : torch.device
    record : dict
        Record of the training, as far as it is known before the first step.
    doubt : str
        Why the estimated gain cannot be trusted.
    """

    def __init__(
        self,
        pairs: TrainingPairs,
        network_config: UNetConfig,
        config: TrainingConfig,
        start: Noise2NoiseModel | None,
        device: torch.device,
        record: dict[str, Any],
        doubt: str,
    ) -> None:
        height, width = pairs.exposures.shape[-2:]
        fitting = min(config.optimiser.crop_size, height, width)
        self.crop_size = fitting - fitting % size_multiple(network_config)
        self.pairs, self.device, self.record, self.doubt = pairs, device, record, doubt
        self.network_config, self.config, self.start = network_config, config, start
        self.validation = Validation(pairs, network_config, config.shift, config.use)
        self.baseline = BestBaseline(self.validation)
        self.exposures = torch.from_numpy(pairs.exposures).to(device)
        targets = None if pairs.view_map is None else resampled_targets(pairs)
        self.targets = None if targets is None else torch.from_numpy(targets.partners).to(device)
        self.seen = torch.from_numpy(pairs.seen if targets is None else targets.seen).to(device)
        self.around = variants(pairs.around)
        batch = config.optimiser.batch_size * self.crop_size**2
        self.steps_per_epoch: int = max(1, round(len(pairs) * height * width / batch))
        self.state = initial_state(network_config, config, start, device)
        self.first_step = self.state.step
        self.exposures_only = untrained_model(pairs, network_config, config, start, record)
        self.best: Noise2NoiseModel | None = None
        self.evaluation: Evaluation | None = None  # the latest
        self.instead = False  # whether the best baseline is better than the best network
        # The number of threads changes the rounding, so it is constant where the length is
        on_cpu, fixed = device.type == "cpu", config.epochs is not None
        self.cores = SpareCores() if on_cpu and not fixed else None
        self.pass_seconds = 0.0  # to apply the network to one exposure
        self.best_loss = math.inf
        self.diverged = False
        self.ends_at_plateau = config.epochs is None and config.time_budget is None
        self.n_steps = self._n_steps()
        self.curve = LearningCurve(self.first_step + self.n_steps)
        self.losses: list[torch.Tensor] = []  # since the last TrainingStep
        self.loss = math.nan

    def compare_baselines(
        self, first: Any, second: Any, preview: Preview, begun: float
    ) -> Iterator[TrainingStep]:
        """Find the best method without training, and show its picture."""
        exposures = self.pairs.exposures
        if first.ndim == 2:  # bit for bit as in the end, so that a result is computed only once
            pair = np.asarray(first), np.asarray(second)
            exposures = np.stack(NormalisedFrames.of(self.exposures_only, *pair).inputs)[np.newaxis]
        fast, slow = baselines(self.record["pairs"]["shape"])
        limit = begun + _HALF * (self.config.time_budget or math.inf)
        for methods in (fast, slow):
            started, before = time.perf_counter(), self.baseline.best
            with contextlib.closing(self.baseline.compare(methods, exposures)) as work:
                for done in work:
                    yield self.step_so_far(_WITHOUT_NETWORK)
                    end = started + (time.perf_counter() - started) / max(done, _TOLD)
                    if methods is slow and end > limit:
                        break  # the rest of a short time budget is for the network
            if (best := self.baseline.best) is not None and best is not before:
                self.instead = True
                picture = preview.of_baseline(best, self.exposures_only)
                image = yield from map_yields(picture, lambda _: self.step_so_far(_WITHOUT_NETWORK))
                step = self.step_so_far(_WITHOUT_NETWORK)
                yield replace(step, image=image, index=preview.index)

    def steps(
        self, begun: float, reserve: tuple[float, float], preview: Preview
    ) -> Iterator[TrainingStep]:
        """Train until the epochs or the time are used up, or until the loss reaches a plateau."""
        if self.start is not None:  # the result must not be worse than this network
            self._evaluate()
        reported = time.perf_counter()
        pace = Pace(begun, reported, self.config.time_budget or math.inf)
        schedule = PreviewSchedule(reported)
        fraction = 0.0
        while True:
            self._advance()
            done = self.state.step - self.first_step
            pace.still_to_come = schedule.cost + self._reserved(reserve)
            used_up = done >= self.n_steps or pace.over()
            # At fixed steps, not times, so that every machine keeps the same network
            evaluated = used_up or self.state.step % _evaluation_interval(self.state.step) == 0
            if evaluated:
                self._evaluate()
            ended = (
                used_up or self.diverged or (evaluated and self.ends_at_plateau and self.curve.flat)
            )
            if ended:
                yield self.step_so_far("training", fraction, self.evaluation)
                self._widen_gain()
            now = time.perf_counter()
            left = (0.0, 0.0, 0.0) if ended else self._seconds_left(pace, done, now)
            if left is not None:  # progress never moves backwards when the estimate grows
                fraction = max(fraction, 1.0 if ended else pace.fraction(now, left[1]))
            if not ended and schedule.is_due(now) and not self.instead:
                image = yield from self._picture(preview, fraction, left)
                step = self.step_so_far("training", fraction, self.evaluation, left=left)
                if np.isfinite(image).all():  # else the next evaluation detects it
                    step = replace(step, image=image, index=preview.index)
                yield step
                reported = time.perf_counter()
                schedule.shown(now, reported)
            elif evaluated or ended or now - reported > _MAX_PAUSE:
                evaluation = self.evaluation if evaluated else None
                yield self.step_so_far("training", fraction, evaluation, ended, left)
                reported = time.perf_counter()
            if ended:
                return

    def _reserved(self, passes: tuple[float, float]) -> float:
        """Return the time to keep for denoising, seconds: in one orientation if it is long."""
        every, one = (n * self.pass_seconds for n in passes)
        return every if every < _RESERVED * (self.config.time_budget or math.inf) else one

    def _seconds_left(self, pace: Pace, done: int, now: float) -> tuple[float, float, float] | None:
        """Return minimum, expected and maximum time left; None while it is unknown."""
        if not self.ends_at_plateau:
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
        """Compute a preview; yields progress reports and returns the image."""
        predictor = self._predictor()
        self.evaluation = self.evaluation or self.validation.evaluate(predictor)
        self.best = self.best or self._model(self.evaluation)
        model = replace(
            self.best,
            pair_calibration=self.evaluation.pair_calibration,
            single_calibration=self.evaluation.single_calibration,
            value_range=self.pairs.in_units(*self.evaluation.value_range),
        )
        work = preview.steps(predictor, model)
        return (
            yield from map_yields(work, lambda _: self.step_so_far("training", fraction, left=left))
        )

    def step_so_far(
        self,
        message: str,
        fraction: float = 0.0,
        evaluation: Evaluation | None = None,
        last: bool = False,
        left: tuple[float, float, float] | None = None,
    ) -> TrainingStep:
        """Return a progress report."""
        if self.losses:
            self.loss = float(torch.stack(self.losses).mean())
            self.losses.clear()
        epoch = self.state.step / self.steps_per_epoch
        so_far = f"epoch {epoch:.0f}" if epoch >= 1 else f"step {self.state.step}"
        if self.instead and self.baseline.best is not None:
            so_far += f" (the picture is still by {self.baseline.best.name})"
        return TrainingStep(
            fraction=fraction,
            message=f"{message}: {so_far}" if self.state.step else message,
            seconds_left=None if left is None else left[1],
            seconds_range=(left[0], left[2]) if left is not None and left[0] < left[2] else None,
            epoch=epoch,
            n_steps=self.state.step,
            loss=self.loss,
            validation_loss=None if evaluation is None else evaluation.loss,
            gain=None if evaluation is None else evaluation.gain,
            model=self.best,
            device=describe(self.device),
            last=last,
            instead=self.baseline.best if self.instead else None,
            instead_gain=self.baseline.gain if self.instead else None,
            pass_seconds=self.pass_seconds,
            doubt=self.doubt,
        )

    def _n_steps(self) -> int:
        """Return the maximum number of steps."""
        if self.config.epochs is not None:
            return max(1, round(self.config.epochs * self.steps_per_epoch))
        if self.config.time_budget is not None:
            return _UNLIMITED
        optimiser = self.config.optimiser
        return max(optimiser.epochs * self.steps_per_epoch, optimiser.steps)

    def _advance(self) -> None:
        """Take one step of the optimiser; explain what to do if memory runs out."""
        try:
            with self.cores.used() if self.cores else contextlib.nullcontext():
                self._take_step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(
                "there is not enough memory to train: choose a smaller batch_size or crop_size, "
                "or train on fewer pairs (every)."
            ) from error

    def _take_step(self) -> None:
        state, optimiser = self.state, self.config.optimiser
        shift = self.config.shift
        crops = draw_crops(
            self.exposures, self.seen, shift, optimiser.batch_size, self.crop_size, state.rng,
            self.around, self.targets,
        )  # fmt: skip
        # Not by a scheduler, for the reasons given at `learning_rate`
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(optimiser.learning_rate, state.step)
        with in_low_precision(self.device):
            output = state.network(crops.inputs)
        # The output is smooth and can be interpolated, unlike the noisy exposures
        if any(shift):
            output = shift_inside(output.float(), crops.shifts)
        loss = pearson_loss(output, crops.partners, crops.seen)  # Eq. (4)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimiser.step()
        state.average.update_parameters(state.network)
        state.step += 1
        # As a tensor: reading its value would make the CPU wait for the GPU in every step
        self.losses.append(loss.detach())

    def _predictor(self) -> Predictor:
        # A new one each time: after running out of memory a predictor continues with a copy
        return Predictor(self.state.averaged_network, self.device)

    def _evaluate(self) -> None:
        """Evaluate the network on the held-out tiles, and keep it if it is the best so far."""
        begun = time.perf_counter()
        evaluation = self.validation.evaluate(self._predictor())
        pixels = math.prod(self.pairs.exposures.shape[-2:])
        self.pass_seconds = (time.perf_counter() - begun) * pixels / self.validation.n_pixels
        if not math.isfinite(evaluation.loss):
            if self.best is None:
                raise ValueError("training diverged: choose a lower learning rate.")
            self.diverged = True
            warn(
                f"training diverged after {self.state.step} steps: the best network before that "
                "is kept. Choose a lower learning rate.",
                stacklevel=2,
            )
            return
        self.evaluation = evaluation
        self.curve.add(self.state.step, evaluation.loss, evaluation.gain)
        better = evaluation.loss < self.best_loss
        if better:
            self.best_loss = evaluation.loss
        if better or self.best is None:
            self.best = self._model(evaluation)
            self.instead = self.baseline.beats(evaluation)
        else:  # keep the older network, but continue training from here
            self.best = replace(self.best, state=copy.deepcopy(self.state))

    def _widen_gain(self) -> None:
        """Widen the interval of the gain so that it holds for the training pair itself, too."""
        if self.best is None or self.evaluation is None or self.evaluation.gain is None:
            return
        told = ToldGain.of_record(self.best.record)
        if told is None:
            return
        predictor = Predictor(self.best.network, self.device)
        config = self.config
        gain = widened_gain(
            (told.least.low, told.least.high),
            predictor, self.pairs, self.network_config, config.shift, config.use, config.seed,
        )  # fmt: skip
        self.evaluation = replace(self.evaluation, gain=gain)
        self.best = replace(
            self.best, record={**self.best.record, **gain_record([gain], self.doubt)}
        )

    def _model(self, evaluation: Evaluation) -> Noise2NoiseModel:
        epochs = self.state.step / self.steps_per_epoch
        return replace(
            self.exposures_only,
            weights=numpy_weights(self.state.averaged_network),
            pair_calibration=evaluation.pair_calibration,
            single_calibration=evaluation.single_calibration,
            value_range=self.pairs.in_units(*evaluation.value_range),
            record={
                **self.record,
                "n_steps": self.state.step,
                "epochs": epochs,
                "validation_loss": evaluation.loss,
                **gain_record([evaluation.gain], self.doubt),
            },
            state=copy.deepcopy(self.state),  # training changes it
        )


def _evaluation_interval(step: int) -> int:
    """Return the number of steps between evaluations, which grows as training slows down."""
    return 25 << max(0, (step // 400).bit_length() - 1)
