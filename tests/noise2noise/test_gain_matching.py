"""Gain of an unequal beamsplitter is measured within its standard error at any dose."""

import dask.array as da
import numpy as np
import pytest

from benchmarks.scenes import Image, lattice, scattered
from napari_lowdose.noise2noise.gain_matching import match_gain
from napari_lowdose.pairs.noise_model import simulate_pair

SCENES = {
    "lattice": lattice(2.0, 12.0, (192, 200)),
    "fine lattice": lattice(1.2, 7.0, (192, 200)),
    "blobs": scattered(5.0, (192, 200)) + 0.1,
}


@pytest.mark.parametrize(("photons", "read_noise"), [(100, 0), (10, 2), (1, 1), (0.2, 0.2)])
@pytest.mark.parametrize("name", SCENES)
def test_unequal_beamsplitter_with_camera_offset(
    name: str, photons: float, read_noise: float
) -> None:
    scene = SCENES[name]
    found = [
        match_gain(
            *simulate_pair(
                scene, photons=photons, read_noise=read_noise, ratio=0.6, offset=(100, 90), seed=k
            )
        )
        for k in range(8)
    ]
    errors = [np.log(match.gain * 1.5) / match.error for match in found]
    assert np.sqrt(np.mean(np.square(errors))) < 2.2  # the stated errors are the real ones
    assert max(match.error for match in found) < 0.15
    # noise in the regressor would make a plain slope too small: no such bias here
    assert abs(np.mean(errors)) < 1.5
    for match in found:
        assert match.offset == pytest.approx(
            90 - 100 * match.gain + photons * (0.8 - 1.2 * match.gain), abs=0.02 * (photons + 2)
        )


def test_exchanged_exposures_give_the_inverse_gain() -> None:
    first, second = simulate_pair(SCENES["blobs"], photons=3, ratio=0.7, seed=1)
    one, other = match_gain(first, second), match_gain(second, first)
    assert one.gain * other.gain == pytest.approx(1, abs=1e-6)
    assert one.offset == pytest.approx(-other.offset * one.gain, abs=1e-4)


def test_scale_and_offset_of_the_units_do_not_matter() -> None:
    first, second = simulate_pair(SCENES["lattice"], photons=5, seed=2)
    plain = match_gain(first, second)
    scaled = match_gain(first * 1e-6, second.astype(np.float64) * 1e4 + 1e7)
    assert scaled.gain == pytest.approx(plain.gain * 1e10, rel=1e-3)


def test_pure_noise_gives_unit_gain_and_matched_means() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        match = match_gain(rng.normal(7, 1, (96, 96)), rng.normal(100, 3, (96, 96)))
        assert match.gain == 1
        assert match.error == np.inf
        assert match.offset == pytest.approx(93, abs=0.2)


def test_constant_images_give_unit_gain() -> None:
    match = match_gain(np.full((32, 32), 4), np.full((32, 32), 6))
    assert (match.gain, match.offset) == (1, 2)


def test_stack_of_pairs_has_a_smaller_error() -> None:
    truth = np.stack([SCENES["blobs"]] * 6)
    first, second = simulate_pair(truth, photons=0.5, ratio=0.6, seed=3)
    stack, one = match_gain(first, second), match_gain(first[0], second[0])
    assert stack.error < 0.6 * one.error
    assert stack.gain == pytest.approx(2 / 3, rel=4 * stack.error)
    lazy = match_gain(da.from_array(first), da.from_array(second))
    assert lazy == stack


def test_flicker_is_not_taken_for_scene() -> None:
    first, second = simulate_pair(np.stack([SCENES["lattice"]] * 4), photons=20, seed=4)
    first += np.array([0, 500, -300, 900], np.float32)[:, None, None]
    assert match_gain(first, second).gain == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float16, np.float64])
def test_second_exposure_is_converted_to_the_first(dtype: type) -> None:
    truth: Image = 40 * SCENES["blobs"] + 10
    first, second = simulate_pair(truth, ratio=0.6, offset=(5, 20), seed=5)
    first, second = first.astype(dtype), second.astype(dtype)
    matched = match_gain(first, second).to_first(second)
    assert matched.dtype == np.float32
    assert matched.mean() == pytest.approx(first.mean(dtype=float), rel=1e-3)
    bright = truth > np.quantile(truth, 0.9)
    assert matched[bright].mean() == pytest.approx(first[bright].mean(dtype=float), rel=0.02)
    lazy = match_gain(first, second).to_first(da.from_array(second))
    np.testing.assert_allclose(lazy.compute(), matched)


@pytest.mark.parametrize(
    ("one", "two", "says"), [((64, 64), (64, 60), "same shape"), ((9, 9), (9, 9), "small")]
)
def test_errors(one: tuple[int, int], two: tuple[int, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        match_gain(np.ones(one), np.ones(two))
