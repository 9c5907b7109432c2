"""The metrics against plain transcriptions of their equations and known answers."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_lowdose import metrics

images = arrays(np.float64, array_shapes(min_dims=2, max_dims=3), elements=st.floats(-1e3, 1e3))
frc_shapes = st.tuples(st.integers(8, 40), st.integers(8, 40))


@pytest.fixture
def scene():
    rng = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(rng.random((48, 37)), 2) * 100
    return truth, truth + rng.normal(0, 3, truth.shape), truth + rng.normal(0, 1, truth.shape)


def transcribed_psnr(truth, test, data_range):
    total = sum((t - x) ** 2 for t, x in zip(truth.ravel(), test.ravel(), strict=True))
    return 10 * np.log10(data_range**2 / (total / truth.size))


def test_psnr_is_the_equation_and_scikit_images(scene):
    truth, noisy, _ = scene
    value = metrics.psnr(truth, noisy, data_range=40)
    assert value == pytest.approx(transcribed_psnr(truth, noisy, 40))
    assert value == pytest.approx(peak_signal_noise_ratio(truth, noisy, data_range=40))


def test_psnr_and_ssim_hold_for_unsigned_integers():
    # 3 - 5 must not wrap around, and mixed dtypes are what benchmarks have.
    truth = np.full((8, 8), 3, np.uint8)
    assert metrics.psnr(truth, truth + np.uint16(2), data_range=255) == pytest.approx(
        10 * np.log10(255**2 / 4)
    )
    assert metrics.ssim(truth, truth.astype(np.float32), data_range=255) == 1


def test_identical_images():
    image = np.random.default_rng(0).random((9, 9))
    assert metrics.psnr(image, image, data_range=1) == np.inf
    assert metrics.ssim(image, image, data_range=1) == 1


def test_ssim_is_scikit_images_and_the_mean_over_frames(scene):
    truth, noisy, clean = scene
    expected = [structural_similarity(truth, image, data_range=40) for image in (noisy, clean)]
    assert metrics.ssim(truth, noisy, data_range=40) == pytest.approx(expected[0])
    both = metrics.ssim(np.stack([truth, truth]), np.stack([noisy, clean]), data_range=40)
    assert both == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_the_range_is_never_guessed(metric):
    image = np.zeros((8, 8), np.uint8)
    with pytest.raises(TypeError, match="data_range"):
        metric(image, image)
    with pytest.raises(TypeError):
        metric(image, image, 255)
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="data_range must be a positive number"):
            metric(image, image, data_range=bad)


def test_ief_is_the_equation(scene):
    truth, noisy, clean = scene
    before = sum((n - t) ** 2 for n, t in zip(noisy.ravel(), truth.ravel(), strict=True))
    after = sum((x - t) ** 2 for x, t in zip(clean.ravel(), truth.ravel(), strict=True))
    assert metrics.ief(truth, noisy, clean) == pytest.approx(before / after)
    assert metrics.ief(truth, noisy, clean) == pytest.approx(9, rel=0.15)


def test_ief_at_its_limits(scene):
    truth, noisy, _ = scene
    assert metrics.ief(truth, noisy, truth) == np.inf
    assert np.isnan(metrics.ief(truth, truth, truth))
    assert metrics.ief(truth, noisy, noisy) == 1


def test_ief_is_the_gain_in_psnr(scene):
    truth, noisy, clean = scene
    gain = metrics.psnr(truth, clean, data_range=7) - metrics.psnr(truth, noisy, data_range=7)
    assert 10 * np.log10(metrics.ief(truth, noisy, clean)) == pytest.approx(gain)


@pytest.mark.parametrize("alpha", [0, 1, 8, 25])
def test_survey_ief_readings(scene, alpha):
    plain = metrics.ief(*scene)
    printed = metrics.survey_ief(*scene, n_eigenpatches=alpha)
    penalty = metrics.survey_ief(*scene, n_eigenpatches=alpha, reading="penalty")
    assert printed == pytest.approx(plain / 0.64**alpha)
    assert penalty == pytest.approx(plain * 0.64**alpha)


def test_survey_ief_as_printed_rewards_more_eigenpatches(scene):
    scores = [metrics.survey_ief(*scene, n_eigenpatches=n) for n in range(1, 26)]
    assert np.argmax(scores) == 24


def test_survey_ief_refuses(scene):
    with pytest.raises(ValueError, match="at least 0"):
        metrics.survey_ief(*scene, n_eigenpatches=-1)
    with pytest.raises(ValueError, match="reading"):
        metrics.survey_ief(*scene, n_eigenpatches=1, reading="other")
    with pytest.raises(ValueError, match="c must be"):
        metrics.survey_ief(*scene, n_eigenpatches=1, c=0)


def test_rsd_is_equation_10():
    pixels = np.random.default_rng(2).normal(50, 5, (100, 100))
    mean = pixels.sum() / pixels.size
    by_hand = np.sqrt(((pixels - mean) ** 2).sum() / (pixels.size - 1)) / mean * 100
    assert metrics.rsd(pixels) == pytest.approx(by_hand)
    assert metrics.rsd(pixels) == pytest.approx(10, rel=0.03)


def test_rsd_refuses():
    with pytest.raises(ValueError, match="two pixels"):
        metrics.rsd([[3]])
    with pytest.raises(ValueError, match="mean is 0"):
        metrics.rsd([-1, 1])


@given(images, st.floats(0.01, 100), st.floats(-100, 100))
def test_psnr_ignores_gain_and_offset_that_the_range_follows(image, gain, offset):
    test = image + 1.5
    plain = metrics.psnr(image, test, data_range=10)
    changed = metrics.psnr(image * gain + offset, test * gain + offset, data_range=10 * gain)
    assert changed == pytest.approx(plain, abs=1e-3)


@given(images)
def test_ief_of_half_the_error_is_four(image):
    assert metrics.ief(image, image + 2, image + 1) == pytest.approx(4)


@given(arrays(np.float64, 20, elements=st.floats(1, 1e3)), st.floats(0.01, 100))
def test_rsd_ignores_gain(region, gain):
    assert metrics.rsd(region * gain) == pytest.approx(metrics.rsd(region), abs=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: metrics.psnr(a, b, data_range=1),
        lambda a, b: metrics.ssim(a, b, data_range=1),
        lambda a, b: metrics.ief(a, a, b),
        lambda a, b: metrics.survey_ief(a, a, b, n_eigenpatches=1),
        metrics.frc,
    ],
)
def test_different_shapes_are_refused(call):
    # (8, 8) and (1, 8) would broadcast without a word.
    with pytest.raises(ValueError, match=r"same shape.*\(8, 8\).*\(1, 8\)"):
        call(np.ones((8, 8)), np.ones((1, 8)))


# ---------------------------------------------------------------- Fourier ring correlation


def transcribed_frc(first, second):
    """Loop over every frequency; Hann window; rings one pixel of the shorter side wide."""
    shape = first.shape
    taper = np.outer(np.hanning(shape[0]), np.hanning(shape[1]))
    f1, f2 = (np.fft.fft2((image - image.mean()) * taper) for image in (first, second))
    n = min(shape)
    common, p1, p2 = np.zeros(n), np.zeros(n), np.zeros(n)
    for row in range(shape[0]):
        for column in range(shape[1]):
            fy = (row if row < (shape[0] + 1) // 2 else row - shape[0]) / shape[0]
            fx = (column if column < (shape[1] + 1) // 2 else column - shape[1]) / shape[1]
            ring = round(n * np.hypot(fy, fx))
            common[ring] += (f1[row, column] * np.conj(f2[row, column])).real
            p1[ring] += abs(f1[row, column]) ** 2
            p2[ring] += abs(f2[row, column]) ** 2
    keep = slice(1, n // 2 + 1)
    return common[keep] / np.sqrt(p1[keep] * p2[keep])


@pytest.mark.parametrize("shape", [(32, 32), (31, 45), (40, 27)])
def test_frc_is_the_equation(shape):
    rng = np.random.default_rng(3)
    first = rng.random(shape)
    second = first + rng.random(shape)
    np.testing.assert_allclose(
        metrics.frc(first, second).correlation, transcribed_frc(first, second), atol=1e-12
    )


def band_limited_pair(shape, cut_off, noise=1.0, seed=4):
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    spectrum = np.fft.fft2(rng.normal(size=shape)) * (radius < cut_off)
    scene = np.fft.ifft2(spectrum).real
    return [scene + rng.normal(0, noise * scene.std(), shape) for _ in range(2)]


@pytest.mark.parametrize("window", ["hann", "tukey"])
@pytest.mark.parametrize("shape", [(256, 256), (200, 331), (257, 129)])
@pytest.mark.parametrize("cut_off", [0.1, 0.2, 0.3])
def test_frc_crosses_at_the_cut_off(shape, cut_off, window):
    result = metrics.frc(*band_limited_pair(shape, cut_off), window=window)
    # The window smears the edge of a band over two to three rings.
    assert 1 / result.resolution == pytest.approx(cut_off, abs=4 / min(shape))
    in_nm = metrics.frc(*band_limited_pair(shape, cut_off), window=window, pixel_size=0.02)
    assert in_nm.resolution == pytest.approx(0.02 * result.resolution)


def test_frc_falls_with_the_noise():
    blurred = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(256, 256)), 1.5)
    rng = np.random.default_rng(6)
    found = []
    for noise in (0.02, 0.1, 0.5):
        pair = [blurred + rng.normal(0, noise * blurred.std(), blurred.shape) for _ in range(2)]
        found.append(metrics.frc(*pair).resolution)
    assert found == sorted(found)
    assert found[0] < 0.8 * found[2]


def test_frc_of_independent_noise_is_zero():
    rng = np.random.default_rng(7)
    result = metrics.frc(rng.normal(size=(301, 256)), rng.normal(size=(301, 256)))
    assert abs(result.correlation[20:]).max() < 0.2
    assert abs(result.correlation.mean()) < 0.03


def test_frc_without_anything_in_common_has_no_resolution():
    image = np.random.default_rng(8).normal(size=(64, 64))
    assert metrics.frc(image, -image).resolution == np.inf


@settings(deadline=None)
@given(frc_shapes, st.floats(0.1, 10), st.floats(-100, 100))
def test_frc_of_the_same_image_is_one_whatever_gain_and_offset(shape, gain, offset):
    image = np.random.default_rng(9).normal(size=shape)
    result = metrics.frc(image, gain * image + offset)
    np.testing.assert_allclose(result.correlation, 1, atol=1e-9)
    assert np.isnan(result.resolution)


@settings(deadline=None)
@given(frc_shapes)
def test_frc_is_bounded_symmetric_and_sorted(shape):
    rng = np.random.default_rng(10)
    first, second = rng.random(shape), rng.random(shape)
    result = metrics.frc(first, second)
    assert (abs(result.correlation) <= 1 + 1e-12).all()
    assert (np.diff(result.frequencies) > 0).all()
    assert 0 < result.frequencies[0] and result.frequencies[-1] <= 0.5
    np.testing.assert_allclose(result.correlation, metrics.frc(second, first).correlation)


@pytest.mark.parametrize(
    ("image", "options", "says"),
    [
        (np.ones((16, 16)), {}, "constant"),
        (np.full((16, 16), np.nan), {}, "finite"),
        (np.eye(7), {}, "8 by 8"),
        (np.zeros((3, 16, 16)), {}, "8 by 8"),
        (np.eye(16), {"window": "box"}, "window"),
        (np.eye(16), {"threshold": 0}, "threshold"),
        (np.eye(16), {"threshold": "low"}, "threshold"),
        (np.eye(16), {"pixel_size": -1}, "pixel_size"),
        (np.zeros((0, 8)), {}, "empty"),
    ],
)
def test_frc_refuses(image, options, says):
    with pytest.raises(ValueError, match=says):
        metrics.frc(image, image, **options)


def test_importing_the_metrics_loads_neither_scikit_image_nor_scipy():
    code = (
        "import sys; from napari_lowdose import metrics; metrics.rsd\n"
        "print([m for m in ('skimage', 'scipy', 'torch', 'napari') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
