"""A network for each channel of a stack of pairs."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.scenes import scattered
from napari_lowdose import Noise2Noise, Noise2NoiseModel, denoise
from napari_lowdose.noise2noise import training
from napari_lowdose.noise2noise.baseline import MEAN
from napari_lowdose.noise2noise.channels import channel_axis_of
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain
from napari_lowdose.run import Run
from tests.noise2noise.known_pair import known_pair

SIDE = 96
LATTICE = known_pair(SIDE).truth
SPOTS = 5 + 20 * scattered(2.5, (SIDE, SIDE))


def stack(*channels: NDArray, frames: int = 1, seed: int = 0) -> NDArray:
    """Two exposures of frames of channels, (2, T, C, Y, X)."""
    truth = np.broadcast_to(np.stack(channels), (2, frames, len(channels), SIDE, SIDE))
    return np.random.default_rng(seed).poisson(truth)


@pytest.fixture(scope="module")
def trained(quick: Noise2Noise) -> tuple[NDArray, Noise2NoiseModel]:
    """A pair of two channels of the same brightness, and their networks."""
    first, second = stack(LATTICE, SPOTS)[:, 0]
    model = replace(quick, channel_axis=0, epochs=35).train(first, second)
    return np.stack([first, second]), model


def test_channels_are_recognised_by_their_brightness() -> None:
    assert channel_axis_of(*stack(30 * LATTICE, SPOTS, frames=3)) == 1
    assert channel_axis_of(*stack(30 * LATTICE, SPOTS)[:, 0]) == 0
    assert channel_axis_of(*stack(LATTICE, SPOTS, frames=3)) is None
    assert channel_axis_of(*stack(LATTICE, SPOTS, frames=3), axis=1) == 1
    assert channel_axis_of(*stack(LATTICE)[:, 0, 0]) is None


def test_a_movie_is_no_channels() -> None:
    """Frames that bleach, a flash in one of many, and a shutter that was closed."""
    movie = stack(LATTICE, frames=6)[:, :, 0].astype(float)
    assert channel_axis_of(*(movie * np.geomspace(1, 0.1, 6)[:, None, None])) is None
    movie[:, 3] = 0
    assert channel_axis_of(*movie) is None


def test_axis_that_the_pair_does_not_have() -> None:
    first, second = stack(LATTICE, SPOTS)[:, 0]
    with pytest.raises(ValueError, match="channel_axis is 1, and the pair of shape"):
        channel_axis_of(first, second, axis=1)


def test_each_channel_has_its_network_and_its_gain(
    trained: tuple[NDArray, Noise2NoiseModel],
) -> None:
    pair, model = trained
    clean = denoise(tuple(pair), model)
    told = ToldGain.of_record(model.record)
    assert told is not None
    assert str(told).startswith("channel 1: ")
    assert len(told.channels) == len(model.channels) == 2
    for k, truth in enumerate((LATTICE, SPOTS)):
        before, after = (np.mean((image[k] - truth) ** 2) for image in (pair[0], clean))
        assert 10 * math.log10(before / after) > 8
        # By the place in the stack: brightness does not tell these channels
        alone = denoise((pair[0, k], pair[1, k]), replace(model.channels[k], orientations=1))
        np.testing.assert_array_equal(alone, clean[k])


def test_file_has_all_networks(trained: tuple[NDArray, Noise2NoiseModel], tmp_path: Path) -> None:
    pair, model = trained
    path = tmp_path / "channels.safetensors"
    model.save(path)
    loaded = Noise2NoiseModel.load(path)
    assert loaded.channel_axis == 0
    np.testing.assert_array_equal(denoise(tuple(pair), loaded), denoise(tuple(pair), model))
    content = path.read_bytes().replace(b"channels.1.first", b"channels.7.first")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="weights do not match"):
        Noise2NoiseModel.load(path)


def test_settings_of_the_model_are_those_of_its_channels(
    trained: tuple[NDArray, Noise2NoiseModel],
) -> None:
    pair, model = trained
    first = denoise(tuple(pair), replace(model, use="first"))
    np.testing.assert_array_equal(first, denoise(pair[0], model))


def test_training_continues_on_the_same_channels(
    quick: Noise2Noise, trained: tuple[NDArray, Noise2NoiseModel]
) -> None:
    pair, model = trained
    engine = replace(quick, channel_axis=0, epochs=1, start=model)
    more = engine.train(*pair)
    assert more.record["n_steps"] > model.record["n_steps"]
    with pytest.raises(ValueError, match="has no channels"):
        replace(engine, channel_axis=None).train(pair[0, 0], pair[1, 0])


def test_training_can_be_stopped_with_all_networks(quick: Noise2Noise) -> None:
    first, second = stack(30 * LATTICE, SPOTS)[:, 0]
    for step in replace(quick, fallback=False, epochs=1000).training_steps(first, second):
        if step.model is not None:
            break
    assert len(step.model.channels) == 2
    assert not step.last


def test_other_method_only_for_the_channel_where_it_is_better(
    quick: Noise2Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So short a training cannot improve a channel with 2500 photons."""
    monkeypatch.setattr(training, "baselines", lambda shape: ([MEAN], []))
    truth = np.stack([100 * LATTICE, SPOTS])
    first, second = stack(*truth)[:, 0]
    run = Run((first, second), replace(quick, fallback=True, epochs=25))
    with pytest.warns(UserWarning, match="In channel 1, the result is by") as told:
        list(run)
    assert len(told) == 1
    clean = run.image
    np.testing.assert_array_equal(clean[1], denoise((first, second), run.model)[1])
    assert not np.array_equal(clean[0], denoise((first, second), run.model)[0])
    for k in (0, 1):
        before, after = (np.mean((image[k] - truth[k]) ** 2) for image in (first, clean))
        assert 10 * math.log10(before / after) > 2.5
