"""Selecting a result brings its eigenpatches, parameters and outcome back."""

import numpy as np
import pytest

from napari_lowdose import Reucid

from .conftest import FakeEngine, finish


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (48, 64)).astype(np.uint16)


def run(qtbot, widget):
    widget.denoise()
    finish(qtbot, widget)
    return widget.viewer.layers.selection.active


def test_a_click_changes_the_selected_result(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    older, newer = run(qtbot, widget), run(qtbot, widget)
    assert older is not newer
    widget.viewer.layers.selection.active = older
    assert f"'{older.name}'" in widget.gallery.title.text()
    widget.gallery.toggled.emit(0, 2)
    finish(qtbot, widget)
    assert (older.data == 3).all()
    np.testing.assert_allclose(newer.data, image / 2)
    assert "by you" in widget.gallery.tiles.item(2).toolTip()
    widget.viewer.layers.selection.active = newer
    assert f"'{newer.name}'" in widget.gallery.title.text()
    assert "by the engine" in widget.gallery.tiles.item(2).toolTip()


def test_a_result_that_a_click_changes_is_shown(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    result = run(qtbot, widget)
    result.visible = False
    widget.viewer.layers.selection.active = widget.viewer.layers["input"]
    widget.gallery.toggled.emit(0, 2)
    finish(qtbot, widget)
    assert result.visible
    assert (result.data == 3).all()


def test_the_parameters_and_the_outcome_come_back(docked, qtbot, noisy):
    widget = docked(noisy)
    form = widget.form
    form.patch_size.value = 7
    form.n_stacks.setValue(1)
    older = run(qtbot, widget)
    asked, outcome, script = form.parameters(), widget.panel.status.text(), widget.script()
    form.patch_size.value = 9
    form.n_stacks.setValue(2)
    form.seed.setValue(3)
    run(qtbot, widget)
    assert widget.panel.status.text() != outcome
    widget.viewer.layers.selection.active = older
    assert form.parameters() == asked == Reucid(patch_size=7, n_stacks=1)
    assert widget.panel.status.text() == outcome
    assert widget.script() == script
    assert widget.gallery.stack_combo.count() == 1
    finish(qtbot, widget)


def test_an_image_that_was_not_denoised_has_no_eigenpatches(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    result = run(qtbot, widget)
    other = widget.viewer.add_image(image[::-1], name="other")
    assert widget.current is None and not widget.gallery.isVisibleTo(widget)
    widget.gallery.toggled.emit(0, 2)
    finish(qtbot, widget)
    np.testing.assert_allclose(result.data, image / 2)
    widget.viewer.layers.selection.active = widget.viewer.layers["input"]
    assert widget.current.result is result and widget.gallery.isVisibleTo(widget)
    widget.viewer.layers.selection.active = other
    assert widget.form.layer is other
    widget.viewer.layers.selection.active = result
    assert widget.form.layer is widget.viewer.layers["input"]
    finish(qtbot, widget)


def test_a_residual_belongs_to_its_result(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    widget.form.with_residual.setChecked(True)
    first = run(qtbot, widget)
    first_residual = widget.viewer.layers[-1]
    run(qtbot, widget)
    widget.viewer.layers.selection.active = first_residual
    assert widget.current.result is first


def test_eigenpatches_that_are_not_kept_are_reported(docked, qtbot, image, monkeypatch):
    monkeypatch.setattr("napari_lowdose.widgets.reucid.run.MAX_HISTORY_BYTES", 0)
    widget = docked(image, FakeEngine(n_stacks=1))
    older, newer = run(qtbot, widget), run(qtbot, widget)
    widget.viewer.layers.selection.active = older
    assert "are not kept" in widget.panel.notes.text() and older.name in widget.panel.notes.text()
    assert not widget.gallery.isVisibleTo(widget)
    widget.viewer.layers.selection.active = newer
    assert widget.current.result is newer and widget.gallery.isVisibleTo(widget)
    assert "are not kept" not in widget.panel.notes.text()


def test_an_older_result_can_be_recalled_during_a_run(docked, qtbot, image, gate):
    gate.open.set()
    widget = docked(image, FakeEngine(at=gate))
    older = run(qtbot, widget)
    gate.open.clear()
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 3, timeout=20000)
    widget.viewer.layers.selection.active = older
    gate.open.set()
    finish(qtbot, widget)
    assert widget.current.result is older
    assert f"'{older.name}'" in widget.gallery.title.text()


def test_a_removed_result_is_freed(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    older, newer = run(qtbot, widget), run(qtbot, widget)
    widget.viewer.layers.remove(newer)
    assert widget.history.find(newer) is None
    widget.viewer.layers.selection.active = older
    assert widget.current.result is older
