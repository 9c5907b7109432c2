import time
import warnings

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise
from napari_lowdose.reucid import live_reucid
from napari_lowdose.run import denoise_frame


def scene(period, n=128, level=20.0):
    y, x = np.indices((n, n))
    return level + 0.75 * level * np.cos(2 * np.pi * x / period) * np.cos(2 * np.pi * y / period)


def camera(truth, seed=0):
    return np.random.default_rng(seed).poisson(truth).astype(np.uint16) + 100


def denoised(engine, frame):
    return denoise_frame(engine, 0, (), (frame,))


def error(image, truth):
    return float(np.mean((image - 100 - truth) ** 2))


def until_decomposed_again(engine, frames):
    """Denoise frames until the eigenpatches change; return how many that took."""
    known = engine._known
    for number, frame in enumerate(frames):
        if engine._known is not known:
            return number
        denoised(engine, frame)
        time.sleep(0.01)
    raise AssertionError("the eigenpatches stay the same")


@pytest.mark.parametrize("scan_noise", ["remove", "columns"])
def test_the_first_frame_is_that_of_a_single_stack(scan_noise):
    frame = camera(scene(12, n=96))
    engine = Reucid(scan_noise=scan_noise)
    np.testing.assert_array_equal(
        denoised(engine.for_live(), frame),
        denoise(frame, Reucid(scan_noise=scan_noise, n_stacks=1)),
    )


@pytest.mark.parametrize("scan_noise", ["remove", "columns"])
def test_later_frames_are_as_good_as_if_decomposed_by_themselves(scan_noise):
    truth = scene(12)[:, :96]
    engine = Reucid(patch_size=9, scan_noise=scan_noise)
    live = engine.for_live()
    denoised(live, camera(truth))
    for seed in (1, 2):
        frame = camera(truth, seed)
        assert error(denoised(live, frame), truth) < 1.1 * error(denoise(frame, engine), truth)


def test_a_changed_scene_is_decomposed_again_with_another_patch_size():
    first, second = scene(9), scene(26)
    live = Reucid(patch_size="psf").for_live()
    for seed in range(3):
        denoised(live, camera(first, seed))
    width = live._known.size[0]
    frames = [camera(second, seed) for seed in range(200)]
    until_decomposed_again(live, frames)
    live._decomposition.join()
    anew = denoise(frames[0], Reucid(patch_size="psf"))
    assert live._known.size[0] > 1.5 * width
    assert error(denoised(live, frames[0]), second) < 1.05 * error(anew, second)


def test_an_unchanged_scene_is_decomposed_now_and_then_without_a_flash(monkeypatch):
    truth = scene(12)
    frames = [camera(truth, seed) for seed in range(40)]
    live = Reucid(patch_size=9).for_live()
    for frame in frames[:20]:
        denoised(live, frame)
    assert live._decomposition is None  # noise alone is no change
    before = denoised(live, frames[0])
    monkeypatch.setattr(live_reucid, "REFRESH", 0.0)
    live._seconds = 0.0
    until_decomposed_again(live, frames * 5)
    after = denoised(live, frames[0])
    assert after.mean() == pytest.approx(before.mean(), rel=1e-4)
    assert np.ptp(after) == pytest.approx(np.ptp(before), rel=0.05)


def test_frames_never_wait_for_a_decomposition(monkeypatch):
    live = Reucid(patch_size=9).for_live()
    learnt = []

    def learn(frame, size):
        learnt.append(frame)
        time.sleep(0.3)
        raise ValueError("unsuitable")

    denoised(live, camera(scene(12)))
    monkeypatch.setattr(live, "_learn", learn)
    denoised(live, camera(scene(12)))
    time.sleep(live._seconds)
    begun = time.perf_counter()
    for seed in range(4):
        denoised(live, camera(scene(30), seed))
    assert time.perf_counter() - begun < 0.25
    assert len(learnt) == 1  # one at a time, and none in a queue
    live._decomposition.join()
    denoised(live, camera(scene(30)))  # a frame that cannot be decomposed ends nothing


def test_warnings_come_once():
    hot = camera(scene(12))
    hot[20, 20] = 60000
    live = Reucid(patch_size=9).for_live()
    with pytest.warns(UserWarning, match="outlier"):
        denoised(live, hot)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = denoised(live, hot)
    assert image[20, 20] < 200  # and it is removed all the same


def test_a_frame_that_cannot_be_denoised_is_refused_and_the_next_one_is_fine():
    live = Reucid(patch_size=9).for_live()
    bad = np.full((128, 128), np.nan)
    with pytest.raises(ValueError, match="NaN"):
        denoised(live, bad)
    denoised(live, camera(scene(12)))
    with pytest.raises(ValueError, match="NaN"):
        denoised(live, bad)
    assert denoised(live, camera(scene(12))).shape == (128, 128)


def test_frames_of_another_shape_are_decomposed_at_once():
    live = Reucid(patch_size=9).for_live()
    for n in (128, 96):
        assert denoised(live, camera(scene(12, n))).shape == (n, n)


def test_alike_stacks_are_too_slow_and_it_says_so():
    with pytest.warns(UserWarning, match="too long for a running source"):
        live = Reucid(stacks="alike", patch_size=9).for_live()
    assert live.engine.stacks == "random"
