"""Bad input ends in one clear sentence, or in a stated treatment; never in nonsense."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_lowdose import Reucid, denoise

GOOD = np.random.default_rng(0).poisson(20, (40, 40)).astype(float)


def changed(**pixels: float) -> np.ndarray:
    image = GOOD.copy()
    for (name, value), position in zip(pixels.items(), [(3, 4), (5, 6)], strict=False):
        assert name
        image[position] = value
    return image


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (changed(a=np.nan), "1 of 1600 pixels are NaN or infinite"),
        (changed(a=np.inf, b=-np.inf), "2 of 1600 pixels are NaN or infinite"),
        (np.full((40, 40), 7), "constant (every pixel is 7)"),
        (GOOD[:6, :], "too small: at least 8 x 8 are needed"),
        (GOOD[:12, :12], "too small for patches of 7 x 7: use a patch size of 3 or less"),
        (GOOD * 1e39, "which a 32-bit result cannot hold"),
        (np.ma.masked_less(GOOD, 15), "masked pixels"),
        (np.zeros((40, 40, 3), np.uint8), "looks like RGB"),
        (GOOD > 20, "boolean"),
        (GOOD * 1j, "complex"),
        (np.zeros((0, 40)), "empty"),
        (GOOD[0], "at least two axes"),
        (np.array([["a", "b"]]), "not a number per pixel"),
    ],
)
def test_unsuitable_image(image: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        denoise(image, Reucid(patch_size=7))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"patch_size": 8}, "odd number of at least 3, for example 9"),
        ({"patch_size": 1}, "odd number of at least 3"),
        ({"patch_size": "huge"}, "'auto', 'psf', 'wide'"),
        ({"n_stacks": 0}, "n_stacks must be a whole number, at least 1, not 0"),
        ({"n_components": 0}, "n_components must be a whole number, at least 1"),
        ({"memory_limit": 0}, "memory_limit must be a whole number, at least 1"),
        ({"scan_noise": "yes"}, "'remove', 'keep', 'columns'"),
        ({"seed": -1}, "seed must be a whole number, at least 0, not -1"),
        ({"n_stacks": 2.5}, "n_stacks must be a whole number"),
        ({"n_stacks": True}, "n_stacks must be a whole number"),
        ({"patch_size": 9.5}, "patch_size must be a whole number"),
        ({"patch_size": None}, "patch_size must be a whole number"),
        ({"memory_limit": "1GB"}, "memory_limit must be a whole number"),
        ({"keep": [0.0, 1.5]}, "an index in keep must be a whole number"),
        ({"keep": [True, False]}, "an index in keep must be a whole number"),
        ({"keep": [-1]}, "an index in keep must be a whole number, at least 0"),
        ({"keep": [[0], []]}, "at least one index for each"),
        ({"keep": 0}, "keep must be a whole number, at least 1"),
        ({"keep": 26, "patch_size": 7}, "keep from 1 to 25 eigenpatches"),
        ({"keep": 76}, "keep from 1 to 75 eigenpatches"),
        ({"keep": []}, "keep is empty"),
        ({"keep": [0, 1], "n_stacks": 5}, "set n_stacks=1"),
        ({"keep": [[0], [1]], "n_stacks": 5}, "set n_stacks=2"),
    ],
)
def test_unsuitable_parameter(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Reucid(**parameters)


def test_index_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="indices from 0 to 24"):
        denoise(GOOD, Reucid(patch_size=7, keep=[0, 25]))


def test_patch_larger_than_the_image() -> None:
    with pytest.raises(
        ValueError, match="too small for patches of 41 x 41: use a patch size of 13 or less"
    ):
        denoise(GOOD, Reucid(patch_size=41))


def test_memory_limit_below_one_row_of_patches() -> None:
    with pytest.raises(ValueError, match="too small for one row of 7 x 7 patches"):
        denoise(GOOD, Reucid(patch_size=7, memory_limit=1000))


def test_saturated_pixels_are_said() -> None:
    image = GOOD.copy()
    image[10:15, 10:15] = 255
    with pytest.warns(UserWarning, match=r"1.6% of the pixels are at the maximum, 255"):
        denoise(image.astype(np.uint8), Reucid(patch_size=7))


def test_a_dead_row_is_said_and_denoised_as_data() -> None:
    image = GOOD.copy()
    image[12] = 0
    with pytest.warns(UserWarning, match=r"1 constant row \(the first is row 12\)"):
        clean = denoise(image, Reucid(patch_size=7))
    assert np.isfinite(clean).all()


def test_negative_values_are_data() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean = denoise(GOOD - 100, Reucid(patch_size=7, keep=4))
    np.testing.assert_allclose(clean, denoise(GOOD, Reucid(patch_size=7, keep=4)) - 100, atol=1e-3)


def test_the_smallest_image_is_denoised() -> None:
    truth = np.full((8, 8), 10.0)
    truth[:, 4:] = 100
    image = np.random.default_rng(0).poisson(truth)
    clean = denoise(image, Reucid(patch_size="psf", keep=4))
    assert np.std(clean - truth) < np.std(image - truth)


@pytest.mark.parametrize("memory_limit", [None, 300_000])
def test_too_many_stacks_are_refused_not_handed_back_noisy(memory_limit: int | None) -> None:
    with pytest.raises(ValueError, match="use at most 5 for this image"):
        denoise(GOOD, Reucid(patch_size=7, n_stacks=6, memory_limit=memory_limit))


def test_the_tightest_memory_limit_still_denoises() -> None:
    with pytest.raises(ValueError, match=r"allow at least (\d+) KiB") as caught:
        denoise(GOOD, Reucid(patch_size=7, memory_limit=1000))
    least = int(re.search(r"(\d+) KiB", str(caught.value).split("allow")[1])[1])  # type: ignore[index]
    clean = denoise(GOOD, Reucid(patch_size=7, memory_limit=least * 1024))
    assert np.std(clean - 20) < np.std(GOOD - 20) / 2


def test_an_explicit_number_of_stacks_keeps_to_the_memory_limit() -> None:
    with pytest.raises(ValueError, match=r"1 patch stack .* more than the memory limit"):
        denoise(GOOD, Reucid(patch_size=7, n_stacks=1, memory_limit=180_000))


def test_numpy_parameters_are_what_they_say() -> None:
    engine = Reucid(patch_size=np.int64(9), seed=np.int64(1), keep=np.array([0, 2]))  # type: ignore[arg-type]
    assert engine == Reucid(patch_size=9, seed=1, keep=[0, 2])
    assert repr(engine.keep) == "(0, 2)"


@pytest.mark.parametrize("gain", [1e-30, 1e-20, 1e18, 1e30])
def test_very_small_and_very_large_values(gain: float) -> None:
    engine = Reucid(patch_size=7, keep=4)
    expected = gain * denoise(GOOD, engine).astype(float)
    np.testing.assert_allclose(denoise(gain * GOOD, engine), expected, rtol=1e-4)


def test_an_offset_that_coarsens_the_result_is_said() -> None:
    with pytest.warns(UserWarning, match="rounded to 1: take the offset off first"):
        clean = denoise(GOOD + 1e7, Reucid(patch_size=7, keep=4))
    np.testing.assert_allclose(clean, 1e7 + denoise(GOOD, Reucid(patch_size=7, keep=4)), atol=1)


@pytest.mark.parametrize(
    "image",
    [
        GOOD + 1e9,
        (GOOD + 1e9).astype(np.float32),
        (GOOD / 50 + 1e7).astype(np.float32),
        GOOD.astype(np.int64) + 2**60,
        GOOD.astype(np.uint64) + np.uint64(2**63),
    ],
    ids=["float64", "float32", "few steps", "int64", "uint64"],
)
def test_an_offset_that_drowns_the_contrast_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot hold both: take the offset off first"):
        denoise(image, Reucid(patch_size=7))


def test_integers_beyond_float64_are_denoised_where_the_result_can_hold_them() -> None:
    image = (GOOD * 2**57).astype(np.int64)
    expected = denoise(GOOD, Reucid(patch_size=7, keep=4))
    clean = denoise(image, Reucid(patch_size=7, keep=4))
    np.testing.assert_allclose(clean / 2**57, expected, rtol=1e-4)


def test_a_bad_frame_is_named() -> None:
    movie = np.stack([GOOD, changed(a=np.nan)])
    with pytest.raises(ValueError, match="frame 2 of 2: 1 of 1600 pixels are NaN"):
        denoise(movie, Reucid(patch_size=7, keep=2))


def test_a_blank_frame_does_not_end_a_movie() -> None:
    movie = np.stack([GOOD, np.full_like(GOOD, 3), GOOD])
    with pytest.warns(UserWarning, match="frame 2 of 3 is constant and left as it is"):
        clean = denoise(movie, Reucid(patch_size=7, keep=2))
    np.testing.assert_array_equal(clean[1], 3)
    np.testing.assert_array_equal(clean[2], clean[0])


def test_pure_noise_is_called_noise() -> None:
    with pytest.warns(UserWarning, match="no eigenpatch looks like structure"):
        denoise(GOOD, Reucid(patch_size=7))


def test_a_scene_with_more_structure_than_components_is_said() -> None:
    rng = np.random.default_rng(0)
    scene = gaussian_filter(rng.normal(size=(80, 80)), 1.0)
    scene = 100 * scene / scene.std() + rng.normal(0, 10, scene.shape)
    with pytest.warns(UserWarning, match="raise n_components"):
        denoise(scene, Reucid(patch_size=9, n_components=4))


def lattice(doses: float = 12) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:120, :120]
    truth = doses * (1.2 + np.cos(x / 2) * np.cos(y / 2))
    return truth, np.random.default_rng(0).poisson(truth).astype(np.float32)


def test_one_outlier_costs_nothing_and_is_replaced_or_kept() -> None:
    truth, noisy = lattice()
    clean = denoise(noisy, Reucid(patch_size=9))
    noisy[40, 50] = 65535
    with pytest.warns(UserWarning, match=r"1 outlier pixel \(first at row 40, column 50\)"):
        removed = denoise(noisy, Reucid(patch_size=9))
    with pytest.warns(UserWarning, match="unchanged in the result"):
        kept = denoise(noisy, Reucid(patch_size=9, outliers="keep"))
    errors = [np.std(result - truth) for result in (clean, removed)]
    assert errors[1] < 1.05 * errors[0]
    assert abs(removed[40, 50] - truth[40, 50]) < 5 * errors[0]
    assert kept[40, 50] == 65535
    assert np.count_nonzero(kept != removed) == 1


def test_an_info_bar_stays_and_costs_nothing() -> None:
    _, noisy = lattice()
    clean = denoise(noisy, Reucid(patch_size=9))
    bar = np.zeros((16, 120), np.float32)
    bar[4:12, 10:60:3] = 255
    with pytest.warns(UserWarning, match="only rows 0 to 119 and columns 0 to 119 hold image"):
        result = denoise(np.vstack([noisy, bar]), Reucid(patch_size=9))
    np.testing.assert_array_equal(result[120:], bar)
    np.testing.assert_allclose(result[:120], clean, rtol=1e-4, atol=1e-3)


def test_sparse_rows_are_not_called_dead() -> None:
    counts = np.random.default_rng(0).poisson(0.01, (200, 200))
    assert (counts.sum(axis=1) == 0).any()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoise(counts, Reucid(patch_size=7))
    assert not [w for w in caught if "dead" in str(w.message) or "outlier" in str(w.message)]
