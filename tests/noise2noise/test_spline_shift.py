"""Subpixel shifts have the right direction and do not blur."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_lowdose.noise2noise.spline_shift import RADIUS, spline_shift

INNER = (slice(2 * RADIUS, -2 * RADIUS),) * 2


def moved(image: NDArray[np.float32], dy: float, dx: float) -> NDArray[np.float32]:
    shifted: NDArray[np.float32] = spline_shift(
        torch.from_numpy(image)[None, None], torch.tensor([[dy, dx]])
    )[0, 0].numpy()
    return shifted


@settings(max_examples=25, deadline=None)
@given(dy=st.floats(-1, 1, width=32), dx=st.floats(-1, 1, width=32), seed=st.integers(0, 99))
def test_shift_equals_the_interpolating_cubic_spline(dy: float, dx: float, seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=(56, 60)).astype(np.float32)
    expected = ndimage.shift(image.astype(float), (dy, dx), order=3, mode="mirror")
    # The prefilter reaches to infinity, the kernel not: 0.27 to the power of 8
    np.testing.assert_allclose(moved(image, dy, dx)[INNER], expected[INNER], atol=3e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_wave_moves_down_and_to_the_right(sign: int) -> None:
    y, x = np.mgrid[:64, :64]

    def wave(dy: float, dx: float) -> NDArray[np.float32]:
        return np.sin((y - dy) / 2 + (x - dx) / 3).astype(np.float32)  # type: ignore[no-any-return]

    dy, dx = sign * 0.4, -sign * 0.7
    found = moved(wave(0, 0), dy, dx)
    np.testing.assert_allclose(found[INNER], wave(dy, dx)[INNER], atol=2e-3)
    assert np.abs(found - wave(-dy, -dx))[INNER].max() > 0.05


def test_each_image_has_its_own_shift() -> None:
    images = torch.randn(3, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    shifts = torch.tensor([[0.0, 0.0], [0.3, -0.2], [-1.0, 1.0]])
    together = spline_shift(images, shifts)
    for each, image, shift in zip(together, images, shifts, strict=True):
        torch.testing.assert_close(each, spline_shift(image[None], shift[None])[0])
    torch.testing.assert_close(together[0], images[0], atol=1e-5, rtol=0)  # not moved at all
    whole = torch.roll(images[2], (-1, 1), (-2, -1))[:, 1:-1, 1:-1]
    torch.testing.assert_close(together[2][:, 1:-1, 1:-1], whole, atol=1e-5, rtol=0)


def test_constant_image_stays_constant() -> None:
    level = torch.full((1, 1, 32, 32), 1000.0)
    torch.testing.assert_close(spline_shift(level, torch.tensor([[0.4, -0.4]])), level)


def test_gradient_is_the_inverse_shift() -> None:
    """Training needs the gradient, which is the opposite shift."""
    image = torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    image.requires_grad_()
    target = torch.zeros(1, 1, 48, 48)
    target[0, 0, 24, 24] = 1
    (spline_shift(image, torch.tensor([[0.3, 0.6]])) * target).sum().backward()
    assert image.grad is not None
    expected = spline_shift(target, torch.tensor([[-0.3, -0.6]]))
    torch.testing.assert_close(image.grad, expected, atol=1e-6, rtol=0)


def test_shifts_are_on_the_cpu_and_images_on_any_device() -> None:
    """The kernel is computed in float64, which MPS does not have."""
    image = torch.empty(2, 1, 32, 32, device="meta")
    shifted = spline_shift(image, torch.tensor([[0.1, 0.2], [0.3, 0.4]]))
    assert shifted.device.type == "meta"
    assert shifted.dtype == torch.float32
