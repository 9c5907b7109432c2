"""What of a result the raw image supports, and how much of a planted change survives."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import median_filter

from napari_lowdose import (
    Noise2Noise,
    PoissonGaussian,
    Reucid,
    denoise,
    evidence,
    samples,
    survival,
)
from napari_lowdose.engine import Engine, Step, run_to_end
from napari_lowdose.imaging.planted_change import Change
from napari_lowdose.survival import SurvivalTest, survival_steps

SHAPE = (128, 128)
ATOM = 2.0  # pixels, standard deviation
NOISE = PoissonGaussian(gain=2.5, offset=100.0, read_noise=3.0)
ADDITIVE = PoissonGaussian(gain=0.0, offset=0.0, read_noise=20.0)


def atom(y: float, x: float, height: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * ATOM**2))


def crystal(spacing: int = 16) -> np.ndarray:
    """Return the expected intensity of a crystal, grey levels."""
    half = spacing // 2
    sites = [
        atom(y, x, 150.0) for y in range(half, 128, spacing) for x in range(half, 128, spacing)
    ]
    return 112.0 + sum(sites)


TRUTH = crystal()


def recorded(truth: np.ndarray, noise: PoissonGaussian = NOISE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    read = rng.normal(0, noise.read_noise, truth.shape)
    if noise.gain == 0:
        return truth + read
    return noise.gain * rng.poisson((truth - noise.offset) / noise.gain) + noise.offset + read


# ---------------------------------------------------------------------- evidence


@pytest.mark.parametrize("noise", [NOISE, ADDITIVE], ids=["Poisson-Gaussian", "additive"])
def test_a_true_result_has_the_false_alarms_of_a_normal_distribution(noise):
    found = [evidence(recorded(TRUTH, noise, seed), TRUTH, noise) for seed in range(10)]
    z = np.concatenate([each.residual.ravel() for each in found])
    assert np.mean(np.abs(z) > 2) == pytest.approx(0.0455, abs=0.008)
    assert z.mean() == pytest.approx(0, abs=0.03)
    border = np.stack([each.residual[:3] for each in found])
    assert border.std() == pytest.approx(1, abs=0.15)


def test_a_true_result_at_few_electrons_has_no_more_false_alarms_than_promised():
    noise = PoissonGaussian(gain=1, offset=0, read_noise=0)
    truth = (TRUTH - 100) / 150  # 0.08 to 1 electrons per pixel
    found = [
        evidence(recorded(truth, noise, seed), truth, noise, psf_width=9) for seed in range(40)
    ]
    assert np.mean([np.abs(each.residual) > 2 for each in found]) < 0.055
    assert (
        np.mean([each.n_unsupported + each.n_removed for each in found]) < 0.2
    )  # 2 x 0.05 and luck


def test_the_default_threshold_is_that_of_the_image_size():
    found = evidence(recorded(TRUTH), TRUTH, NOISE)
    assert 4.5 < found.threshold < 4.8
    assert (found.n_unsupported, found.n_removed) == (0, 0)


@pytest.mark.parametrize("noise", [NOISE, None], ids=["known noise", "estimated noise"])
@pytest.mark.parametrize("height", [90.0, -60.0], ids=["atom", "hole"])
def test_painted_structure_is_unsupported_and_nothing_else(noise, height):
    where = (64, 64)  # between the atoms
    truth = TRUTH + 100
    found = evidence(recorded(truth), truth + atom(*where, height), noise)
    assert found.unsupported[where] and found.n_unsupported == 1
    assert np.hypot(*(np.argwhere(found.unsupported) - where).T).max() < 4 * ATOM
    assert np.sign(found.residual[where]) == -np.sign(height)


def test_a_removed_atom_is_in_the_residual_and_not_unsupported():
    removed = TRUTH - atom(72, 72, 150.0)
    found = evidence(recorded(TRUTH), removed, NOISE)
    assert found.residual[72, 72] > 10 and found.removed[72, 72]
    assert not found.unsupported[72, 72]
    elsewhere = np.hypot(*(np.indices(SHAPE) - 72)) > 12 * ATOM
    assert np.abs(found.residual[elsewhere]).max() < found.threshold


def test_a_vacancy_that_the_result_fills_is_unsupported():
    found = evidence(recorded(TRUTH - atom(72, 72, 150.0)), TRUTH, NOISE)
    assert found.unsupported[72, 72] and found.n_unsupported == 1


def test_noise_that_a_result_follows_is_not_significant():
    image = recorded(np.full(SHAPE, 180.0))
    found = evidence(image, image, NOISE, psf_width=9)
    # The variance is that of the noisy levels, which differ
    assert np.mean(np.abs(found.significance) > 2) == pytest.approx(0.0455, abs=0.015)
    assert np.abs(found.residual).max() < 0.1
    assert not found.unsupported.any()


def test_a_blurred_result_has_structure_in_its_residual():
    image = recorded(TRUTH)
    blurred = evidence(image, median_filter(image, 15), NOISE)
    assert blurred.removed[8::16, 8::16].mean() > 0.9  # the atoms
    for engine in (Reucid(patch_size="psf"), Reucid(patch_size="wide")):
        found = evidence(image, denoise(image, engine), NOISE)
        assert (found.n_unsupported, found.n_removed) == (0, 0)


def test_scan_noise_that_a_result_removes_is_no_structure():
    rows = np.random.default_rng(1).normal(0, 15, (128, 1))
    found = evidence(recorded(TRUTH) + rows, TRUTH, NOISE)
    assert np.mean(np.abs(found.residual) > 2) < 0.06
    assert (found.n_unsupported, found.n_removed) == (0, 0)


def test_outliers_and_an_info_bar_are_left_out():
    image = recorded(TRUTH)
    image[40, 40] = 60000
    image[-12:] = 0
    clean = TRUTH.copy()
    clean[-12:] = 0
    found = evidence(image, clean, NOISE)
    assert (found.n_unsupported, found.n_removed) == (0, 0)
    assert not found.significance[-12:].any() and not found.residual[-12:].any()


def test_a_network_trained_on_the_pair_is_compared_with_its_first_exposure():
    first, second, _ = samples.stem_pair()
    clean = denoise((first, second), Noise2Noise(epochs=2, device="cpu", fallback=False))
    found = evidence(first, clean)
    assert np.isfinite(found.residual).all()
    assert found.residual.shape == first.shape


def test_a_high_info_bar_beside_additive_noise():
    """Where no pixel counts for far around, the noise of the contrast is not known."""
    image = recorded(TRUTH, ADDITIVE, seed=1)
    raw, clean = (np.pad(each, ((0, 80), (0, 0))) for each in (image, TRUTH))
    raw[160:180, 5:100:3] = clean[160:180, 5:100:3] = 255
    found = evidence(raw, clean, ADDITIVE)
    assert (found.n_unsupported, found.n_removed) == (0, 0)
    assert np.isfinite(found.significance).all() and not found.significance[128:].any()


def test_the_summary_counts_places():
    found = evidence(recorded(TRUTH), TRUTH + atom(64, 64, 90.0), NOISE)
    assert str(found).startswith("1 place with structure that the data do not support, 0 places")


NAN = np.where(np.arange(128) == 5, np.nan, TRUTH)


@pytest.mark.parametrize(
    ("image", "result", "options", "message"),
    [
        (TRUTH, TRUTH[:-1], {}, "The image has shape (128, 128) and the result (127, 128)"),
        (NAN, TRUTH, {}, "128 of 16384 pixels are NaN"),
        (TRUTH, NAN, {}, "128 of 16384 pixels are NaN"),
        (TRUTH, np.zeros(SHAPE), {}, "the result is constant"),
        (TRUTH[:9, :9], TRUTH[:9, :9], {}, "the image of 9 x 9 pixels is too small"),
        (np.stack([TRUTH] * 2), TRUTH, {}, "One frame is needed, but the shape of the image is"),
        ("a.tif", TRUTH, {}, "the image is a path"),
        (TRUTH, "a.tif", {}, "the result is a path"),
        (TRUTH, TRUTH, {"noise": 3.0}, "noise is a PoissonGaussian(gain, offset, read_noise)"),
        (TRUTH, TRUTH, {"threshold": -1}, "threshold must be a positive number"),
        (TRUTH, TRUTH, {"threshold": "high"}, "threshold must be a positive number"),
        (TRUTH, TRUTH, {"psf_width": 0}, "psf_width must be a whole number"),
    ],
)
def test_unsuitable_input_is_refused_in_one_sentence(image, result, options, message):
    with pytest.raises(ValueError) as error:
        evidence(image, result, **{"noise": NOISE, **options})
    assert message in str(error.value)
    assert str(error.value).count(". ") == 0


# ---------------------------------------------------------------------- survival


@dataclass(frozen=True)
class Median(Engine):
    """Median of a square; 1 pixel changes nothing."""

    width: int = 15

    def frame_steps(self, frame: Any) -> Iterator[Step]:
        image = median_filter(np.asarray(frame, np.float32), self.width)
        yield Step(fraction=1.0, message="filtered", image=image)


@pytest.mark.parametrize("contrast", [-1.0, -0.5, 0.5])
@pytest.mark.parametrize("noise", [NOISE, ADDITIVE], ids=["Poisson-Gaussian", "additive"])
def test_an_engine_that_changes_nothing_keeps_all(noise, contrast):
    found = survival(recorded(TRUTH, noise), Median(1), (72, 72), contrast, n=20, noise=noise)
    assert found.share == pytest.approx(1, abs=max(4 * found.error, 1e-3))
    assert np.sign(found.planted[0]) == np.sign(contrast)
    assert abs(found.planted[0]) == pytest.approx(150 * abs(contrast), rel=0.25)


def test_reucid_keeps_an_atom_and_a_wide_median_loses_it():
    image = recorded(TRUTH)
    kept = survival(image, Reucid(patch_size="psf"), at=(72, 72), contrast=-0.5, noise=NOISE)
    lost = survival(image, Median(15), at=(72, 72), contrast=-0.5, noise=NOISE)
    assert 0.85 < kept.share < 1.05 and kept.error < 0.1
    assert abs(lost.share) < 0.1
    assert kept.visibility[0] < -5
    assert "of the planted contrast survives" in str(kept)


def test_the_noise_is_estimated():
    found = survival(recorded(TRUTH), Median(1), at=(72, 72), n=3)
    assert found.noise.gain == pytest.approx(2.5, rel=0.2)


@pytest.mark.parametrize("change", [-0.4, 0.4])
@pytest.mark.parametrize(("gain", "read"), [(1.0, 0.0), (2.5, 3.0), (2.0, 10.0)])
def test_a_planted_change_has_the_noise_of_the_changed_specimen(gain, read, change):
    noise = PoissonGaussian(gain, 100.0, read)
    truth = np.full((200, 200), 100 + 12 * gain)
    planned = np.full_like(truth, change * 12 * gain)
    changed = Change(recorded(truth, noise), planned, truth, noise)
    image = changed.draw(np.random.default_rng(1))
    assert image.mean() == pytest.approx((truth + planned).mean(), rel=5e-3)
    assert image.var() == pytest.approx(noise.variance(truth + planned).mean(), rel=0.04)
    assert changed.expected.mean() == pytest.approx(planned.mean(), rel=0.02)


def test_several_sites_are_independent_samples_and_draws_are_reproducible():
    image = recorded(TRUTH)
    at = [(72, 72), (40, 56), (88, 24)]
    found = survival(image, Median(1), at, n=2, noise=NOISE, seed=3)
    assert found.shares.shape == (3, 2) and found.planted.shape == (3,)
    assert found.error == pytest.approx(found.shares.mean(axis=1).std(ddof=1) / np.sqrt(3))
    again = survival(image, Median(1), at, n=2, noise=NOISE, seed=3)
    np.testing.assert_array_equal(found.shares, again.shares)
    assert np.isnan(survival(image, Median(1), (72, 72), n=1, noise=NOISE).error)


def test_sites_measured_one_after_the_other_give_the_same_as_all_at_once():
    image, at = recorded(TRUTH), [(72, 72), (40, 56), (88, 24)]
    together = survival(image, Median(1), at, n=2, seed=3)
    test = SurvivalTest(image, Median(1), n=2, seed=3)
    run_to_end(test.measure(at[0]))
    run_to_end(test.measure(at[1:]))
    np.testing.assert_array_equal(test.result.shares, together.shares)
    assert test.sites == at and str(test.result) == str(together)
    assert "; mean of 3 sites)" in str(together)


def test_the_site_near_a_position_is_the_atom():
    test = SurvivalTest(recorded(TRUTH), Median(1), noise=NOISE, psf_width=9)
    for position in [(72, 72), (70, 73), (73, 71)]:
        assert np.hypot(*np.subtract(run_to_end(test.find_site(position)), (72, 72))) < 1.5
    dark = SurvivalTest(300 - recorded(TRUTH), Median(1), noise=ADDITIVE, psf_width=9)
    assert np.hypot(*np.subtract(run_to_end(dark.find_site((71, 73))), (72, 72))) < 1.5
    corner = run_to_end(test.find_site((0, 127)))
    assert corner[0] < 3 and corner[1] > 124
    with pytest.raises(ValueError, match="outside of the image"):
        run_to_end(test.find_site((-1, 127)))


def test_steps_run_to_the_end_and_a_refused_site_costs_no_denoising():
    image = recorded(TRUTH)
    steps = [*survival_steps(image, Median(1), [(72, 72), (40, 56)], n=3)]
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
    assert steps[-1].message == "site 2, draw 3 of 3"
    assert 0 < steps[5].seconds_left < 60
    seen = []
    image[:64, :64] = recorded(np.full(SHAPE, 112.0))[:64, :64]
    with pytest.raises(ValueError, match="standard errors of the noise only"):
        for step in survival_steps(image, Median(1), [(72, 72), (30, 30)], noise=NOISE):
            seen.append(step.message)
    assert "without the change" not in seen


def test_a_change_that_cannot_be_seen_warns():
    with pytest.warns(UserWarning, match="can hardly be seen in the raw image"):
        survival(recorded(TRUTH), Median(1), (72, 72), contrast=-0.05, noise=NOISE)


@pytest.mark.parametrize(
    ("at", "options", "message"),
    [
        ((72, 300), {}, "The site at y=72, x=300 is outside of the image of 128 x 128 pixels."),
        ((72, np.nan), {}, "is outside of the image"),
        (72, {}, "at is a position (y, x)"),
        ("here", {}, "at is a position (y, x)"),
        ((64, 72), {"noise": PoissonGaussian(0, 0, 1e4)}, "choose one with at least 3"),
        ((72, 72), {"contrast": 0}, "contrast is a fraction from -1"),
        ((72, 72), {"contrast": -2}, "contrast is a fraction from -1"),
        ((72, 72), {"contrast": "half"}, "contrast is a fraction from -1"),
        ((72, 72), {"n": 0}, "n, the number of noise draws"),
        ((72, 72), {"n": 2.5}, "n, the number of noise draws"),
        ((72, 72), {"seed": -1}, "seed must be a whole number"),
        ((72, 72), {"psf_width": -3}, "psf_width must be a whole number"),
        ((72, 72), {"engine": Noise2Noise()}, "Noise2Noise takes a pair: train it first"),
        ((72, 72), {"image": NAN}, "128 of 16384 pixels are NaN"),
    ],
)
def test_unsuitable_sites_are_refused_in_one_sentence(at, options, message):
    arguments = {"image": TRUTH, "engine": Median(1), "noise": NOISE, **options}
    with pytest.raises(ValueError) as error:
        survival(arguments.pop("image"), arguments.pop("engine"), at, **arguments)
    assert message in str(error.value)
