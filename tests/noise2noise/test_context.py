"""Neighbouring frames as context: what they gain, and where they must not be used."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import pytest
import torch
from scipy.ndimage import shift

from benchmarks.scenes import lattice
from napari_lowdose import (
    LiveRun,
    Noise2Noise,
    Noise2NoiseModel,
    Thinned,
    denoise,
    denoise_to_zarr,
)
from napari_lowdose.engine import run_to_end
from napari_lowdose.noise2noise.context import is_of_use, variants
from napari_lowdose.noise2noise.context_checks import refuse_context
from napari_lowdose.noise2noise.crops import draw_crops
from napari_lowdose.noise2noise.prediction import Predictor
from napari_lowdose.noise2noise.training_data import training_pairs
from napari_lowdose.thinning import without_repeats

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Movie = NDArray[np.float32]

FRAMES, SIDE, PEAK = 6, 64, 6.0


def counts(truth: NDArray[np.float64], seed: int = 0) -> tuple[Movie, Movie]:
    rng = np.random.default_rng(seed)
    return rng.poisson(truth).astype(np.float32), rng.poisson(truth).astype(np.float32)


@pytest.fixture(scope="module")
def truth() -> NDArray[np.float64]:
    """A lattice that drifts by less than a pixel per frame."""
    scene = lattice(2.0, 12.0, (SIDE + 32, SIDE + 32))
    drifted = [shift(scene, (0.6 * t, 0.4 * t))[16:-16, 16:-16] for t in range(FRAMES)]
    return 1 + PEAK * np.stack(drifted)


@pytest.fixture(scope="module")
def pair(truth: NDArray[np.float64]) -> tuple[Movie, Movie]:
    return counts(truth)


def engine(context: int, epochs: float = 12) -> Noise2Noise:
    return Noise2Noise(
        preset="fast",
        device="cpu",
        crop_size=32,
        batch_size=4,
        width=8,
        epochs=epochs,
        context=context,
        fallback=False,
    )


@pytest.fixture(scope="module")
def model(pair: tuple[Movie, Movie]) -> Noise2NoiseModel:
    return engine(1).train(*pair)


def decibels(image: Movie, truth: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean((image - truth) ** 2)))


def test_neighbours_gain(truth, pair, model) -> None:
    alone = denoise(pair, engine(0).train(*pair))
    together = denoise(pair, model)
    inner = slice(1, -1)
    assert decibels(alone[inner], truth[inner]) - decibels(together[inner], truth[inner]) > 0.5


@pytest.mark.parametrize("exposures", [1, 2])
def test_a_cut_does_not_bleed(pair, model, exposures) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    rings = counts(np.stack([4 + 3 * np.cos(np.hypot(y - 20, x - 30) / 2)] * 3), seed=1)
    before = tuple(exposure[:3] for exposure in pair)
    cut = tuple(map(np.concatenate, zip(before, rings, strict=True)))
    parts = [each if exposures == 2 else each[0] for each in (cut, before, rings)]
    whole, *apart = (denoise(part, model) for part in parts)
    np.testing.assert_array_equal(whole, np.concatenate(apart))


@pytest.mark.parametrize("kind", ["black", "dark", "repeated", "nan"])
def test_unusable_neighbours_are_left_out(pair, model, kind) -> None:
    middle = {
        "black": np.zeros((SIDE, SIDE)),
        "dark": np.random.default_rng(2).normal(0, 1.5, (SIDE, SIDE)),
        "repeated": pair[0][0],
        "nan": np.full((SIDE, SIDE), np.nan),
    }[kind].astype(np.float32)
    movie = da.from_array(np.stack([pair[0][0], middle]), chunks=(1, -1, -1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = denoise(movie, model)[0].compute(scheduler="sync")
        np.testing.assert_array_equal(found, denoise(pair[0][:1], model)[0])


def test_a_useful_neighbour_is_used(pair, model) -> None:
    one_sided, both = (denoise(pair[0][:n], model)[1] for n in (2, 3))
    assert not np.array_equal(one_sided, both)


@pytest.mark.parametrize("fading", [1.0, 0.7])
@pytest.mark.parametrize("photons", [0.5, 2.0, 50.0])
def test_a_neighbour_is_of_use_at_any_dose_and_while_bleaching(truth, photons, fading) -> None:
    now, then = (counts(photons * scene / 3) for scene in (truth[0], fading * truth[1]))
    assert is_of_use(now, then)


@pytest.mark.parametrize("photons", [2.0, 50.0])
def test_another_scene_is_of_no_use(truth, photons) -> None:
    moved = np.roll(truth[0], (6, 6), (0, 1))  # by half a unit cell: the reverse contrast
    now = counts(photons * truth[0] / 3)
    for other in (moved, np.full_like(moved, moved.mean()), truth[0, ::3, ::3].repeat(3, 0)):
        other = np.resize(other, moved.shape)
        assert not is_of_use(now, counts(photons * other / 3))


def test_all_ways_give_the_same(pair, model, tmp_path) -> None:
    wanted = denoise(pair, model)
    lazy = tuple(da.from_array(each, chunks=(1, -1, -1)) for each in pair)
    np.testing.assert_array_equal(denoise(lazy, model).compute(scheduler="sync"), wanted)
    np.testing.assert_array_equal(denoise_to_zarr(pair, model, tmp_path / "a.zarr"), wanted)
    assert engine(1).neighbours(0, 3) == model.neighbours(0, 3) == [1]


def test_a_single_frame_is_denoised_with_a_warning(pair, model) -> None:
    with pytest.warns(UserWarning, match="this is a single frame"):
        clean = denoise(pair[0][2], model)
    assert clean.shape == (SIDE, SIDE)


def test_file_round_trip(pair, model, tmp_path: Path) -> None:
    model.save(tmp_path / "network.safetensors")
    again = Noise2NoiseModel.load(tmp_path / "network.safetensors")
    assert again.architecture == model.architecture and again.context == 1
    np.testing.assert_array_equal(denoise(pair, again), denoise(pair, model))


def test_format_is_new_only_with_context(model, pair, tmp_path: Path) -> None:
    versions = {}
    for each in (model, engine(0, epochs=1).train(*pair)):
        each.save(tmp_path / "network.safetensors")
        content = (tmp_path / "network.safetensors").read_bytes()
        length = int.from_bytes(content[:8], "little")
        about = json.loads(content[8 : 8 + length])["__metadata__"]
        known = json.loads(about["model"])["architecture"]
        versions[each.context] = about["version"], known.get("context")
    assert versions == {0: ("1", None), 1: ("2", 1)}


def test_continued_with_its_own_context(pair, model) -> None:
    again = Noise2Noise(start=model, epochs=1)
    assert again.context == 1
    assert again.train(*pair).context == 1
    with pytest.raises(ValueError, match="sees 1 frames before and after each frame"):
        Noise2Noise(start=model, context=2)


@pytest.mark.parametrize("moved", [0, 3])
def test_neighbouring_frames_of_one_movie_are_refused(truth, moved) -> None:
    movie, _ = counts(truth)
    first, second = movie[:-1, :, moved:], movie[1:, :, : SIDE - moved]
    for each in ((first, second), (second, first), (5 * first + 100, second)):
        with pytest.raises(ValueError, match=r"pair even with odd frames, \(movie\[::2\]"):
            list(engine(1).training_steps(*each, checked=True))
    refuse_context(movie[::2], movie[1::2], 1)


@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_other_movies_are_not_refused(truth, gain) -> None:
    refuse_context(*counts(gain * truth), 2)


def test_a_repeated_partner_is_no_context(truth) -> None:
    first, second = counts(truth)
    first[3] = second[2]  # a camera that was late
    pairs = training_pairs(first, second, 1, 0, None, context=1)
    assert pairs.around.tolist()[1:5] == [[0, 1, 2], [1, 2, 2], [3, 3, 4], [3, 4, 5]]


def test_context_of_frames_that_are_not_trained_on(truth, pair) -> None:
    first, second = (np.insert(each, 2, 0, axis=0) for each in pair)  # the shutter was closed
    with pytest.warns(UserWarning, match="frame 3 of 7"):
        pairs = training_pairs(first, second, 3, 0, None, context=1)
    # To train on 0, 3 and 6; the others are 1, 4 and 5
    assert len(pairs) == 3 and len(pairs.exposures) == 6
    assert pairs.around.tolist() == [[0, 0, 3], [1, 1, 4], [5, 2, 2]]
    assert {at for at, _, _ in pairs.tiles} <= {0, 1, 2}
    expected = (first[4] - pairs.offset) / pairs.scale
    np.testing.assert_allclose(pairs.exposures[4, 0], expected, atol=1e-4)
    model = replace(engine(1, epochs=4), every=3).train(*pair)  # with its gain
    assert model.record["pairs"]["n"] == 2


def test_time_is_the_first_axis(pair) -> None:
    first, second = (np.stack([each, each[::-1]], axis=1) for each in pair)  # (T, 2, Y, X)
    pairs = training_pairs(first[:3], second[:3], 1, 0, None, context=1)
    assert pairs.around.tolist() == [
        [0, 0, 2],
        [1, 1, 3],
        [0, 2, 4],
        [1, 3, 5],
        [2, 4, 4],
        [3, 5, 5],
    ]


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (1, SIDE, SIDE)])
def test_a_single_pair_is_refused(pair, shape) -> None:
    single = tuple(each[:1].reshape(shape) for each in pair)
    with pytest.raises(ValueError, match="needs movies of several frames"):
        engine(1).train(*single)
    with pytest.raises(ValueError, match="needs movies of several frames"):
        denoise(single[0], Thinned(engine(1)))


def test_channels_have_context_of_their_own(pair) -> None:
    first, second = (np.stack([each, 40 * each[:, ::-1, ::-1]], axis=1) for each in pair)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of channels that gain nothing in so few steps
        model = replace(engine(1, epochs=1), channel_axis=1).train(first, second)
    one_sided, both = (denoise(first[:n], model)[1] for n in (2, 3))
    assert both.shape == (2, SIDE, SIDE)
    assert all(not np.array_equal(*each) for each in zip(one_sided, both, strict=True))
    with pytest.raises(ValueError, match="move the channels behind it"):
        replace(engine(1), channel_axis=0).train(first.swapaxes(0, 1), second.swapaxes(0, 1))


def test_counted_movies(truth) -> None:
    movie = np.random.default_rng(5).poisson(2 * truth)
    clean = denoise(movie, Thinned(engine(1)))
    assert decibels(clean, 2 * truth) < decibels(movie, 2 * truth) - 10
    repeated = np.repeat(movie, 2, axis=0)
    np.testing.assert_array_equal(without_repeats(repeated), movie)


def test_a_running_source_is_refused(model) -> None:
    with pytest.raises(ValueError, match="trained with context=0"):
        LiveRun([], model)
    with pytest.raises(ValueError, match="context=0"):
        LiveRun([]).train(engine(1))


def test_variants_keep_the_frame_itself_in_the_middle() -> None:
    rows = variants(np.array([[0, 1, 2], [1, 2, 3]]))
    assert (rows[:, 1] == np.tile([1, 2], 16)).all()
    expected = {(0, 1, 2), (1, 1, 2), (0, 1, 1), (1, 1, 1), (2, 1, 0), (2, 1, 1), (1, 1, 0)}
    assert {tuple(row) for row in rows[::2]} == expected
    alone = np.array([[1], [2]])
    np.testing.assert_array_equal(variants(alone), alone)


def test_crops_of_all_frames_are_at_the_same_place() -> None:
    number = np.arange(5 * 40 * 48, dtype=np.float32).reshape(5, 1, 40, 48)
    exposures = np.concatenate([number, -number], axis=1)
    seen = torch.ones((5, 40, 48), dtype=torch.bool)
    around = np.array([[0, 1, 2], [2, 3, 4]])
    rng = np.random.default_rng(0)
    crops = draw_crops(torch.from_numpy(exposures), seen, (0.0, 0.0), 64, 32, rng, around)
    before, frame, after = crops.inputs.unbind(1)
    np.testing.assert_array_equal(crops.partners[:, 0], -frame)
    step = torch.sign(frame[:, :1, :1] + frame[:, -1:, -1:]) * 40 * 48
    np.testing.assert_array_equal(before, frame - step)
    np.testing.assert_array_equal(after, frame + step)


def test_eight_orientations_turn_all_frames_alike(model) -> None:
    frames = np.random.default_rng(0).normal(size=(3, 56, 40)).astype(np.float32)
    predictor = Predictor(model.network, torch.device("cpu"))
    outputs = []
    for turns in range(4):
        for flip in (False, True):
            turned = np.rot90(frames[..., ::-1] if flip else frames, turns, (1, 2))
            output = np.rot90(run_to_end(predictor.steps(np.ascontiguousarray(turned))), -turns)
            outputs.append(output[:, ::-1] if flip else output)
    found = run_to_end(predictor.steps(frames, 8))
    np.testing.assert_allclose(found, np.mean(outputs, axis=0), atol=1e-5)


def test_tiles_give_the_same_as_the_whole_frame(model) -> None:
    frames = np.random.default_rng(0).normal(size=(3, 200, 264)).astype(np.float32)
    predictor = Predictor(model.network, torch.device("cpu"))
    whole = run_to_end(predictor.steps(frames))
    predictor.side = 64
    np.testing.assert_allclose(run_to_end(predictor.steps(frames)), whole, atol=1e-5)
