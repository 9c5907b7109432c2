"""Affine map between two views: measured, used on coordinates and images, stored."""

import dataclasses

import numpy as np
import pytest

from napari_lowdose import samples, split_frame
from napari_lowdose.pairs.layout_drift import layout_drift
from napari_lowdose.pairs.measured_map import measure_map
from napari_lowdose.pairs.split_layout import SplitLayout
from napari_lowdose.pairs.view_map import ViewMap, checked_matrix
from napari_lowdose.samples.beamsplitter import Beamsplitter

SIDE = 320


@pytest.fixture(scope="module")
def turned():
    """Return splitter, frame, truth and layout of views that are turned by half a degree."""
    splitter = Beamsplitter(rotation=0.5, magnification=1.005)
    frame, truth = samples.beamsplitter_frame(photons=30, splitter=splitter)
    with pytest.warns(UserWarning, match=r"rotated by 0\.[45].*affine=layout\.affine"):
        layout = split_frame(frame)[2]
    return splitter, frame, truth, layout


def grid():
    line = np.linspace(8, SIDE - 8, 7)
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)


def test_points_are_found_in_the_other_view(turned):
    splitter, _, _, layout = turned
    (y0, _, x0, _), (v0, _, u0, _) = splitter.regions((SIDE, SIDE))
    expected = splitter.view_map((SIDE, SIDE)).points(grid()) + [v0, u0]
    found = layout.points(grid() + [y0, x0])
    np.testing.assert_allclose(found, expected, atol=0.15)
    back = layout.points(found, to_first=True)
    np.testing.assert_allclose(back, grid() + [y0, x0], atol=1e-9)
    assert layout.distortion.residual < 0.15


@pytest.mark.parametrize("mirrored", [None, "x", "y"])
def test_points_in_a_mirrored_view(turned, mirrored):
    frame = turned[1]
    layout = dataclasses.replace(turned[3], mirrored=mirrored)
    y0, _, x0, _ = layout.regions[0]
    # Numbers of the rows and columns, cut out as a view is
    rows, columns = np.indices(frame.shape)
    place = np.stack([layout.split(rows)[1][70, 90], layout.split(columns)[1][70, 90]])
    exact = dataclasses.replace(layout, affine=None, fraction=(0.0, 0.0))
    np.testing.assert_allclose(exact.points([y0 + 70, x0 + 90]), place)


def test_the_mean_of_both_views_is_sharp(turned):
    _, _, truth, layout = turned
    first, second = layout.split(truth - 100)
    mean = layout.view_map.mean(first, second / layout.gain)
    inner = np.s_[9:-9, 9:-9]
    shifted = (first + ViewMap.shift(layout.fraction).resample(second / layout.gain)) / 2
    error, before = (np.abs(each - first)[inner].max() for each in (mean, shifted))
    assert error < 0.1 * before
    beyond = ~layout.view_map.inside(first.shape)  # the second view does not reach there
    assert 0 < beyond.sum() < 3000
    np.testing.assert_array_equal(mean[beyond], first[beyond])


def test_a_map_is_kept_in_the_file(turned, tmp_path):
    layout = turned[3]
    layout.save(tmp_path / "splitter.json")
    assert SplitLayout.load(tmp_path / "splitter.json") == layout
    content = (tmp_path / "splitter.json").read_text()
    (tmp_path / "old.json").write_text(content.replace('"affine"', '"other"'))
    assert SplitLayout.load(tmp_path / "old.json").affine is None


@pytest.mark.parametrize(
    "affine", [[[1, 0, 0]], "much", [[2, 0, 0], [0, 1, 0]], [[1, 0, np.nan]] * 2]
)
def test_matrices_that_make_no_sense_are_refused(affine):
    with pytest.raises(ValueError, match="affine must be"):
        checked_matrix(affine)


def test_tiles_without_structure_and_strays_are_ignored():
    rng = np.random.default_rng(0)
    true = ViewMap.of([[1.004, -0.006], [0.006, 1.004]], (1.0, -2.0))
    scene = np.zeros((256, 256), np.float32)
    scene[rng.integers(20, 236, 60), rng.integers(20, 110, 60)] = 1  # beads in one half
    scene[rng.integers(120, 236, 60), rng.integers(110, 236, 60)] = 1
    from scipy.ndimage import gaussian_filter

    scene = 2000 * gaussian_filter(scene, 2)
    first = rng.poisson(scene + 5).astype(np.float32)
    second = rng.poisson(np.maximum(true.inverse.resample(scene), 0) + 5).astype(np.float32)
    second[200:240, 200:240] = first[196:236, 196:236]  # a part that has moved by itself
    found = measure_map(first[None], second[None])
    assert found.significant and found.n_tiles < 25
    apart = found.view_map.points([[30, 30], [128, 60], [200, 100]]) - true.points(
        [[30, 30], [128, 60], [200, 100]]
    )
    assert np.abs(apart).max() < 0.15
    assert measure_map(*rng.poisson(5, (2, 1, 128, 128)).astype(np.float32)) is None


def test_drift_of_turned_views_is_measured_against_their_map(turned):
    splitter, frame, _, layout = turned
    assert not layout_drift(layout, frame).significant
    later = dataclasses.replace(splitter, shift=(1.7, -2.6))
    drift = layout_drift(layout, samples.beamsplitter_frame(photons=30, splitter=later)[0])
    assert drift.significant
    np.testing.assert_allclose(drift.shift, (0.4, 0), atol=0.1)


def test_a_movie_too_dark_to_compare_is_told(turned):
    dark = np.random.default_rng(0).poisson(100, turned[1].shape)
    with pytest.warns(UserWarning, match="could not be compared with this movie"):
        split_frame(dark, turned[3])
