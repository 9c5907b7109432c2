"""REUCID whose groups of alike patches draw on several frames of a movie."""

from __future__ import annotations

from collections.abc import Iterable

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import shift

from benchmarks.scenes import lattice
from napari_lowdose import Reucid, Run, denoise, denoise_steps, denoise_to_zarr
from napari_lowdose.reucid.alike import AlikeStep
from napari_lowdose.reucid.stack_patch_sizes import PatchSize, StackPatchSizes, StackReucid

PEAK = 6.0  # electrons
FRAMES = 5


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """A lattice that drifts by a fraction of a pixel more than one per frame."""
    scene = 0.2 + lattice(sigma=2.2, pitch=11.3, shape=(160, 160))
    drifted = [shift(scene, (1.3 * t, 0.7 * t))[16:-16, 16:-16] for t in range(FRAMES)]
    return PEAK * np.stack(drifted)


@pytest.fixture(scope="module")
def movie(truth: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).poisson(truth)


@pytest.fixture(scope="module")
def small(movie: np.ndarray) -> np.ndarray:
    return movie[:3, :64, :64]


def engine(n: int) -> Reucid:
    return Reucid(patch_size=13, stacks="alike", frames_together=n)


def frames_of(movie: np.ndarray, n: int, of: Iterable[int]) -> dict[int, np.ndarray]:
    """Denoise some of the frames only."""
    clean = denoise(da.from_array(movie, chunks=(1, -1, -1)), engine(n))
    return {t: clean[t].compute(scheduler="sync") for t in of}


def decibels(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the error, dB."""
    return float(10 * np.log10(np.mean((image - truth) ** 2)))


def gains(movie: np.ndarray, truth: np.ndarray, n: int, of: Iterable[int]) -> list[float]:
    """Return the gain of each frame over that of the frame alone, dB."""
    alone, together = (frames_of(movie, k, of) for k in (1, n))
    return [decibels(alone[t], truth[t]) - decibels(together[t], truth[t]) for t in of]


def test_a_drifting_lattice_gains_at_the_ends_too(truth, movie) -> None:
    assert min(gains(movie, truth, 5, of=(2, 4))) > 0.4


def test_the_window_moves_inward_at_the_ends() -> None:
    windows = [sorted([*engine(3).neighbours(t, FRAMES), t]) for t in range(FRAMES)]
    assert windows == [[0, 1, 2], [0, 1, 2], [1, 2, 3], [2, 3, 4], [2, 3, 4]]
    assert list(engine(4).neighbours(1, 2)) == [0]


def test_scan_noise_is_removed_from_each_frame(truth, movie) -> None:
    rows = np.random.default_rng(1).normal(0, 1.0, (FRAMES, truth.shape[1], 1))
    (gain,) = gains(movie + rows, truth, 5, of=(2,))
    assert gain > 0.4


@pytest.mark.parametrize("height", [2.0, 6.0])
def test_a_moving_particle_leaves_no_ghost(height) -> None:
    y, x = np.mgrid[:96, :96]
    inside = np.stack([np.hypot(y - 40, x - 20 - 14 * t) < 6 for t in range(FRAMES)])
    others = inside.any(axis=0) & ~inside[2]
    never = np.roll(others, 30, axis=0)
    ghosts, left = {}, {}
    for n in (1, 5):
        found = []
        for seed in range(2):
            noisy = np.random.default_rng(seed).poisson(2 + height * inside)
            image = frames_of(noisy, n, of=(2,))[2]
            found.append((image[others].mean() - image[never].mean(), image[inside[2]].mean()))
        ghosts[n], left[n] = np.mean(found, axis=0)
    assert abs(ghosts[5]) < abs(ghosts[1]) + 0.01 * height
    assert left[5] > left[1] - 0.02 * height


def test_a_cut_to_another_scene_costs_nothing() -> None:
    y, x = np.mgrid[:112, :112]
    rings = 3 + 2 * np.cos(np.hypot(y - 50, x - 60) / 2)
    spots = PEAK * lattice(sigma=2.2, pitch=11.3, shape=(112, 112))
    scenes = np.stack([rings, rings, spots, spots])
    found = np.random.default_rng(2).poisson(scenes)
    assert min(gains(found, scenes, 3, of=(1, 2))) > -0.1


@pytest.mark.parametrize("fading", [0.95, 0.85])
def test_bleaching_costs_little(truth, fading) -> None:
    faded = truth * fading ** np.arange(-2, 3)[:, np.newaxis, np.newaxis]
    noisy = np.random.default_rng(3).poisson(faded)
    (gain,) = gains(noisy, faded, 5, of=(2,))
    assert gain > 0.4
    assert frames_of(noisy, 5, of=(2,))[2].mean() == pytest.approx(noisy[2].mean(), rel=0.02)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_unusable_neighbour_is_left_out(small, value) -> None:
    gap = small.astype(np.float32)
    gap[1] = value
    left = frames_of(gap, 3, of=(0,))[0]
    np.testing.assert_array_equal(left, frames_of(gap[[0, 2]], 3, of=(0,))[0])
    assert not np.array_equal(left, frames_of(gap[:1], 3, of=(0,))[0])


def test_all_ways_give_the_same(small, tmp_path) -> None:
    wanted = denoise(small, engine(3))
    lazy = denoise(da.from_array(small, chunks=(1, -1, -1)), engine(3))
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), wanted)
    np.testing.assert_array_equal(denoise_to_zarr(small, engine(3), tmp_path / "a.zarr"), wanted)
    stack = StackReucid(engine(3), small, sizes=StackPatchSizes({(): PatchSize(13, False)}))
    np.testing.assert_array_equal(denoise(small, stack), wanted)
    assert not np.array_equal(wanted, denoise(small, engine(1)))


def test_channels_are_not_grouped_together(small) -> None:
    sizes = StackPatchSizes({(k,): PatchSize(13, False) for k in range(3)}, channel_axes=(0,))
    clean = denoise(small, StackReucid(engine(3), small, sizes=sizes))
    np.testing.assert_array_equal(clean, denoise(small, engine(1)))


def test_a_single_image_is_denoised_by_itself(small) -> None:
    np.testing.assert_array_equal(denoise(small[0], engine(5)), denoise(small[0], engine(1)))


def test_steps_advance_and_more_frames_have_more_groups(movie) -> None:
    steps = {n: list(denoise_steps(movie[:3], engine(n))) for n in (1, 3)}
    groups = {}
    for n, each in steps.items():
        fractions = [step.fraction for step in each]
        assert fractions == sorted(fractions) and fractions[-1] == 1
        groups[n] = [step.n_groups for step in each if isinstance(step, AlikeStep) and step.stack]
    assert min(groups[3]) > 1.5 * max(groups[1])
    # One image per frame and stage, the first one before the neighbours are touched
    images = [step.message.split(":")[1] for step in steps[3] if step.image is not None]
    assert images == [" pilot", " pass 1 of 2", " pass 2 of 2"] * 3


def test_the_number_is_recorded(small) -> None:
    run = Run(small, engine(3))
    assert run.record()["parameters"]["frames_together"] == 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"frames_together": 3}, "stacks='alike'"),
        ({"frames_together": 0, "stacks": "alike"}, "at least 1"),
        ({"frames_together": 1.5, "stacks": "alike"}, "whole number"),
    ],
)
def test_invalid_numbers(parameters, message) -> None:
    with pytest.raises(ValueError, match=message):
        Reucid(**parameters)
