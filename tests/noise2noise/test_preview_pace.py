"""Time between previews, and the note on a partner without noise."""

import numpy as np
import pytest

from napari_lowdose import Noise2Noise
from napari_lowdose.noise2noise.pair_checks import check_pair

pytest.importorskip("torch")


@pytest.fixture
def scene():
    y, x = np.mgrid[:64, :64]
    return 20 + 12 * np.sin(x / 5 + np.sin(y / 11)) * np.cos(y / 4 + x / 17)


def test_slow_first_preview_does_not_delay_the_second(scene, monkeypatch):
    from napari_lowdose.noise2noise import pace
    from napari_lowdose.noise2noise import training as stage

    class Clock:
        now = 0.0

        def perf_counter(self):
            self.now += 0.05
            return self.now

    clock, shown, calls = Clock(), stage.Preview.steps, []

    def cold(self, predictor, model):
        clock.now += 0 if calls else 20
        calls.append(predictor)
        return (yield from shown(self, predictor, model))

    for module in (stage, pace):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(stage.Preview, "steps", cold)
    rng = np.random.default_rng(0)
    engine = Noise2Noise(
        preset="fast", width=8, crop_size=32, batch_size=1, epochs=40, device="cpu", fallback=False
    )
    steps = list(engine.training_steps(rng.poisson(scene), rng.poisson(scene)))
    previews = [step.n_steps for step in steps if step.image is not None]
    assert len(previews) >= 3
    assert previews[1] - previews[0] < 50


def test_partner_without_noise_differs_from_a_longer_exposure(scene):
    rng = np.random.default_rng(0)
    first = rng.poisson(scene)
    (note,) = [each for each in check_pair(first, scene) if each.kind == "smooth"]
    assert note.level == "warn" and "The second exposure has hardly any noise" in note.message
    longer = rng.poisson(20 * scene) / 20
    assert "smooth" not in [each.kind for each in check_pair(first, longer)]
