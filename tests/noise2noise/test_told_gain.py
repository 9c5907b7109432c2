"""The gain as it is told: per channel, with its doubt, and as it is read from a record."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from napari_lowdose import Noise2Noise
from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain, gain_record
from napari_lowdose.noise2noise.pair_checks import PairNote, refuse_bad_pair
from tests.noise2noise.known_pair import KnownPair

GOOD, OPEN = GainInterval(9.81, 10.63), GainInterval(17.2, math.inf)
UNKNOWN = GainInterval(-math.inf, math.inf)


@pytest.mark.parametrize(
    ("told", "reads"),
    [
        (ToldGain((GOOD,)), "9.8 to 10.6 dB"),
        (ToldGain((UNKNOWN,)), "not known"),
        (ToldGain((GOOD,), "it moved"), "about 10 dB; cannot be trusted: it moved"),
        (ToldGain((OPEN,), "it moved"), "at least 17 dB; cannot be trusted: it moved"),
        (
            ToldGain((GainInterval(-0.4, 0.1),), "it moved"),
            "about 0 dB; cannot be trusted: it moved",
        ),
        (
            ToldGain((GOOD, UNKNOWN, OPEN)),
            "channel 1: 9.8 to 10.6 dB, channel 2: not known, channel 3: at least 17 dB",
        ),
        (
            ToldGain((GOOD, OPEN), by=("REUCID", "")),
            "channel 1: 9.8 to 10.6 dB by REUCID, channel 2: at least 17 dB",
        ),
    ],
)
def test_told_gain_reads(told: ToldGain, reads: str) -> None:
    assert str(told) == reads
    if told.amount:
        record = json.loads(json.dumps(told.for_record(), allow_nan=False))
        assert ToldGain.of_record(record) == told


def test_record_of_earlier_versions() -> None:
    assert ToldGain.of_record({"gain_db": [9.81, None]}) == ToldGain(
        (GainInterval(9.81, math.inf),)
    )
    assert ToldGain.of_record({"gain_db": None}) is None
    assert ToldGain.of_record({}) is None


def test_least_is_of_the_channels_that_are_known() -> None:
    told = ToldGain((UNKNOWN, OPEN, GOOD))
    assert told.least == GOOD
    assert gain_record([None, None]) == {"gain_db": None}
    assert told.less(3).least.low == pytest.approx(6.81)
    assert told.no_better_than(12) == [3]


def test_gain_of_a_doubtful_pair_says_why(pair: KnownPair, quick: Noise2Noise) -> None:
    """Noise that neighbours share, as after binning or interpolation."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(2, *pair.truth.shape))
    noise = 3 * (noise + 0.6 * np.roll(noise, 1, -1) + 0.6 * np.roll(noise, 1, -2))
    first, second = pair.truth + noise
    with pytest.warns(UserWarning, match="noise of neighbouring pixels is correlated"):
        engine = replace(quick, epochs=8, fallback=False)
        steps = list(engine.training_steps(first, second))
    told = steps[-1].told_gain
    assert told is not None
    assert "cannot be trusted: the noise is correlated between pixels" in str(told)
    model = steps[-1].model
    assert model.record["gain_doubt"] == "the noise is correlated between pixels"
    assert quick.summary([], model)[-1] == f"gain {told}"


def test_good_pair_has_no_doubt(pair: KnownPair) -> None:
    assert refuse_bad_pair(pair.first, pair.second) == ""
    assert PairNote("note", "Twice as bright.", "gain").doubt == ""
