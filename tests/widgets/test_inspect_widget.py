"""The dock widget Inspect: a result against its raw image, in place."""

import dask.array as da
import numpy as np
import pytest
from napari.layers import Shapes
from scipy.ndimage import gaussian_filter

from napari_lowdose import Reucid, denoise
from napari_lowdose.inspection import line_profile
from napari_lowdose.widgets import menus
from napari_lowdose.widgets.inspect.curtain import Curtain
from napari_lowdose.widgets.inspect_widget import InspectWidget
from napari_lowdose.widgets.result_layer import METADATA_KEY, RESIDUAL_KEY

from .conftest import is_due

Y, X = np.mgrid[:96, :96]
TRUTH = (6 + 25 * np.exp(-((Y % 12 - 6) ** 2 + (X % 12 - 6) ** 2) / 9.7)).astype(np.float32)
RAW = np.random.default_rng(0).poisson(TRUTH).astype(np.uint16)
BLURRED = gaussian_filter(RAW.astype(np.float32), 2)


def record(layer="scan", **about):
    return {METADATA_KEY: {"engine": "Other", "input": {"layer": layer, **about}}}


def wait(widget, qtbot):
    qtbot.waitUntil(
        lambda: not (widget.runner.busy or widget.measure.runner.busy or is_due(widget)),
        timeout=30000,
    )


def docked(viewer, qtbot):
    widget = InspectWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Inspect")
    wait(widget, qtbot)
    return widget


@pytest.fixture
def dock(viewer, qtbot):
    """Return a function: (result, raw, options) to the docked widget."""

    def dock(result=BLURRED, raw=RAW, **options):
        viewer.add_image(raw, name="scan", **options)
        viewer.add_image(result, name="clean", metadata=record(), **options)
        return docked(viewer, qtbot)

    return dock


def chosen(widget):
    return {role: layer and layer.name for role, layer in widget.form.chosen().items()}


def test_the_input_of_a_result_is_chosen_with_it(viewer, dock, qtbot):
    viewer.add_image(TRUTH, name="truth")
    widget = dock()
    expected = {"raw": "scan", "result": "clean", "second": None, "truth": "truth"}
    assert chosen(widget) == expected
    viewer.add_image(RAW, name="scan, second")
    viewer.add_image(TRUTH, name="of the pair", metadata=record(["scan", "scan, second"]))
    assert chosen(widget) == {**expected, "result": "of the pair", "second": "scan, second"}


def test_the_result_of_a_residual_is_chosen(viewer, dock):
    widget = dock()
    residual = viewer.add_image(RAW - BLURRED, metadata={RESIDUAL_KEY: "clean"})
    widget.choose(residual)
    assert chosen(widget)["result"] == "clean" and chosen(widget)["raw"] == "scan"


def test_the_verdict_is_shown_and_the_places_are_outlined(viewer, dock, qtbot):
    widget = dock(scale=(0.5, 0.5), translate=(3, 4))
    widget.show()
    widget.panel.start_button.click()
    wait(widget, qtbot)
    assert widget.panel.status.text() == "Inspected."
    assert widget.findings.headline.text().startswith("Structure was removed")
    before = len(viewer.layers)
    widget.findings.button.click()
    outline = viewer.layers[-1]
    assert isinstance(outline, Shapes) and len(viewer.layers) == before + 1
    np.testing.assert_allclose(outline.data_to_world(outline.data[0][0]), (2.75, 3.75))
    widget.choose(viewer.layers["clean"])  # the same: nothing stays of the inspection before
    assert outline not in viewer.layers and not widget.findings.isVisible()


def test_a_correct_result_looks_like_noise(dock, qtbot):
    widget = dock(TRUTH)
    widget.inspect()
    wait(widget, qtbot)
    assert widget.findings.headline.text() == "What was removed looks like noise."
    assert not widget.findings.button.isVisibleTo(widget.findings)


def test_the_frame_in_view_is_inspected_and_follows_the_slider(viewer, dock, qtbot):
    widget = dock(np.stack([TRUTH, BLURRED]), np.stack([RAW, RAW]))
    viewer.dims.set_current_step(0, 0)
    widget.inspect()
    wait(widget, qtbot)
    assert widget.findings.headline.text() == "What was removed looks like noise."
    viewer.dims.set_current_step(0, 1)
    assert widget.found is None
    wait(widget, qtbot)
    assert widget.findings.headline.text().startswith("Structure was removed")


def test_a_result_of_one_frame_belongs_to_that_frame(viewer, dock, qtbot):
    viewer.add_image(np.stack([np.rot90(RAW), RAW]), name="movie")
    result = viewer.add_image(
        TRUTH[np.newaxis], name="one", metadata=record("movie", frame=[1]), translate=(1, 0, 0)
    )
    widget = docked(viewer, qtbot)
    widget.choose(result)
    viewer.dims.set_current_step(0, 0)
    widget.inspect()
    assert "no frame at this position" in widget.panel.notes.text()
    viewer.dims.set_current_step(0, 1)
    np.testing.assert_array_equal(widget.frames().images["raw"], RAW)
    assert widget.frames().index == (1,)


def test_a_lazy_frame_is_read_once(viewer, dock, qtbot):
    read = []

    def block(pixels, block_id=None):
        read.append(block_id)
        return pixels

    lazy = da.from_array(np.stack([TRUTH, BLURRED]), chunks=(1, 96, 96)).map_blocks(
        block, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
    )
    widget = dock(lazy, np.stack([RAW, RAW]), contrast_limits=(0, 40), multiscale=False)
    viewer.dims.set_current_step(0, 1)
    wait(widget, qtbot)
    read.clear()
    widget.measure.line_button.click()
    wait(widget, qtbot)
    widget.inspect()
    wait(widget, qtbot)
    assert widget.found is not None and len(read) <= 1


def test_the_profile_follows_the_line(viewer, dock, qtbot):
    widget = dock(scale=(0.5, 0.5), units=("nm", "nm"))
    viewer.add_image(TRUTH, name="truth", scale=(0.5, 0.5), units=("nm", "nm"))
    widget.form.suggest()
    widget.measure.line_button.click()
    line = widget.measure.line.layer
    line.data = [np.array([[10.0, 10.0], [10.0, 60.0]])]
    wait(widget, qtbot)
    curves = widget.measure.profile.plot.listDataItems()
    assert len(curves) == 3
    expected = line_profile(RAW, (10, 10), (10, 60))
    np.testing.assert_allclose(curves[0].xData, expected.distance * 0.5)
    np.testing.assert_allclose(curves[0].yData, expected.values)
    label = widget.measure.profile.plot.getAxis("bottom").labelText
    assert label == "distance (nm)"
    viewer.layers.remove(line)
    wait(widget, qtbot)
    assert not widget.measure.profile.plot.listDataItems()


def test_the_numbers_of_a_box_and_of_a_point(viewer, dock, qtbot):
    widget = dock()
    widget.measure.box_button.click()
    widget.measure.box.layer.data = [np.array([[9.5, 9.5], [9.5, 29.5], [19.5, 29.5], [19.5, 9.5]])]
    widget.measure.clicks.clicked.emit((54.0, 54.0))
    wait(widget, qtbot)
    text = widget.measure.numbers.text()
    assert f"Box, raw: mean {RAW[10:20, 10:30].mean():.4g}," in text
    assert "Point, result: " in text and "times as high as its 6 neighbours" in text


def test_layers_that_cannot_be_compared_are_refused(viewer, dock, qtbot):
    widget = dock()
    viewer.add_image(RAW[:50], name="small")
    widget.form.result.value = viewer.layers["small"]
    widget.inspect()
    assert "'scan' and 'small' cannot be compared" in widget.panel.notes.text()
    widget.form.result.value = viewer.layers["scan"]
    assert not widget.panel.start_button.isEnabled()
    widget.curtain.switch.setChecked(True)
    assert not widget.curtain.switch.isChecked()


def test_the_result_of_a_part_is_compared_with_that_part(viewer, qtbot, tmp_path):
    place = {"scale": (2, 2)}
    viewer.add_image(RAW, name="scan", **place)
    part = np.s_[16:80, 8:72]
    made = record(region=[16, 80, 8, 72])
    viewer.add_image(BLURRED[part], name="clean", metadata=made, translate=(32, 16), **place)
    widget = docked(viewer, qtbot)
    frames = widget.frames()
    np.testing.assert_array_equal(np.asarray(frames.images["raw"]), RAW[part])
    widget.inspect()
    wait(widget, qtbot)
    assert widget.found is not None
    widget.measure.box_button.click()
    wait(widget, qtbot)
    y0, y1, x0, x1 = widget.measure.drawn_box()
    assert 0 <= y0 < y1 <= 64 and 0 <= x0 < x1 <= 64
    widget.write_report(str(tmp_path / "report.html"), frames)
    wait(widget, qtbot)
    assert "[..., 16:80, 8:72]" in (tmp_path / "report.html").read_text()


def test_without_layers_nothing_can_be_pressed(viewer, qtbot):
    widget = docked(viewer, qtbot)
    assert not widget.panel.start_button.isEnabled() and not widget.report_button.isEnabled()
    widget.inspect()
    assert "Choose a raw image" in widget.panel.notes.text()


def test_a_defect_is_planted_into_the_raw_frame_of_a_result_of_reucid(viewer, dock, qtbot):
    widget = dock()
    widget.defects.start_button.click()
    assert "'clean' is no result of REUCID" in widget.defects.notes.text()
    parameters = {"patch_size": 7, "n_stacks": 1}
    made = {"engine": "Reucid", "parameters": parameters, "steps": [], "input": {"layer": "scan"}}
    viewer.add_image(denoise(RAW, Reucid(**parameters)), name="new", metadata={METADATA_KEY: made})
    assert chosen(widget)["result"] == "new"
    widget.defects.start_button.click()
    widget.defects.mode.clicked.emit((54.0, 54.0))
    qtbot.waitUntil(lambda: widget.defects.sites is not None, timeout=5000)
    qtbot.waitUntil(lambda: not widget.defects.runner.busy, timeout=30000)
    assert "of the planted contrast survives" in widget.defects.status.text()
    widget.defects.mode.leave()


def test_the_report_is_saved_without_a_new_inspection(viewer, dock, qtbot, tmp_path):
    widget = dock(scale=(0.5, 0.5), units=("nm", "nm"))
    widget.inspect()
    wait(widget, qtbot)
    found = widget.found
    widget.measure.line_button.click()
    widget.measure.box_button.click()
    widget.write_report(str(tmp_path / "report.html"), widget.frames())
    wait(widget, qtbot)
    assert widget.found is found
    assert widget.panel.status.text() == "The report was saved as report.html."
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Inspection of clean" in page and "box 1" in page and "distance (nm)" in page
    widget.write_report(str(tmp_path / "none" / "report.html"), widget.frames())
    wait(widget, qtbot)
    assert widget.panel.status.text() == "Failed."
    assert "none" in widget.panel.notes.text()


def test_the_menu_opens_the_widget_and_inspects(viewer, qtbot):
    viewer.add_image(RAW, name="any name")
    viewer.add_image(BLURRED, name="other")
    viewer.layers.selection = set(viewer.layers)
    menus.inspect_result(viewer)
    widget = menus.opened_widget(viewer, "Inspect")
    assert chosen(widget)["raw"] == "any name" and chosen(widget)["result"] == "other"
    wait(widget, qtbot)
    assert widget.findings.headline.text().startswith("Structure was removed")


# ------------------------------------------------------------------ the curtain


def test_the_curtain_copies_nothing_and_leaves_nothing_behind(viewer, dock, qtbot):
    widget = dock()
    raw, result = viewer.layers["scan"], viewer.layers["clean"]
    truth = viewer.add_image(TRUTH, name="above")
    result.visible = False
    data, callbacks = raw.data, len(viewer.mouse_drag_callbacks)
    widget.curtain.switch.setChecked(True)
    assert raw.visible and result.visible and not truth.visible
    assert raw.data is data and len(viewer.layers) == 3
    widget.curtain.slider.setValue(250)
    assert widget.curtain.curtain.position == 0.25
    widget.curtain.other.click()
    assert widget.curtain.slider.value() == 1000
    viewer.dims.ndisplay = 3
    assert not widget.curtain.switch.isChecked()
    assert truth.visible and not result.visible
    assert len(viewer.mouse_drag_callbacks) == callbacks
    viewer.dims.ndisplay = 2
    widget.curtain.switch.setChecked(True)
    viewer.layers.remove(result)
    assert not widget.curtain.curtain.active and not widget.curtain.switch.isChecked()


class Mouse:
    """A mouse event, as napari's callbacks get it."""

    def __init__(self, x):
        self.button, self.type, self.position = 1, "mouse_press", (50.0, x)


def test_the_line_of_the_curtain_is_dragged_and_the_image_is_not(viewer, dock, qtbot):
    widget = dock(scale=(0.5, 0.5))  # from -0.25 to 47.75
    widget.curtain.switch.setChecked(True)
    (callback,) = [each for each in viewer.mouse_drag_callbacks if "Curtain" in repr(each)]
    event = Mouse(40.0)
    assert list(callback(viewer, event)) == []  # far from the line: napari pans
    event = Mouse(23.75)
    drag = callback(viewer, event)
    next(drag)
    assert not viewer.scene.camera.mouse_pan
    event.type, event.position = "mouse_move", (10.0, 35.75)
    next(drag)
    assert widget.curtain.slider.value() == 750
    event.type = "mouse_release"
    assert list(drag) == [] and viewer.scene.camera.mouse_pan


def test_opened_as_a_plugin_the_inspection_stays_when_shapes_are_drawn(viewer, qtbot):
    viewer.add_image(RAW, name="scan")
    viewer.add_image(TRUTH, name="clean", metadata=record())
    widget = menus.open_widget(viewer, "Inspect")  # napari wraps the viewer and its layers
    widget.inspect()
    wait(widget, qtbot)
    widget.curtain.switch.setChecked(True)
    widget.measure.line_button.click()
    viewer.layers.selection.active = viewer.layers["clean"]
    wait(widget, qtbot)
    assert widget.found is not None and widget.measure.line.layer.visible
    assert widget.curtain.curtain.active


def test_each_side_of_the_curtain_shows_its_layer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    before = viewer.add_image(np.full((64, 64), 1.0), colormap="red", contrast_limits=(0, 1))
    after = viewer.add_image(np.full((64, 64), 1.0), colormap="green", contrast_limits=(0, 1))
    curtain = Curtain(viewer, viewer.window._qt_window)

    def shares():
        shot = viewer.screenshot(flash=False)
        red, green = shot[..., 0] > 128, shot[..., 1] > 128
        return (red & ~green).sum() / (red | green).sum()

    curtain.show(before, after)
    for position in (0.25, 0.75):
        curtain.move(position)
        assert shares() == pytest.approx(position, abs=0.05)
    curtain.hide()
    assert shares() == 0  # the upper layer covers the lower one


def test_the_viewer_may_be_closed_while_the_canvas_is_divided(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(RAW, name="scan")
    viewer.add_image(TRUTH, name="clean", metadata=record())
    widget = menus.open_widget(viewer, "Inspect")
    widget.curtain.switch.setChecked(True)
    wait(widget, qtbot)
    assert widget.curtain.curtain.active
    viewer.close()
