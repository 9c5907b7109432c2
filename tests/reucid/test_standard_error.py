"""Standard error of each pixel of a result, against repeated draws of the noise."""

import warnings

import numpy as np
import pytest
from scipy.signal import oaconvolve

from napari_lowdose import Reucid, denoise, denoise_steps, standard_error
from napari_lowdose.engine import Engine, run_to_end
from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
from napari_lowdose.reucid.alike_stacks import group_patches, groups_of, project_alike
from napari_lowdose.reucid.deviations import restore_deviations
from napari_lowdose.reucid.kernel import convolve, kernel
from napari_lowdose.reucid.patch_stacks import assign_stacks
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.standard_error import (
    PatchFilters,
    calibrated,
    convolved_variance,
    filtered_variance,
    restored_variance,
)
from napari_lowdose.reucid.terrain import patch_terrain
from tests.reucid.test_noise_estimate import lattice

SHAPE = (48, 60)
DRAWS = 300  # the standard deviation of so many draws has an error of 4 %
VARIANCE = np.outer(np.linspace(0.5, 1.5, SHAPE[0]), np.linspace(1.2, 0.8, SHAPE[1]))


def spread(linear_map) -> np.ndarray:
    """Return the variance of each pixel for noise of variance VARIANCE."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, np.sqrt(VARIANCE), (DRAWS, *SHAPE)).astype(np.float32)
    return np.mean([linear_map(each) ** 2 for each in noise], axis=0)


def assert_agree(variance: np.ndarray, measured: np.ndarray) -> None:
    ratio = np.sqrt(measured / variance)
    error = 1 / np.sqrt(2 * DRAWS)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() < 1.5 * error  # no pixel is left out: border and corners, too


@pytest.fixture(scope="module")
def eigenpatches() -> np.ndarray:
    image = np.random.default_rng(0).poisson(lattice(64, 5)).astype(np.float32)
    *_, step = denoise_steps(image, Reucid(patch_size=7, keep=6))
    return step.eigenpatches[step.kept]


def test_one_random_stack(eigenpatches) -> None:
    found = run_to_end(convolved_variance(VARIANCE, eigenpatches))
    assert_agree(found, spread(lambda noise: run_to_end(convolve(noise, eigenpatches))))


def test_several_random_stacks(eigenpatches) -> None:
    stack_of = assign_stacks(SHAPE, 7, 2, seed=0)
    stacks = [eigenpatches[:4], eigenpatches]
    filters = np.zeros((2, 10, 10), np.float32)
    filters[0, range(4), range(4)] = filters[1, range(4, 10), range(4, 10)] = 1
    patches = PatchFilters(np.concatenate(stacks), filters, stack_of)
    terrain = patch_terrain(np.ones(stack_of.shape, bool), 7)

    def denoised(noise):
        placed = [run_to_end(project(noise, v, stack_of == k)) for k, v in enumerate(stacks)]
        return sum(placed) / terrain

    assert_agree(run_to_end(filtered_variance(VARIANCE, patches, 1)), spread(denoised))


@pytest.fixture(scope="module")
def alike():
    """Groups of a lattice with two sites that were restored, one of them at the corner."""
    pilot = lattice(64, 5)[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    image = pilot + np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    noise, kernel = PoissonGaussian(0, 0, 1), np.ones((1, 1), np.float32)
    stacks = run_to_end(group_patches([image], [pilot], 9, noise, kernel, seed=0))
    y, x = np.indices(SHAPE)
    mask = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 50) for a, b in ((24, 30), (1, 2)))
    return pilot, stacks, np.minimum(mask, 1).astype(np.float32)


def of_noise(noise, pilot, stacks):
    """Return what the last pass makes of noise alone."""
    with_noise, without = (
        run_to_end(project_alike(image, pilot, stacks))[0]
        for image in (noise, np.zeros_like(noise))
    )
    return with_noise - without


def test_alike_stacks(alike) -> None:
    pilot, stacks, _ = alike
    patches = PatchFilters(
        stacks.eigenpatches, stacks.shrinkage, run_to_end(groups_of(pilot, stacks))
    )
    exact = run_to_end(filtered_variance(VARIANCE, patches, 1))
    assert_agree(exact, spread(lambda noise: of_noise(noise, pilot, stacks)))
    coarse = run_to_end(filtered_variance(VARIANCE, patches, 2))
    np.testing.assert_array_almost_equal(coarse[::2, ::2], exact[::2, ::2])
    assert np.sqrt(np.mean((np.sqrt(coarse / exact) - 1) ** 2)) < 0.05


def test_restored_deviations(alike, eigenpatches) -> None:
    pilot, stacks, mask = alike
    k = kernel(eigenpatches)
    reach = len(k) // 2

    def restored(noise):
        denoised = of_noise(noise, pilot, stacks)
        residual = np.pad(noise - denoised, reach, mode="symmetric")
        return denoised + mask * oaconvolve(residual, k, mode="valid")

    patches = PatchFilters(
        stacks.eigenpatches, stacks.shrinkage, run_to_end(groups_of(pilot, stacks))
    )
    found = run_to_end(restored_variance(VARIANCE, patches, mask, k, 1))
    measured = spread(restored)
    assert_agree(found[mask < 0.01], measured[mask < 0.01])
    some = mask > 0.1  # interpolated
    assert np.sqrt(measured / found)[some].mean() == pytest.approx(1, abs=0.04)
    assert np.sqrt(measured / found)[some].std() < 0.1
    # The linear map of `restore_deviations` itself, whose mask depends on the image
    image = pilot + np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    denoised = pilot + 0.1
    restoring = restore_deviations(image, denoised, pilot - 2, np.ones(SHAPE), k, 7)
    result, own = run_to_end(restoring)
    residual = np.pad(image - denoised, reach, mode="symmetric")
    expected = denoised + own * oaconvolve(residual, k, mode="valid")
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_calibration_follows_the_measured_noise() -> None:
    rng = np.random.default_rng(0)
    fixed = np.linspace(0, 3, 2**14).reshape(128, 128).astype(np.float32)
    truth = 0.5 + 2 * fixed
    results = rng.normal(0, truth, (2, 128, 128)).astype(np.float32)
    found = calibrated(fixed, results[0] - results[1])
    np.testing.assert_allclose(found[8:], truth[8:], rtol=0.2)
    assert np.sqrt(np.mean(found**2) / np.mean(truth**2)) == pytest.approx(1, abs=0.05)
    nothing = np.zeros((128, 128), np.float32)  # as where a filter removes everything
    np.testing.assert_allclose(calibrated(nothing, nothing + 2), np.sqrt(2), rtol=1e-5)


@pytest.mark.parametrize(
    ("engine", "most"),
    [
        (Reucid(patch_size=9), 1.1),
        (Reucid(patch_size=9, scan_noise="columns"), 1.1),
        (Reucid(patch_size=9, stacks="alike"), 1.3),  # rather too large
    ],
    ids=["random", "columns", "alike"],
)
def test_noise_of_repeated_draws(engine, most) -> None:
    truth = 7 * lattice(128, 4)[:, :112] + 100
    camera = PoissonGaussian(7, 100, 5)
    draws = [camera.draw(truth, np.random.default_rng(k)) for k in range(6)]
    noise = np.std([denoise(draw, engine) for draw in draws], axis=0, ddof=1)
    found = standard_error(draws[0], engine)
    assert found.shape == truth.shape and found.dtype == np.float32
    ratio = np.sqrt(np.mean(found**2) / np.mean(noise**2))
    assert 0.9 < ratio < most


def test_given_groups_tell_too_little() -> None:
    image = np.random.default_rng(0).poisson(lattice(96, 2)).astype(np.float32)
    engine = Reucid(patch_size=9, stacks="alike")
    given, whole = (standard_error(image, engine, redraw=redraw) for redraw in (False, True))
    assert np.mean(given**2) < np.mean(whole**2)


def test_warnings_are_given_once() -> None:
    image = np.random.default_rng(0).poisson(lattice(96, 5)).astype(np.float32)
    image[40, 40] = 5000
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        standard_error(image, Reucid(patch_size=9, stacks="alike"))
    assert sum("outlier" in str(each.message) for each in found) == 1


def test_info_bar_has_no_standard_error() -> None:
    image = np.random.default_rng(0).poisson(lattice(96, 20)).astype(np.float32)
    image[80:] = 7
    with pytest.warns(UserWarning, match="hold image"):
        found = standard_error(image, Reucid(patch_size=7))
    assert np.isnan(found[80:]).all() and (found[:80] > 0).all()


@pytest.mark.parametrize(
    ("shape", "engine", "options", "message"),
    [
        ((2, 32, 32), Reucid(), {}, "One frame is needed"),
        ((32, 32), Engine(), {}, "for REUCID, not for Engine"),
        ((32, 32), Reucid(), {"step": 0}, "step must be a whole number"),
        ((32, 32), Reucid(), {"redraw": 1}, "redraw must be True or False"),
    ],
)
def test_unsuitable(shape, engine, options, message) -> None:
    image = np.random.default_rng(0).poisson(9, shape)
    with pytest.raises(ValueError, match=message):
        standard_error(image, engine, **options)
