"""The samples: reproducible, with the noise and the shift that they say they have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import label
from skimage.registration import phase_cross_correlation

from napari_lowdose import samples
from napari_lowdose.samples import PIXEL_SIZE, Beamsplitter, chloroplasts, defects, stem_low_dose
from napari_lowdose.samples.beamsplitter import EDGE, displaced
from napari_lowdose.samples.chloroplasts import SPEED
from napari_lowdose.samples.nuclei import nuclei


def psnr(truth: np.ndarray, noisy: np.ndarray) -> float:
    return float(10 * np.log10(float(truth.max()) ** 2 / np.mean((noisy - truth) ** 2)))


@pytest.mark.parametrize("wanted", [9, 13, 16, 22])
def test_the_psnr_is_the_one_asked_for(wanted: float) -> None:
    noisy, truth = stem_low_dose(psnr_db=wanted)
    assert psnr(truth, noisy) == pytest.approx(wanted, abs=0.2)


def test_electrons_grow_with_the_dose_and_the_seed_draws_them() -> None:
    noisy, truth = stem_low_dose(dose=1000)
    assert noisy.dtype == truth.dtype == np.float32
    assert noisy.mean() == pytest.approx(truth.mean(), rel=0.05)
    np.testing.assert_allclose(stem_low_dose(dose=3000)[1], 3 * truth, rtol=1e-5)
    np.testing.assert_array_equal(stem_low_dose(dose=1000)[0], noisy)
    assert (stem_low_dose(dose=1000, seed=1)[0] != noisy).any()


def test_what_is_given_may_be_changed_by_its_owner() -> None:
    truth = stem_low_dose()[1]
    expected = truth.copy()
    truth[:] = 0
    np.testing.assert_array_equal(stem_low_dose()[1], expected)


def test_defects_are_where_the_image_shows_them() -> None:
    truth = stem_low_dose()[1]
    brightest = sorted(defects(), key=lambda d: truth[round(d.row), round(d.col)])
    assert {d.kind for d in brightest[-4:]} == {"W on Mo"}
    vacancies = [d for d in defects() if d.kind in ("vacancy S2", "vacancy Mo")]
    around = round(0.5 / PIXEL_SIZE)
    for d in vacancies:
        row, col = round(d.row), round(d.col)
        site = truth[row - around : row + around + 1, col - around : col + around + 1]
        assert site.max() < 0.2 * np.percentile(truth, 99)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"psnr_db": 27}, "readout noise"),
        ({"dose": 0}, "positive"),
        ({"dose": np.nan}, "positive"),
    ],
)
def test_impossible_wishes_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        stem_low_dose(**wrong)


def pair_or_views(name: str) -> tuple[list[np.ndarray], list[np.ndarray], float, float]:
    """Return two noisy views, the two without noise, the offset and the Gaussian variance."""
    *noisy, truth = getattr(samples, name)()
    if len(noisy) == 2:
        read_noise = 0.05 * truth.max() if name == "stem_pair" else 1.0
        return noisy, [truth, truth], 0.0, read_noise**2
    splitter = Beamsplitter()
    side = truth.shape[-2] - 2 * splitter.margin
    boxes = [np.s_[..., a:b, c:d] for a, b, c, d in splitter.regions((side, side))]
    rounding = 1 / 12
    return (
        [noisy[0][box] for box in boxes],
        [truth[box] for box in boxes],
        splitter.offset,
        splitter.read_noise**2 + rounding,
    )


PAIRS = ["stem_pair", "nuclei_pair", "beamsplitter_frame", "beamsplitter_movie"]


@pytest.mark.parametrize("name", PAIRS)
def test_the_truth_is_what_the_noisy_ones_have_in_common(name: str) -> None:
    noisy, truths, offset, gaussian_variance = pair_or_views(name)
    residuals = []
    for image, truth in zip(noisy, truths, strict=True):
        variance = truth.astype(np.float64) - offset + gaussian_variance
        residual = (image - truth) / np.sqrt(variance)
        assert abs(residual.mean()) < 5 / np.sqrt(residual.size)
        assert residual.var() == pytest.approx(1, rel=0.05)
        residuals.append(residual.ravel())
    assert abs(np.corrcoef(residuals)[0, 1]) < 5 / np.sqrt(residuals[0].size)


@pytest.mark.parametrize("name", PAIRS)
def test_same_seed_same_sample_and_the_seed_leaves_the_scene_alone(name: str) -> None:
    few = {"n_frames": 2} if name == "beamsplitter_movie" else {}
    sample: Callable[..., tuple[np.ndarray, ...]] = getattr(samples, name)
    *noisy, truth = sample(**few)
    np.testing.assert_array_equal(sample(**few)[0], noisy[0])
    other = sample(seed=1, **few)
    assert (other[0] != noisy[0]).mean() > 0.3
    np.testing.assert_array_equal(other[-1], truth)


def test_a_pair_of_the_specimen_shares_the_dose() -> None:
    first, second, truth = samples.stem_pair(dose=9000)
    np.testing.assert_allclose(2 * truth, stem_low_dose(dose=9000)[1], rtol=1e-5)
    assert first.dtype == second.dtype == np.float32
    first, _, truth = samples.stem_pair()
    assert psnr(truth, first) == pytest.approx(15.94, abs=0.3)  # as the paper's


def test_the_nuclei_are_many_apart_and_on_a_dark_background() -> None:
    *_, truth = samples.nuclei_pair(photons=2)
    assert truth.mean() == pytest.approx(2, rel=1e-4)
    assert truth.min() > 0
    patches, number = label(truth > truth.mean())
    areas = np.sort(np.bincount(patches.ravel())[1:])
    assert number > 30
    assert areas[-1] > 2 * np.median(areas)  # some touch
    assert np.median(truth) < 0.1 * np.percentile(truth, 99)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.3, -2.6), (-7.5, 4.25)])
@pytest.mark.parametrize("name", ["beamsplitter_frame", "beamsplitter_movie"])
def test_the_second_view_is_shifted_as_it_says(name: str, shift: tuple[float, float]) -> None:
    splitter = Beamsplitter(shift=shift)
    few = {"n_frames": 2} if name == "beamsplitter_movie" else {}
    truth = getattr(samples, name)(splitter=splitter, **few)[-1]
    frame = truth.reshape(-1, *truth.shape[-2:])[-1]
    side = len(frame) - 2 * splitter.margin
    window = np.outer(*2 * [np.hanning(side)])
    views = [frame[a:b, c:d] for a, b, c, d in splitter.regions((side, side))]
    views = [(view - view.mean()) * window for view in views]
    back, *_ = phase_cross_correlation(*views, upsample_factor=50, normalization=None)
    np.testing.assert_allclose(-back, shift, atol=0.1)  # the window pulls a little to zero


def test_a_whole_shift_moves_pixels_and_two_halves_make_a_whole() -> None:
    scene = nuclei((128, 128)).astype(np.float32)
    inner = np.s_[EDGE:-EDGE, EDGE:-EDGE]
    whole = displaced(scene, (3, -5))[inner]
    np.testing.assert_allclose(whole, np.roll(scene, (3, -5), (0, 1))[inner], atol=1e-3)
    twice = displaced(displaced(scene, (0.5, 1.5)), (-0.5, -1.5))
    inner = np.s_[2 * EDGE : -2 * EDGE, 2 * EDGE : -2 * EDGE]
    np.testing.assert_allclose(twice[inner], scene[inner], atol=0.01 * scene.max())


def test_the_light_is_split_and_the_gap_is_dark() -> None:
    splitter = Beamsplitter(shift=(0, 0), ratio=0.7, offset=80)
    _, truth = samples.beamsplitter_frame(splitter=splitter)
    (a, b, c, d), (e, f, g, h) = splitter.regions((320, 320))
    np.testing.assert_allclose(3 * (truth[a:b, c:d] - 80), 7 * (truth[e:f, g:h] - 80), rtol=0.01)
    np.testing.assert_array_equal(truth[:, d:g], 80)
    assert (truth[a:b, c:d] - 80).mean() == pytest.approx(14, rel=0.1)  # 10 over both


def test_the_chloroplasts_stream_at_the_speed_of_cells_and_the_walls_stay() -> None:
    movie = samples.beamsplitter_movie(n_frames=25, splitter=Beamsplitter(shift=(0, 0)))[1]
    first, next_, later = (movie[k, 12:204, 12:204] for k in (0, 1, 24))
    changed = [np.abs(frame - first) > 1 for frame in (next_, later)]
    assert 0.01 < changed[0].mean() < changed[1].mean()
    assert changed[1].mean() < 0.6  # most of it stays
    assert 3 < SPEED * samples.FRAMES_PER_SECOND * chloroplasts.PIXEL_SIZE < 10  # µm/s


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"shift": (0.0, 20.0)}, "more than the 12 pixels"), ({"ratio": 1.0}, "between 0 and 1")],
)
def test_an_impossible_beamsplitter_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Beamsplitter(**wrong)


def test_importing_the_samples_loads_nothing_heavy() -> None:
    code = "import sys, napari_lowdose.samples; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"scipy", "skimage", "tifffile", "torch", "napari"}
