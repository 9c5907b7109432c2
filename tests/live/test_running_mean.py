import numpy as np
import pytest

from napari_lowdose import RunningMean, denoise_live
from napari_lowdose.script import as_python
from napari_lowdose.streaming.hashes import engine_identity


def test_noise_falls_and_motion_is_blurred():
    rng = np.random.default_rng(0)
    still = [rng.normal(100, 5, (64, 64)) for _ in range(8)]
    *_, last = denoise_live(still, RunningMean(8))
    assert last.image.std() == pytest.approx(5 / 8**0.5, rel=0.05)
    moving = np.eye(8)[:, None].repeat(8, axis=1)  # a line moves by a pixel in each frame
    *_, last = denoise_live(moving, RunningMean(4))
    np.testing.assert_allclose(last.image[0], [0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25])


def test_large_integers_are_exact_and_a_run_starts_afresh():
    engine = RunningMean(2)
    frames = np.array([[[1000003]], [[1000005]]], np.int32) + np.eye(5, dtype=np.int32)
    for _ in range(2):
        first, second = denoise_live(frames, engine)
        assert first.image[0, 1] == 1000003 and second.image[0, 1] == 1000004


def test_it_is_recorded_and_repeated_like_any_engine():
    engine = RunningMean(3)
    assert engine == RunningMean(3) != RunningMean(4)
    assert engine.about()["parameters"] == {"n": 3}
    assert engine_identity(engine) == engine_identity(RunningMean(3))
    assert "RunningMean(n=3)" in as_python(engine)


@pytest.mark.parametrize("n", [0, 1.5, True])
def test_only_whole_numbers_of_frames(n):
    with pytest.raises(ValueError, match="n must be a whole number, at least 1"):
        RunningMean(n)
