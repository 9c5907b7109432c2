"""Profiles, spectra, gain, resolution, boxes and points: values against plain calculations."""

import tracemalloc

import numpy as np
import pytest

from napari_lowdose import Reucid, metrics
from napari_lowdose.engine import run_to_end
from napari_lowdose.inspection import (
    PixelScale,
    box_statistics,
    histograms,
    line_profile,
    measured_gain,
    point_contrast,
    power_spectrum,
    ring_correlation,
)
from napari_lowdose.inspection.gain import reucid_transfer_steps
from napari_lowdose.reucid.kernel import kernel, transfer_function

Y, X = np.mgrid[:96, :128]
RNG = np.random.default_rng(0)


def test_a_profile_is_that_of_the_pixels_in_units_of_length():
    image = 3.0 * Y + X
    profile = line_profile(image, (10, 20), (40, 60), scale=PixelScale.of((2.0, 1.0), "nm"))
    assert len(profile.distance) == len(profile.values) == 51
    assert profile.distance[-1] == pytest.approx(np.hypot(30 * 2, 40))
    np.testing.assert_allclose(profile.values[[0, -1]], [50, 180])


STACK, PAINTED = np.zeros((2, 32, 32)), np.zeros((32, 32), complex)


@pytest.mark.parametrize("given", ["raw.tif", None, STACK, STACK[0, 0], PAINTED])
@pytest.mark.parametrize(
    "measure",
    [
        lambda image: box_statistics(image, (0, 9, 0, 9)),
        lambda image: histograms({"raw": image}),
        lambda image: line_profile(image, (1, 1), (9, 9)),
        lambda image: measured_gain(image, image),
        lambda image: point_contrast(image, (9, 9), psf_width=5),
        power_spectrum,
        lambda image: ring_correlation(image, image),
    ],
)
def test_only_a_frame_of_real_numbers_is_measured(given, measure):
    with pytest.raises(ValueError, match=r"(read its pixels|give an array|shape|complex).*\.$"):
        measure(given)


def test_nested_lists_are_a_frame():
    image = (10 * np.cos(Y / 3) * np.cos(X / 3) + 20).round()
    of_list = point_contrast(image.tolist(), (47, 57), psf_width=9)
    np.testing.assert_array_equal(
        of_list.neighbours, point_contrast(image, (47, 57), psf_width=9).neighbours
    )
    assert box_statistics(image.tolist(), (2, 9, 2, 9)) == box_statistics(image, (2, 9, 2, 9))


def test_a_pixel_size_is_one_length_or_two():
    assert PixelScale.of([0.5, 0.25], "nm") == PixelScale.of((0.5, 0.25), "nm")
    for wrong in ("nm", (1, 2, 3), -1):
        with pytest.raises(ValueError, match="pixel size is a"):
            PixelScale.of(wrong, "nm")


def test_a_profile_of_a_large_image_converts_only_the_pixels_around_the_line():
    image = np.zeros((2048, 2048), np.uint8)
    tracemalloc.start()
    line_profile(image, (1000, 1000), (1010, 1030))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20


def test_a_wave_is_at_its_frequency_whatever_the_shape_and_the_pixel_size():
    scale = PixelScale.of((0.5, 0.25), "nm")
    wave = np.cos(2 * np.pi * (0.4 * Y * 0.5 + 0.3 * X * 0.25))  # 0.5 per nm
    spectrum = power_spectrum(wave, scale=scale)
    assert spectrum.frequency[spectrum.power.argmax()] == pytest.approx(0.5, abs=0.03)
    assert spectrum.extent == (1.0, 2.0)
    peak = np.unravel_index(spectrum.picture.argmax(), spectrum.picture.shape)
    middle = np.array(spectrum.picture.shape) // 2
    along = (peak - middle) / middle * spectrum.extent
    np.testing.assert_allclose(np.abs(along), [0.4, 0.3], atol=0.03)


def test_white_noise_has_its_variance_at_every_frequency():
    spectrum = power_spectrum(RNG.normal(5, 3, (255, 200)))
    np.testing.assert_allclose(spectrum.power[20:].mean(), 9, rtol=0.05)
    assert spectrum.picture.shape == (255, 199)


def test_the_gain_of_reucid_is_its_transfer_function():
    scene = 20 + 15 * np.cos(2 * np.pi * X / 12) * np.cos(2 * np.pi * Y / 12)
    raw = RNG.poisson(scene).astype(np.float32)
    engine = Reucid(patch_size=9, n_stacks=1, scan_noise="keep")
    learnt = engine.learn(raw)
    result = run_to_end(_steps(engine, raw))
    found = measured_gain(raw, result)
    expected = transfer_function(kernel(learnt.stack.eigenpatches[learnt.stack.kept]))
    at = (found.frequency > 0.2) & (found.frequency < 0.45)  # noise alone: every direction counts
    np.testing.assert_allclose(
        found.gain[at].mean(),
        np.interp(found.frequency[at], expected.frequency, expected.gain).mean(),
        atol=0.02,
    )
    again = run_to_end(reucid_transfer_steps(raw, engine, scale=PixelScale.of(0.5, "nm")))
    np.testing.assert_allclose(again.gain, expected.gain, atol=1e-5)
    np.testing.assert_allclose(again.frequency, 2 * expected.frequency)


def _steps(engine, raw):
    image = None
    for step in engine.frame_steps(raw):
        yield step
        image = step.image if step.image is not None else image
    return image


def test_two_exposures_agree_where_the_metric_says():
    scene = np.kron(RNG.normal(size=(24, 32)), np.ones((4, 4)))
    first, second = scene + RNG.normal(0, 1, (2, 96, 128))
    found = ring_correlation(first, second, scale=PixelScale.of(0.5, "nm"))
    plain = metrics.frc(first, second, pixel_size=0.5)
    np.testing.assert_array_equal(found.correlation, plain.correlation)
    assert 1 / found.at_seventh == pytest.approx(plain.resolution)
    assert 0.14 < found.half_bit[-1] < found.half_bit[0] < 1
    assert f"{plain.resolution:.3g} nm (1/7)" in str(found)


def test_exposures_of_noise_agree_on_nothing():
    found = ring_correlation(*RNG.normal(size=(2, 64, 64)))
    assert found.at_half_bit < 0.1


def test_a_box_has_the_rsd_of_the_paper():
    pixels = RNG.normal(110, 5, (20, 30))
    found = box_statistics(pixels, (2, 12, 5, 25), offset=10)
    assert found.rsd == pytest.approx(metrics.rsd(pixels[2:12, 5:25] - 10))
    assert (found.n, found.mean) == (200, pytest.approx(pixels[2:12, 5:25].mean()))
    assert "offset 10" in str(found)
    with pytest.raises(ValueError, match="larger"):
        box_statistics(pixels, (2, 3, 4, 5))


def test_a_vacancy_is_lower_than_its_neighbours(truth):
    found = point_contrast(truth, (40, 56), psf_width=13)  # the missing column
    assert len(found.neighbours) == 6 and abs(found.relative) < 0.1
    regular = point_contrast(truth, (41, 39), psf_width=13)  # beside a column
    assert regular.relative == pytest.approx(1, abs=0.02)
    assert [40, 56] not in regular.positions.tolist()


def test_a_point_without_neighbours_is_refused():
    with pytest.raises(ValueError, match="no maxima"):
        point_contrast(np.zeros((64, 64)), (30, 30), psf_width=9)
    with pytest.raises(ValueError, match="outside"):
        point_contrast(np.zeros((64, 64)), (30, 90), psf_width=9)


def test_histograms_share_their_bins_and_counts_leave_none_empty():
    counts = RNG.poisson(5, (64, 64)).astype(np.uint16)
    found = histograms({"raw": counts, "result": counts})
    assert (found.density["raw"] > 0).all()
    np.testing.assert_array_equal(found.density["raw"], found.density["result"])


def test_pixels_without_a_value_are_not_counted():
    """The standard error of REUCID is NaN outside of the image area."""
    image = RNG.normal(50, 5, (64, 64))
    with_border = np.pad(image, 8, constant_values=np.nan)
    found, expected = histograms({"raw": with_border}), histograms({"raw": image})
    np.testing.assert_allclose(found.edges, expected.edges)
    np.testing.assert_allclose(found.density["raw"], expected.density["raw"])
    with pytest.raises(ValueError, match="'raw' has no finite pixel"):
        histograms({"raw": np.full((9, 9), np.nan)})
