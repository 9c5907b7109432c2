import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_lowdose import (
    LiveRun,
    Noise2Noise,
    Reucid,
    RunningMean,
    SplitViews,
    samples,
    split_frame,
)
from napari_lowdose.engine import Engine, Step
from napari_lowdose.live import live_training
from napari_lowdose.live.feed import LiveFrame
from napari_lowdose.live.live_pairs import PairsOfFrames
from napari_lowdose.live.live_training import LiveTraining
from napari_lowdose.live.ring_buffer import RingBuffer
from napari_lowdose.noise2noise import TrainingStep

N = 96


def scene(period=40.0, n=N):
    y, x = np.indices((n, n))
    return 20 + 16 * np.cos(2 * np.pi * x / period) * np.cos(2 * np.pi * y / period)


@dataclass(frozen=True)
class Blur(Engine):
    """A method of a known quality."""

    title = "Blur"
    width: float = 1.0

    def frame_steps(self, frame):
        image = gaussian_filter(frame.astype(np.float32), self.width)
        yield Step(fraction=1.0, message="done", image=image)


@dataclass(frozen=True)
class Trainer:
    """A training whose networks are blurs of the given widths."""

    widths: tuple = (2.0,)
    use: str = "both"
    shift: tuple = (0.0, 0.0)
    context: int = 0
    fallback: bool = True
    error: Exception | None = None
    given: list = field(default_factory=list)

    def training_steps(self, first, second):
        self.given.append((first, second, self.use, self.shift))
        yield TrainingStep(fraction=0.0, message="", epoch=0, n_steps=0, loss=1.0)
        if self.error is not None:
            raise self.error
        for width in self.widths:
            yield TrainingStep(
                fraction=0.5, message="", epoch=0, n_steps=1, loss=1.0, model=Blur(width)
            )


class Source:
    """A buffer that is filled, one frame at a time."""

    def __init__(self, n=32):
        self.buffer, self.number = RingBuffer(n), 0

    def put(self, pixels):
        self.buffer.put(LiveFrame(pixels, self.number, time.perf_counter()))
        self.number += 1

    def show(self, truth, n=2):
        rng = np.random.default_rng(self.number)
        for _ in range(n):
            self.put(rng.poisson(truth).astype(np.uint16))


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(live_training, "WHILE_TRAINING", (0.0, 0.0, time.thread_time))
    monkeypatch.setattr(live_training, "AFTERWARDS", (0.0, 0.0, time.perf_counter))
    monkeypatch.setattr(live_training, "POLL", 0.005)


@pytest.fixture
def begin():
    """Start a training; all are closed at the end."""
    started = []

    def start(*args, **kwargs):
        training = LiveTraining(*args, **kwargs)
        started.append(training)
        training.start()
        return training

    yield start
    for training in started:
        training.close()


def wait_for(condition, seconds=60.0):  # PyTorch takes long to load on a busy machine
    until = time.perf_counter() + seconds
    while not condition():
        assert time.perf_counter() < until, "it never happened"
        time.sleep(0.005)


def test_a_better_network_takes_over_and_says_what_it_is_worth(begin):
    source = Source()
    source.show(scene())
    training = begin(source.buffer, Blur(0.5), Trainer((2.0,)))
    wait_for(lambda: training.model is not None)
    assert training.winner is None  # there are no fresh frames to compare on
    source.show(scene())
    wait_for(lambda: training.winner is not None)
    assert training.winner == training.model == Blur(2.0)
    wait_for(lambda: "the network is now" in training.message)
    assert "dB better than the raw frame: the same picture as" in training.message
    assert training.message.endswith(" exposures")


def test_a_worse_network_is_not_used(begin):
    source = Source()
    source.show(scene())
    training = begin(source.buffer, Blur(2.0), Trainer((0.4,)))
    wait_for(lambda: training.model is not None)
    source.show(scene())
    wait_for(lambda: "not the better one" in training.message)
    assert training.winner is None
    assert "Blur" in training.message


def test_it_is_the_network_of_the_moment_that_is_compared(begin):
    source = Source()
    source.show(scene(), 4)
    going_on = threading.Event()

    class Slow(Trainer):
        def training_steps(self, first, second):
            for step in super().training_steps(first, second):
                yield step
                if step.model is not None:
                    source.show(scene())
                    going_on.wait(60)

    training = begin(source.buffer, Blur(1.0), Slow((0.4, 2.0)))
    wait_for(lambda: training.model == Blur(0.4))
    assert training.winner is None
    going_on.set()
    wait_for(lambda: training.winner == Blur(2.0))


def test_a_changed_scene_takes_the_network_out_of_use_until_it_returns(begin):
    source = Source(4)
    source.show(scene())
    training = begin(source.buffer, Blur(0.5), Trainer((2.0,)))
    wait_for(lambda: training.model is not None)
    source.show(scene())
    wait_for(lambda: training.winner is not None)
    source.show(scene(5.0), 4)  # detail that a wide blur removes
    wait_for(lambda: training.winner is None)
    wait_for(lambda: training.message == "the scene has changed: Blur again; train again")
    source.show(scene(), 4)
    wait_for(lambda: training.winner is not None)


def test_a_cut_between_the_two_frames_decides_nothing(begin):
    source = Source(4)
    source.show(scene())
    training = begin(source.buffer, Blur(0.5), Trainer((2.0,)))
    wait_for(lambda: training.model is not None)
    source.show(scene())
    wait_for(lambda: training.winner is not None)
    compared = training._gains
    source.show(scene(), 1)
    source.show(200 - 3 * scene(11.0), 1)
    time.sleep(0.1)
    assert training.winner is not None
    source.show(scene(), 2)
    wait_for(lambda: training._gains is not compared)


def test_the_two_engines_do_not_change_places_because_of_noise(begin):
    source = Source(4)
    source.show(scene())
    training = begin(source.buffer, Blur(2.0), Trainer((2.02,)))
    wait_for(lambda: training.model is not None)
    states = set()
    for _ in range(30):
        source.show(scene())
        time.sleep(0.02)
        states.add(training.winner is None)
    assert states == {True}


def test_a_network_that_cannot_denoise_the_frames_is_not_used(begin):
    source = Source(4)
    source.show(scene())

    @dataclass(frozen=True)
    class OnlyFaint(Blur):
        def frame_steps(self, frame):
            if frame.mean() > 50:
                raise ValueError("the result of the network is not finite.")
            yield from super().frame_steps(frame)

    class OfFaint(Trainer):
        def training_steps(self, first, second):
            for step in super().training_steps(first, second):
                yield replace(step, model=step.model and OnlyFaint(2.0))

    training = begin(source.buffer, Blur(0.5), OfFaint())
    wait_for(lambda: training.model is not None)
    source.show(scene())
    wait_for(lambda: training.winner is not None)
    source.show(5 * scene(), 4)
    wait_for(lambda: training.winner is None)


def test_constant_and_repeated_frames_are_left_out(begin):
    source = Source()
    good = np.random.default_rng(0).poisson(scene(), (2, N, N)).astype(np.uint16)
    trainer = Trainer()
    training = begin(source.buffer, Blur(), trainer)
    for frame in (good[0], np.full((N, N), 7, np.uint16), good[0].copy()):
        source.put(frame)
    time.sleep(0.05)
    assert not trainer.given
    assert training.message == "training: waiting for frames"
    source.put(good[1])
    wait_for(lambda: trainer.given)
    first, second, use, shift = trainer.given[0]
    np.testing.assert_array_equal(first, good[:1])
    np.testing.assert_array_equal(second, good[1:])
    assert (use, shift) == ("first", (0.0, 0.0))


def test_several_pairs_are_of_different_frames(begin):
    source = Source()
    source.show(scene(), 7)
    trainer = Trainer()
    begin(source.buffer, Blur(), trainer, n_pairs=3)
    wait_for(lambda: trainer.given)
    frames = source.buffer.last()
    np.testing.assert_array_equal(trainer.given[0][0], frames[1::2])
    np.testing.assert_array_equal(trainer.given[0][1], frames[2::2])


def test_a_drifting_scene_is_registered():
    wide = scene(n=N + 8)
    rng = np.random.default_rng(0)
    frames = [
        LiveFrame(rng.poisson(wide[y : y + N, 2 * y : 2 * y + N] * 5), y, 0.0) for y in (0, 1)
    ]
    pairs = PairsOfFrames(Blur()).newest(frames, 1)
    assert pairs.first.shape == (1, N - 1, N - 2)
    np.testing.assert_allclose(pairs.shift, (0, 0), atol=0.1)
    assert pairs.drifts
    assert np.corrcoef(pairs.first.ravel(), pairs.second.ravel())[0, 1] > 0.9


def test_views_of_a_beamsplitter_are_pairs():
    movie, _ = samples.beamsplitter_movie(n_frames=2)
    layout = split_frame(movie)[2]
    views = SplitViews(Blur(), layout)
    pairs = PairsOfFrames(views)
    found = pairs.newest([LiveFrame(frame, k, 0.0) for k, frame in enumerate(movie)], 2)
    np.testing.assert_array_equal(found.first, layout.split(movie)[0])
    assert found.second.mean() == pytest.approx(found.first.mean(), rel=0.02)
    assert (found.shift, found.newest, pairs.use) == (layout.fraction, 1, "both")
    assert pairs.of_exposure == Blur()
    winner = pairs.of_frames(Blur(2.0))
    assert winner.layout is layout and winner.engine == Blur(2.0)


def test_a_network_trained_on_a_beamsplitter_denoises_both_views(begin):
    movie, _ = samples.beamsplitter_movie(n_frames=4)
    layout = split_frame(movie)[2]
    source, trainer = Source(), Trainer((1.0,))
    source.put(movie[0])
    training = begin(source.buffer, SplitViews(Blur(0.3), layout), trainer)
    wait_for(lambda: training.model is not None)
    source.put(movie[1])  # one frame is a pair
    wait_for(lambda: training.winner is not None)
    assert isinstance(training.winner, SplitViews) and training.winner.engine == Blur(1.0)
    assert trainer.given[0][2:] == ("both", layout.fraction)
    (step,) = LiveRun(movie[2:3], training.winner)
    assert step.image.shape == layout.split(movie[2])[0].shape


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the two exposures are useless: take others."),
        RuntimeError("boom"),
        MemoryError(),
    ],
)
def test_a_training_that_fails_ends_in_a_sentence(begin, error):
    source = Source()
    source.show(scene(), 4)
    training = begin(source.buffer, Blur(), Trainer(error=error))
    wait_for(lambda: training.message.startswith("no network: "))
    assert training.winner is None and training.ended
    assert len(training.message) > len("no network: ")


def test_stop_ends_the_training_but_not_the_comparisons(begin):
    source = Source(4)
    source.show(scene())

    class Endless(Trainer):
        def training_steps(self, first, second):
            while True:
                yield from super().training_steps(first, second)
                time.sleep(0.01)

    training = begin(source.buffer, Blur(0.5), Endless((2.0,)))
    wait_for(lambda: training.model is not None)
    assert not training.ended
    training.stop()
    wait_for(lambda: training.ended)
    source.show(scene())
    wait_for(lambda: training.winner is not None)
    source.show(scene(5.0), 4)
    wait_for(lambda: training.winner is None)
    begun = time.perf_counter()
    training.close()
    assert time.perf_counter() - begun < 1
    assert not training._thread.is_alive()


def test_more_pairs_than_the_buffer_holds_are_refused():
    with pytest.raises(ValueError, match="20 pairs need 40 frames, and the buffer keeps 32"):
        LiveTraining(RingBuffer(32), Blur(), n_pairs=20)


def test_a_running_mean_cannot_be_trained_against():
    with pytest.raises(ValueError, match="start with Reucid"):
        LiveRun([], RunningMean()).train()


def test_a_run_changes_from_reucid_to_its_network_and_goes_on():
    truth = scene(12.0)

    def camera():
        rng = np.random.default_rng(0)
        while True:
            time.sleep(0.02)
            yield rng.poisson(truth).astype(np.uint16)

    run = LiveRun(camera(), Reucid(patch_size=5, keep=1))  # little more than a mean
    run.train(Noise2Noise(epochs=40, width=8, batch_size=8))
    engines = []
    for step in run:
        if not engines or engines[-1] != step.engine:
            engines.append(step.engine)
        error, noise = (np.mean((i - truth) ** 2) for i in (step.image, step.frame.pixels))
        if step.engine == "Noise2Noise" and error < 0.3 * noise:
            run.stop()
        assert step.frame.number < 3000, step.message
    assert engines == ["REUCID", "Noise2Noise"]
    assert run.training.model.record["n_steps"] > 0
    run.training._thread.join(60)
    assert not run.training._thread.is_alive()
