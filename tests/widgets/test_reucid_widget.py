"""The dock widget in a real viewer."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from napari.qt.threading import WorkerBase
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QLabel

from napari_lowdose import Reucid, denoise
from napari_lowdose.engine import Engine, Step
from napari_lowdose.widgets.layers import validation_error
from napari_lowdose.widgets.result_layer import contrast_limits
from napari_lowdose.widgets.reucid_widget import ReucidWidget

from .conftest import FakeEngine, finish, idle


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (48, 64)).astype(np.uint16)


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


# ------------------------------------------------------------------ the result


def test_the_result_has_the_placement_of_the_input(docked, qtbot, image):
    place = {
        "scale": (0.2, 0.3), "translate": (5, 7), "rotate": 20, "shear": [0.1],
        "affine": [[1, 0, 3], [0, 2, 4], [0, 0, 1]], "units": ("nm", "nm"),
        "axis_labels": ("y", "x"), "colormap": "viridis",
    }  # fmt: skip
    widget = docked(image, FakeEngine(), **place)
    click(qtbot, widget.panel.start_button)
    finish(qtbot, widget)
    source, result = widget.viewer.layers
    assert result.name == "input FAKEENGINE"
    corners = np.array([[0, 0], [47, 0], [11, 63]])
    for corner in corners:
        np.testing.assert_allclose(result.data_to_world(corner), source.data_to_world(corner))
    np.testing.assert_allclose(result.scale, source.scale)
    assert result.units == source.units
    assert result.axis_labels == ("y", "x")
    assert result.colormap.name == "viridis"
    assert result.data.dtype == np.float32
    np.testing.assert_allclose(result.data, image / 2)
    assert result.metadata["napari-lowdose"]["finished"] is True
    assert result.metadata["napari-lowdose"]["input"]["layer"] == "input"


def test_the_result_appears_early_is_marked_partial_and_keeps_its_contrast(
    docked, qtbot, image, gate
):
    widget = docked(image, FakeEngine(at=gate))
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    result = widget.viewer.layers[1]
    assert result.name.endswith(" (partial)")
    assert result.metadata["napari-lowdose"]["finished"] is False
    limits = result.contrast_limits
    gate.open.set()
    finish(qtbot, widget)
    assert not result.name.endswith(" (partial)")
    assert result.contrast_limits == limits
    np.testing.assert_allclose(result.data, image / 2)


def test_the_contrast_of_a_large_image_is_that_of_all_of_it():
    large = np.random.default_rng(0).normal(10, 1, (3000, 2000)).astype(np.float32)
    limits = np.percentile(large, (0.1, 99.9))
    np.testing.assert_allclose(contrast_limits(large), limits, atol=0.05)


def test_the_residual_is_input_minus_result(docked, qtbot, image):
    widget = docked(image, FakeEngine())
    widget.form.with_residual.setChecked(True)
    widget.denoise()
    finish(qtbot, widget)
    _, result, residual = widget.viewer.layers
    np.testing.assert_allclose(residual.data, image - result.data)


def test_a_new_run_makes_a_new_layer(docked, qtbot, image):
    widget = docked(image, FakeEngine())
    for _ in range(2):
        widget.denoise()
        finish(qtbot, widget)
    assert len({layer.name for layer in widget.viewer.layers}) == 3


@pytest.mark.parametrize("all_frames", [False, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_stack_of_frames(docked, qtbot, all_frames, lazy):
    import dask.array as da

    movie = np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)
    widget = docked(da.from_array(movie) if lazy else movie, FakeEngine(), scale=(10, 2, 2))
    assert widget.form.frames.isVisibleTo(widget)
    widget.viewer.dims.set_current_step(0, 1)
    widget.form.frames.setCurrentIndex(int(all_frames))
    widget.denoise()
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    np.testing.assert_allclose(result.data, movie / 2 if all_frames else movie[1:2] / 2)
    np.testing.assert_allclose(result.scale, (10, 2, 2))
    first = result.data_to_world((0, 0, 0))
    np.testing.assert_allclose(first, (0, 0, 0) if all_frames else (10, 0, 0))


def test_multiscale_uses_the_full_resolution(docked, qtbot, image):
    widget = docked([image, image[::2, ::2]], FakeEngine(), multiscale=True)
    widget.denoise()
    finish(qtbot, widget)
    np.testing.assert_allclose(widget.viewer.layers[1].data, image / 2)


# --------------------------------------------------------------- stop and errors


def test_stop_keeps_the_partial_result(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate))
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    click(qtbot, widget.panel.stop_button)
    gate.open.set()
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    assert result.name.endswith(" (partial)")
    assert result.metadata["napari-lowdose"]["finished"] is False
    assert "partial" in widget.panel.status.text()
    assert widget.panel.start_button.isEnabled()


@pytest.mark.parametrize(
    "error, says",
    [(RuntimeError("out of memory"), "not enough memory"), (ValueError("too small"), "too small")],
)
def test_an_error_is_one_sentence_and_loses_nothing(docked, qtbot, image, error, says, monkeypatch):
    def fail(stack):
        raise error

    widget = docked(image, FakeEngine())
    widget.denoise()
    finish(qtbot, widget)
    earlier = widget.viewer.layers[1]
    before = earlier.data.copy()
    monkeypatch.setattr(widget.form, "parameters", lambda: FakeEngine(at=fail))
    widget.denoise()
    finish(qtbot, widget)
    assert says in widget.panel.notes.text().lower()
    assert list(widget.viewer.layers) == [widget.viewer.layers["input"], earlier]
    np.testing.assert_array_equal(earlier.data, before)
    assert widget.panel.start_button.isEnabled()
    assert widget.current is not None and widget.current.result is earlier


@pytest.mark.parametrize(
    ("unsuitable", "says"),
    [
        (np.zeros((32, 32, 3), np.uint8), "colour"),
        (np.zeros((32, 32), bool), "mask"),
    ],
)
def test_unsuitable_layers_are_refused_in_one_sentence(docked, qtbot, unsuitable, says):
    widget = docked(unsuitable)
    assert says in widget.panel.notes.text()
    assert not widget.panel.start_button.isEnabled()


def test_a_complex_layer_is_refused():
    layer = SimpleNamespace(name="wave", rgb=False, dtype=np.dtype(np.complex64))
    assert "complex" in validation_error(layer)


def test_labels_are_not_offered(viewer, qtbot):
    viewer.add_labels(np.zeros((32, 32), int))
    widget = ReucidWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert "Open an image" in widget.panel.status.text()
    viewer.add_image(np.random.default_rng(0).poisson(5, (32, 32)))
    assert widget.panel.start_button.isEnabled()
    finish(qtbot, widget)


# ------------------------------------------------------------------ always safe


def test_starting_twice_is_refused(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate))
    widget.denoise()
    widget.denoise()
    assert "press Stop first" in widget.panel.notes.text()
    assert not widget.panel.start_button.isEnabled()
    gate.open.set()
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 2


def test_deleting_the_input_does_not_lose_the_result(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate))
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    del widget.viewer.layers["input"]
    gate.open.set()
    finish(qtbot, widget)
    (result,) = widget.viewer.layers
    np.testing.assert_allclose(result.data, image / 2)
    assert result.metadata["napari-lowdose"]["finished"] is True


def test_deleting_the_result_stops_the_run(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate, n_stacks=500))
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    del widget.viewer.layers[1]
    gate.open.set()
    finish(qtbot, widget)
    assert [layer.name for layer in widget.viewer.layers] == ["input"]
    assert "removed" in widget.panel.status.text()


def test_changing_the_data_does_not_mix_two_images(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate))
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    widget.viewer.layers["input"].data = np.random.default_rng(1).poisson(9, (20, 30))
    gate.open.set()
    finish(qtbot, widget)
    np.testing.assert_allclose(widget.viewer.layers[1].data, image / 2)


@pytest.mark.parametrize("over_canvas", [True, False])
def test_the_status_bar_does_not_go_on_calling_the_result_partial(
    docked, qtbot, image, gate, over_canvas
):
    widget = docked(image, FakeEngine(at=gate))
    viewer = widget.viewer
    widget.denoise()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    viewer.mouse_over_canvas = True
    viewer.update_status_from_cursor()
    assert "(partial)" in str(viewer.status)
    viewer.mouse_over_canvas = over_canvas
    gate.open.set()
    finish(qtbot, widget)
    viewer.mouse_over_canvas = False
    assert "(partial)" not in str(viewer.status)
    assert ("input FAKEENGINE" in str(viewer.status)) == over_canvas


@pytest.mark.parametrize("how", ["viewer", "dock"])
def test_closing_stops_the_run(docked, make_napari_viewer, qtbot, image, how):
    reached = []
    engine = FakeEngine(n_stacks=10**6, pause=0.01, at=reached.append)
    viewer = make_napari_viewer()
    widget = docked(image, engine, viewer)
    widget.denoise()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    if how == "viewer":
        viewer.close()
    else:
        viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set or stands_still(qtbot, reached))
    if how == "dock":
        assert viewer.layers[1].name.endswith(" (partial)")
        viewer.dims.set_current_step(0, 0)  # nothing of the widget is called any more
        viewer.layers.clear()


def stands_still(qtbot, reached):
    before = len(reached)
    qtbot.wait(200)
    return len(reached) == before


# ----------------------------------------------------------------- eigenpatches


def test_a_click_on_an_eigenpatch_changes_the_result_at_once(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    widget.form.with_residual.setChecked(True)
    widget.denoise()
    finish(qtbot, widget)
    assert widget.gallery.tiles.count() == 4
    result, residual = widget.viewer.layers[1:]
    tile = widget.gallery.tiles.visualItemRect(widget.gallery.tiles.item(2)).center()
    qtbot.mouseClick(widget.gallery.tiles.viewport(), Qt.MouseButton.LeftButton, pos=tile)
    finish(qtbot, widget)
    assert (result.data == 3).all()
    np.testing.assert_allclose(residual.data, image - 3.0)
    by_hand = result.metadata["napari-lowdose"]["kept_by_hand"]
    assert by_hand == [{"index": [], "kept": [[0, 1, 2]]}]
    assert "by you" in widget.gallery.tiles.item(2).toolTip()


def test_the_frame_in_view_is_the_one_that_a_click_changes(docked, qtbot):
    movie = np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)
    widget = docked(movie, FakeEngine(n_stacks=1))
    widget.form.frames.setCurrentIndex(1)
    widget.denoise()
    finish(qtbot, widget)
    widget.viewer.dims.set_current_step(0, 1)
    widget.gallery.toggled.emit(0, 2)
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    assert (result.data[1] == 3).all()
    np.testing.assert_allclose(result.data[2], movie[2] / 2)


# ------------------------------------------------------------- the real engine


def test_the_result_equals_that_of_denoise(docked, qtbot, noisy):
    widget = docked(noisy)
    assert widget.form.patch_size.estimate is not None
    widget.form.patch_size.value = 11
    widget.form.n_stacks.setValue(2)
    click(qtbot, widget.panel.start_button)
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    assert result.name == "input REUCID"
    np.testing.assert_array_equal(result.data, denoise(noisy, Reucid(patch_size=11, n_stacks=2)))
    assert widget.gallery.stack_combo.count() == 2


@pytest.mark.parametrize("n_stacks", [1, 2])
def test_copy_as_python_makes_the_result_again(docked, qtbot, noisy, tmp_path, n_stacks):
    path = tmp_path / "noisy.tif"
    tifffile.imwrite(path, noisy)
    widget = docked(noisy)
    layer = widget.viewer.open(path, plugin="napari")[0]
    widget.form.layer_combo.value = layer
    widget.form.patch_size.value = 11
    widget.form.n_stacks.setValue(n_stacks)
    finish(qtbot, widget)
    widget.denoise()
    finish(qtbot, widget)
    chosen = widget.viewer.layers[-1].data
    widget.gallery.toggled.emit(0, 0)
    finish(qtbot, widget)
    result = widget.viewer.layers[-1].data
    assert np.abs(result - chosen).max() > 1
    widget.copy_button.click()
    script = QApplication.clipboard().text()
    assert str(path) in script
    made = {}
    exec(script, made)
    np.testing.assert_allclose(made["clean"], result, atol=1e-3)


@pytest.mark.parametrize("spoil", ["nan", "small"])
def test_bad_pixels_are_reported_once(docked, qtbot, noisy, spoil):
    image = noisy.astype(float)
    if spoil == "nan":
        image[3, 4] = np.nan
    else:
        image = image[:2, :2]
    widget = docked(image)
    widget.denoise()
    finish(qtbot, widget)
    assert widget.panel.notes.text()
    assert "\n" not in widget.panel.notes.text()
    assert len(widget.viewer.layers) == 1


def test_nothing_freezes(docked, qtbot):
    """The event loop turns while the engine works; the longest stall is a part of the run.

    `benchmarks/widget_responsiveness.py` measures it in seconds.
    """
    image = np.random.default_rng(0).poisson(20, (400, 400)).astype(np.float32)
    busy = FakeEngine(n_stacks=40, pause=0.01, at=lambda stack: np.linalg.svd(image[:200, :200]))
    widget = docked(image, busy)
    widget.denoise()
    begun = last = time.perf_counter()
    longest = 0.0
    while not idle(widget):
        QApplication.processEvents()
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert longest < 0.5 * (last - begun)


def test_the_form_sets_the_parameters_of_the_engine(docked, noisy):
    form = docked(noisy).form
    assert form.parameters() == Reucid(n_stacks=5)  # a newcomer sees the result build up
    form.n_stacks.setValue(0)
    assert form.n_stacks.text() == "automatic"
    assert form.parameters() == Reucid()
    form.patch_size.value = "wide"
    form.memory_limit.setValue(0.5)
    form.n_stacks.setValue(4)
    form.scan_noise.setCurrentIndex(1)
    form.seed.setValue(7)
    expected = Reucid(patch_size="wide", n_stacks=4, memory_limit=2**29, scan_noise="keep", seed=7)
    assert form.parameters() == expected
    form.patch_size.pixels.setValue(13)  # to edit the estimate is to fix it
    assert form.parameters().patch_size == 13


def test_the_result_builds_up_stack_by_stack(docked, qtbot, noisy):
    widget = docked(noisy)
    script = widget.script()
    assert "n_stacks=5" in script  # what Denoise would do
    widget.denoise()
    finish(qtbot, widget)
    assert len(widget.viewer.layers[1].metadata["napari-lowdose"]["steps"]) == 5
    assert widget.script().endswith(script[script.index("clean =") :])  # what Denoise did


@pytest.mark.parametrize("wide", [False, True])
def test_wide_patches_are_reported_and_the_note_stays(docked, qtbot, image, wide):
    widget = docked(image, FakeEngine(n_stacks=2, wide=wide))
    widget.denoise()
    finish(qtbot, widget)
    widget.gallery.toggled.emit(0, 2)
    finish(qtbot, widget)
    assert ("rare defects" in widget.panel.notes.text()) == wide


@pytest.mark.parametrize("height", [400, 700, 1200])
def test_nothing_is_cut_off(docked, qtbot, image, height):
    widget = docked(image, FakeEngine(n_stacks=2, wide=True))
    widget.denoise()
    finish(qtbot, widget)
    widget.viewer.window.remove_dock_widget(widget)
    qtbot.addWidget(widget)
    widget.setFixedSize(320, height)
    widget.show()
    qtbot.waitUntil(lambda: widget.panel.status.isVisible())
    qtbot.wait(50)
    content = widget.widget()
    assert content.width() <= widget.viewport().width()
    texts = [each for each in content.findChildren(QLabel) if each.isVisibleTo(content)]
    for each in [*texts, widget.copy_button, widget.panel.stop_button, widget.gallery]:
        assert each.width() >= each.minimumSizeHint().width(), each
        wrapped = each.heightForWidth(each.width())
        assert each.height() >= (wrapped if wrapped > 0 else each.minimumSizeHint().height()), each
        corner = each.mapTo(content, each.rect().bottomRight())
        assert content.rect().contains(corner), each


def test_scrolling_over_a_field_changes_no_parameter(docked, noisy):
    form = docked(noisy).form
    down = QPoint(0, -120)
    for field in [form.n_stacks, form.scan_noise, form.patch_size.mode, form.seed]:
        middle = QPointF(field.rect().center())
        nothing, steady = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        phase = Qt.ScrollPhase.NoScrollPhase
        wheel = QWheelEvent(middle, middle, down, down, nothing, steady, phase, False)
        QApplication.sendEvent(field, wheel)
    assert form.parameters() == Reucid(n_stacks=5)


def test_a_step_without_an_image_makes_no_layer(docked, qtbot, image):
    class Silent(Engine):
        def frame_steps(self, *frames):
            yield Step(fraction=1, message="nothing")

    widget = docked(image, Silent())
    widget.denoise()
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 1
