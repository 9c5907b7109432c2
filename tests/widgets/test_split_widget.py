"""The dock widget 'Split camera frame' in a real viewer."""

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from napari_lowdose import samples
from napari_lowdose.widgets.menus import open_widget, opened_widget
from napari_lowdose.widgets.split.overlay import overlay
from napari_lowdose.widgets.split_widget import SplitWidget

from .conftest import finish, is_due


@pytest.fixture(scope="module")
def frame():
    return samples.beamsplitter_frame()[0]


@pytest.fixture
def splitter(viewer, qtbot):
    """Return a function: (frame, layer options) to a widget that has looked at it."""

    def dock(frame, **options):
        viewer.add_image(frame, name="camera", **options)
        widget = SplitWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Split camera frame")
        settle(qtbot, widget)
        return widget

    return dock


def settle(qtbot, widget):
    qtbot.waitUntil(
        lambda: not (widget.runner.busy or widget._due or is_due(widget._measure_later)),
        timeout=60000,
    )


def test_a_frame_becomes_an_aligned_pair(splitter, qtbot, frame):
    widget = splitter(frame, scale=(0.5, 0.5), units=("um", "um"))
    true = samples.Beamsplitter().shift
    said = widget.findings.text()
    assert "side by side" in said and "px" in said and "µm" in said
    np.testing.assert_allclose(widget.found.shift, true, atol=0.1)
    assert widget.overlay.isVisibleTo(widget)
    # So that `split` finds the Noise2Noise widget there, as a plugin's would be
    from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget

    viewer = widget.viewer
    pair = Noise2NoiseWidget(viewer)
    viewer.window.add_dock_widget(pair, name="Denoise a pair (Noise2Noise) (napari-lowdose)")
    widget.split_button.click()
    _, first, second = viewer.layers
    assert (pair.form.first, pair.form.second) == (first, second)
    np.testing.assert_allclose(pair.form.parameters().shift, widget.found.fraction, atol=1e-3)
    assert first.data.shape == second.data.shape
    # The first lies where it was seen, the second on top of it to a fraction of a pixel
    y0, _, x0, _ = widget.found.regions[0]
    np.testing.assert_allclose(first.translate, (y0 * 0.5, x0 * 0.5))
    behind = (np.array(first.translate) - second.translate) / 0.5
    np.testing.assert_allclose(behind, widget.found.fraction, atol=1e-9)
    assert not viewer.layers[0].visible
    finish(qtbot, pair)
    assert "2 pixels" not in pair.card.findings.text() and not pair.card.refusal


def test_a_lazy_movie_stays_lazy(splitter, frame):
    movie = da.stack([da.from_array(frame)] * 3)
    widget = splitter(movie, contrast_limits=(0, 200))
    first, second = widget._add_views(widget.viewer.layers[0], widget.found)
    assert isinstance(first.data, da.Array) and isinstance(second.data, da.Array)
    assert first.data.shape[0] == 3
    one, _ = widget.found.split(frame)
    np.testing.assert_array_equal(np.asarray(first.data[1]), one)


def test_drawn_rectangles_need_not_be_exact(splitter, qtbot, frame):
    widget = splitter(frame, scale=(0.5, 0.5), translate=(3, 4))
    found = widget.found
    widget.draw_button.click()
    settle(qtbot, widget)
    assert widget.form.drawn
    shapes = widget.viewer.layers["views"]
    moved = [np.array(each) for each in shapes.data]
    moved[1] = moved[1] + 3  # a person's hand
    shapes.data = moved
    settle(qtbot, widget)
    assert widget.found is not None, widget.findings.text()
    assert (
        widget.found.regions[0] != found.regions[0]
        or widget.found.integer_shift != found.integer_shift
    )
    np.testing.assert_allclose(widget.found.fraction, found.fraction, atol=0.1)


def test_two_scenes_are_refused(splitter):
    rng = np.random.default_rng(0)
    widget = splitter(rng.poisson(20, (128, 256)).astype(np.uint16))
    assert widget.found is None and not widget.split_button.isEnabled()
    assert widget.findings.text().startswith("No two views of one scene")
    assert not widget.overlay.isVisibleTo(widget)


def test_a_person_who_drew_the_views_can_overrule(splitter, qtbot):
    from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget

    frame = np.random.default_rng(0).poisson(20, (128, 256)).astype(np.uint16)
    widget = splitter(frame)
    assert not widget.as_drawn_button.isVisibleTo(widget)  # nothing was drawn yet
    widget.draw_button.click()
    settle(qtbot, widget)
    assert widget.found is None and widget.as_drawn_button.isVisibleTo(widget)
    pair = Noise2NoiseWidget(widget.viewer)
    widget.viewer.window.add_dock_widget(pair, name="Denoise a pair (Noise2Noise) (napari-lowdose)")
    rectangles = widget.form.views()
    widget.as_drawn_button.click()
    first, second = widget.viewer.layers[-2:]
    (y0, _, x0, _), (v0, _, u0, _) = rectangles
    height, width = first.data.shape
    assert first.data.shape == second.data.shape
    np.testing.assert_array_equal(first.data, frame[y0 : y0 + height, x0 : x0 + width])
    np.testing.assert_array_equal(second.data, frame[v0 : v0 + height, u0 : u0 + width])
    assert (pair.form.first, pair.form.second) == (first, second)
    assert "as drawn" in widget.findings.text() and not widget.save_button.isEnabled()


def test_the_colours_are_complementary():
    view = np.random.default_rng(0).random((20, 20))
    agreeing = overlay(view, 3 * view + 7)
    np.testing.assert_allclose(agreeing[..., 0], agreeing[..., 1], atol=1)
    np.testing.assert_array_equal(agreeing[..., 0], agreeing[..., 2])


def test_a_widget_is_opened_once(splitter, frame):
    widget = splitter(frame)
    assert opened_widget(widget.viewer, "Split camera frame") is widget
    assert open_widget(widget.viewer, "Split camera frame") is widget
    assert all(isinstance(layer, Image) for layer in widget.viewer.layers)


def choose_file(monkeypatch, path):
    for name in ("getSaveFileName", "getOpenFileName"):
        monkeypatch.setattr(f"qtpy.QtWidgets.QFileDialog.{name}", lambda *_: (str(path), ""))


def test_a_calibration_is_kept_and_compared_with_later_movies(
    splitter, qtbot, frame, monkeypatch, tmp_path
):
    choose_file(monkeypatch, tmp_path / "splitter")
    widget = splitter(frame)
    measured = widget.found
    widget.save_button.click()
    assert (tmp_path / "splitter.json").exists()
    settle(qtbot, widget)
    assert widget.form.layout_combo.currentText() == "calibration splitter.json"
    assert widget.found == measured and "drifted" not in widget.findings.text()
    later = samples.beamsplitter_frame(splitter=samples.Beamsplitter(shift=(1.3, -2.1)))[0]
    widget.viewer.layers["camera"].data = later
    choose_file(monkeypatch, tmp_path / "splitter.json")
    widget.load_button.click()
    settle(qtbot, widget)
    assert widget.found == measured
    assert "The views have drifted by 0.5 px since the calibration" in widget.findings.text()
    (tmp_path / "splitter.json").write_text("{}")
    widget.load_button.click()
    assert "not the layout of a beamsplitter" in widget.findings.text()


def test_a_rotated_view_is_used_for_the_training(splitter, qtbot):
    turned = samples.Beamsplitter(rotation=0.5, magnification=1.005)
    widget = splitter(samples.beamsplitter_frame(splitter=turned)[0])
    text = widget.findings.text()
    assert "rotated by 0.5" in text and "layout.affine" not in text
    from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget

    pair = Noise2NoiseWidget(widget.viewer)
    widget.viewer.window.add_dock_widget(pair, name="Denoise a pair (Noise2Noise) (napari-lowdose)")
    widget.split_button.click()
    assert pair.form.parameters().affine == widget.found.affine
    assert not pair.form.shift.isEnabled()
    finish(qtbot, pair)
    assert "No problems found" in pair.card.findings.text()
    pair.pair.choose(pair.form.second, pair.form.first)  # the other way round
    back, there = (np.array(each)[:, :2] for each in (pair.form.affine, widget.found.affine))
    np.testing.assert_allclose(back @ there, np.eye(2), atol=1e-9)


def test_a_frame_that_is_removed_leaves_no_findings_behind(splitter, qtbot, frame):
    widget = splitter(np.random.default_rng(0).poisson(5, frame.shape))
    widget.form.mirrored.setCurrentIndex(1)
    qtbot.waitUntil(lambda: widget.runner.busy, timeout=20000)
    widget.viewer.layers.clear()
    settle(qtbot, widget)
    assert widget.findings.text().startswith("Open an image to begin")
