"""REUCID with the eigenpatches of an earlier frame of the same scene."""

import dataclasses
import pickle
import warnings

import numpy as np
import pytest

from benchmarks.scenes import lattice
from napari_lowdose import Reucid, StackStep, denoise, denoise_steps
from napari_lowdose.reucid import KnownEigenpatches
from napari_lowdose.reucid.known_eigenpatches import MAX_CHANGE, KnownStep

SHAPE = (200, 220)


def scene(pitch: float = 14.0, turn: float = 0.1, shift: float = 0.0) -> np.ndarray:
    """Return a lattice that drifts along the rows; expected counts."""
    return (
        2
        + 12
        * lattice(2.5, pitch, (SHAPE[0], SHAPE[1] + 40), turn)[:, round(shift) :][:, : SHAPE[1]]
    )


def counts(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(truth).astype(np.uint16)


@pytest.fixture(scope="module")
def known() -> KnownEigenpatches:
    return Reucid(patch_size=11).learn(counts(scene()))


@pytest.mark.parametrize(
    "engine",
    [
        Reucid(patch_size=11),
        Reucid(patch_size=9, keep=5),
        Reucid(patch_size=7, scan_noise="columns"),
        Reucid(patch_size=7, scan_noise="keep", outliers="keep"),
        Reucid(patch_size="auto"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_same_as_reucid_of_that_frame(engine: Reucid, dtype: type) -> None:
    frame = counts(scene())
    frame[50, 60] = 4000  # a cosmic ray
    frame[-12:] = 0  # a dead border
    frame = frame.astype(dtype) + dtype(100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = denoise(frame, dataclasses.replace(engine, n_stacks=1))
        known = engine.learn(frame)
    result = denoise(frame, known)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.ptp(expected))


def test_next_frame_is_denoised_as_well_as_by_its_own_eigenpatches(
    known: KnownEigenpatches,
) -> None:
    truth = scene(shift=20)
    frame = counts(truth, seed=1)
    own, other = (
        np.square(denoise(frame, engine) - truth).mean()
        for engine in (Reucid(patch_size=11, n_stacks=1), known)
    )
    assert other < 1.05 * own < 0.1 * np.square(frame - truth).mean()


def test_warnings_come_once_and_not_with_every_frame() -> None:
    frame = counts(scene())
    frame[50, 60] = 4000
    with pytest.warns(UserWarning, match="1 outlier pixel"):
        known = Reucid(patch_size=11).learn(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = denoise(frame, known)
    assert result[50, 60] < 20


def test_drifting_scene_suits_in_all_frames(known: KnownEigenpatches) -> None:
    changes = [known.change(counts(scene(shift=0.4 * i), seed=i)) for i in range(0, 100, 4)]
    assert max(changes) < 0.6 * MAX_CHANGE


@pytest.mark.parametrize("gain, offset", [(0.01, 0), (30, 0), (1, 5000), (-1, 100)])
def test_brightness_and_offset_make_no_difference(
    known: KnownEigenpatches, gain: float, offset: float
) -> None:
    frame = counts(scene(), seed=1)
    changed = frame.astype(np.float32) * gain + offset
    assert known.change(changed) == pytest.approx(known.change(frame), abs=1e-3)
    assert known.explained(changed) == pytest.approx(known.explained(frame), abs=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        scene(pitch=11),
        scene(turn=0.5),
        2 + 12 * lattice(1.5, 14.0, SHAPE),
        2 * scene(),
        scene() / 2,
        np.full(SHAPE, 4.0),
        scene().T.copy()[: SHAPE[1], : SHAPE[0]],
    ],
    ids=["lattice", "turned", "focus", "more dose", "less dose", "vacuum", "another shape"],
)
def test_another_scene_does_not_suit(known: KnownEigenpatches, other: np.ndarray) -> None:
    assert not known.suits(counts(other, seed=1))


def test_step_says_how_well_the_eigenpatches_fit(known: KnownEigenpatches) -> None:
    frame = counts(scene(), seed=1)
    steps = list(denoise_steps(frame, known))
    *progress, last = steps
    assert all(step.image is None for step in progress)
    assert isinstance(last, KnownStep)
    assert (last.explained, last.change) == (known.explained(frame), known.change(frame))
    assert last.suits
    pixels = frame - frame.mean()
    inside = (slice(10, -10), slice(10, -10))
    share = np.vdot(pixels[inside], (last.image - frame.mean())[inside])
    assert last.explained == pytest.approx(share / np.square(pixels[inside]).sum(), abs=0.02)


def test_learning_shows_the_denoised_frame() -> None:
    frame = counts(scene())
    steps = Reucid(patch_size=11, n_stacks=5).learn_steps(frame)
    images = [step.image for step in steps if isinstance(step, StackStep)]
    np.testing.assert_array_equal(
        images, [denoise(frame, Reucid(patch_size=11, n_stacks=1))], strict=True
    )


def test_size_that_was_learnt_before_is_used_again(known: KnownEigenpatches) -> None:
    again = Reucid(patch_size="auto").learn(counts(scene(pitch=11)), size=known.size)
    assert again.size == (11, False)


def test_survives_a_process_boundary(known: KnownEigenpatches) -> None:
    frame = counts(scene(), seed=1)
    expected = denoise(frame, known)
    np.testing.assert_array_equal(denoise(frame, pickle.loads(pickle.dumps(known))), expected)


def test_record_has_the_eigenpatches(known: KnownEigenpatches) -> None:
    parameters = known.about()["parameters"]
    assert parameters["patch_size"] == 11
    assert parameters["kept"] == np.flatnonzero(known.stack.kept).tolist()


def test_frame_of_another_shape_is_refused(known: KnownEigenpatches) -> None:
    with pytest.raises(ValueError, match=r"100 x 220 pixels.* 200 x 220: learn them again"):
        denoise(counts(scene())[:100], known)


@pytest.mark.parametrize(
    "engine, message",
    [
        (Reucid(stacks="alike"), "stacks='random'"),
        (Reucid(keep=((0,), (1,))), "one sequence of indices"),
    ],
)
def test_only_a_single_random_stack_is_learnt(engine: Reucid, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine.learn(counts(scene()))


def test_only_a_frame_is_learnt() -> None:
    with pytest.raises(ValueError, match="two axes"):
        Reucid().learn(np.zeros((2, 64, 64)))
