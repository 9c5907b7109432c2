"""Split camera frames: layout, shift, distortion and error messages."""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from scipy.ndimage import affine_transform, gaussian_filter

from napari_lowdose.pairs.split import split_frame
from napari_lowdose.pairs.split_layout import SplitLayout
from napari_lowdose.samples import nuclei_pair
from napari_lowdose.samples.beamsplitter import Beamsplitter

DATA = Path(__file__).parents[2].parent / "shared" / "data"
EDGE = 24


@pytest.fixture(scope="module")
def scene():
    truth = nuclei_pair()[2].astype(float)
    return (100 * truth / truth.mean())[: 128 + 2 * EDGE, : 128 + 2 * EDGE].astype(np.float32)


def frame_of(scene, splitter, mirrored=None, above=False, seed=0):
    """Return a noisy camera frame; with `above`, everything is transposed."""
    truth = splitter.project(scene)
    y0, y1, x0, x1 = splitter.regions((128, 128))[1]
    view = truth[y0:y1, x0:x1]
    if mirrored:
        truth[y0:y1, x0:x1] = view[:, ::-1] if mirrored == "x" else view[::-1]
    rng = np.random.default_rng(seed)
    noisy = rng.poisson(truth) + rng.normal(splitter.offset, splitter.read_noise, truth.shape)
    return noisy.T if above else noisy


@pytest.mark.parametrize("mirrored", [None, "x", "y"])
@pytest.mark.parametrize(("gap", "margin"), [(0, 0), (14, 9)])
def test_layout_is_found_automatically(scene, mirrored, gap, margin):
    splitter = Beamsplitter(shift=(3.3, -4.4), gap=gap, margin=margin)
    first, second, layout = split_frame(frame_of(scene, splitter, mirrored))
    assert (layout.axis, layout.mirrored, layout.gap) == ("side by side", mirrored, gap)
    assert layout.views == splitter.regions((128, 128))
    np.testing.assert_allclose(layout.shift, (3.3, -4.4), atol=0.1)
    assert layout.integer_shift == (3, -4)
    np.testing.assert_allclose(np.add(layout.integer_shift, layout.fraction), layout.shift)
    assert layout.gain == pytest.approx(2 / 3, abs=0.03)
    assert first.shape == second.shape == (125, 124)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.85


def test_views_above_each_other(scene):
    splitter = Beamsplitter(shift=(3.3, -4.4), gap=14, margin=0)
    layout = split_frame(frame_of(scene, splitter, above=True))[2]
    assert (layout.axis, layout.mirrored, layout.gap) == ("above", None, 14)
    np.testing.assert_allclose(layout.shift, (-4.4, 3.3), atol=0.1)


def test_pixels_are_unchanged(scene):
    frame = frame_of(scene, Beamsplitter(), mirrored="x")
    first, second, layout = split_frame(frame)
    (y0, y1, x0, x1), (v0, v1, u0, u1) = layout.regions
    np.testing.assert_array_equal(first, frame[y0:y1, x0:x1])
    np.testing.assert_array_equal(second, frame[v0:v1, u0:u1][:, ::-1])


def test_movie_is_measured_together_and_split_lazily(scene):
    faint = 0.04 * scene
    frames = np.stack([frame_of(faint, Beamsplitter(), seed=seed) for seed in range(8)])
    movie = da.from_array(frames, chunks=(1, -1, -1))
    first, second, layout = split_frame(movie)
    assert isinstance(first, da.Array) and first.shape == second.shape == (8, 127, 125)
    np.testing.assert_allclose(layout.shift, Beamsplitter().shift, atol=0.15)
    again, _ = layout.split(frames[5])
    np.testing.assert_array_equal(first[5].compute(), again)
    with pytest.raises(ValueError, match="measure their layout"):
        layout.split(frames[:, :-1])


def test_zarr_movie_stays_lazy(scene):
    zarr = pytest.importorskip("zarr")
    frame = frame_of(scene, Beamsplitter())
    movie = zarr.array(np.stack([frame, frame]), chunks=(1, *frame.shape))
    first, _, layout = split_frame(movie)
    assert isinstance(first, da.Array)
    np.testing.assert_array_equal(first[1].compute(), layout.split(frame)[0])


def test_layout_given_by_the_user(scene):
    splitter = Beamsplitter(gap=14)
    frame = frame_of(scene, splitter)
    found = split_frame(frame)[2]
    (y0, y1, x0, x1), right = splitter.regions((128, 128))
    loose = ((y0, y1, x0 + 5, x1), right)  # as drawn by hand
    drawn = split_frame(frame, loose, mirrored=False)[2]
    np.testing.assert_allclose(drawn.shift, np.add(found.shift, (0, 5)), atol=0.05)
    assert split_frame(frame, "side by side")[2] == found
    first, second, same = split_frame(frame, found)
    assert same is found and first.shape == second.shape
    with pytest.raises(ValueError, match="no two views"):
        split_frame(frame, "above")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("beside", "side by side"),
        (((0, 90, 0, 90), (0, 90, 300, 999)), "exceeds the frame"),
        (((0, 90, 0, 20), (0, 90, 100, 120)), "too small"),
        ((0, 90, 0, 20), "two rectangles"),
        (((0, 90, 0, np.inf), (0, 90, 100, 190)), "two rectangles"),
    ],
)
def test_invalid_layout_raises_clear_errors(scene, layout, message):
    with pytest.raises(ValueError, match=message):
        split_frame(frame_of(scene, Beamsplitter()), layout)


@pytest.mark.parametrize("mirrored", ["z", 3])
def test_an_unknown_mirror_axis_is_refused(scene, mirrored):
    with pytest.raises(ValueError, match="mirrored must be"):
        split_frame(frame_of(scene, Beamsplitter()), mirrored=mirrored)


def test_different_scenes_are_rejected():
    truth = nuclei_pair()[2].astype(float)
    one, other = truth[:128, :128], truth[-128:, -128:]
    rng = np.random.default_rng(0)
    frame = rng.poisson(100 * np.concatenate([one, other], axis=1) / truth.mean())
    with pytest.raises(ValueError, match="two views of one scene"):
        split_frame(frame)


def test_drawn_rectangles_may_correlate_less(scene):
    frame = frame_of(scene, Beamsplitter())
    views = Beamsplitter().regions((128, 128))
    (y0, y1, x0, x1) = views[1]
    rng = np.random.default_rng(1)
    spots = np.zeros((128, 128))
    spots[rng.integers(4, 124, 25), rng.integers(4, 124, 25)] = 1
    frame[y0:y1, x0:x1] += 150 * gaussian_filter(spots, 2) * 8 * np.pi  # only in one view
    with pytest.raises(ValueError, match="noise-corrected correlation"):
        split_frame(frame)
    with pytest.warns(UserWarning, match="noise-corrected correlation"):
        layout = split_frame(frame, views)[2]
    np.testing.assert_allclose(layout.shift, Beamsplitter().shift, atol=0.3)


def hot(frame):
    frame[np.random.default_rng(2).random(frame.shape) < 2e-4] = 5000


def bright_columns(frame):
    frame[:, :6] = 4000


def bright_rows(frame):
    frame[::7] = frame.max()


@pytest.mark.parametrize("spoil", [hot, bright_columns, bright_rows])
def test_sensor_patterns_do_not_affect_the_layout(scene, spoil):
    splitter = Beamsplitter(shift=(3.3, -4.4), gap=14, margin=9)
    frame = frame_of(scene, splitter)
    spoil(frame)
    first, _, layout = split_frame(frame)
    np.testing.assert_allclose(layout.views, splitter.regions((128, 128)), atol=2)
    np.testing.assert_allclose(layout.shift, (3.3, -4.4), atol=0.2)
    (y0, y1, x0, x1), _ = layout.regions
    np.testing.assert_array_equal(first, frame[y0:y1, x0:x1])  # not corrected


def test_dark_frame_is_rejected():
    with pytest.raises(ValueError, match="two views of one scene"):
        split_frame(np.random.default_rng(0).normal(100, 2, (128, 256)))


def test_rotated_view_is_measured_and_gives_a_warning(scene):
    turn, size = np.radians(0.5), 1.004
    # Counter-clockwise as displayed: the part to the right of the centre moves up.
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / size
    middle = (np.array(scene.shape) - 1) / 2
    turned = affine_transform(scene, matrix, middle - matrix @ middle, order=3, mode="reflect")
    light = np.concatenate([part[EDGE:-EDGE, EDGE:-EDGE] for part in (scene, turned)], axis=1)
    frame = np.random.default_rng(0).poisson(10 * np.maximum(light, 0))
    with pytest.warns(UserWarning, match=r"rotated by 0\.[4-6]"):
        found = split_frame(frame)[2].distortion
    assert found.significant
    assert found.rotation == pytest.approx(0.5, abs=4 * found.rotation_error)
    assert found.rotation_error < 0.1
    assert found.magnification == pytest.approx(1.004, abs=4 * found.magnification_error)


def test_views_without_distortion(scene):
    layout = split_frame(frame_of(scene, Beamsplitter()))[2]
    assert isinstance(layout, SplitLayout)
    assert layout.distortion is not None and not layout.distortion.significant


@pytest.mark.skipif(not (DATA / "dualview").exists(), reason="shared images are missing")
def test_frame_with_three_views_asks_for_rectangles():
    frames = tifffile.imread(DATA / "dualview" / "smfret_3view_20x256x256.tif")[:6]
    with pytest.raises(ValueError, match="give the two rectangles"):
        split_frame(frames)
