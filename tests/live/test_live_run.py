import warnings

import numpy as np
import pytest

from napari_lowdose import LiveRun, Reucid, denoise_live
from napari_lowdose.engine import Engine, Step
from napari_lowdose.warned import warn


class Warns(Engine):
    """Warns with every frame, and of something else from the third one on."""

    def __init__(self):
        self.n = 0

    def frame_steps(self, frame):
        self.n += 1
        warn(f"{self.n} pixels are odd.")
        if self.n > 2:
            warn("the shutter is half closed.")
        yield Step(fraction=1.0, message="", image=frame.astype(np.float32))


def test_each_kind_of_warning_comes_once_in_a_run():
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        assert len(list(denoise_live(np.arange(5 * 16).reshape(5, 4, 4), Warns()))) == 5
    assert [str(warning.message) for warning in given] == [
        "1 pixels are odd.",
        "the shutter is half closed.",
    ]


def test_outliers_are_told_once():
    rng = np.random.default_rng(0)
    frames = rng.poisson(9 + 6 * np.cos(np.arange(64) / 2), (4, 64, 64)).astype(np.uint16)
    frames[:, 20, 20] = 4000
    with pytest.warns(UserWarning, match="1 outlier pixel") as given:
        steps = list(denoise_live(frames, Reucid(patch_size=9)))
    assert len(given) == 1
    assert max(step.image.max() for step in steps) < 100


def test_a_path_is_not_a_run_of_frames(tmp_path):
    with pytest.raises(ValueError, match="source_for"):
        LiveRun(tmp_path)
    with pytest.raises(ValueError, match="n_buffer must be a whole number, at least 1"):
        LiveRun([], n_buffer=0)
