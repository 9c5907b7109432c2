"""REUCID with stacks of alike patches."""

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise, denoise_steps, metrics
from napari_lowdose.engine import run_to_end
from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
from napari_lowdose.reucid.alike import AlikeStep
from napari_lowdose.reucid.alike_stacks import group_patches, project_alike
from napari_lowdose.samples.nuclei import nuclei
from tests.reucid.test_noise_estimate import lattice

ALIKE = Reucid(stacks="alike")


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return lattice(192, electrons=4, floor=0.2)


@pytest.fixture(scope="module")
def image(truth: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).poisson(truth).astype(np.float32)


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    return float(metrics.psnr(truth, image, data_range=float(truth.max())))


def test_a_crystal_gains_over_random_stacks(truth, image) -> None:
    random = psnr(truth, denoise(image, Reucid(patch_size="psf")))
    assert psnr(truth, denoise(image, ALIKE)) > random + 3


def test_mean_intensity_is_kept(image) -> None:
    assert denoise(image, ALIKE).mean() == pytest.approx(image.mean(), rel=0.01)


def test_units_of_the_input(image) -> None:
    camera = 7 * image + 300
    clean = denoise(image, ALIKE)
    difference = (denoise(camera, ALIKE) - 300) / 7 - clean
    # Not equal: the pedestal of a camera is estimated with the rest of the noise.
    assert np.sqrt(np.mean(difference**2)) < 0.05 * clean.std()
    assert abs(difference.mean()) < 0.02 * clean.mean()


@pytest.mark.filterwarnings("ignore:all 25 eigenpatches look useful")
def test_nuclei_are_no_worse_than_with_random_stacks() -> None:
    truth = nuclei((192, 192))
    truth *= 20 / truth.max()
    image = np.random.default_rng(0).poisson(truth).astype(np.float32)
    random = psnr(truth, denoise(image, Reucid(patch_size="psf")))
    assert psnr(truth, denoise(image, ALIKE)) > random - 0.1


@pytest.mark.parametrize(("change", "least"), [(-0.6, 0.85), (0.8, 0.9)])
def test_a_rare_site_keeps_its_contrast(truth, change, least) -> None:
    spot = truth.max() * np.exp(
        -((np.indices(truth.shape)[0] - 90) ** 2 + (np.indices(truth.shape)[1] - 99) ** 2) / 18
    )
    scene = np.maximum(truth + change * spot, 0.05)
    planted = scene - truth
    kept = []
    for seed in range(3):
        image = np.random.default_rng(seed).poisson(3 * scene).astype(np.float32)
        found = denoise(image, ALIKE) / 3 - truth
        site = (slice(86, 95), slice(95, 104))
        kept.append((found[site] * planted[site]).sum() / (planted[site] ** 2).sum())
    assert np.mean(kept) > least
    assert np.mean(kept) < 1.15


def test_averaging_weakens_a_rare_site_more(truth) -> None:
    y, x = np.indices(truth.shape)
    spot = truth.max() * np.exp(-((y - 90) ** 2 + (x - 99) ** 2) / 18)
    image = np.random.default_rng(0).poisson(2 * np.maximum(truth - 0.5 * spot, 0.05))
    image = image.astype(np.float32)
    kept = denoise(image, ALIKE)[86:95, 95:104].mean()
    averaged = denoise(image, Reucid(stacks="alike", deviations="average"))[86:95, 95:104].mean()
    assert kept <= averaged


def test_pure_noise_gets_no_structure() -> None:
    image = np.random.default_rng(0).poisson(np.full((192, 192), 20.0)).astype(np.float32)
    with pytest.warns(UserWarning, match="no eigenpatch looks like structure"):
        clean = denoise(image, ALIKE)
    assert clean.std() < 0.2 * image.std()


def test_interim_images_improve(truth, image) -> None:
    steps = [step for step in denoise_steps(image, ALIKE) if step.image is not None]
    assert [type(step) for step in steps] == [AlikeStep] * 3
    assert [step.stack for step in steps] == [0, 1, 2]
    quality = [psnr(truth, step.image) for step in steps]
    # The restoration of deviations after the last pass costs up to 1 dB where none is real.
    assert quality[0] + 3 < quality[1] < quality[2] + 1
    assert steps[-1].fraction == 1
    record = steps[-1].record()
    assert record["n_groups"] > 1
    assert record["gain"] == pytest.approx(1, rel=0.15)


def test_same_seed_same_result(image) -> None:
    np.testing.assert_array_equal(denoise(image, ALIKE), denoise(image, ALIKE))


def test_too_few_electrons_fall_back_to_random_stacks() -> None:
    image = np.random.default_rng(0).poisson(np.full((128, 128), 0.004)).astype(np.float32)
    image += np.random.default_rng(1).normal(0, 0.05, image.shape).astype(np.float32)
    image[40:80, 40:80] += np.random.default_rng(2).poisson(0.02, (40, 40))
    with pytest.warns(UserWarning) as found:
        steps = [step for step in denoise_steps(image, ALIKE) if step.image is not None]
    if any("alike patches cannot be found" in str(warning.message) for warning in found):
        assert len(steps) == 1
    assert steps[-1].fraction == 1


@pytest.mark.parametrize("side", [16, 24, 40])
def test_small_images(side) -> None:
    image = np.random.default_rng(0).poisson(lattice(side, 20)).astype(np.float32)
    clean = denoise(image, Reucid(stacks="alike", patch_size=3))
    assert clean.shape == image.shape
    assert np.isfinite(clean).all()


def test_frames_of_a_movie(image) -> None:
    movie = np.stack([image, image[::-1]])
    clean = denoise(movie, Reucid(stacks="alike", patch_size=9))
    np.testing.assert_array_equal(clean[0], denoise(image, Reucid(stacks="alike", patch_size=9)))


def test_projection_of_each_group_is_that_of_the_formula() -> None:
    """Against a plain loop over patches, x = V'(m_g + F_g (V x - m_g))."""
    rng = np.random.default_rng(0)
    pilot = lattice(60, 5).astype(np.float32)
    image = (pilot + rng.normal(size=pilot.shape)).astype(np.float32)
    p = 7
    noise, kernel = PoissonGaussian(0, 0, 1), np.ones((1, 1), np.float32)
    stacks = run_to_end(group_patches([image], [pilot], p, noise, kernel, seed=0))
    found, consensus = run_to_end(project_alike(image, pilot, stacks, consensus=True))
    basis = stacks.eigenpatches.reshape(len(stacks.eigenpatches), -1)
    total, means, terrain = np.zeros((3, *pilot.shape))
    n_leading = stacks.centres.shape[1]
    for y in range(pilot.shape[0] - p + 1):
        for x in range(pilot.shape[1] - p + 1):
            area = (slice(y, y + p), slice(x, x + p))
            ours, theirs = (
                basis @ (source[area].ravel() - stacks.level) for source in (image, pilot)
            )
            group = np.square(stacks.centres - theirs[:n_leading]).sum(1).argmin()
            mean = stacks.means[group]
            total[area] += (basis.T @ (mean + stacks.shrinkage[group] @ (ours - mean))).reshape(
                p, p
            )
            means[area] += (basis.T @ mean).reshape(p, p)
            terrain[area] += 1
    np.testing.assert_allclose(found, total / terrain + stacks.level, atol=2e-3)
    np.testing.assert_allclose(consensus, means / terrain + stacks.level, atol=2e-3)


@pytest.mark.parametrize("name", ["stacks", "deviations"])
def test_unknown_values(name) -> None:
    with pytest.raises(ValueError, match=name):
        Reucid(**{name: "none"})


def test_columns_are_the_transpose_of_rows(truth) -> None:
    rng = np.random.default_rng(0)
    image = (rng.poisson(truth) + rng.normal(0, 1.5, (len(truth), 1))).astype(np.float32)
    columns = denoise(image.T, Reucid(stacks="alike", patch_size=9, scan_noise="columns"))
    rows = denoise(image, Reucid(stacks="alike", patch_size=9))
    np.testing.assert_allclose(columns.T, rows, atol=1e-4 * np.ptp(rows))  # sums are rounded
