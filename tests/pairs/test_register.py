"""Register pairs and stacks: shift, error, cropping, robustness and error messages."""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from scipy.ndimage import fourier_shift, gaussian_filter

from napari_lowdose.pairs.register import register_pair
from napari_lowdose.pairs.register_stack import register_stack
from napari_lowdose.pairs.scene_shift import common_field
from napari_lowdose.pairs.subpixel_shift import shift_bound
from napari_lowdose.samples import nuclei_pair, stem_pair

REPEATS = Path(__file__).parents[2].parent / "shared" / "data" / "repeats"
SIDE = 128
EDGE = 16


@pytest.fixture(scope="module")
def nuclei():
    return nuclei_pair()[2][: SIDE + 2 * EDGE, : SIDE + 2 * EDGE].astype(float)


@pytest.fixture(scope="module")
def lattice():
    return stem_pair()[2][: SIDE + 2 * EDGE, : SIDE + 2 * EDGE].astype(float)


def views(scene, shift, photons, seed=0, gain=1.0, offset=0.0):
    """Return two noisy views, the second shifted by (dy, dx), and the first without noise."""
    rng = np.random.default_rng(seed)
    periodic = np.pad(scene, ((0, len(scene)), (0, len(scene))), mode="symmetric")
    moved = np.fft.ifft2(fourier_shift(np.fft.fft2(periodic), shift)).real[: len(scene)]
    inside = np.s_[EDGE : EDGE + SIDE, EDGE : EDGE + SIDE]
    level = photons / scene[inside].mean()
    first, second = level * scene[inside], gain * level * np.maximum(moved, 0)[inside]
    return rng.poisson(first) * 1.0, rng.poisson(second) + offset, first


@pytest.mark.parametrize("kind", ["nuclei", "lattice"])
def test_shift_error_below_a_twentieth_of_a_pixel_at_100_photons(kind, request):
    scene = request.getfixturevalue(kind)
    errors, claimed = [], []
    for seed in range(8):
        shift = np.random.default_rng(seed).uniform(-8, 8, 2)
        first, second, _ = views(scene, shift, 100, seed, gain=2 / 3, offset=20)
        found = register_pair(first, second)[2]
        errors.append(np.array(found.shift) - shift)
        claimed.append(found.shift_error)
        assert found.gain == pytest.approx(2 / 3, abs=0.03)
        assert found.noise_corrected_correlation > 0.97
    assert np.sqrt(np.mean(np.square(errors))) < 0.05
    assert 0.5 < np.sqrt(np.mean(np.square(np.divide(errors, claimed)))) < 2


def test_error_within_twice_the_cramer_rao_bound_at_5_photons(nuclei):
    relative = []
    for seed in range(8):
        shift = np.random.default_rng(seed).uniform(-3, 3, 2)
        first, second, clean = views(nuclei, shift, 5, seed)
        found = register_pair(first, second)[2]
        relative.append((np.array(found.shift) - shift) / shift_bound(clean, clean, clean))
    assert np.sqrt(np.mean(np.square(relative))) < 2


def test_cramer_rao_bound_of_a_gaussian_spot():
    # The sum of (dS/dx)^2 is pi A^2 / 2 for any width of the spot; the noise variance is 3.
    y, x = np.mgrid[:96, :96] - 48
    spot = 10 * np.exp(-(x**2 + y**2) / (2 * 6.0**2))
    expected = np.sqrt(2 * 3.0 / (np.pi * 10**2 / 2))
    noise = np.full(spot.shape, 3.0)
    assert shift_bound(spot, noise, noise) == pytest.approx((expected, expected), rel=0.02)


def test_crop_at_whole_pixels_changes_no_pixel(nuclei):
    first, second, _ = views(nuclei, (2.3, -3.4), 100)
    one, other, found = register_pair(first, second)
    assert found.integer_shift == (2, -3)
    np.testing.assert_allclose(found.fraction, (0.3, -0.4), atol=0.1)
    np.testing.assert_array_equal(one, first[:-2, 3:])
    np.testing.assert_array_equal(other, second[2:, :-3])
    np.testing.assert_allclose(np.add(found.integer_shift, found.fraction), found.shift)


def test_swapping_the_exposures_negates_the_shift(nuclei):
    first, second, _ = views(nuclei, (1.3, -4.2), 50)
    there, back = register_pair(first, second)[2], register_pair(second, first)[2]
    np.testing.assert_allclose(there.shift, np.negative(back.shift), atol=0.02)


def test_more_frames_reduce_the_error(nuclei):
    pairs = [views(nuclei, (1.4, 0.7), 2, seed)[:2] for seed in range(6)]
    first, second = (np.stack(side) for side in zip(*pairs, strict=True))
    together, alone = register_pair(first, second)[2], register_pair(first[0], second[0])[2]
    assert max(together.shift_error) < 0.75 * max(alone.shift_error)
    np.testing.assert_allclose(together.shift, (1.4, 0.7), atol=5 * max(together.shift_error))


def test_cropping_a_lazy_movie_reads_nothing(nuclei):
    first, second, _ = views(nuclei, (1.2, 2.1), 50)
    found = register_pair(first, second)[2]
    read = []

    def frame(block_info=None):
        read.append(block_info)
        return np.zeros((1, SIDE, SIDE))

    movie = da.map_blocks(frame, chunks=((1,) * 9, (SIDE,), (SIDE,)), dtype=float, meta=np.empty(0))
    one, other = found.cut(movie, movie)
    assert one.shape == other.shape == (9, SIDE - 1, SIDE - 2)
    assert not read
    assert one[0].compute().shape == (SIDE - 1, SIDE - 2)


def test_cut_rejects_frames_of_another_size(nuclei):
    found = register_pair(*views(nuclei, (1, 2), 50)[:2])[2]
    with pytest.raises(ValueError, match="cannot be cropped"):
        found.cut(np.zeros((99, 99)), np.zeros((99, 99)))


def test_exposures_with_nothing_in_common_are_rejected():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="nothing in common"):
        register_pair(rng.poisson(5, (96, 96)), rng.poisson(5, (96, 96)))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((40, 40)), np.ones((40, 41)), "must have the same shape"),
        (np.ones((20, 40)), np.ones((20, 40)), "too small"),
        (np.full((40, 40), np.nan), np.ones((40, 40)), "NaN"),
    ],
)
def test_invalid_exposures_raise_clear_errors(first, second, message):
    with pytest.raises(ValueError, match=message):
        register_pair(first, second)


def test_stacks_of_different_length_do_not_look_transposed():
    with pytest.raises(ValueError, match="crop both to the same field"):
        register_pair(np.ones((3, 40, 40)), np.ones((4, 40, 40)))


def test_common_field_is_empty_beyond_the_frame():
    for shift in [(12, 0), (-12, 0)]:
        for rows, columns in common_field((10, 10), shift):
            assert np.ones((10, 10))[rows, columns].size == 0


def test_stack_yields_all_pairs(nuclei):
    drift = np.array([[0, 0], [1.3, -2.6], [3.2, -3.9], [2.6, -6.3]])
    frames = np.stack([views(nuclei, by, 50, seed)[1] for seed, by in enumerate(drift)])
    cut, stack = register_stack(frames)
    np.testing.assert_allclose(stack.positions, drift, atol=0.1)
    assert cut.shape == (4, SIDE - 3, SIDE - 6)
    first, second, fractions = stack.as_pairs(frames, reach=None)
    assert len(first) == len(second) == len(fractions) == 6
    # The remaining shifts agree with a registration of each pair.
    for one, other, fraction in zip(first, second, fractions, strict=True):
        np.testing.assert_allclose(register_pair(one, other)[2].shift, fraction, atol=0.15)
    lazy = stack.cut(da.from_array(frames, chunks=(1, -1, -1)))
    np.testing.assert_array_equal(lazy.compute(), cut)


def test_fixed_illumination_does_not_determine_the_shift():
    # Fixed illumination, and a faint scene that moves.
    rng = np.random.default_rng(3)
    spots = gaussian_filter(rng.normal(size=(200, 200)), 2)
    spots = 30 * spots / spots.std()
    y, x = np.mgrid[:128, :128] / 128 - 0.5
    light = 400 * np.exp(-2 * (x**2 + y**2))
    first = rng.poisson(np.maximum(light + spots[20:148, 20:148], 0))
    second = rng.poisson(np.maximum(light + spots[15:143, 27:155], 0))
    np.testing.assert_allclose(register_pair(first, second)[2].shift, (5, -7), atol=0.1)


@pytest.mark.skipif(not REPEATS.exists(), reason="shared images are missing")
def test_drifting_stem_movie():
    frames = tifffile.imread(REPEATS / "stem_abf_5x512x256.tif")[:, :256]
    cut, stack = register_stack(frames)
    # The drift is at most 10 px and mostly along x. A wrong lattice vector would add 27 px or more.
    assert np.abs(stack.positions).max() < 11
    assert (np.diff(stack.positions[:, 1]) > 0.5).all()
    before = [np.corrcoef(frames[0].ravel(), frame.ravel())[0, 1] for frame in frames[1:]]
    after = [np.corrcoef(cut[0].ravel(), frame.ravel())[0, 1] for frame in cut[1:]]
    assert np.mean(after) > np.mean(before) + 0.1


SHIFT = (3, -5)


@pytest.fixture(scope="module")
def drifted(nuclei):
    """Return two exposures at about 10 photons, the scene shifted by (3, -5)."""
    return views(nuclei, SHIFT, 10, seed=3)[:2]


def cosmic_rays(first, second, rng):
    first[50, 60] = second[90, 20] = 65535


def hot_pixels(first, second, rng):
    hot = rng.random(first.shape) < 5e-4
    first[hot] = second[hot] = 1000


def info_bar(first, second, rng):
    for view in (first, second):
        view[-24:] = 0
        view[-18:-6, 20:100:5] = 60


def columns(first, second, rng):
    pattern = rng.normal(0, 4, (1, SIDE))
    first += pattern
    second += pattern


def bright_rows(first, second, rng):
    first[[20, 21, 77]] = second[[20, 21, 77]] = 4000


def interlaced(first, second, rng):
    first[::2] += 8
    second[::2] += 8


def pixel_offsets(first, second, rng):
    pattern = rng.normal(0, 3, first.shape)
    first += pattern
    second += pattern


def uneven_light(first, second, rng):
    light = np.linspace(0, 200, SIDE)
    first += light
    second += light


def time_stamp(first, second, rng):
    text = np.kron(rng.random((5, 20)) < 0.5, np.ones((2, 2)))
    first[4:14, 4:44] = second[4:14, 4:44] = 255 * text


def saturated(first, second, rng):
    y, x = np.indices(first.shape)
    first[(y - 35) ** 2 + (x - 95) ** 2 < 200] = 65535
    second[(y - 35) ** 2 + (x - 95) ** 2 < 200] = 65535


def dead_half(first, second, rng):
    second[:, :48] = 0


SENSOR = [
    cosmic_rays,
    hot_pixels,
    info_bar,
    columns,
    bright_rows,
    interlaced,
    pixel_offsets,
    uneven_light,
    dead_half,
]


@pytest.mark.parametrize("spoil", SENSOR)
def test_sensor_patterns_do_not_affect_the_shift(drifted, spoil):
    first, second = (view.copy() for view in drifted)
    spoil(first, second, np.random.default_rng(1))
    found = register_pair(first, second)[2]
    assert np.abs(np.subtract(found.shift, SHIFT)).max() < 1
    error = np.abs(np.subtract(found.shift, SHIFT))
    assert (error < 4 * np.array(found.shift_error) + 0.1).all()
    assert min(found.shift_error) > 0.02


@pytest.mark.parametrize("spoil", [time_stamp, saturated])
def test_local_fixed_pattern_is_excluded_or_rejected(drifted, spoil):
    first, second = (view.copy() for view in drifted)
    spoil(first, second, np.random.default_rng(1))
    try:
        found = register_pair(first, second)[2]
    except ValueError as error:
        assert "differs between parts of the image" in str(error)
    else:
        np.testing.assert_allclose(found.shift, SHIFT, atol=1)


def test_padding_is_excluded(drifted):
    padded = [np.pad(view, 40) for view in drifted]
    np.testing.assert_allclose(register_pair(*padded)[2].shift, SHIFT, atol=0.5)


def test_different_shifts_of_the_halves_are_rejected(nuclei):
    first, second, _ = views(nuclei, (0, 0), 50)
    second[:, SIDE // 2 :] = np.roll(second, 6, axis=0)[:, SIDE // 2 :]
    with pytest.raises(ValueError, match="shift differs between parts of the image"):
        register_pair(first, second)


def test_error_includes_differences_between_parts(nuclei):
    # Stretched by 1.6 pixels from top to bottom: there is no single shift.
    first, second, _ = views(nuclei, (0, 0), 100)
    rows = np.arange(SIDE)
    stretched = np.stack(
        [np.interp(rows - 1.6 * (rows / SIDE - 0.5), rows, column) for column in second.T], axis=1
    )
    plain, found = register_pair(first, second)[2], register_pair(first, stretched)[2]
    assert found.shift_error[0] > 0.2 > 3 * plain.shift_error[0]


TURNED = {
    "mirrored left to right": lambda view: view[:, ::-1],
    "mirrored top to bottom": lambda view: view[::-1],
    "rotated by 180 degrees": lambda view: view[::-1, ::-1],
    "transposed": lambda view: view.T,
    "rotated by 90 degrees counter-clockwise": lambda view: np.rot90(view),
    "rotated by 90 degrees clockwise": lambda view: np.rot90(view, -1),
}


@pytest.mark.parametrize("words", TURNED)
def test_mirrored_or_rotated_exposure_is_identified(drifted, words):
    first, second = drifted
    with pytest.raises(ValueError, match=f"the second exposure looks {words}"):
        register_pair(first, TURNED[words](second))


def test_transposed_exposure_of_another_shape_is_identified(drifted):
    with pytest.raises(ValueError, match="looks transposed or rotated by 90 degrees"):
        register_pair(drifted[0][:100], drifted[1][:100].T)


@pytest.mark.parametrize("kind", ["nuclei", "lattice"])
def test_reversed_contrast_is_rejected(kind, request):
    first, second, _ = views(request.getfixturevalue(kind), (1, 2), 20)
    with pytest.raises(ValueError, match="reversed contrast"):
        register_pair(first, 100 - second)


@pytest.mark.parametrize("made", [lambda a, b: (a + b) / 2, lambda a, b: a + b])
def test_derived_exposure_gives_a_warning(nuclei, made):
    first, second, _ = views(nuclei, (0, 0), 10)
    with pytest.warns(UserWarning, match="the second exposure contains the noise of the other"):
        register_pair(first, made(first, second))


@pytest.mark.parametrize("reach", [9, np.int64(9), 9.0, (9, 9), [9, 9.0], np.array([9, 9]), None])
def test_max_shift_accepts_numbers_of_any_type(drifted, reach):
    assert register_pair(*drifted, max_shift=reach)[2].integer_shift == SHIFT


@pytest.mark.parametrize("reach", [-1, 2.5, "9", True, (1, 2, 3), np.nan, {}])
def test_invalid_max_shift_is_rejected(drifted, reach):
    with pytest.raises(
        ValueError, match="max_shift must be None, one whole number of pixels, or two"
    ):
        register_pair(*drifted, max_shift=reach)
