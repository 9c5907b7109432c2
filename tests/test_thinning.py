from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lowdose import (
    Noise2Noise,
    Noise2NoiseModel,
    PoissonGaussian,
    Reucid,
    Thinned,
    ThinnedNetwork,
    denoise,
    denoise_steps,
    estimate_noise,
    thin,
)
from napari_lowdose.noise2noise.training_data import training_pairs
from napari_lowdose.script import as_python
from napari_lowdose.thinning import network_engine, why_not_thin


def spots(peak: float, size: int = 96) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return peak * (0.1 + (np.cos(y / 2.3) * np.cos(x / 2.3)) ** 2)


@settings(deadline=None)  # a machine may be busy
@given(st.floats(0.05, 0.95), st.floats(0.2, 50), st.integers(0, 2**31))
def test_counts_are_divided_exactly(share, mean, seed):
    counts = np.random.default_rng(seed).poisson(mean, (64, 64)).astype(np.uint16)
    counts[0, 0] += 1  # not constant
    first, second = thin(counts, share=share, seed=seed)
    assert first.dtype == second.dtype == counts.dtype
    np.testing.assert_array_equal(first + second, counts)
    expected = share * counts.sum()
    assert abs(first.sum(dtype=float) - expected) < 6 * np.sqrt(expected * (1 - share)) + 1


def test_the_parts_of_counts_are_independent_poisson_exposures():
    counts = np.random.default_rng(0).poisson(3.0, (512, 512))
    first, second = thin(counts, share=0.3)
    assert first.var() == pytest.approx(0.9, rel=0.02)  # that of a Poisson distribution
    assert second.var() == pytest.approx(2.1, rel=0.02)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01


def test_the_noise_of_grey_levels_is_divided():
    rng, noise = np.random.default_rng(1), PoissonGaussian(gain=2.5, offset=100, read_noise=4)
    truth = spots(200, 192)
    image = noise.gain * rng.poisson(truth / noise.gain) + 100 + rng.normal(0, 4, truth.shape)
    first, second = thin(image, noise)
    np.testing.assert_allclose(first + second - 100, image, rtol=1e-4)
    errors = [part - 100 - truth / 2 for part in (first, second)]
    assert abs(np.corrcoef(*map(np.ravel, errors))[0, 1]) < 0.05
    assert np.var(errors[0]) == pytest.approx(noise.variance(truth + 100).mean() / 2, rel=0.05)


def test_counts_of_another_gain_are_told():
    levels = 7 * np.random.default_rng(0).poisson(spots(5, 128))
    with pytest.warns(UserWarning, match="times the variance of counts"):
        thin(levels)


@pytest.mark.parametrize(
    ("image", "noise", "sentence"),
    [
        (np.random.default_rng(0).normal(size=(64, 64)), None, "holds no counts"),
        (np.full((64, 64), np.nan), None, "NaN"),
        (np.zeros((64, 64, 3), np.uint8)[..., 0] - 1.0, None, "holds no counts"),
    ],
)
def test_what_cannot_be_divided(image, noise, sentence):
    with pytest.raises(ValueError, match=sentence):
        thin(image, noise)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"share": "half"}, "share is between 0 and 1"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"noise": "estimate"}, r"noise is a PoissonGaussian\("),
    ],
)
def test_what_is_no_parameter(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        thin(np.ones((64, 64), int), **options)


def test_the_noise_is_part_of_the_record_and_of_the_script():
    noise = PoissonGaussian(gain=2.0, offset=100.0, read_noise=3.0)
    image = noise.draw(100 + spots(80.0, 128), np.random.default_rng(0))
    for known in (noise, estimate_noise(image)):
        engine = Thinned(Noise2Noise(epochs=3), known, n_pairs=2)
        assert engine.about()["parameters"]["noise"]["gain"] == known.gain
        script = as_python(engine).replace("tifffile.imread('image.tif')", "None")
        names: dict = {}
        exec(script.replace("denoise(image, ", "("), names)
        assert names["clean"] == engine
    with pytest.raises(ValueError, match="noise must be one of 'estimate'"):
        Thinned(noise="guess")


def test_correlated_noise_is_refused():
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(np.random.default_rng(0).normal(100, 9, (128, 128)), 1.0)
    with pytest.raises(ValueError, match="share their noise"):
        thin(blurred, PoissonGaussian(0, 0, 3))


def test_one_counted_image_trains_a_network():
    truth = spots(4.0, 64)
    counts = np.random.default_rng(2).poisson(truth)
    engine = Thinned(Noise2Noise(epochs=60, fallback=False))
    steps = list(denoise_steps(counts, engine))
    clean = steps[-1].image
    gain = 10 * np.log10(np.mean((counts - truth) ** 2) / np.mean((clean - truth) ** 2))
    assert gain > 6
    assert clean.mean() == pytest.approx(counts.mean(), rel=0.05)  # in the units of the image
    told = [step.gain for step in steps if getattr(step, "gain", None)][-1]
    assert told[0] - 1.5 < gain < told[1] + 1.5  # over the whole image, not over a half
    np.testing.assert_array_equal(denoise(counts, engine), clean)  # same seed, same result


def test_tiles_are_held_out_of_all_divisions_of_an_image():
    counts = np.random.default_rng(3).poisson(spots(20, 128))
    parts = [thin(counts, seed=k) for k in range(3)]
    first, second = (np.stack(each).astype(float) for each in zip(*parts, strict=True))
    pairs = training_pairs(first, second, 1, 0, None, one_scene=True)
    assert pairs.tiles and all(pair == 0 for pair, _, _ in pairs.tiles)
    for _, y, x in pairs.tiles:
        assert not pairs.seen[:, y : y + pairs.side, x : x + pairs.side].any()


def test_a_counted_movie_is_divided_frame_by_frame():
    movie = np.random.default_rng(4).poisson(spots(6.0, 64), (2, 64, 64))
    clean = denoise(movie, Thinned(Noise2Noise(epochs=4, fallback=False)))
    assert clean.shape == movie.shape and np.isfinite(clean).all()
    assert clean.mean() == pytest.approx(movie.mean(), rel=0.05)


def test_the_noise_of_grey_levels_is_estimated_and_kept_with_the_network(tmp_path):
    rng = np.random.default_rng(5)
    photons = spots(8, 96)
    truth = 100 + 5 * photons
    image = (100 + 5 * rng.poisson(photons) + rng.normal(0, 3, truth.shape)).round()
    assert "times the variance of counts" in why_not_thin(image)
    training = Noise2Noise(epochs=20, width=8, crop_size=64, batch_size=2)
    model = Thinned(training, noise="estimate").train(image)
    gain, offset, _ = model.record["thinned"]["noise"]
    assert 3 < gain < 7 and 0 < offset < 200
    model.save(tmp_path / "n.safetensors")
    clean = denoise(image, ThinnedNetwork(Noise2NoiseModel.load(tmp_path / "n.safetensors")))
    assert np.std(clean - truth) < 0.8 * np.std(image - truth)
    assert isinstance(network_engine(model), ThinnedNetwork)
    with pytest.raises(ValueError, match="holds no counts"):
        denoise(image + 0.5, ThinnedNetwork(replace(model, record={})))


def test_what_is_not_thin_is_said():
    from scipy.ndimage import gaussian_filter

    assert why_not_thin(spots_counts()) == ""
    assert "holds no counts" in why_not_thin(spots_counts() / 2.5)
    blurred = gaussian_filter(np.random.default_rng(0).normal(100, 9, (128, 128)), 1.0)
    assert "share their noise" in why_not_thin(blurred, PoissonGaussian(0, 0, 3))


def spots_counts():
    return np.random.default_rng(2).poisson(spots(8.0, 96))


def test_a_thinned_network_takes_one_image():
    assert Thinned().takes == Reucid().takes == "image"
    with pytest.raises(ValueError, match="pair"):
        denoise((np.ones((64, 64)), np.ones((64, 64))), Thinned())
