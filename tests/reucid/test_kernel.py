"""REUCID with a single stack as a convolution: the result, its kernel and transfer function."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from napari_lowdose import Reucid, denoise, denoise_steps
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid import kernel as one_kernel
from napari_lowdose.reucid.kernel import convolve, kernel, transfer_function
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.stack_step import StackStep
from napari_lowdose.reucid.terrain import patch_terrain

sides = st.integers(9, 80)


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def basis(p: int, k: int, seed: int = 0) -> np.ndarray:
    """Return k random eigenpatches."""
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.normal(size=(p * p, k)))[0].T.reshape(k, p, p).astype(np.float32)


def patch_by_patch(image: np.ndarray, eigenpatches: np.ndarray) -> np.ndarray:
    p = eigenpatches.shape[-1]
    everywhere = np.ones([n - p + 1 for n in image.shape], bool)
    canvas = run_to_end(project(image, eigenpatches, everywhere))
    return canvas / patch_terrain(everywhere, p)


@given(height=sides, width=sides, p=st.sampled_from([3, 5, 9]), k=st.integers(1, 8))
@example(height=80, width=17, p=9, k=3)  # one column away from the border
@example(height=16, width=80, p=9, k=3)  # none
@settings(max_examples=40, deadline=None)
def test_same_as_patch_by_patch(height: int, width: int, p: int, k: int) -> None:
    image, eigenpatches = noise((height, width), height), basis(p, k, width)
    expected = patch_by_patch(image, eigenpatches)
    result = run_to_end(convolve(image, eigenpatches))
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.ptp(expected))


def test_same_in_several_tiles_and_pieces_of_the_border(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_kernel, "TILE", 20)
    monkeypatch.setattr(one_kernel, "COLUMNS", 30)
    image, eigenpatches = noise((150, 131)), basis(5, 4)
    expected = patch_by_patch(image, eigenpatches)
    result = run_to_end(convolve(image, eigenpatches))
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.ptp(expected))


def test_the_kernel_is_all_that_happens_away_from_the_border() -> None:
    y, x = np.indices((90, 101))
    image = np.random.default_rng(0).poisson(5 + 4 * np.cos(x / 2) * np.cos(y / 2)).astype("f4")
    (step,) = (
        step
        for step in denoise_steps(image, Reucid(patch_size=9, n_stacks=1))
        if isinstance(step, StackStep)
    )
    mean = image.mean()
    expected = fftconvolve(image - mean, step.kernel, mode="valid") + mean
    atol = 1e-5 * np.ptp(image)
    np.testing.assert_allclose(step.image[8:-8, 8:-8], expected, atol=atol)


def test_kernel_is_symmetric_and_its_middle_is_the_noise_that_remains() -> None:
    k = kernel(basis(7, 10))
    assert k.shape == (13, 13)
    np.testing.assert_allclose(k, k[::-1, ::-1], atol=1e-7)
    assert k[6, 6] == pytest.approx(10 / 49)


def test_all_eigenpatches_change_nothing() -> None:
    k = kernel(np.eye(25, dtype=np.float32).reshape(25, 5, 5))
    frequency, gain, highest = transfer_function(k)
    np.testing.assert_allclose(gain, 1, atol=1e-6)
    np.testing.assert_allclose(highest, 1, atol=1e-6)
    assert (frequency[0], frequency[-1]) == (0, 0.5)


def test_gain_of_fringes_is_on_the_curve() -> None:
    """Fringes of any direction come out weaker by the gain at their frequency."""
    y, x = np.indices((128, 128))
    frequency, angle = 1 / 12, 0.5
    fringes = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)))
    disc = np.hypot(*np.indices((9, 9)) - 4) < 4.5  # the same in all directions, nearly
    eigenpatch = (disc / np.sqrt(disc.sum())).astype(np.float32)[None]
    result = run_to_end(convolve(fringes.astype(np.float32), eigenpatch))[20:-20, 20:-20]
    curve = transfer_function(kernel(eigenpatch), pixel_size=0.5)
    weaker = np.std(result) / np.std(fringes[20:-20, 20:-20])
    gain = np.interp(frequency / 0.5, curve.frequency, curve.gain)
    assert weaker == pytest.approx(gain, rel=0.05)


def test_lattice_has_a_higher_gain_in_its_directions() -> None:
    x = np.arange(15)
    fringes = np.cos(2 * np.pi * x / 5) * np.ones((15, 1))
    patch = (fringes / np.linalg.norm(fringes)).astype(np.float32)[None]
    curve = transfer_function(kernel(patch))
    at = np.abs(curve.frequency - 0.2).argmin()
    assert curve.highest[at] > 3 * curve.gain[at]


def test_axis_ends_at_the_nyquist_frequency_of_the_larger_pixel() -> None:
    curve = transfer_function(kernel(basis(5, 2)), pixel_size=(0.1, 0.25))
    assert curve.frequency[-1] == pytest.approx(2)


def test_denoising_again_with_the_same_eigenpatches() -> None:
    image = np.random.default_rng(0).poisson(9, (60, 71))
    engine = Reucid(patch_size=7, n_stacks=1, keep=3)
    *_, step = denoise_steps(image, engine)
    np.testing.assert_array_equal(engine.rebuild(image, [step]), denoise(image, engine))
