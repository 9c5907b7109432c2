"""A result is never worse than what a method without training gives."""

import time
from dataclasses import replace

import numpy as np
import pytest

from napari_lowdose import Noise2Noise, Reucid, Thinned, denoise, denoise_steps, denoise_to_zarr
from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.noise2noise.baseline import (
    ALIKE,
    MEAN,
    REUCID,
    Baseline,
    BaselineApplication,
    baselines,
)
from napari_lowdose.run import Run
from napari_lowdose.samples import stem_pair
from napari_lowdose.streaming import Stream

pytest.importorskip("torch")
SHORT = Noise2Noise(preset="fast", width=4, epochs=0.5, device="cpu")
BY_REUCID = "ignore:the result is by REUCID"


@pytest.fixture(scope="module")
def pair():
    return tuple(image[:128, :128] for image in stem_pair())


def gain(pair, image):
    first, _, truth = pair
    return 10 * np.log10(np.mean((first - truth) ** 2) / np.mean((image - truth) ** 2))


def interrupt(stream):
    """Stop after the first frame."""
    for step in stream:
        if stream.prepared is not None and step.image is not None:
            return


@pytest.mark.filterwarnings(BY_REUCID)
def test_the_first_picture_comes_before_any_training(pair):
    for step in denoise_steps(pair[:2], SHORT):
        if step.image is not None:
            break
    assert step.n_steps == 0 and "REUCID" in step.message
    assert gain(pair, step.image) > 10
    assert step.image.shape == pair[0].shape


def test_a_training_that_is_too_short_gives_no_worse_result(pair):
    run = Run(pair[:2], SHORT)
    with pytest.warns(UserWarning, match=r"the result is by REUCID.*Train longer"):
        steps = list(run)
    assert gain(pair, run.image) > 14
    assert gain(pair, run.image) > gain(pair, denoise(pair[:2], replace(SHORT, fallback=False))) + 3
    training = [step for step in steps if isinstance(step, TrainingStep)]
    low, high = training[-1].instead_gain
    assert low - 0.5 < gain(pair, run.image) < high + 0.5
    assert run.record()["training"]["result_by"].startswith("REUCID")
    # The network is kept, and still is one
    assert gain(pair, denoise(pair[:2], run.model)) < gain(pair, run.image)


@pytest.mark.filterwarnings(BY_REUCID)
def test_a_method_is_applied_once_to_each_exposure(pair, monkeypatch):
    n, steps = [], Reucid.frame_steps
    monkeypatch.setattr(Reucid, "frame_steps", lambda *given: n.append(1) or steps(*given))
    run = Run(pair[:2], SHORT)
    list(run)
    assert len(n) == 6  # the first picture, REUCID, and alike stacks
    computed = BaselineApplication(run.model, baseline=ALIKE)
    assert run.record()["training"]["result_by"] == ALIKE.name
    np.testing.assert_array_equal(run.image, denoise(pair[:2], computed))


@pytest.mark.filterwarnings(BY_REUCID)
def test_a_slow_method_is_given_up_in_a_short_time_budget(pair, monkeypatch):
    from napari_lowdose.noise2noise import training

    done = []

    class Slow(Baseline):
        def steps(self, frame, orientations=1):
            for percent in range(100):
                time.sleep(0.1)
                done.append(percent)
                yield percent / 100
            return frame

    methods = [REUCID], [Slow("slow", None)]
    monkeypatch.setattr(training, "baselines", lambda shape: methods)
    denoise(pair[:2], replace(SHORT, epochs=None, time_budget=4))
    assert 0 < len(done) < 25  # of 200


def test_a_network_that_is_better_is_the_result(pair, monkeypatch):
    from napari_lowdose.noise2noise import training

    monkeypatch.setattr(training, "baselines", lambda shape: ([MEAN], []))  # easy to beat
    run = Run(pair[:2], replace(SHORT, width=8, epochs=20))
    last = [step for step in run if isinstance(step, TrainingStep)][-1]
    assert last.instead is None and last.instead_gain is None
    assert "result_by" not in run.record()["training"]
    np.testing.assert_array_equal(run.image, denoise(pair[:2], run.model))


@pytest.mark.filterwarnings(BY_REUCID)
@pytest.mark.parametrize("use", ["both", "first"])
def test_units_are_those_of_the_first_exposure(pair, use):
    first, second, truth = pair
    clean = denoise((200 * first + 90, 0.4 * second - 7), replace(SHORT, use=use))
    assert clean.mean() == pytest.approx(200 * first.mean() + 90, rel=0.01)
    assert np.corrcoef(clean.ravel(), truth.ravel())[0, 1] > 0.95


@pytest.mark.filterwarnings(BY_REUCID)
def test_a_subpixel_shift_is_taken_out(pair):
    from scipy.ndimage import shift

    _, _, truth = pair
    rng = np.random.default_rng(0)
    moved = shift(truth, (0.4, 0.0), mode="nearest")
    first, second = (each + 0.15 * rng.standard_normal(truth.shape) for each in (truth, moved))
    clean = denoise((first, second), replace(SHORT, shift=(0.4, 0.0)))
    registered = denoise((first, truth + 0.15 * rng.standard_normal(truth.shape)), SHORT)
    assert gain((first, None, truth), clean) > gain((first, None, truth), registered) - 1


@pytest.mark.filterwarnings(BY_REUCID)
def test_an_interrupted_movie_goes_on_with_the_same_method(pair, tmp_path):
    first, second = (np.stack([image, image[::-1], image.T]) for image in pair[:2])
    interrupt(Stream((first, second), SHORT, tmp_path / "movie.zarr"))
    whole = denoise_to_zarr((first, second), SHORT, tmp_path / "movie.zarr")
    np.testing.assert_array_equal(whole[:], denoise((first, second), SHORT))


@pytest.mark.filterwarnings("ignore:In channel")
def test_an_interrupted_movie_goes_on_with_the_method_of_each_channel(pair, tmp_path):
    movie = [np.stack([image, image[::-1], image.T]) for image in pair[:2]]
    pair = tuple(np.stack([each, 20 * each[:, :, ::-1]], axis=1) for each in movie)
    engine = replace(SHORT, channel_axis=1)
    interrupt(Stream(pair, engine, tmp_path / "movie.zarr"))
    whole = denoise_to_zarr(pair, engine, tmp_path / "movie.zarr")
    np.testing.assert_array_equal(whole[:], denoise(pair, engine))


@pytest.mark.filterwarnings(BY_REUCID)
def test_an_interrupted_counted_movie_goes_on_with_the_same_method(pair, tmp_path):
    counts = np.random.default_rng(0).poisson(30 * np.maximum([pair[2]] * 3, 0))
    stream = Stream(counts, Thinned(SHORT), tmp_path / "movie.zarr")
    interrupt(stream)
    assert stream.model.record["result_by"].startswith("REUCID")
    whole = denoise_to_zarr(counts, Thinned(SHORT), tmp_path / "movie.zarr")
    np.testing.assert_array_equal(whole[:], denoise(counts, Thinned(SHORT)))


def test_a_resumed_movie_is_denoised_on_the_same_device(pair):
    model = replace(SHORT, epochs=0.1).train(*pair[:2])
    assert SHORT.with_model(replace(model, device="auto")).model.device == "cpu"


def test_alike_stacks_are_for_single_frames_of_moderate_size():
    assert baselines((512, 512)) == ([MEAN, REUCID], [ALIKE])
    assert baselines((9, 512, 512)) == ([MEAN, REUCID], [])
    assert baselines((4096, 4096)) == ([MEAN, REUCID], [])
