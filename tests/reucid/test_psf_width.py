"""The estimated PSF width against simulations whose PSF is known, and what images do to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from benchmarks.scenes import Image, background, lattice, scattered
from napari_lowdose.reucid.psf_width import DEFAULT_WIDTH, MAX_WIDTH, MIN_WIDTH, psf_width


def with_noise(image: Image, psnr: float, seed: int, correlation: float = 0.0) -> Image:
    """Add Gaussian noise, blurred by `correlation` pixels, to an image from 0 to 1."""
    noise = np.random.default_rng(seed).normal(size=image.shape)
    noise = gaussian_filter(noise, correlation) if correlation else noise
    return image + noise / noise.std() * 10 ** (-psnr / 20)


def row_noise(image: Image, size: float, seed: int) -> Image:
    """Offset of each row."""
    return size * np.random.default_rng(1000 + seed).normal(size=(image.shape[0], 1))


SIGMAS = [1.2, 1.6, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("psnr", [None, 22, 16, 13])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_scattered_spots_have_the_width_of_their_base(sigma: float, psnr: float | None) -> None:
    image = scattered(sigma)
    for seed in range(3):
        seen = image if psnr is None else with_noise(image, psnr, seed)
        assert psf_width(seen) == pytest.approx(4.5 * sigma, abs=max(2.3, 0.8 * sigma))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_sparse_lattice_gives_the_spots_width_and_not_their_distance(sigma: float) -> None:
    image = lattice(sigma, pitch=12 * sigma)
    for psnr in (22, 13, 9):
        assert psf_width(with_noise(image, psnr, 0)) == pytest.approx(4.5 * sigma, abs=3)


@pytest.mark.parametrize("pitch", [12, 16, 20, 24, 30])
def test_dense_lattice_gives_the_first_minimum(pitch: float) -> None:
    image = lattice(pitch / 5, pitch)
    # rows of spots `pitch` apart: J0(2 pi r / pitch), whose first minimum is at 0.61 pitch
    for psnr in (22, 13, 9):
        assert psf_width(with_noise(image, psnr, 0)) == pytest.approx(0.61 * pitch, abs=1.7)


def test_from_dense_to_sparse_the_width_grows_without_a_jump() -> None:
    widths = [psf_width(lattice(2.5, pitch)) for pitch in range(10, 40)]
    assert widths[0] == pytest.approx(0.61 * 10, abs=1.2)
    assert widths[-1] == 11
    assert max(abs(np.diff(widths))) <= 2
    assert max(widths) <= 13


@pytest.mark.parametrize("psnr", [9, 13, 16, 22])
def test_the_noise_spike_does_not_matter(psnr: float) -> None:
    for image in (scattered(2), lattice(2, 24), lattice(3, 18)):
        found = [psf_width(with_noise(image, psnr, seed)) for seed in range(4)]
        assert found == pytest.approx([psf_width(image)] * 4, abs=2)


@pytest.mark.parametrize("correlation", [0.4, 0.5, 0.6])
def test_noise_that_neighbouring_pixels_share_does_not_matter(correlation: float) -> None:
    for image in (scattered(2.5), lattice(2.5, 24), lattice(3, 18)):
        assert psf_width(with_noise(image, 13, 0, correlation)) == pytest.approx(
            psf_width(image), abs=2
        )


@pytest.mark.parametrize("direction", ["rows", "columns"])
@pytest.mark.parametrize("size", [0.08, 0.3])
def test_row_and_column_noise_do_not_matter(size: float, direction: str) -> None:
    for image in (scattered(2), lattice(2, 24), lattice(3, 18), lattice(3, 18, turn=0)):
        for seed in range(3):
            offsets = row_noise(image, size, seed)
            seen = with_noise(image, 16, seed) + (offsets if direction == "rows" else offsets.T)
            assert psf_width(seen) == pytest.approx(psf_width(image), abs=2)


def test_row_noise_that_drifts_does_not_matter() -> None:
    image = lattice(3, 18)
    drift = np.cumsum(0.1 * np.random.default_rng(0).normal(size=(256, 1)), axis=0)
    assert psf_width(with_noise(image, 16, 0) + drift) == pytest.approx(psf_width(image), abs=2)


@pytest.mark.parametrize("height", [0.5, 1, 3])
def test_uneven_background_does_not_matter(height: float) -> None:
    for image in (scattered(2), lattice(2, 24), lattice(3, 18), lattice(5, 25)):
        seen = with_noise(image, 16, 0) + row_noise(image, 0.08, 0)
        seen = seen + height * background(image.shape, 0)
        assert psf_width(seen) == pytest.approx(psf_width(image), abs=2)


@pytest.mark.parametrize("jitter", [0.5, 1, 2])
def test_rows_shifted_by_the_scan_do_not_matter(jitter: float) -> None:
    shifts = jitter * np.random.default_rng(0).normal(size=256)
    x = np.arange(256)
    for image in (scattered(2.5), lattice(2, 24), lattice(3, 18)):
        torn = [np.interp(x + shift, x, row) for row, shift in zip(image, shifts, strict=True)]
        seen = with_noise(np.array(torn), 16, 0) + 2 * background(image.shape, 0)
        assert psf_width(seen) == pytest.approx(psf_width(image), abs=2)


def test_fringes_of_either_direction_are_seen() -> None:
    y = np.mgrid[:256, :256][0]
    fringes = np.cos(2 * np.pi * y / 14.0)
    for image in (fringes, fringes.T):
        assert psf_width(image) == 9  # 0.61 of 14 pixels is 8.5
        assert psf_width(with_noise(image, 9, 0)) == 9


def test_filaments_give_their_own_width() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    image = np.zeros((256, 256))
    for angle, place in zip(rng.uniform(0, np.pi, 12), rng.uniform(-100, 100, 12), strict=True):
        across = np.cos(angle) * (y - 128) + np.sin(angle) * (x - 128) - place
        image += np.exp(-(across**2) / (2 * 2.0**2))
    for psnr in (22, 13):
        assert 5 <= psf_width(with_noise(image, psnr, 0)) <= 13


def test_blurred_discs_give_no_more_than_their_diameter() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    discs = np.zeros((512, 512))
    for row, column in rng.uniform(20, 490, (40, 2)):
        discs[np.hypot(y - row, x - column) < 9] = 1
    image = gaussian_filter(discs, 2)
    for psnr in (22, 13):
        assert 9 <= psf_width(with_noise(image, psnr, 0)) <= 18 + 4 * 2


@pytest.mark.parametrize("shape", [(96, 512), (512, 96), (64, 64), (300, 257), (1100, 200)])
def test_any_shape(shape: tuple[int, int]) -> None:
    assert psf_width(with_noise(lattice(2, 24, shape), 16, 0)) == pytest.approx(9, abs=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.float32, np.float64])
def test_any_dtype(dtype: type[np.generic]) -> None:
    seen = with_noise(scattered(2), 22, 0)
    counts = (100 * (seen - seen.min()) / np.ptp(seen)).astype(dtype)
    assert psf_width(counts) == pytest.approx(psf_width(seen), abs=2)


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(1e-6, 1e6), offset=st.floats(-1e3, 1e3), inverted=st.booleans())
def test_gain_offset_and_contrast_reversal_do_not_matter(
    gain: float, offset: float, inverted: bool
) -> None:
    seen = with_noise(lattice(2.1, 23, (96, 96)), 16, 0)
    changed = (-gain if inverted else gain) * (seen + offset)
    assert psf_width(changed) == psf_width(seen)


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    seed=st.integers(0, 10),
    kind=st.sampled_from(["noise", "constant", "spike", "waves"]),
)
def test_the_answer_is_odd_and_the_patch_fits(shape: tuple[int, int], seed: int, kind: str) -> None:
    image = np.random.default_rng(seed).normal(size=shape)
    if kind == "constant":
        image[:] = 3
    elif kind == "spike":
        image[0, 0] = 1e6
    elif kind == "waves":
        image = np.add.outer(np.sin(np.arange(shape[0])), np.cos(np.arange(shape[1])))
    width = psf_width(image)
    assert isinstance(width, int)
    assert width % 2 == 1
    assert 1 <= width <= max(1, min(shape) // 2)
    assert width <= MAX_WIDTH
    assert width >= min(MIN_WIDTH, min(shape) // 2 - 1)


@pytest.mark.parametrize("size", [64, 256, 1100])
def test_noise_alone_gives_the_default(size: int) -> None:
    rng = np.random.default_rng(size)
    noise = rng.normal(size=(size, size))
    assert psf_width(noise) == DEFAULT_WIDTH
    assert psf_width(rng.poisson(0.1, (size, size))) == DEFAULT_WIDTH
    assert psf_width(noise + row_noise(noise, 1, 0)) == DEFAULT_WIDTH
    noise[size // 3, size // 2] = 1e4  # a hot pixel
    assert psf_width(noise) == DEFAULT_WIDTH


def test_dead_row_and_hot_pixel_do_not_matter() -> None:
    image = with_noise(lattice(3, 18), 16, 0)
    right = psf_width(image)
    image[50] = 0
    image[60, 70] = 20
    assert psf_width(image) == right


def test_constant_and_non_finite_images_do_not_crash() -> None:
    assert psf_width(np.full((64, 64), 7)) == DEFAULT_WIDTH
    with np.errstate(invalid="ignore"):
        assert psf_width(np.full((64, 64), np.nan)) == DEFAULT_WIDTH


def test_only_one_image_at_a_time() -> None:
    with pytest.raises(ValueError, match=r"one \(Y, X\) image, not on shape \(3, 64, 64\)"):
        psf_width(np.zeros((3, 64, 64)))
