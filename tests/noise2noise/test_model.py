"""Apply a trained network to images and pairs."""

import copy
import dataclasses
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_lowdose import Noise2NoiseModel, denoise, denoise_steps
from napari_lowdose.engine import Step
from napari_lowdose.noise2noise import PairStep, prediction
from napari_lowdose.noise2noise.exposure_statistics import about_exposures, unlike
from napari_lowdose.noise2noise.model import n_orientations
from tests.noise2noise.known_pair import KnownPair, known_pair


def results(model: Noise2NoiseModel, given: object) -> list[Step]:
    return [step for step in denoise_steps(given, model) if step.image is not None]


def test_a_movie_frame_by_frame(model: Noise2NoiseModel) -> None:
    """The normalisation of a frame does not depend on the other frames."""
    pairs = [known_pair(seed=seed) for seed in (5, 6, 7)]
    movie = np.stack([pair.first for pair in pairs])
    clean = denoise(movie, model)
    assert clean.shape == movie.shape
    assert clean.dtype == np.float32
    one = replace(model, orientations=1)
    for pair, frame in zip(pairs, clean, strict=True):
        assert pair.gain(frame) > 8
        assert np.array_equal(frame, denoise(pair.first, one))


def test_leading_axes(model: Noise2NoiseModel, pair: KnownPair) -> None:
    movie = np.broadcast_to(pair.first, (2, 1, 2, *pair.first.shape))
    assert [step.index for step in results(model, movie)] == [
        (0, 0, 0),
        (0, 0, 1),
        (1, 0, 0),
        (1, 0, 1),
    ]


def test_no_flicker_and_no_tile_borders(model: Noise2NoiseModel, pair: KnownPair) -> None:
    """A bright spot changes nothing outside the receptive field."""
    spot = pair.first.copy()
    spot[:8, :8] += 50
    one = replace(model, orientations=1)
    difference = np.abs(denoise(spot, one) - denoise(pair.first, one))
    assert difference[:8, :8].max() > 5
    assert difference[72:, 72:].max() < 1e-3


@pytest.mark.parametrize("shape", [(33, 47), (32, 96), (95, 41)])
def test_odd_sizes(model: Noise2NoiseModel, shape: tuple[int, int]) -> None:
    pair = known_pair()
    part = pair.first[: shape[0], : shape[1]]
    clean = denoise(part, model)
    assert clean.shape == shape
    truth = pair.truth[: shape[0], : shape[1]]
    assert np.mean((clean - truth) ** 2) < np.mean((part - truth) ** 2) / 4


def test_tiled_and_whole_agree(
    model: Noise2NoiseModel, pair: KnownPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = np.tile(pair.first, (1, 4))
    whole = denoise(wide, model)
    monkeypatch.setattr(prediction, "_SIDE", 64)
    tiled = denoise(wide, model)
    assert np.abs(tiled - whole).max() < 1e-4 * np.ptp(whole)


def test_eight_orientations_increase_the_gain(model: Noise2NoiseModel, pair: KnownPair) -> None:
    gains = [pair.gain(denoise(pair.first, replace(model, orientations=n))) for n in (1, 8)]
    assert gains[1] > gains[0] + 0.1
    automatic = denoise(pair.first, model)
    assert np.array_equal(automatic, denoise(pair.first, replace(model, orientations=8)))


def test_automatic_number_of_orientations() -> None:
    assert n_orientations((512, 512)) == 8
    assert n_orientations((2048, 2048)) == 1
    assert n_orientations((100, 64, 64)) == 1


# A pair


def test_disagreement_of_a_pair(model: Noise2NoiseModel, pair: KnownPair) -> None:
    first, second = pair.first, pair.second.copy()
    second[40:56, 40:56] = 5  # a specimen that lost a piece between the exposures
    (step,) = results(model, (first, second))
    assert isinstance(step, PairStep)
    assert step.disagreement is not None
    assert step.disagreement.dtype == np.float32
    assert step.disagreement.shape == first.shape
    assert (step.disagreement >= 0).all()
    inside, outside = step.disagreement[42:54, 42:54], step.disagreement[:32, :32]
    assert inside.max() > 5
    assert inside.mean() > 3 * outside.mean()
    # Half the difference of both results, in the input's units
    alone = replace(model, single_calibration=model.pair_calibration)
    r1, r2 = (denoise(image, alone) for image in (first, model.match.to_first(second)))
    np.testing.assert_allclose(step.disagreement, np.abs(r1 - r2) / 2, atol=1e-3)
    np.testing.assert_allclose(step.image, (r1 + r2) / 2, atol=1e-3)


def test_use_first_ignores_the_second_exposure(model: Noise2NoiseModel, pair: KnownPair) -> None:
    first = replace(model, use="first")
    one = denoise((pair.first, pair.second), first)
    assert np.array_equal(one, denoise((pair.first, pair.second[::-1]), first))
    assert np.array_equal(one, denoise(pair.first, model))
    (step,) = results(first, (pair.first, pair.second))
    assert isinstance(step, PairStep)
    assert step.disagreement is not None


def test_pairs_of_pairs(model: Noise2NoiseModel, pair: KnownPair) -> None:
    stacks = np.stack([pair.first] * 2), np.stack([pair.second] * 2)
    steps = results(model, stacks)
    assert [step.index for step in steps] == [(0,), (1,)]
    assert all(isinstance(step, PairStep) for step in steps)


def test_pair_has_two_exposures(model: Noise2NoiseModel, pair: KnownPair) -> None:
    with pytest.raises(ValueError, match="A pair is a tuple of two arrays"):
        list(denoise_steps((pair.first,) * 3, model))


def test_pair_has_one_shape(model: Noise2NoiseModel, pair: KnownPair) -> None:
    with pytest.raises(ValueError, match=r"\(96, 96\) and \(90, 96\)"):
        list(denoise_steps((pair.first, pair.second[:90]), model))


# What it says


def test_progress(model: Noise2NoiseModel, pair: KnownPair) -> None:
    steps = list(denoise_steps((pair.first, pair.second), model))
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(fractions) > 10


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda image: image + 1000, "offset or brightness differ"),
        (lambda image: 5 * (image - image.mean()) + image.mean(), "times the noise"),
    ],
)
def test_images_unlike_the_training_images_give_a_warning(
    model: Noise2NoiseModel, pair: KnownPair, change: object, sentence: str
) -> None:
    """The warning is given once, not for each frame of a movie."""
    movie = np.stack([change(pair.first)] * 3)  # type: ignore[operator]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoise(movie, model)
    told = [str(warning.message) for warning in caught]
    assert len(told) == 1
    assert sentence in told[0]


def test_images_like_the_training_images_give_no_warning(model: Noise2NoiseModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoise(known_pair(seed=9).first, model)


def test_unlike_without_statistics() -> None:
    frame = known_pair().first
    assert list(unlike({}, frame)) == []
    assert list(unlike(about_exposures(frame), frame)) == []


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (np.full((64, 64), np.nan), "NaN"),
        (np.zeros((64, 64)), "constant"),
        (np.zeros((64, 64, 3)), "RGB"),
        (np.random.default_rng(0).normal(size=(20, 64)), "too small: at least 32 x 32"),
        (np.zeros(64), "at least two axes"),
    ],
)
def test_unusable_images_are_refused(
    model: Noise2NoiseModel, bad: np.ndarray, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        denoise(bad, model)


def test_constant_frame_of_a_movie_gives_a_warning(
    model: Noise2NoiseModel, pair: KnownPair
) -> None:
    movie = np.stack([pair.first, np.full_like(pair.first, 3), pair.first])
    with pytest.warns(UserWarning, match="frame 2 of 3 is constant"):
        clean = denoise(movie, model)
    assert (clean[1] == 3).all()


# What it is


def test_non_finite_result_is_refused(model: Noise2NoiseModel, pair: KnownPair) -> None:
    """Finite weights may be too large for any image; the error names the frame."""
    weights = {name: np.full(w.shape, 1e30).astype(w.dtype) for name, w in model.weights.items()
               if w.dtype == np.float32}  # fmt: skip
    damaged = replace(model, weights={**model.weights, **weights})
    for given in (pair.first, (pair.first, pair.second)):
        with pytest.raises(ValueError, match=r"^the result of the network is not finite"):
            denoise(given, damaged)
    movie = np.stack([np.full_like(pair.first, 3), pair.first])
    with (
        pytest.warns(UserWarning, match="constant"),
        pytest.raises(ValueError, match="frame 2 of 2: the result of the network is not finite"),
    ):
        denoise(movie, damaged)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("orientations", 8.0, 8),
        ("orientations", np.int64(1), 1),
        ("device", None, "auto"),
        ("device", torch.device("cpu"), "cpu"),
        ("use", np.str_("first"), "first"),
        ("normalise", np.True_, True),
    ],
)
def test_equivalent_field_values(
    model: Noise2NoiseModel, field: str, value: object, kept: object
) -> None:
    found = getattr(replace(model, **{field: value}), field)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use", "second"),
        ("use", None),
        ("orientations", 4),
        ("orientations", True),
        ("orientations", "8"),
        ("normalise", "yes"),
        ("device", 3),
    ],
)
def test_fields_out_of_range(model: Noise2NoiseModel, field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        replace(model, **{field: value})


def test_model_is_immutable(model: Noise2NoiseModel, pair: KnownPair) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.use = "first"  # type: ignore[misc]
    before = copy.deepcopy(dict(model.weights))
    denoise(pair.first, model)
    assert all(np.array_equal(before[name], model.weights[name]) for name in before)


def test_the_record_is_json(model: Noise2NoiseModel) -> None:
    record = json.loads(json.dumps(dict(model.record), allow_nan=False))
    assert record["n_steps"] == 40
    assert record["gain_of_second"] == pytest.approx(1, abs=0.1)


def test_out_of_memory_is_an_error(
    model: Noise2NoiseModel, pair: KnownPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: prediction.Predictor, x: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(prediction.Predictor, "forward", forward)
    with pytest.raises(MemoryError, match="close other programs"):
        denoise(pair.first, model)
