"""Training reduces noise, is reproducible, ends when it should and keeps the best network.

Tests that depend on time use a simulated clock, which a busy machine does not affect.
"""

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

from napari_lowdose import (
    Noise2Noise,
    Noise2NoiseModel,
    TrainingStep,
    denoise,
    denoise_steps,
    simulate_pair,
)
from napari_lowdose.denoise import Run
from napari_lowdose.noise2noise import PairStep, noise2noise, pace, prediction, training
from napari_lowdose.noise2noise.evaluation.validation import Evaluation, Validation
from napari_lowdose.noise2noise.training import _Training
from tests.noise2noise.known_pair import KnownPair, known_pair

STEP, JUDGEMENT, PASS = 0.1, 0.15, 0.05  # seconds, of the clock below


class Clock:
    """Simulated time that advances with work only."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def ticking(self, seconds: float, work: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.now += seconds
            return work(*args, **kwargs)

        return timed


NO_TILES = (np.zeros((0, 8, 8), np.float32),) * 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (training, pace, noise2noise):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    monkeypatch.setattr(_Training, "_advance", clock.ticking(STEP, _Training._advance))
    monkeypatch.setattr(Validation, "evaluate", clock.ticking(JUDGEMENT, Validation.evaluate))
    Predictor = prediction.Predictor
    monkeypatch.setattr(Predictor, "_tiled", clock.ticking(PASS, Predictor._tiled))
    return clock


@pytest.fixture
def stopped_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """No previews, and a single evaluation at the end."""
    monkeypatch.setattr(training.time, "perf_counter", lambda: 0.0)


@pytest.fixture
def narrow(quick: Noise2Noise) -> Noise2Noise:
    """An engine whose network is as small as can be, for tests in which it learns nothing."""
    return replace(quick, width=2)


@pytest.fixture
def no_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optimiser steps that only count."""

    def advance(self: _Training) -> None:
        self.state.step += 1

    monkeypatch.setattr(_Training, "_advance", advance)


def evaluations(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Replace the evaluations by the given ones; the last one is repeated."""
    remaining = list(losses)

    def evaluate(self: Validation, predictor: object) -> Evaluation:
        loss = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return Evaluation(loss, (1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 2.0), NO_TILES)

    monkeypatch.setattr(Validation, "evaluate", evaluate)


def last(steps: Iterator[Any]) -> Any:
    step = None
    for step in steps:  # noqa: B007
        pass
    return step


def same(one: Noise2NoiseModel, two: Noise2NoiseModel) -> bool:
    return all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)


# Denoising


def test_training_reduces_the_noise(pair: KnownPair, model: Noise2NoiseModel) -> None:
    result = denoise((pair.first, pair.second), model)
    assert pair.gain(result) > 11  # 12.5 measured
    slope, level = np.polyfit(result.ravel(), pair.truth.ravel(), 1)
    assert slope == pytest.approx(1, abs=0.03)
    assert slope * result.mean() + level == pytest.approx(pair.truth.mean(), rel=0.01)


def test_using_both_exposures_gains_more_than_the_first(
    pair: KnownPair, model: Noise2NoiseModel
) -> None:
    given = (pair.first, pair.second)
    both, first = (denoise(given, replace(model, use=use)) for use in ("both", "first"))
    assert pair.gain(both) > pair.gain(first) + 0.5
    assert pair.gain(first) > 9


def test_estimated_gain_contains_the_true_gain(pair: KnownPair, quick: Noise2Noise) -> None:
    step = last(quick.training_steps(pair.first, pair.second))
    low, high = step.gain
    # The gain is that of one orientation; eight orientations gain slightly more
    once = replace(step.model, orientations=1)
    assert low < pair.gain(denoise((pair.first, pair.second), once)) < high


def test_paper_network_learns(quick: Noise2Noise) -> None:
    pair = known_pair(64)
    engine = replace(quick, preset="paper", width=4, batch_size=4, crop_size=32, epochs=30)
    steps = [s for s in engine.training_steps(pair.first, pair.second) if not math.isnan(s.loss)]
    assert steps[-1].loss < 0.75  # 1 before
    assert steps[-1].device.startswith("CPU")


# Reproducibility


@pytest.mark.usefixtures("stopped_clock")
def test_same_seed_gives_the_same_network(pair: KnownPair, quick: Noise2Noise) -> None:
    engine = replace(quick, epochs=5)
    one, again = (engine.train(pair.first, pair.second) for _ in range(2))
    assert same(one, again)
    assert one.record == again.record
    other = replace(engine, seed=1).train(pair.first, pair.second)
    assert not same(one, other)


@pytest.mark.usefixtures("stopped_clock")
def test_concurrent_trainings_are_independent(pair: KnownPair, quick: Noise2Noise) -> None:
    engine = replace(quick, epochs=4)
    alone = [replace(engine, seed=s).train(pair.first, pair.second) for s in (0, 1)]
    found: dict[int, Noise2NoiseModel] = {}

    def train(seed: int) -> None:
        found[seed] = replace(engine, seed=seed).train(pair.first, pair.second)

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(found[0], alone[0])
    assert same(found[1], alone[1])


@pytest.mark.usefixtures("stopped_clock")
def test_global_random_state_is_unchanged(pair: KnownPair, quick: Noise2Noise) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    replace(quick, epochs=1).train(pair.first, pair.second)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("stopped_clock")
def test_continued_training_equals_uninterrupted_training(
    pair: KnownPair, quick: Noise2Noise, tmp_path: Path
) -> None:
    def train(epochs: int, start: Noise2NoiseModel | None = None) -> Noise2NoiseModel:
        return replace(quick, epochs=epochs, start=start).train(pair.first, pair.second)

    whole, part = train(8), train(5)
    assert same(train(3, start=part), whole)
    assert same(train(3, start=part), whole)  # from the same model again
    assert train(3, start=part).record["n_steps"] == whole.record["n_steps"] == 8
    # From the file all but the optimiser's memory
    part.save(tmp_path / "part.safetensors")
    steps = list(
        replace(
            quick, epochs=3, start=Noise2NoiseModel.load(tmp_path / "part.safetensors")
        ).training_steps(pair.first, pair.second)
    )
    assert steps[-1].n_steps == 8
    assert steps[-1].epoch == whole.record["epochs"]
    before, after = part.record["validation_loss"], steps[-1].validation_loss
    assert after < before
    record = steps[-1].model.record
    assert record["continued_from"][0]["n_steps"] == 5
    assert (steps[-1].model.offset, steps[-1].model.scale) == (part.offset, part.scale)


# End of training


def test_time_budget_is_kept(pair: KnownPair, quick: Noise2Noise, clock: Clock) -> None:
    for step in replace(quick, epochs=None, time_budget=4.0).training_steps(
        pair.first, pair.second
    ):
        assert step.fraction <= 1
    assert 4.0 - STEP <= clock.now <= 4.0 + STEP + JUDGEMENT + PASS
    assert isinstance(step, TrainingStep)
    assert step.last
    assert step.fraction == 1


def test_time_budget_includes_denoising(pair: KnownPair, quick: Noise2Noise, clock: Clock) -> None:
    budget = 5.0  # in which the pair is denoised, in 2 x 8 passes
    last(denoise_steps((pair.first, pair.second), replace(quick, epochs=None, time_budget=budget)))
    assert 0.85 * budget < clock.now < 1.05 * budget


@pytest.mark.usefixtures("stopped_clock")
def test_fractional_epochs(pair: KnownPair, quick: Noise2Noise) -> None:
    engine = replace(quick, crop_size=32, epochs=2.5)
    step = last(engine.training_steps(pair.first, pair.second))
    a_epoch = 96 * 96 / (2 * 32 * 32)
    assert step.n_steps == round(2.5 * round(a_epoch))
    assert step.epoch == pytest.approx(2.5, abs=0.2)


@pytest.mark.usefixtures("no_learning")
def test_training_ends_at_a_plateau(
    narrow: Noise2Noise, clock: Clock, pair: KnownPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = _Training._advance
    monkeypatch.setattr(_Training, "_advance", clock.ticking(0.02, advance))
    evaluations(monkeypatch, [0.9, 0.8, 0.7, 0.6, 0.5, 0.5])
    step = last(replace(narrow, epochs=None).training_steps(pair.first, pair.second))
    assert 300 < step.n_steps < 700  # and not 2000
    assert step.last
    assert step.model.record["validation_loss"] == 0.5


@pytest.mark.usefixtures("no_learning")
def test_set_number_of_epochs_ignores_the_plateau(
    narrow: Noise2Noise, pair: KnownPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations(monkeypatch, [0.5])
    step = last(replace(narrow, epochs=3000).training_steps(pair.first, pair.second))
    assert step.n_steps == 3000


@pytest.mark.usefixtures("no_learning", "clock")
def test_time_left_is_a_range_until_the_plateau(
    narrow: Noise2Noise, pair: KnownPair, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """With a loss that falls as 1 / n, training ends when less than 0.1 dB is left to gain."""
    monkeypatch.setattr(_Training, "_advance", clock.ticking(STEP, _Training._advance))
    begin, trainings = _Training.__init__, []

    def remember(self: _Training, *args: Any) -> None:
        trainings.append(self)
        begin(self, *args)

    def falling(self: Validation, predictor: object) -> Evaluation:
        loss = 0.2 + 0.1 / trainings[-1].state.step
        return Evaluation(loss, (1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (17.0, 23.0), NO_TILES)

    monkeypatch.setattr(_Training, "__init__", remember)
    monkeypatch.setattr(Validation, "evaluate", falling)
    told: list[tuple[float, Any]] = []
    for step in replace(narrow, epochs=None).training_steps(pair.first, pair.second):
        told.append((clock.now, step))
    steps = [step for _, step in told]
    assert 600 < steps[-1].n_steps < 1100  # and not 2000
    for step in steps:
        if step.n_steps < 25:  # nothing to compare with yet
            assert (step.seconds_left, step.fraction, step.time_left) == (None, 0, "")
    in_between = [(at, step) for at, step in told if 100 < step.n_steps < 300]
    assert in_between
    for at, step in in_between:
        least, most = step.seconds_range
        assert least < clock.now - at < most
        assert least < step.seconds_left < most
        assert " to " in step.time_left
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.usefixtures("clock")
def test_less_than_an_epoch_is_reported_in_steps(quick: Noise2Noise) -> None:
    stack = np.stack([known_pair(64, seed=seed).first for seed in range(8)])
    other = np.stack([known_pair(64, seed=seed).second for seed in range(8)])
    engine = replace(quick, crop_size=32, epochs=0.5)
    messages = [step.message for step in engine.training_steps(stack, other)]
    assert "training: step 8" in messages[-1]
    assert last(engine.training_steps(stack, other)).trained == "8 steps"


# Progress and previews


@pytest.mark.usefixtures("no_learning")
def test_progress_report_every_third_of_a_second(
    narrow: Noise2Noise, clock: Clock, pair: KnownPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = _Training._advance
    monkeypatch.setattr(_Training, "_advance", clock.ticking(0.04, advance))
    told, gaps, fractions = clock.now, [], []
    for step in denoise_steps((pair.first, pair.second), replace(narrow, epochs=500)):
        gaps.append(clock.now - told)
        told = clock.now
        fractions.append(step.fraction)
    assert max(gaps) <= 0.25 + 0.04 + JUDGEMENT + PASS
    assert np.median(gaps) <= 0.3
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_previews_have_the_units_of_the_input(
    pair: KnownPair, quick: Noise2Noise, clock: Clock
) -> None:
    steps = list(replace(quick, epochs=60).training_steps(pair.first, pair.second))
    previews = [step for step in steps if step.image is not None]
    assert len(previews) >= 2
    gains = [pair.gain(step.image) for step in previews]
    assert gains[-1] > 8
    assert gains[-1] > gains[0]
    for step in previews:
        assert step.image.dtype == np.float32
        assert step.image.shape == pair.first.shape
        assert step.validation_loss is not None
        assert step.model is not None


@pytest.mark.usefixtures("clock")
def test_loss_decreases(pair: KnownPair, quick: Noise2Noise) -> None:
    steps = list(quick.training_steps(pair.first, pair.second))
    losses = [step.loss for step in steps if not math.isnan(step.loss)]
    assert losses[-1] < losses[0]
    assert all(0 < loss < 2 for loss in losses)
    assert all(one.epoch <= two.epoch for one, two in pairwise(steps))


@pytest.mark.usefixtures("clock")
def test_stopping_early_keeps_the_best_network(pair: KnownPair, quick: Noise2Noise) -> None:
    run = Run((pair.first, pair.second), replace(quick, epochs=10**6))
    n_models = 0
    for step in run:
        n_models += step.image is not None  # type: ignore[union-attr]
        if n_models == 3:
            break
    assert run.model is not None
    assert pair.gain(denoise((pair.first, pair.second), run.model)) > 6
    assert pair.gain(run.image) > 6
    assert run.model.record["n_steps"] > 0
    assert not run.finished


def test_divergence_before_any_good_network_is_an_error(
    quick: Noise2Noise, pair: KnownPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations(monkeypatch, [math.nan])
    with pytest.raises(ValueError, match="training diverged: choose a lower learning rate"):
        list(replace(quick, epochs=1).training_steps(pair.first, pair.second))


@pytest.mark.usefixtures("no_learning")
def test_divergence_keeps_the_best_network(
    narrow: Noise2Noise, pair: KnownPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations(monkeypatch, [0.5, 0.4, math.nan])
    with pytest.warns(UserWarning, match="training diverged after 75 steps: the best network"):
        step = last(replace(narrow, epochs=1000).training_steps(pair.first, pair.second))
    assert step.last
    assert step.n_steps == 75
    assert step.model.record["validation_loss"] == 0.4
    assert step.model.record["n_steps"] == 50


@pytest.mark.usefixtures("clock", "no_learning")
def test_best_network_is_kept(
    pair: KnownPair, narrow: Noise2Noise, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(_Training, "_advance", clock.ticking(STEP, _Training._advance))
    evaluations(monkeypatch, [0.5, 0.3, 0.4, 0.6, 0.7])
    steps = list(replace(narrow, epochs=200).training_steps(pair.first, pair.second))
    so_far = math.inf
    at = 0
    for step in steps:
        if step.validation_loss is None:
            continue
        if step.validation_loss < so_far:
            so_far, at = step.validation_loss, step.n_steps
        assert step.model is not None
        assert step.model.record["validation_loss"] == so_far
        assert step.model.record["n_steps"] == at
    assert so_far == 0.3
    # Training goes on from where it was, and not from the best
    assert steps[-1].model.state.step == steps[-1].n_steps == 200


@pytest.mark.filterwarnings("ignore:The second exposure is shifted")  # it is not
@pytest.mark.usefixtures("stopped_clock")
def test_held_out_tiles_are_never_a_target(
    pair: KnownPair, quick: Noise2Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels of the partner in held-out tiles do not change the network, to the last bit."""
    engine = replace(quick, epochs=5)
    for shift in ((0.0, 0.0), (0.4, -0.3)):
        expected = engine.train(pair.first, pair.second, shift)
        changed = []

        def garbage(*args: Any, draw: Any = training.draw_crops, changed: Any = changed) -> Any:
            crops = draw(*args)
            changed.append(int((crops.seen == 0).sum()))
            partners = torch.where(crops.seen == 0, torch.tensor(1e3), crops.partners)
            return crops._replace(partners=partners)

        with monkeypatch.context() as patch:
            patch.setattr(training, "draw_crops", garbage)
            found = engine.train(pair.first, pair.second, shift)
        assert sum(changed) > 0
        assert same(found, expected)


# Input


def test_unequal_beamsplitter(quick: Noise2Noise) -> None:
    """With a ratio of 60 : 40 and different offsets, the result has the units of the first."""
    truth = known_pair().truth
    rng = np.random.default_rng(0)
    first = rng.poisson(1.2 * 4 * truth) + 100
    second = rng.poisson(0.8 * 4 * truth) + 300
    result = denoise((first, second), replace(quick, epochs=60))
    slope, _ = np.polyfit(result.ravel(), 1.2 * 4 * truth.ravel() + 100, 1)
    assert slope == pytest.approx(1, abs=0.02)
    assert result.mean() == pytest.approx(first.mean(), rel=0.01)


@dataclass(frozen=True)
class Scaled:
    """A pair in different units or of another dtype."""

    dtype: str
    scale: float = 1.0
    offset: float = 0.0

    def of(self, image: NDArray[Any]) -> NDArray[Any]:
        return (image * self.scale + self.offset).astype(self.dtype)


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize(
    "units",
    [
        Scaled("uint16", 16, 1000),
        Scaled("int32", 1024, -70_000),
        Scaled("float64", 2.0**-20),
        Scaled("float32", 2.0**20),
        Scaled("float16"),
        Scaled(">f4"),
    ],
    ids=lambda units: f"{units.dtype} * {units.scale:.3g} + {units.offset:g}",
)
def test_units_and_dtypes(pair: KnownPair, quick: Noise2Noise, units: Scaled) -> None:
    given = (units.of(pair.first), units.of(pair.second))
    result = denoise(given, replace(quick, epochs=20))
    assert result.dtype == np.float32
    assert pair.gain((result.astype(float) - units.offset) / units.scale) > 7


@pytest.mark.filterwarnings("ignore:The two exposures have nothing in common")
@pytest.mark.parametrize("shape", [(101, 67), (33, 96), (32, 32)])
def test_odd_and_small_sizes(shape: tuple[int, int], quick: Noise2Noise) -> None:
    pair = known_pair(101)
    first, second = (image[: shape[0], : shape[1]] for image in (pair.first, pair.second))
    steps = list(denoise_steps((first, second), replace(quick, epochs=10)))
    assert steps[-1].image.shape == shape
    assert np.isfinite(steps[-1].image).all()
    assert steps[-1].image.std() > 0


@pytest.mark.usefixtures("stopped_clock")
def test_stacks_of_pairs(quick: Noise2Noise) -> None:
    """All pairs train one network; each frame has its own result."""
    pairs = [known_pair(64, seed=seed) for seed in range(3)]
    given = (np.stack([p.first for p in pairs]), np.stack([p.second for p in pairs]))
    steps = list(denoise_steps(given, replace(quick, epochs=20)))
    results = [step for step in steps if isinstance(step, PairStep) and step.image is not None]
    assert [step.index for step in results] == [(0,), (1,), (2,)]
    for pair, step in zip(pairs, results, strict=True):
        assert pair.gain(step.image) > 8
    every = last(replace(quick, epochs=1, every=2).training_steps(*given))
    assert every.model.record["pairs"] == {"n": 2, "shape": [3, 64, 64], "dtype": "float32"}


@pytest.mark.parametrize(("wanted", "shown"), [((), (0, 0)), ((1, 2), (1, 2))])
@pytest.mark.usefixtures("clock")
def test_preview_of_a_stack_shows_one_frame(
    quick: Noise2Noise, wanted: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    """The preview does not replace the other frames."""
    pairs = [known_pair(64, seed=seed) for seed in range(6)]
    first, second = (
        np.stack(each).reshape(2, 3, 64, 64)
        for each in ([p.first for p in pairs], [p.second for p in pairs])
    )
    run = Run((first, second), replace(quick, preview=wanted, epochs=99))
    for step in run:
        if step.image is not None:
            break
    assert step.index == shown
    untouched = np.ones((2, 3), bool)
    untouched[shown] = False
    assert np.array_equal(run.image[untouched], first[untouched])
    assert not np.array_equal(run.image[shown], first[shown])


def test_normalised_result(pair: KnownPair, model: Noise2NoiseModel) -> None:
    plain = denoise((pair.first, pair.second), model)
    normal = denoise((pair.first, pair.second), replace(model, normalise=True))
    low, high = model.value_range
    np.testing.assert_allclose(normal, (plain - low) / (high - low), atol=1e-4)
    # 0 and 1 are what held-out tiles show: the whole image may go a little beyond
    assert -0.25 < normal.min() < 0.1
    assert 0.9 < normal.max() < 1.25


def test_subpixel_shift_between_the_exposures(quick: Noise2Noise) -> None:
    """The result is aligned with the first exposure."""
    dy, dx = 0.4, -0.3
    y, x = np.mgrid[:96, :96]

    def scene(dy: float, dx: float) -> NDArray[np.float64]:
        at_y, at_x = y - dy, x - dx
        waves = np.sin(at_y / 2 + at_x / 5) + np.sin(at_x / 2.3 - at_y / 7) + np.cos(at_y / 3)
        return 30 + 8 * waves

    rng = np.random.default_rng(0)
    first, second = rng.poisson(scene(0, 0)), rng.poisson(scene(dy, dx))
    model = quick.train(first, second, shift=(dy, dx))
    inner = (slice(8, -8),) * 2
    for use in ("both", "first"):
        result = denoise((first, second), replace(model, use=use))
        off, *_ = phase_cross_correlation(
            scene(0, 0)[inner], result[inner], upsample_factor=100, normalization=None
        )
        assert np.abs(off).max() < 0.05
    apart = denoise((first, second), replace(model, shift=(0.0, 0.0)))
    off, *_ = phase_cross_correlation(
        scene(0, 0)[inner], apart[inner], upsample_factor=100, normalization=None
    )
    assert np.hypot(*off) > 0.15  # half of it: what the test above could see


def test_sparse_bright_spots(quick: Noise2Noise) -> None:
    """Most crops are empty."""
    rng = np.random.default_rng(1)
    points = np.zeros((96, 96))
    points[rng.integers(0, 96, 12), rng.integers(0, 96, 12)] = 2000
    truth = gaussian_filter(points, 3)
    first, second = simulate_pair(truth + 0.1, seed=0)
    result = denoise((first, second), quick)
    error = np.mean((result - truth - 0.1) ** 2) / np.mean((first - truth - 0.1) ** 2)
    assert -10 * math.log10(error) > 3


def test_preview_is_normalised_if_the_result_is(pair: KnownPair, clock: Clock) -> None:
    engine = Noise2Noise(epochs=60, normalise=True, width=8, batch_size=4)
    steps = list(engine.training_steps(pair.first + 1000, pair.second + 1000))
    pictures = [step.image for step in steps if step.image is not None]
    assert pictures
    assert all(-1 < picture.min() and picture.max() < 2 for picture in pictures)


def test_kept_network_does_not_depend_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = known_pair(64)
    engine = Noise2Noise(epochs=40, width=4, crop_size=32, batch_size=2)
    expected = engine.train(pair.first, pair.second)
    clock = Clock()
    for module in (training, pace, noise2noise):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    for seconds in (0.02, 0.3):
        with monkeypatch.context() as patch:
            patch.setattr(_Training, "_advance", clock.ticking(seconds, _Training._advance))
            found = engine.train(pair.first, pair.second)
        assert found.record["n_steps"] == expected.record["n_steps"]
        assert same(found, expected)
