"""Outliers, info bars and blank frames affect neither training nor the estimated gain."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_lowdose import Noise2Noise, Noise2NoiseModel, denoise
from napari_lowdose.noise2noise.evaluation.gain_interval import gain_interval
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain
from napari_lowdose.warned import warnings_to
from tests.noise2noise.known_pair import KnownPair, known_pair

SPIKE = 65535


def with_spikes(pair: KnownPair) -> tuple[NDArray, NDArray, NDArray]:
    """Return a pair with cosmic rays and common hot pixels, and their mask."""
    first, second = pair.first.copy(), pair.second.copy()
    in_first, in_second, hot = [(20, 30), (70, 71)], [(50, 60)], [(10, 80), (85, 12)]
    for y, x in in_first + hot:
        first[y, x] = SPIKE
    for y, x in in_second + hot:
        second[y, x] = SPIKE
    spikes = np.zeros(first.shape, bool)
    spikes[tuple(np.transpose(in_first + in_second + hot))] = True
    return first, second, spikes


def gain(result: NDArray, pair: KnownPair, where: NDArray) -> float:
    before, after = (np.mean((image - pair.truth)[where] ** 2) for image in (pair.first, result))
    return float(10 * np.log10(before / after))


def test_a_receiver_is_told_of_outliers_and_of_the_pair(
    pair: KnownPair, quick: Noise2Noise
) -> None:
    told: list[str] = []
    first, second, _ = with_spikes(pair)
    shifted = np.roll(second, 3, axis=0)
    with warnings_to(told.append):
        replace(quick, epochs=0.1).train(first, shifted)
    assert [sentence for sentence in told if "excluded from training" in sentence]
    assert [sentence for sentence in told if "is shifted against the first" in sentence]


@pytest.mark.filterwarnings("ignore:.*outlier pixel")
def test_outliers_change_neither_result_nor_gain(
    pair: KnownPair, model: Noise2NoiseModel, quick: Noise2Noise
) -> None:
    first, second, spikes = with_spikes(pair)
    trained = quick.train(first, second)
    result = denoise((first, second), trained)
    reached = gain(result, pair, ~spikes)
    assert reached > pair.gain(denoise((pair.first, pair.second), model)) - 0.7
    low, high = trained.record["gain_db"]
    assert low - 1 < reached < high + 1  # eight orientations gain a little more
    assert trained.record["outliers"] == 7
    # Filled from the result
    assert np.abs(result - pair.truth)[spikes].max() < 10
    kept = denoise((first, second), replace(trained, outliers="keep"))
    np.testing.assert_allclose(kept[spikes], SPIKE, rtol=0.1)  # the second by its gain
    np.testing.assert_array_equal(kept[~spikes], result[~spikes])


def test_warning_counts_outliers(pair: KnownPair, model: Noise2NoiseModel) -> None:
    first, _, _ = with_spikes(pair)
    movie = np.stack([first] * 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clean = denoise(movie, model)
    (warning,) = caught
    assert str(warning.message).startswith("4 outlier pixels in the first frame that has any")
    assert "outliers='keep'" in str(warning.message)
    assert clean.max() < 100


def test_outliers_option_is_saved(model: Noise2NoiseModel, tmp_path: object) -> None:
    path = f"{tmp_path}/network.safetensors"
    replace(model, outliers="keep").save(path)
    assert Noise2NoiseModel.load(path).outliers == "keep"
    model.save(path)
    assert Noise2NoiseModel.load(path).outliers == "remove"


@pytest.mark.parametrize("make", [lambda **k: Noise2Noise(**k), replace])
def test_outliers_option_is_validated(make: object, model: Noise2NoiseModel) -> None:
    given = (model,) if make is replace else ()
    with pytest.raises(ValueError, match=r"outliers must be .*'keep'"):
        make(*given, outliers="fill")  # type: ignore[operator]


def test_info_bar_and_dead_border_are_unchanged(pair: KnownPair, model: Noise2NoiseModel) -> None:
    first, second = (np.pad(each, ((0, 24), (6, 0))) for each in (pair.first, pair.second))
    for image in (first, second):
        image[104:112, 10:80:3] = 255
    expected = denoise((pair.first, pair.second), model)
    result = denoise((first, second), model)
    np.testing.assert_array_equal(result[:96, 6:], expected)
    np.testing.assert_array_equal(result[96:], first[96:])
    np.testing.assert_array_equal(result[:, :6], first[:, :6])
    np.testing.assert_array_equal(denoise(first, model)[:96, 6:], denoise(pair.first, model))


def test_gain_is_unknown_if_one_tile_dominates() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(100, 5, (2, 25, 32, 32))
    r1, r2 = (100 + 0.3 * (image - 100) for image in (first, second))
    first[3, 8:12, 9] = SPIKE
    assert str(gain_interval(r1, r2, first, second)) == "not known"


# Frames that were not exposed


@pytest.mark.filterwarnings("ignore:.*constant")
def test_closed_shutter_in_one_exposure_uses_the_other(
    pair: KnownPair, model: Noise2NoiseModel
) -> None:
    first, second = np.stack([pair.first] * 3), np.stack([pair.second] * 3)
    first[1] = 0
    with pytest.warns(UserWarning, match="the result is from the second alone"):
        clean = denoise((first, second), model)
    assert pair.gain(clean[1]) > 8
    np.testing.assert_array_equal(clean[0], clean[2])
    second[1] = 0
    clean = denoise((first, second), model)
    assert (clean[1] == 0).all()
    first_only = denoise((first, np.stack([pair.second] * 3)), replace(model, use="first"))
    assert (first_only[1] == 0).all()


@pytest.mark.filterwarnings("ignore:.*constant")
@pytest.mark.parametrize("lazy", [False, True])
def test_blank_frame_in_a_normalised_result(
    pair: KnownPair, model: Noise2NoiseModel, lazy: bool
) -> None:
    import dask.array as da

    low, high = model.value_range
    level = low + 0.25 * (high - low)
    movie = np.stack([pair.first, np.full_like(pair.first, level)])
    given = da.from_array(movie, chunks=(1, -1, -1)) if lazy else movie
    clean = np.asarray(denoise(given, replace(model, normalise=True)))
    np.testing.assert_allclose(clean[1], 0.25, rtol=1e-4)
    assert clean[0].min() > -0.5
    assert clean[0].max() < 1.5


@pytest.mark.filterwarnings("ignore:.*constant", "ignore:Left out")
def test_black_frames_do_not_affect_other_frames(quick: Noise2Noise) -> None:
    pairs = [known_pair(seed=seed) for seed in range(4)]
    first, second = (np.stack([each[k] for each in pairs]) for k in (1, 2))
    first[[0, 2]] = second[[0, 2]] = 0
    model = replace(quick, epochs=25).train(first, second)
    clean = denoise((first, second), model)
    assert all(pairs[k].gain(clean[k]) > 9 for k in (1, 3))
    assert (clean[[0, 2]] == 0).all()
    assert model.record["left_out"] == {"constant": 2}


# Frames of very different brightness


@pytest.fixture(scope="module")
def of_channels(quick: Noise2Noise) -> tuple[NDArray, NDArray, NDArray, Noise2NoiseModel]:
    """Pair of two channels that differ in brightness by a factor of 100, and a network for it."""
    rng = np.random.default_rng(0)
    scene = known_pair().truth
    truth = np.stack([100 * scene.T, scene])
    first, second = rng.poisson(truth), rng.poisson(truth)
    # So short a training cannot improve a channel with 500 to 2500 photons
    with pytest.warns(UserWarning, match="Channel 1 gains nothing: .* the mean of its two"):
        model = replace(quick, epochs=50).train(first, second)
    return truth, first, second, model


def test_dim_channel_is_denoised(
    of_channels: tuple[NDArray, NDArray, NDArray, Noise2NoiseModel],
) -> None:
    truth, first, second, model = of_channels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean = denoise((first, second), model)
    gains = [
        10 * np.log10(np.mean((first[k] - truth[k]) ** 2) / np.mean((clean[k] - truth[k]) ** 2))
        for k in (0, 1)
    ]
    assert gains[1] > 9
    for k in (0, 1):
        slope, _ = np.polyfit(clean[k].ravel(), truth[k].ravel(), 1)
        assert slope == pytest.approx(1, abs=0.08)
        assert clean[k].mean() == pytest.approx(truth[k].mean(), rel=0.01)
    # Each channel has its own gain, and the record that of the channel that gains least
    told = ToldGain.of_record(model.record)
    assert told is not None
    for gain, interval in zip(gains, told.channels, strict=True):
        assert interval.low - 1 < gain < interval.high + 1
    assert model.record["gain_db"][1] < 3


def test_network_of_channels_denoises_each_channel_alone(
    of_channels: tuple[NDArray, NDArray, NDArray, Noise2NoiseModel], tmp_path: object
) -> None:
    """Channels in any order, one at a time, and with a loaded network."""
    _, first, second, model = of_channels
    clean = denoise((first, second), model)
    path = f"{tmp_path}/network.safetensors"
    model.save(path)
    model = Noise2NoiseModel.load(path)
    assert len(model.channels) == 2
    np.testing.assert_array_equal(denoise((first[::-1], second[::-1]), model)[::-1], clean)
    one = replace(model, orientations=1)
    np.testing.assert_array_equal(denoise((first[1], second[1]), one), clean[1])


def test_each_channel_is_normalised_from_0_to_1(
    of_channels: tuple[NDArray, NDArray, NDArray, Noise2NoiseModel],
) -> None:
    _, first, second, model = of_channels
    for channel in denoise((first, second), replace(model, normalise=True)):
        assert -0.3 < channel.min() < 0.3
        assert 0.7 < channel.max() < 1.3


def test_si_units(pair: KnownPair, model: Noise2NoiseModel, quick: Noise2Noise) -> None:
    expected = denoise((pair.first, pair.second), model)
    for scale in (1e-20, 1e18):
        first, second = (each.astype(float) * scale for each in (pair.first, pair.second))
        trained = replace(quick, epochs=4).train(first, second)
        assert trained.record["gain_db"] is not None
        again = replace(model, scale=model.scale * scale, offset=model.offset * scale, record={})
        again = replace(again, match=replace(model.match, offset=model.match.offset * scale))
        np.testing.assert_allclose(
            denoise((first, second), again) / scale, expected, atol=1e-3 * np.ptp(expected)
        )
