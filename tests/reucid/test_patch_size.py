"""The choice between the paper's patch and a wide one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lowdose import Reucid, StackStep, denoise, denoise_steps, metrics
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.classifier import load_weights
from napari_lowdose.reucid.patch_size import estimate_risks, wide_patch
from napari_lowdose.reucid.prepared import prepare
from napari_lowdose.reucid.psf_width import psf_width_of_image


def crystal(n: int = 256) -> np.ndarray:
    y, x = np.indices((n, n))
    return np.exp(-((y % 13 - 6) ** 2 + (x % 16 - 8) ** 2) / 12.5)


def spots(n: int = 256) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(4)
    points = np.zeros((n, n))
    points[tuple(rng.integers(0, n, (2, 500)))] = rng.uniform(0.3, 1, 500)
    scene = gaussian_filter(points, 2.0)
    return scene / scene.max()


def noisy(truth: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.poisson(15 * truth) / 15 + 0.05 * rng.normal(size=truth.shape)


def chosen(image: np.ndarray, patch_size: str) -> int:
    steps = denoise_steps(image, Reucid(patch_size=patch_size))  # type: ignore[arg-type]
    return [step for step in steps if isinstance(step, StackStep)][-1].patch_size


def test_wide_is_three_psf_widths_and_odd() -> None:
    assert [wide_patch(p) for p in (5, 7, 9, 11, 17, 31)] == [15, 21, 27, 33, 49, 49]


def test_a_perfect_crystal_gets_wide_patches_and_gains() -> None:
    truth = crystal()
    image = noisy(truth)
    assert chosen(image, "auto") == chosen(image, "wide")
    auto = metrics.psnr(truth, denoise(image, Reucid()), data_range=1)
    psf = metrics.psnr(truth, denoise(image, Reucid(patch_size="psf")), data_range=1)
    assert auto > psf + 2


def test_an_aperiodic_scene_keeps_the_papers_patch() -> None:
    image = noisy(spots())
    assert chosen(image, "auto") == chosen(image, "psf")


@pytest.mark.filterwarnings("ignore:1 outlier pixel")
def test_a_particle_on_a_dark_background_keeps_the_papers_patch() -> None:
    """The noise of the bright middle is stronger than that of the background."""
    y, x = np.indices((256, 256))
    truth = crystal() * (np.hypot(y - 128, x - 128) < 70)
    rng = np.random.default_rng(1)
    image = rng.poisson(6 * truth) / 6 + 0.05 * rng.normal(size=truth.shape)
    errors = {}
    for size in ("psf", "wide"):
        clean = denoise(image, Reucid(patch_size=size))  # type: ignore[arg-type]
        errors[size] = np.square(clean - truth).mean()
    gain = 10 * np.log10(errors["psf"] / errors["wide"])
    assert gain < 2.5
    assert chosen(image, "auto") == chosen(image, "psf")


def test_estimated_errors_are_near_the_true_ones() -> None:
    for truth in (crystal(), spots()):
        image = noisy(truth)
        pixels = prepare(image).image
        psf = psf_width_of_image(pixels)
        risks = run_to_end(
            estimate_risks(pixels, psf, wide_patch(psf), 25, load_weights("remove"), 0)
        )
        errors = [
            np.square(denoise(image, Reucid(patch_size=size)) - truth).mean()  # type: ignore[arg-type]
            for size in ("psf", "wide")
        ]
        estimate, gain = (10 * np.log10(first / second) for first, second in (risks, errors))
        assert abs(estimate - gain) < 1.2


def test_a_small_image_keeps_the_papers_patch() -> None:
    image = noisy(crystal(48))
    assert chosen(image, "auto") == chosen(image, "psf")


def test_the_choice_is_told() -> None:
    image = noisy(crystal(128))
    last = list(denoise_steps(image, Reucid(patch_size="wide")))[-1]
    assert f"patches of {chosen(image, 'wide')} px" in last.message
