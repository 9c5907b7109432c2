"""Two sets of settings side by side: what is denoised, shown, and taken over."""

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_lowdose import Reucid, denoise
from napari_lowdose.widgets.comparison.comparison_panel import HERE, OTHER, RAW, TITLE
from napari_lowdose.widgets.comparison.part import MOST
from napari_lowdose.widgets.dock_area import RUN_IN_PROGRESS

from .conftest import FakeEngine, finish

Y, X = np.mgrid[:96, :128]
NOISY = np.random.default_rng(0).poisson(50 + 40 * np.sin(X / 2) * np.sin(Y / 2)).astype(np.uint16)


def listed(widget) -> dict[str, Any]:
    """The entries of the menu, which are found when it is opened."""
    widget.comparison.menu.aboutToShow.emit()
    return {action.text(): action for action in widget.comparison.menu.actions() if action.text()}


def compare(qtbot, widget, name) -> None:
    listed(widget)[name].trigger()
    wait(qtbot, widget)


def wait(qtbot, widget) -> None:
    qtbot.waitUntil(lambda: not widget.comparison.runner.busy, timeout=60000)


def shown(widget, picture):
    return widget.comparison.pictures.items[picture].image


def texts(labels) -> list[str]:
    return [label.text() for label in labels]


def test_both_are_what_a_run_would_give(docked, viewer, qtbot):
    widget = docked(NOISY, scale=(0.5, 0.25))
    widget.form.patch_size.value = 7
    compare(qtbot, widget, "balanced")
    assert shown(widget, RAW) == pytest.approx(NOISY)
    assert shown(widget, HERE) == pytest.approx(denoise(NOISY, Reucid(patch_size=7)))
    alike = Reucid(patch_size=7, stacks="alike", deviations="keep")
    assert shown(widget, OTHER) == pytest.approx(denoise(NOISY, alike))
    pictures = widget.comparison.pictures
    assert texts(pictures.titles) == ["input", "settings of the form", "balanced"]
    assert "strength faithful" in pictures.captions[HERE].text()
    assert pictures.captions[OTHER].text() == "strength balanced"
    assert pictures.captions[RAW].text() == "rows 1 to 96, columns 1 to 128"
    # One contrast for both, and the pixels as wide as in the layer
    levels = [tuple(pictures.items[each].levels) for each in (HERE, OTHER)]
    assert levels[0] == levels[1]
    assert pictures.items[HERE].mapRectToParent(pictures.items[HERE].boundingRect()).width() == 32
    assert len(viewer.layers) == 1 and TITLE in viewer.window.dock_widgets


def test_the_settings_of_a_picture_are_taken_over(docked, qtbot):
    widget = docked(NOISY)
    widget.form.patch_size.value = 7
    compare(qtbot, widget, "strongest")
    widget.form.patch_size.value = 9
    buttons = widget.comparison.pictures.buttons
    buttons[OTHER].click()
    assert widget.form.parameters().deviations == "average"
    assert widget.form.patch_size.value == 7  # as it was compared
    assert "'strongest'" in widget.comparison.status.text()
    buttons[HERE].click()
    assert widget.form.strength.currentData() == "faithful"


def test_presets_and_earlier_results_are_offered(docked, qtbot):
    widget = docked(NOISY, FakeEngine())
    widget.form.n_components.setValue(12)
    widget.presets.keep("mine & yours")
    widget.form.n_components.setValue(40)
    assert list(listed(widget)) == ["balanced", "strongest", "defaults", "mine && yours"]
    compare(qtbot, widget, "mine && yours")
    assert "eigenpatches 12" in widget.comparison.pictures.captions[OTHER].text()
    assert "eigenpatches 40" in widget.comparison.pictures.captions[HERE].text()


def test_an_earlier_result_with_its_settings(docked, qtbot):
    widget = docked(NOISY)
    widget.form.patch_size.value = 7
    widget.denoise()
    finish(qtbot, widget)
    widget.form.patch_size.value = 9
    compare(qtbot, widget, "input REUCID")
    assert widget.comparison.pictures.captions[OTHER].text() == "patch size 7"
    assert shown(widget, OTHER) == pytest.approx(denoise(NOISY, Reucid(patch_size=7)))


def test_the_middle_of_a_large_image(docked, viewer, qtbot):
    large = np.random.default_rng(1).poisson(20, (700, 600)).astype(np.uint16)
    widget = docked(large)
    viewer.layers[0].corner_pixels = np.array([[0, 0], [699, 599]])
    compare(qtbot, widget, "defaults")
    y, x = (700 - MOST) // 2, (600 - MOST) // 2
    assert shown(widget, RAW) == pytest.approx(large[y : y + MOST, x : x + MOST])
    assert texts(widget.comparison.pictures.captions)[HERE:] == ["the same settings"] * 2


def test_a_failure_is_told(docked, viewer, qtbot):
    image = NOISY.astype(np.float32)
    image[3, 4] = np.nan
    widget = docked(image)
    compare(qtbot, widget, "balanced")
    assert widget.comparison.status.text() == "Failed."
    assert "NaN" in widget.comparison.notes.text()
    widget._running = object()
    widget.comparison.compare("defaults", {})
    assert widget.comparison.notes.text() == RUN_IN_PROGRESS
    widget._running = None


def test_stop(docked, qtbot, gate, monkeypatch):
    widget = docked(NOISY)
    engine = FakeEngine(at=gate)
    monkeypatch.setattr(widget.comparison, "_engine", lambda values: engine)
    listed(widget)["balanced"].trigger()
    qtbot.waitUntil(
        lambda: shown(widget, HERE) is not None,
        timeout=20000,
    )
    assert widget.comparison.stop_button.isEnabled()
    widget.comparison.stop_button.click()
    gate.open.set()
    wait(qtbot, widget)
    assert widget.comparison.status.text() == "Stopped." and shown(widget, OTHER) is None


def test_the_dock_opens_again_and_closes_with_the_widget(docked, viewer, qtbot):
    widget = docked(NOISY)
    compare(qtbot, widget, "defaults")
    viewer.window.remove_dock_widget(viewer.window.dock_widgets[TITLE])
    compare(qtbot, widget, "defaults")
    dock = viewer.window.dock_widgets[TITLE].parent()
    assert not dock.isHidden()
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    del widget
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert dock.isHidden()


def test_another_widget_uses_the_same_dock(docked, viewer, qtbot):
    widget = docked(NOISY)
    compare(qtbot, widget, "defaults")
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    del widget
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    viewer.layers.clear()
    widget = docked(NOISY)
    compare(qtbot, widget, "strongest")
    pictures = viewer.window.dock_widgets[TITLE]
    assert pictures is widget.comparison.pictures and not pictures.parent().isHidden()
    pictures.buttons[OTHER].click()
    assert widget.form.strength.currentData() == "strongest"
