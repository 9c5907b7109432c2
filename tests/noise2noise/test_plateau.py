"""Training ends at a plateau, depending on steps and held-out tiles, not on time."""

import numpy as np
import pytest

from napari_lowdose.noise2noise.evaluation.plateau import LearningCurve
from napari_lowdose.noise2noise.training_step import duration_range, training_length

GAIN = (16.0, 20.0)  # dB: an error of about 0.018 of the noise
MOST = 20_000
LACKING = 1.2  # of the loss, times steps


def follow(curve: LearningCurve, losses: object, gain: object = GAIN, most: int = MOST) -> int:
    """Return the step at which the curve is flat."""
    for step in range(25, most + 1, 25):
        curve.add(step, losses(step), gain)  # type: ignore[operator, arg-type]
        if curve.flat:
            return step
    return most


def gain_beyond(step: int, most: int) -> float:
    """Return the remaining gain of the loss below, dB."""
    share = (
        2
        * 0.8
        / (1 - 0.8**2)
        * LACKING
        * (1 / step - 1 / most)
        / (np.mean([10 ** (-each / 10) for each in GAIN]))
    )
    return float(-10 * np.log10(1 - share))


def falling(step: int) -> float:
    return 0.2 + LACKING / step


def test_training_ends_when_0_1_db_is_left() -> None:
    step = follow(LearningCurve(MOST), falling)
    assert 300 < step < MOST
    assert gain_beyond(step, MOST) < 0.1
    assert gain_beyond(step - 200, MOST) > 0.1


def test_end_is_predicted() -> None:
    expected = follow(LearningCurve(MOST), falling)
    curve = LearningCurve(MOST)
    for step in range(25, 401, 25):
        curve.add(step, falling(step), GAIN)
    lowest, middle, highest = curve.end() or (0, 0, 0)
    assert lowest < expected < highest
    assert middle == pytest.approx(expected, rel=0.15)


def test_noisy_loss_does_not_end_training_early() -> None:
    ends = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ends.append(
            follow(LearningCurve(MOST), lambda n, rng=rng: falling(n) + rng.normal(0, 1e-4))
        )
    assert min(ends) > 1000
    assert gain_beyond(int(np.median(ends)), MOST) < 0.15


@pytest.mark.parametrize("loss", [lambda n: 0.5, lambda n: 0.3 + n * 1e-5])
def test_flat_or_rising_loss_ends_training(loss: object) -> None:
    assert 300 < follow(LearningCurve(MOST), loss) <= 350


def test_unknown_gain_ends_after_patience() -> None:
    """Without a gain, training ends after a third of all steps without progress."""
    assert follow(LearningCurve(MOST), falling, None, 3000) == 3000
    assert follow(LearningCurve(MOST), lambda n: max(0.5, 1 - n / 1000), None) == 775
    curve = LearningCurve(MOST)
    curve.add(25, 0.5, None)
    assert curve.end() is None
    assert curve.expected_gain() is None


def test_no_gain_is_expected_beyond_the_last_step() -> None:
    curve = LearningCurve(400)
    for step in range(25, 401, 25):
        curve.add(step, falling(step), GAIN)
    assert curve.expected_gain() == 0
    assert curve.end() == (400, 400, 400)


def test_continued_training_needs_an_earlier_part() -> None:
    curve = LearningCurve(MOST)
    for step in (1000, 1050, 1100):
        curve.add(step, 0.5, GAIN)
    assert not curve.flat
    assert curve.end() is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ((0, 0), "about 5 s"),
        ((54, 58), "55 s to 1 min"),
        ((100, 330), "2 to 6 min"),
        ((3700, 4000), "62 to 67 min"),
        ((4000, 20000), "67 min to 6 h"),
    ],
)
def test_duration_range(seconds: tuple[float, float], told: str) -> None:
    assert duration_range(*seconds) == told


def test_length_of_training() -> None:
    assert training_length(0.99, 400) == "400 steps"
    assert training_length(1.0, 401) == "1 epoch"
