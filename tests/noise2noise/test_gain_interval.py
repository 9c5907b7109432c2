"""Gain estimated from a pair, compared with the true gain."""

import math

import numpy as np
import pytest

from benchmarks.gain_interval import Case, errors, excess, inside, pairs
from benchmarks.scenes import lattice, scattered
from napari_lowdose.noise2noise.evaluation.gain_interval import (
    GainInterval,
    gain_interval,
    scene_spectrum,
)
from napari_lowdose.noise2noise.training_data import held_out_tiles
from napari_lowdose.pairs.noise_model import simulate_pair

CRYSTAL = 5 * lattice(2.5, 16, (256, 256), turn=0) + 1
BLOBS = 5 * scattered(3, (256, 256)) + 1
CASES = {
    "crystal, white noise, 60:40": (
        Case(CRYSTAL, 10, read_noise=10, floor=0.2, ratio=0.6, side=16),
        "both",
        (14, 18),
    ),
    "blobs, hardly denoised": (Case(BLOBS, 3, floor=0.6, side=16), "both", (6, 8)),
    "blobs, first only, 60:40": (Case(BLOBS, 3, ratio=0.6, side=16), "first", (11, 16)),
}


@pytest.mark.parametrize("name", CASES)
def test_interval_contains_the_true_gain_and_is_narrow(name: str) -> None:
    case, use, (least, most) = CASES[name]
    asked = pairs(case, 100, use)
    assert least < np.mean([told.true for told in asked]) < most  # the case is what it says
    assert inside(asked) >= 90
    assert excess(asked) < 1.4
    assert all(told.estimate.low < told.estimate.high for told in asked)


def test_spectrum_narrows_the_interval() -> None:
    asked = pairs(Case(CRYSTAL, 3, floor=0.1, side=16), 30)
    gained = [one.estimate.low - one.full_band.low for one in asked]
    assert np.median(gained) > 1.5


def test_lost_detail_lowers_the_gain() -> None:
    case = Case(CRYSTAL, 10, blur=3, side=16)
    asked = pairs(case, 30)
    assert np.mean([told.true for told in asked]) < 1
    assert inside(asked) >= 26


def test_estimate_is_unbiased() -> None:
    """Without a spectrum, the centre of the interval is the true error."""
    rng = np.random.default_rng(0)
    scene = rng.normal(100, 3, (40, 16, 16))
    off = []
    for _ in range(200):
        first, second = rng.normal(scene, 4), rng.normal(scene, 4)
        r1, r2 = (0.5 * image + 52 for image in (first, second))
        true = (((r1 + r2) / 2 - scene) ** 2).mean() / 16
        off.append(np.mean(errors(gain_interval(r1, r2, first, second))) - true)
    assert abs(np.mean(off)) < 3.5 * np.std(off) / math.sqrt(200)
    assert np.std(off) / math.sqrt(200) < 0.01


def test_gain_of_zero_and_negative_gain() -> None:
    first, second = simulate_pair(BLOBS, photons=5)
    tiles = [
        image.reshape(16, 16, 16, 16).swapaxes(1, 2).reshape(-1, 16, 16)
        for image in (first, second)
    ]
    same = gain_interval(*tiles, *tiles, use="first")
    assert (same.low, same.high) == pytest.approx((0, 0), abs=1e-3)  # e11 is the noise itself
    mean = gain_interval(*tiles, *tiles)
    assert (mean.low, mean.high) == pytest.approx([10 * math.log10(2)] * 2, abs=1e-3)
    doubled = gain_interval(*(3 * tile for tile in tiles), *tiles)
    assert doubled.high < 0


def test_offset_and_scale_of_the_units_do_not_matter() -> None:
    first, second = simulate_pair(BLOBS, photons=5)
    images = [0.5 * first + 2.5, 0.5 * second + 2.5, first, second]

    def told(scale: float, offset: float) -> GainInterval:
        changed = [scale * image.astype(np.float64) + offset for image in images]
        corners = held_out_tiles(*changed[2:], side=16)
        tiles = [np.stack([im[y : y + 16, x : x + 16] for _, y, x in corners]) for im in changed]
        return gain_interval(*tiles, scene_spectrum(*changed[2:], side=16))

    one, other = told(1, 0), told(1e-3, 1e4)
    assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=1e-3)


@pytest.mark.parametrize(
    ("interval", "reads"),
    [
        ((9.81, 10.58), "9.8 to 10.6 dB"),
        ((17.93, math.inf), "at least 17 dB"),
        ((-1.2, 0.31), "-1.2 to 0.3 dB"),
        ((-0.04, 0.31), "0.0 to 0.3 dB"),
        ((-math.inf, math.inf), "not known"),
    ],
)
def test_formatted_interval(interval: tuple[float, float], reads: str) -> None:
    assert str(GainInterval(*interval)) == reads


def test_unknown_gain() -> None:
    tiles = np.random.default_rng(0).normal(size=(2, 16, 16))
    assert str(gain_interval(tiles, tiles, tiles, tiles)) == "not known"
    same = np.random.default_rng(0).normal(size=(9, 16, 16))
    assert str(gain_interval(same, same, same, same)) == "not known"


def test_mismatched_tiles_are_refused() -> None:
    tiles = np.random.default_rng(0).normal(size=(5, 16, 16))
    with pytest.raises(ValueError, match="the same shape"):
        gain_interval(tiles, tiles[:4], tiles, tiles)
    spectrum = scene_spectrum(*np.random.default_rng(0).normal(size=(2, 64, 64)), side=8)
    with pytest.raises(ValueError, match="the spectrum is for tiles of shape"):
        gain_interval(tiles, tiles, tiles, tiles, spectrum)
    with pytest.raises(ValueError, match="no tile of 100"):
        scene_spectrum(np.ones((64, 64)), np.ones((64, 64)), side=100)


def test_held_out_tiles_are_a_stratified_sample() -> None:
    """If a quarter of the field has cells, so does a quarter of the tiles, for any seed."""
    scene = np.ones((256, 256))
    scene[:128, :128] += 10 * BLOBS[:128, :128]
    first, second = simulate_pair(scene, photons=20)
    chosen = [held_out_tiles(first, second, side=16, seed=seed) for seed in range(10)]
    shares = [np.mean([y < 128 and x < 128 for _, y, x in corners]) for corners in chosen]
    assert np.std(shares) < 0.03
    assert np.mean(shares) == pytest.approx(0.25, abs=0.03)
    assert len({tuple(corners) for corners in chosen}) == 10
    assert all(len(set(corners)) == 26 for corners in chosen)


def test_held_out_tiles_of_a_stack() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 4, 70, 100))
    corners = held_out_tiles(first, second, side=16, share=0.2)
    assert {frame for frame, _, _ in corners} == {0, 1, 2, 3}
    assert all(y <= 70 - 16 and x <= 100 - 16 for _, y, x in corners)
    spectrum = scene_spectrum(first, second, side=16)
    assert spectrum.noise == pytest.approx(1, rel=0.05)
