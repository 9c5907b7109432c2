"""Each stage of the paper against a plain transcription of it."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid import eigenpatches, patch_gram
from napari_lowdose.reucid.deviations import restore_deviations
from napari_lowdose.reucid.memory_plan import plan_stacks
from napari_lowdose.reucid.noise_estimate import Pilot, noise_of
from napari_lowdose.reucid.patch_stacks import assign_stacks, extract_patches
from napari_lowdose.reucid.prepared import prepare
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.terrain import patch_terrain

shapes = st.tuples(st.integers(9, 40), st.integers(9, 40))
patch_sizes = st.sampled_from([3, 5, 9])


def scene(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    return (np.sin(x / 2) * np.cos(y / 3) + rng.normal(0, 0.5, shape)).astype(np.float32)


def patch_matrix(image: np.ndarray, p: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(float), (p, p))
    return windows.reshape(-1, p * p)


@given(shape=shapes, p=patch_sizes)
@settings(max_examples=30, deadline=None)
def test_gram_of_all_patches_without_a_patch(shape: tuple[int, int], p: int) -> None:
    image = scene(shape)
    x = patch_matrix(image, p)
    gram = run_to_end(patch_gram.patch_gram(image, p))
    np.testing.assert_allclose(gram, x.T @ x, atol=1e-7 * np.square(image).sum())
    np.testing.assert_array_equal(gram, gram.T)


def test_gram_is_the_same_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    image = scene((50, 30))
    whole = run_to_end(patch_gram.patch_gram(image, 7))
    monkeypatch.setattr(patch_gram, "TILE", 6)
    tiled = run_to_end(patch_gram.patch_gram(image, 7))
    np.testing.assert_allclose(tiled, whole, atol=1e-7 * np.square(image).sum())


@pytest.mark.parametrize("n_stacks", [1, 3])
@pytest.mark.parametrize("widest_gram", [49, 0], ids=["by Gram matrix", "by patches"])
def test_decomposition_is_the_svd_of_the_stack(
    n_stacks: int, widest_gram: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eigenpatches, "WIDEST_GRAM", widest_gram)
    image, p = scene((60, 70)), 5
    in_stack = assign_stacks(image.shape, p, n_stacks, seed=1) == 0
    values, patches, floor = run_to_end(eigenpatches.decompose(image, in_stack, p, 4, exact=True))
    x = patch_matrix(image, p)[in_stack.ravel()]
    _, s, v = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(values, s[:4], rtol=1e-3)
    assert floor == pytest.approx(np.sqrt(np.mean(s[4:] ** 2)), rel=1e-2)
    # the two leading ones stand apart; their signs are fixed
    v *= np.sign(v[np.arange(len(v)), np.abs(v).argmax(axis=1)])[:, None]
    np.testing.assert_allclose(patches[:2].reshape(2, -1), v[:2], atol=2e-3)


def test_svd_from_a_sample_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eigenpatches, "SAMPLE", 1500)
    image, p = scene((80, 80)), 5
    in_stack = assign_stacks(image.shape, p, 2, seed=1) == 0
    exact, _, _ = run_to_end(eigenpatches.decompose(image, in_stack, p, 4, exact=True))
    sampled, _, _ = run_to_end(eigenpatches.decompose(image, in_stack, p, 4))
    np.testing.assert_allclose(sampled, exact, rtol=0.05)
    assert not np.array_equal(sampled, exact)


@given(shape=shapes, p=patch_sizes, seed=st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_projection_places_truncated_patches_back(
    shape: tuple[int, int], p: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = scene(shape, seed)
    in_stack = rng.random((shape[0] - p + 1, shape[1] - p + 1)) < 0.6
    basis = np.linalg.qr(rng.normal(size=(p * p, 3)))[0].T
    canvas = run_to_end(project(image, basis.reshape(3, p, p).astype(np.float32), in_stack))
    expected = np.zeros(shape)
    for y, x in np.argwhere(in_stack):
        patch = image[y : y + p, x : x + p].ravel().astype(float)
        expected[y : y + p, x : x + p] += (patch @ basis.T @ basis).reshape(p, p)
    np.testing.assert_allclose(canvas, expected, atol=1e-4)


@given(shape=shapes, p=patch_sizes, seed=st.integers(0, 5), share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_terrain_counts_the_patches_on_each_pixel(
    shape: tuple[int, int], p: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    processed = rng.random((shape[0] - p + 1, shape[1] - p + 1)) < share
    expected = np.zeros(shape, int)
    for y, x in np.argwhere(processed):
        expected[y : y + p, x : x + p] += 1
    np.testing.assert_array_equal(patch_terrain(processed, p), expected)


@given(shape=shapes, p=patch_sizes, d=st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_every_patch_is_in_one_stack(shape: tuple[int, int], p: int, d: int) -> None:
    stacks = assign_stacks(shape, p, d, seed=3)
    assert stacks.shape == (shape[0] - p + 1, shape[1] - p + 1)
    assert stacks.max() < d
    np.testing.assert_array_equal(stacks, assign_stacks(shape, p, d, seed=3))


def test_patches_are_cut_at_their_top_left_pixel() -> None:
    image = np.arange(20, dtype=np.float32).reshape(4, 5)
    patches = extract_patches(image, 3, np.array([0, 5]))
    np.testing.assert_array_equal(patches[0].reshape(3, 3), image[:3, :3])
    np.testing.assert_array_equal(patches[1].reshape(3, 3), image[1:4, 2:5])


def test_memory_plan_is_the_papers() -> None:
    # 512 x 512 pixels, patches of 11: 502**2 x 121 numbers
    everything = 502**2 * 121 * 4
    fixed = (8 * 4 + 2) * 512**2  # and a 16-bit input
    plan = partial(plan_stacks, (512, 512), 11, itemsize=2)
    assert plan(fixed + everything) == 1
    assert plan(fixed + everything // 4 + 1000) == 4
    assert plan(fixed + everything // 4, max_patches=10_000) == 1


def test_memory_too_small_for_a_row_of_patches() -> None:
    with pytest.raises(ValueError, match=r"too small for one row .* allow at least \d+ MiB"):
        plan_stacks((512, 512), 11, int(9.1 * 2**20))


def noise_line():
    image = prepare(scene((400, 400)))
    pilot = Pilot(image.image / 2, np.full((1, 5, 5), 0.2, np.float32))
    return noise_of(image, pilot=pilot, correlated=False)


def deviations():
    image, variance = scene((400, 400)), np.ones((400, 400))
    k = np.full((9, 9), 1 / 81, np.float32)
    return restore_deviations(image, image / 2, image / 3, variance, k, 5)


@pytest.mark.parametrize("stage", [noise_line, deviations])
def test_stages_of_whole_images_can_be_stopped_in_between(stage) -> None:
    runs = []
    for _ in range(3):
        times = [time.process_time()]
        times += [time.process_time() for _ in stage()]
        runs.append(np.diff([*times, time.process_time()]))
    gaps = np.min(runs, axis=0)
    assert gaps.max() < 0.5 * gaps.sum()
