"""Bad pairs are reported and good ones are not, on simulated and real exposures."""

import re
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as interpolated

from benchmarks.false_alarms import SCENES, false_alarms, kinds, seconds_per_check
from benchmarks.scenes import Image, scattered
from napari_lowdose.noise2noise.pair_checks import check_pair, refuse_bad_pair
from napari_lowdose.pairs.noise_model import simulate_pair
from napari_lowdose.pairs.register import register_pair

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")


def pair(name: str = "lattice", photons: float = 10, **more: float) -> tuple[Image, Image]:
    return simulate_pair(SCENES[name], photons=photons, **more)


def test_good_pairs_raise_no_false_alarm() -> None:
    """Twenty pairs; `benchmarks/false_alarms.py` checks a hundred."""
    alarms = false_alarms(n_seeds=1)
    assert len(alarms) == 20
    assert not any(alarms.values())


@pytest.mark.parametrize("second", [lambda x: x, lambda x: 3 * x - 7, lambda x: x / 1e4 + 1])
def test_the_same_data_twice_is_refused(second: Callable[[Image], Image]) -> None:
    for name in SCENES:
        first, _ = pair(name)
        (note,) = check_pair(first, second(first))
        assert (note.level, note.kind) == ("refuse", "same")
        assert note.message.startswith("The two exposures hold the same data")


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (np.ones((64, 64)), np.ones((64, 60)), r"\(64, 64\) and \(64, 60\)"),
        (np.ones((64, 64, 3)), np.ones((64, 64, 3)), "RGB"),
        (np.ones((64, 64), bool), np.ones((64, 64), bool), "boolean"),
        (np.ones((64, 64), complex), np.ones((64, 64), complex), "complex"),
        (pair()[0], np.full((192, 192), 3.0), "second exposure: .* constant"),
        (np.where(pair()[0] > 30, np.nan, pair()[0]), pair()[1], "first exposure: .* NaN"),
        (pair()[0], np.where(pair()[1] > 30, np.inf, pair()[1]), "second exposure: .* infinite"),
        (np.ma.masked_greater(pair()[0], 30), pair()[1], "masked"),
        (pair()[0][:20], pair()[1][:20], "too small"),
    ],
)
def test_unusable_exposures_are_refused(first: Image, second: Image, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        refuse_bad_pair(first, second)


@pytest.mark.parametrize("name", ["lattice", "blobs", "one cell"])
@pytest.mark.parametrize("shift", [(0.6, -0.5), (-2, 0), (3, 4.5)])
def test_unknown_shift_is_reported(name: str, shift: tuple[float, float]) -> None:
    scene = SCENES[name]
    moved = np.maximum(interpolated(scene, shift, order=3, mode="nearest"), 0)
    first, _ = simulate_pair(100 * scene)
    _, second = simulate_pair(100 * moved)
    found = {note.kind: note for note in check_pair(first, second)}
    assert found["shift"].shift == pytest.approx(shift, abs=0.25)
    assert "register" in found["shift"].message
    assert "shift" not in kinds(check_pair(first, second, shift=shift))


def test_common_exposure_is_reported() -> None:
    one, two = pair("blobs", 5)
    _, three = pair("blobs", 5, seed=1)
    assert "common noise" in kinds(check_pair((one + two) / 2, (one + three) / 2))


def test_faint_fixed_pattern_is_only_noted() -> None:
    one, two = pair("blobs", 5)
    pattern = np.random.default_rng(0).normal(size=one.shape)
    faint = check_pair(one + 0.9 * pattern, two + 0.9 * pattern)
    assert kinds(faint, "note") == {"common noise"}
    assert not kinds(faint)
    assert "common noise" in kinds(check_pair(one + 3 * pattern, two + 3 * pattern))


@pytest.mark.parametrize("name", SCENES)
def test_interpolated_or_smoothed_exposures_are_reported(name: str) -> None:
    one, two = pair(name, 5)
    smoothed = (gaussian_filter(image, 0.6) for image in (one, two))
    assert "correlated noise" in kinds(check_pair(*smoothed))
    halves = (interpolated(image, 0.5, order=1, mode="nearest") for image in (one, two))
    assert "correlated noise" in kinds(check_pair(*halves))


def test_row_noise_is_only_noted() -> None:
    one, two = pair("lattice", 20)
    rng = np.random.default_rng(0)
    rows = (image + 3 * rng.normal(size=(192, 1)) for image in (one, two))
    notes = check_pair(*rows)
    assert not kinds(notes)
    assert "along the rows" in notes[0].message


def test_partial_movement_is_reported() -> None:
    scene = SCENES["blobs"]
    later = scene.copy()
    later[:, 96:] = np.roll(scene, 3, axis=0)[:, 96:]
    first, _ = simulate_pair(scene, photons=50)
    _, second = simulate_pair(later, photons=50)
    assert kinds(check_pair(first, second)) & {"moved", "shift"}


def test_different_scenes() -> None:
    first, _ = pair("blobs", 20)
    _, second = simulate_pair(scattered(4, (192, 192), seed=9) + 0.1, photons=20)
    assert kinds(check_pair(first, second)) & {"different", "moved", "reversed"}
    noise = np.random.default_rng(0).normal(size=(2, 192, 192))
    assert kinds(check_pair(*noise)) == {"different"}


def test_contrast_reversed() -> None:
    first, second = pair("lattice", 20)
    assert kinds(check_pair(first, -second)) == {"reversed"}


@pytest.mark.parametrize("name", ["lattice", "blobs", "one cell"])
@pytest.mark.parametrize("photons", [3, 100])
def test_mean_or_sum_of_both_exposures_is_refused(name: str, photons: float) -> None:
    first, second = pair(name, photons)
    for other in ((first + second) / 2, first + second):
        (note,) = (note for note in check_pair(first, other) if note.level == "refuse")
        assert note.kind == "dependent"
        assert "second exposure holds the noise of the first" in note.message
        (note,) = (note for note in check_pair(other, first) if note.level == "refuse")
        assert "first exposure holds the noise of the second" in note.message
    # A longer exposure is no mean of both.
    _, longer = simulate_pair(SCENES[name], photons=30 * photons, seed=1)
    assert "dependent" not in kinds(check_pair(first, longer))


def test_a_mirrored_partner_is_refused() -> None:
    first, second = pair("blobs", 10)
    for turned, words in ((second[:, ::-1], "mirrored"), (second.T, "transposed")):
        (note,) = check_pair(first, turned)
        assert (note.level, note.kind) == ("refuse", "turned")
        assert words in note.message


def test_pair_check_and_registration_agree() -> None:
    scene = 10 * SCENES["blobs"]
    first, _ = simulate_pair(scene)
    _, second = simulate_pair(np.roll(scene, (3, -5), (0, 1)))
    pattern = np.random.default_rng(0).normal(0, 2, (1, 192))  # of the sensor's columns
    first, second = first + pattern, second + pattern
    (note,) = (note for note in check_pair(first, second) if note.kind == "shift")
    found = register_pair(first, second)[2]
    assert note.shift == pytest.approx(found.shift, abs=0.05)
    assert note.shift == pytest.approx((3, -5), abs=0.5)


def test_saturated_pixels_give_a_warning() -> None:
    first, second = pair("blobs", 20)
    with pytest.warns(UserWarning, match="In the second exposure: .*saturated"):
        refuse_bad_pair(first, np.minimum(second, np.quantile(second, 0.995)))


def test_different_gain_and_noise_are_only_noted() -> None:
    first, second = pair("blobs", 30, ratio=0.8)
    notes = check_pair(first, second)
    assert kinds(notes, "note") == {"gain", "noise"}
    assert not kinds(notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuse_bad_pair(first, second)


def test_frames_of_a_movie_are_evenly_spread() -> None:
    first, second = simulate_pair(np.stack([SCENES["blobs"][:96, :96]] * 27), photons=10)
    read = []

    def block(block_info: dict) -> Image:
        read.append(block_info[None]["chunk-location"][0])
        return first[read[-1]][None]

    lazy = da.map_blocks(block, chunks=((1,) * 27, 96, 96), dtype=first.dtype, meta=first[:0])
    assert not kinds(check_pair(lazy, da.from_array(second, chunks=(1, 96, 96))))
    assert len(set(read)) == 9
    assert {0, 13, 26} <= set(read)
    second[20] = 3
    assert not kinds(check_pair(first, second))
    first[20] = np.nan
    with pytest.raises(ValueError, match=r"first exposure has NaN .* in frame 21 of 27"):
        refuse_bad_pair(first, second)


def black(frames: Image) -> None:
    frames[[0, 3]] = 0


def repeated(frames: Image) -> None:
    frames[[1, 4]] = frames[[0, 3]]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (black, r"frames 1 and 4 of 6 \(black or constant in one exposure\)"),
        (repeated, r"frames 2 and 5 of 6 \(the same as an earlier frame\)"),
    ],
)
def test_unusable_frames_are_noted_and_the_others_checked(
    spoil: Callable[[Image], None], says: str
) -> None:
    first, second = simulate_pair(np.stack([SCENES["blobs"]] * 6), photons=10)
    spoil(second)
    (note,) = check_pair(first, second)
    assert (note.level, note.kind) == ("note", "frames")
    assert re.search(says, note.message)


def test_identical_frames_are_excluded_and_identical_movies_refused() -> None:
    first, second = simulate_pair(np.stack([SCENES["blobs"]] * 4), photons=10)
    second[2] = first[2]
    (note,) = check_pair(first, second)
    assert note.level == "note"
    assert "frame 3 of 4 (the same in both exposures)" in note.message
    (note,) = check_pair(first, first)
    assert (note.level, note.kind) == ("refuse", "same")
    assert note.message.startswith("In every frame the two exposures hold the same data")


def test_black_movie_is_refused() -> None:
    black = np.zeros((3, 64, 64))
    with pytest.raises(ValueError, match=r"no pair to train on: frames 1, 2 and 3 of 3 .*black"):
        refuse_bad_pair(black, black)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e18, 1e30])
def test_units_do_not_matter(scale: float) -> None:
    for name in SCENES:
        first, second = pair(name, 20, ratio=0.8)
        here = check_pair(first.astype(float) * scale, second.astype(float) * scale)
        assert here == check_pair(first, second)
        assert not kinds(here)


@pytest.mark.parametrize(
    ("offset", "dtype"), [(1e7, np.float32), (1e9, np.float64), (2**60, np.int64)]
)
def test_offset_beyond_float32_is_refused(offset: float, dtype: type) -> None:
    first, second = (image.astype(dtype) + dtype(offset) for image in pair("blobs", 10))
    with pytest.raises(ValueError, match="a 32-bit result cannot hold both"):
        refuse_bad_pair(first, second)


def test_outliers_and_info_bars_have_no_effect() -> None:
    for name in SCENES:
        first, second = pair(name, 20)
        expected = check_pair(first, second)
        first[50, 60], second[100, 20] = 65535, 65535
        first[10, 150] = second[10, 150] = 4095  # hot in both
        assert kinds(check_pair(first, second)) == kinds(expected)
        bars = [np.pad(image, ((0, 30), (0, 0))) for image in (first, second)]
        for image in bars:
            image[200:215, 10:100:3] = 255
        assert kinds(check_pair(*bars)) == kinds(expected)


@pytest.mark.parametrize("name", ["lattice", "blobs", "smooth"])
@pytest.mark.parametrize("side", [40, 56])
def test_small_pair_is_not_reported_as_different_scenes(name: str, side: int) -> None:
    for at in (60, 100):
        field = (slice(at, at + side),) * 2
        first, second = (image[field] for image in pair(name, 10))
        assert not kinds(check_pair(first, second)) & {"different", "shift"}
        other = pair(name, 10, seed=1)[1][at - 25 : at - 25 + side, 30 : 30 + side]
        notes = check_pair(first, other)
        assert not any("different scenes" in note.message for note in notes)
    assert name == "lattice" or "different" in kinds(notes)


def test_inputs_of_any_dtype_are_unchanged() -> None:
    first, second = pair("blobs", 20)
    for dtype in (np.uint8, np.uint16, np.int32, np.float16, np.float64):
        one, two = first.astype(dtype), second.astype(dtype)
        before = one.copy(), two.copy()
        assert not kinds(check_pair(one, two))
        np.testing.assert_array_equal((one, two), before)


def test_the_time_grows_no_faster_than_the_image() -> None:
    """`benchmarks/false_alarms.py` measures seconds."""
    seconds_per_check(256)  # loads libraries
    assert seconds_per_check(1024, repeats=1) < 10 * seconds_per_check(512)


@needs_data
def test_real_frames() -> None:
    cells, sensor, scan, carbon = (
        tifffile.imread(DATA / "repeats" / f"{name}.tif")
        for name in (
            "pc12_5x201x199",
            "scmos_eb3_20x512x512",
            "stem_abf_5x512x256",
            "tem_thon_8x512x256",
        )
    )
    for before, after in pairwise(cells):
        assert kinds(check_pair(before, after)) & {"shift", "moved"}
    assert not kinds(check_pair(sensor[0], sensor[1]))
    (note,) = (note for note in check_pair(scan[0], scan[1]) if note.kind == "shift")
    # What Register says, and near the 0.45 up and 3.05 right of the whole scan
    middle = register_pair(scan[0], scan[1])[2]
    assert note.shift == pytest.approx(middle.shift, abs=1e-3)
    assert note.shift == pytest.approx((-0.45, 3.05), abs=0.4)
    assert kinds(check_pair(carbon[0], carbon[1])) <= {"correlated noise"}


# Displaced lines of a scan


def scanned(jitter: float, rng: np.random.Generator) -> Image:
    """Return a scan of a lattice whose rows are displaced by normal deviates."""
    from scipy.ndimage import map_coordinates

    y, x = np.indices((184, 184)) + 4.0
    x = x + rng.normal(0, jitter, (184, 1))
    return rng.poisson(4 * np.maximum(map_coordinates(SCENES["lattice"], [y, x], order=3), 0))


@pytest.mark.parametrize("turned", [False, True])
def test_displaced_lines_are_measured(turned: bool) -> None:
    rng = np.random.default_rng(0)
    first, second = (scanned(0.5, rng) for _ in range(2))
    if turned:
        first, second = first.T, second.T
    (note,) = check_pair(first, second)
    assert (note.level, note.kind) == ("warn", "lines")
    assert note.message.startswith("The columns" if turned else "The rows")
    (measured,) = re.findall(r"by about (\d\.\d) px", note.message)
    assert 0.5 < float(measured) < 1.2  # 0.7, and more where detail is finer than the smoothing
    assert note.doubt == "the lines of the scan are displaced"


def test_offsets_of_lines_are_no_displacements() -> None:
    rng = np.random.default_rng(0)
    first, second = (scanned(0, rng) + rng.normal(0, 2, (184, 1)) for _ in range(2))
    assert "lines" not in kinds(check_pair(first, second))
