"""What a user sees of the engine."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.transcription import transcription
from napari_lowdose import Reucid, StackStep, denoise, denoise_steps, metrics
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.patch_stacks import assign_stacks

P = 9


def lattice(shape: tuple[int, int] = (96, 110)) -> np.ndarray:
    y, x = np.indices(shape)
    spots = np.exp(-((y % 12 - 6) ** 2 + (x % 14 - 7) ** 2) / 8)
    return 5 + 95 * spots


def noisy(shape: tuple[int, int] = (96, 110), seed: int = 0, dose: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).poisson(dose * lattice(shape)) / dose


def stacks(image: np.ndarray, engine: Reucid) -> list[StackStep]:
    return [step for step in denoise_steps(image, engine) if isinstance(step, StackStep)]


@pytest.mark.parametrize("n_stacks", [1, 4])
def test_same_as_the_paper_word_by_word(n_stacks: int) -> None:
    image = noisy()
    kept = [0, 1, 3]
    engine = Reucid(
        patch_size=P, n_stacks=n_stacks, keep=[kept] * n_stacks, exact=True, n_components=25
    )
    stack_of = assign_stacks(image.shape, P, n_stacks, seed=0)
    expected = transcription(image, P, kept, stack_of)
    np.testing.assert_allclose(denoise(image, engine), expected, atol=1e-3 * np.ptp(image))


def test_it_denoises() -> None:
    truth, image = lattice(), noisy()
    before = metrics.psnr(truth, image, data_range=100)
    after = metrics.psnr(truth, denoise(image, Reucid(patch_size=P)), data_range=100)
    assert after > before + 6


def test_each_interim_image_is_the_paper_on_the_stacks_so_far() -> None:
    image = noisy()
    kept = [0, 1, 3]
    engine = Reucid(patch_size=P, n_stacks=5, keep=[kept] * 5, exact=True)
    stack_of = assign_stacks(image.shape, P, 5, seed=0)
    steps = stacks(image, engine)
    assert [round(step.fraction, 6) for step in steps] == [0.2, 0.4, 0.6, 0.8, 1.0]
    for step in steps:
        assert step.image is not None
        assert step.image.dtype == np.float32
        so_far = np.where(stack_of <= step.stack, stack_of.astype(int), -1)
        expected = transcription(image, P, kept, so_far)
        np.testing.assert_allclose(step.image, expected, atol=1e-3 * np.ptp(image))


def test_pixels_not_covered_yet_show_the_input() -> None:
    image = noisy((20, 20))
    first = stacks(image, Reucid(patch_size=3, n_stacks=9))[0]
    in_stack = assign_stacks(image.shape, 3, 9, seed=0) == 0
    covered = np.zeros(image.shape, bool)
    for y, x in np.argwhere(in_stack):
        covered[y : y + 3, x : x + 3] = True
    assert not covered.all()
    assert first.image is not None
    np.testing.assert_array_equal(first.image[~covered], image[~covered].astype(np.float32))


@given(offset=st.sampled_from([-1e4, 0.5, 1e3]), gain=st.sampled_from([1e-6, 3.0, 1e5]))
@settings(max_examples=9, deadline=None)
def test_offset_and_gain_do_not_matter(offset: float, gain: float) -> None:
    image = noisy((60, 60))
    engine = Reucid(patch_size=7)
    expected = gain * (denoise(image, engine).astype(float) + offset)
    changed = denoise(gain * (image + offset), engine)
    np.testing.assert_allclose(changed, expected, atol=2e-5 * gain * (np.ptp(image) + abs(offset)))


def test_same_seed_same_result() -> None:
    image = noisy()
    engine = Reucid(patch_size=P, n_stacks=3, seed=5)
    np.testing.assert_array_equal(denoise(image, engine), denoise(image, engine))


@pytest.mark.parametrize(
    "dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">u2"]
)
def test_every_dtype_gives_float32_in_its_units(dtype: str) -> None:
    image = noisy((48, 48))
    image = np.clip(image, 0, 255)
    if dtype == "f2":  # a large offset: what is taken off must be what is put back
        image = 30000 + 5 * image
    image = image.astype(dtype)
    clean = denoise(image, Reucid(patch_size=7, keep=3))
    assert clean.dtype == np.float32
    reference = denoise(image.astype(float), Reucid(patch_size=7, keep=3))
    np.testing.assert_allclose(clean, reference, rtol=1e-4, atol=1e-2)


def test_frames_are_denoised_one_by_one() -> None:
    movie = np.stack([[noisy((40, 44), seed) for seed in (1, 2)], [noisy((40, 44), 3)] * 2])
    engine = Reucid(patch_size=7, keep=4)
    clean = denoise(movie, engine)
    assert clean.shape == movie.shape
    np.testing.assert_array_equal(clean[0, 1], denoise(movie[0, 1], engine))
    indices = {step.index for step in denoise_steps(movie, engine) if step.image is not None}
    assert indices == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_keep_overrides_the_classifier() -> None:
    image = noisy()
    (step,) = stacks(image, Reucid(patch_size=P, n_stacks=1, keep=[0, 2]))
    assert np.flatnonzero(step.kept).tolist() == [0, 2]
    for step in stacks(image, Reucid(patch_size=P, n_stacks=2, keep=3)):
        assert np.flatnonzero(step.kept).tolist() == [0, 1, 2]
    steps = stacks(image, Reucid(patch_size=P, keep=[[0], [0, 1]]))
    assert [np.flatnonzero(step.kept).tolist() for step in steps] == [[0], [0, 1]]


@pytest.mark.parametrize("n_stacks", [1, 3])
def test_column_noise_is_removed_as_row_noise_is(n_stacks: int) -> None:
    image = noisy((96, 110)) + np.random.default_rng(1).normal(0, 0.3, (1, 110))
    rows = Reucid(patch_size=P, n_stacks=n_stacks)
    columns = replace(rows, scan_noise="columns")
    *_, by_rows = stacks(image.T, rows)
    *_, by_columns = stacks(image, columns)
    np.testing.assert_allclose(by_columns.image, by_rows.image.T, atol=1e-3)
    eigenpatches = by_rows.eigenpatches.transpose(0, 2, 1)
    kept = by_columns.kept
    np.testing.assert_allclose(by_columns.eigenpatches[kept], eigenpatches[kept], atol=1e-3)
    rebuilt = columns.rebuild(image, stacks(image, columns))
    np.testing.assert_allclose(rebuilt, by_columns.image, atol=1e-4)


def test_position_of_an_outlier_is_that_in_the_frame() -> None:
    image = noisy((60, 71))
    image[20, 50] = 1e4
    with pytest.warns(UserWarning, match="first at row 20, column 50"):
        denoise(image, Reucid(patch_size=7, scan_noise="columns"))


@pytest.mark.parametrize("n_stacks", [1, 3])
def test_rebuild_is_denoising_with_another_choice(n_stacks: int) -> None:
    image = noisy()
    engine = Reucid(patch_size=P, n_stacks=n_stacks)
    steps = stacks(image, engine)
    first_two = np.arange(25) < 2
    rebuilt = engine.rebuild(image, [replace(step, kept=first_two) for step in steps])
    expected = denoise(image, replace(engine, keep=2))
    np.testing.assert_allclose(rebuilt, expected, atol=1e-3)


def test_the_last_rows_and_columns_are_denoised_too() -> None:
    truth, image = lattice(), noisy()
    clean = denoise(image, Reucid(patch_size=P))
    edge = np.ones(image.shape, bool)
    edge[: 1 - P, : 1 - P] = False
    assert np.std((clean - truth)[edge]) < 0.5 * np.std((image - truth)[edge])


def test_stopping_in_between_leaves_no_thread_behind() -> None:
    import threading

    def threads() -> set[str]:
        names = {thread.name for thread in threading.enumerate()}
        return {name for name in names if not name.startswith("napari-lowdose")}  # the pool

    before = threads()
    steps = denoise_steps(noisy(), Reucid(patch_size=P, n_stacks=5))
    next(steps)
    steps.close()
    assert threads() == before


@pytest.mark.parametrize("patch_size", ["auto", "psf", 9])
def test_the_fraction_never_falls_and_ends_at_one(patch_size: str | int) -> None:
    engine = Reucid(patch_size=patch_size, n_stacks=2)  # type: ignore[arg-type]
    fractions = [step.fraction for step in denoise_steps(noisy(), engine)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize(("patch_size", "n_stacks", "exact"), [(49, 1, False), (23, 2, True)])
def test_a_sign_of_life_comes_often(patch_size: int, n_stacks: int, exact: bool) -> None:
    """No step may do much more than its share: that is what makes Stop quick."""
    engine = Reucid(patch_size=patch_size, n_stacks=n_stacks, exact=exact, keep=[[0]] * n_stacks)
    image = noisy((280, 280))
    runs = []
    for _ in range(3):  # the first loads libraries; whatever else the machine does spares one
        times = [time.process_time()]
        times += [time.process_time() for _ in denoise_steps(image, engine)]
        runs.append(np.diff(times))
    gaps = np.min(runs, axis=0)
    assert len(gaps) > 20
    assert gaps.max() < 0.25 * gaps.sum()


@pytest.mark.filterwarnings("ignore:neighbouring pixels share their noise")  # in `coarse`
def test_all_frames_have_one_patch_size_that_several_decide() -> None:
    fine = [noisy((90, 90), seed) for seed in (0, 2, 3)]
    coarse = np.kron(noisy((45, 45), seed=1), np.ones((2, 2)))
    engine = Reucid(patch_size="psf")
    (alone,) = {step.patch_size for step in stacks(fine[0], engine)}
    assert {step.patch_size for step in stacks(coarse, engine)} != {alone}
    movie = np.stack([coarse, *fine])
    assert {step.patch_size for step in stacks(movie, engine)} == {alone}
    assert run_to_end(engine.find_patch_size(movie)) == (alone, False)


def test_blank_frames_decide_nothing() -> None:
    good, blank = noisy((90, 90)), np.zeros((90, 90))
    engine = Reucid()
    assert run_to_end(engine.find_patch_size([blank, good, blank])) == run_to_end(
        engine.find_patch_size([good])
    )
    with pytest.warns(UserWarning, match="is constant and left as it is"):
        clean = denoise(np.stack([blank] * 7 + [good]), engine)
    np.testing.assert_array_equal(clean[-1], denoise(good, engine))
    with pytest.raises(ValueError, match="constant"):
        run_to_end(engine.find_patch_size([blank]))
