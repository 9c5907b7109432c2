"""Says what was removed, in words: noise, or structure, and where."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_lowdose import PoissonGaussian, estimate_noise
from napari_lowdose.inspection import inspect_result
from napari_lowdose.inspection.verdict import NOISE, NOTHING

NOISE_OF_COUNTS = PoissonGaussian(gain=1, offset=0, read_noise=0)


def lattice(n, low=6, high=25, period=12, sigma=2.2):
    y, x = np.mgrid[:n, :n]
    square = (y % period - period / 2) ** 2 + (x % period - period / 2) ** 2
    return low + high * np.exp(-square / (2 * sigma**2))


def disc(n):
    y, x = np.mgrid[:n, :n]
    return 20 + 100 * gaussian_filter((np.hypot(y - n / 2, x - n / 2) < n / 4) * 1.0, 1)


def noisy(scene, seed=0, noise=NOISE_OF_COUNTS):
    return noise.draw(scene, np.random.default_rng(seed))


def finding(raw, result, noise=NOISE_OF_COUNTS, **options):
    return inspect_result(raw, result, noise=noise, **options).verdict.finding


@pytest.mark.parametrize(
    "scene", [lattice(64), lattice(64, low=0.5, high=2.5), disc(64)], ids=["lattice", "few", "disc"]
)
def test_a_correct_result_raises_no_false_alarm(scene):
    found = [finding(noisy(scene, seed), scene) for seed in range(100)]
    assert found.count("noise") >= 95  # none of 1080 in benchmarks/inspection.py


def test_nor_does_noise_that_is_left_in_the_result():
    scene = lattice(96)
    for seed in range(5):
        raw = noisy(scene, seed)
        for left in (gaussian_filter(raw - scene, 1.5), (raw - scene) / 2):
            assert finding(raw, scene + left) == "noise"


def test_an_over_smoothed_lattice_has_lost_structure():
    raw = noisy(lattice(96))
    found = inspect_result(raw, gaussian_filter(raw, 2), noise=NOISE_OF_COUNTS)
    assert found.verdict.finding == "removed"
    assert found.verdict.headline.startswith("Structure was removed")
    assert found.places.n_removed >= 1
    assert 0.3 < found.places.places[0].share < 1
    assert found.curve.ratio[-1] > 2


def test_also_with_the_noise_of_the_image_itself():
    scene = lattice(128)
    raw = noisy(scene)
    assert finding(raw, scene, None) == "noise"
    assert finding(raw, gaussian_filter(raw, 2), None) == "removed"
    assert estimate_noise(raw).gain == pytest.approx(1, rel=0.1)


def test_the_lattice_that_is_lost_is_told_with_its_period_in_units():
    y, x = np.mgrid[:128, :128]
    wave = 5 * np.cos(2 * np.pi * (3 * x + 4 * y) / 50)
    noise = PoissonGaussian(gain=0, offset=0, read_noise=5)
    raw = noisy(100 + wave, noise=noise)
    found = inspect_result(raw, 100 + wave / 2, noise=noise, pixel_size=0.2, unit="nm")
    (sentence,) = [each for each in found.verdict.sentences if "lattice" in each]
    assert "A lattice of period 2 nm" in sentence
    (peak,) = found.residual_spectrum.peaks
    assert peak.share == pytest.approx(0.5, abs=0.1)


def test_edges_are_told_from_spots_and_outlined():
    raw = noisy(disc(256))
    found = inspect_result(raw, gaussian_filter(raw, 2), noise=NOISE_OF_COUNTS)
    assert "along edges" in found.verdict.headline
    radius = [
        np.hypot((y0 + y1) / 2 - 128, (x0 + x1) / 2 - 128)
        for y0, y1, x0, x1 in (place.box for place in found.places.removed)
    ]
    assert radius and all(30 < each < 100 for each in radius)


def test_one_atom_that_vanished_is_outlined():
    scene = lattice(128)
    raw = noisy(scene)
    without = scene.copy()
    without[60:72, 60:72] = 6
    found = inspect_result(raw, without, noise=NOISE_OF_COUNTS)
    assert found.verdict.finding == "removed"
    y0, y1, x0, x1 = found.places.places[0].box
    assert y0 <= 66 < y1 and x0 <= 66 < x1 and y1 - y0 <= 33


def test_an_atom_that_the_data_contradict_is_invented():
    scene = lattice(128)
    raw = noisy(scene)
    painted = scene.copy()
    painted[66:78, 66:78] += lattice(12) - 6  # between four others
    found = inspect_result(raw, painted, noise=NOISE_OF_COUNTS)
    assert found.verdict.finding in ("invented", "removed")
    assert found.places.n_invented == 1
    assert any("contradicts" in each for each in found.verdict.sentences)


def test_a_hot_pixel_is_no_structure():
    scene = np.full((96, 96), 50.0) + np.arange(96) / 20
    raw = noisy(scene)
    raw[30, 40] += 6.5 * np.sqrt(50)
    found = inspect_result(raw, scene, noise=NOISE_OF_COUNTS, pixel_size=None)
    assert found.verdict.finding == "noise"


def test_hum_that_is_finer_than_the_psf_is_a_disturbance():
    scene = lattice(128, sigma=3.5, period=16)
    y, x = np.mgrid[:128, :128]
    hum = 2 * np.cos(2 * np.pi * (0.31 * x + 0.05 * y))
    raw = noisy(scene + 10) + hum
    found = inspect_result(raw, scene + 10, noise=NOISE_OF_COUNTS)
    assert found.verdict.finding == "noise"
    assert any("periodic disturbance" in each for each in found.verdict.sentences)


def test_with_correlated_noise_it_says_that_it_cannot_tell():
    scene = lattice(128)
    raw = gaussian_filter(noisy(scene), 0.8)
    found = inspect_result(raw, scene, noise=NOISE_OF_COUNTS)
    assert found.verdict.finding == "unknown" and "share their noise" in found.verdict.headline


def test_the_raw_image_itself_is_told():
    raw = noisy(lattice(64))
    found = inspect_result(raw, raw, noise=NOISE_OF_COUNTS)
    assert found.verdict.headline == NOTHING != NOISE


def test_scan_noise_may_be_removed():
    scene = lattice(128)
    raw = noisy(scene) + np.random.default_rng(1).normal(0, 3, (128, 1))
    assert finding(raw, scene) == "noise"


def test_against_the_truth_and_with_a_second_exposure():
    scene = lattice(64)
    raw, second = noisy(scene, 0), noisy(scene, 1)
    found = inspect_result(raw, scene, second=second, truth=scene, noise=NOISE_OF_COUNTS)
    assert set(found.spectra) == {"raw", "result", "residual", "truth"}
    assert found.metrics["PSNR of the result"] > 100 > found.metrics["PSNR of the raw"]
    assert "The exposures agree down to" in str(found)


def test_images_that_do_not_match_are_refused_in_one_sentence():
    raw = noisy(lattice(64))
    with pytest.raises(ValueError, match=r"raw image has shape \(64, 64\) and the result \(50, 64"):
        inspect_result(raw, raw[:50])
    with pytest.raises(ValueError, match="the second exposure"):
        inspect_result(raw, raw, second=raw[:50])
    with pytest.raises(ValueError, match="One frame is needed"):
        inspect_result(np.stack([raw, raw]), raw)
    with pytest.raises(ValueError, match="the result is None"):
        inspect_result(raw, None)
    with pytest.raises(ValueError, match="the raw image is constant"):
        inspect_result(np.ones_like(raw), raw)
    with pytest.raises(ValueError, match="NaN"):
        inspect_result(np.where(raw > 10, np.nan, raw), raw)
