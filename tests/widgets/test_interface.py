"""First sight of the dock widgets, their colours, and their use by keyboard."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget
from napari_lowdose.widgets.reucid_widget import ReucidWidget

from .conftest import FakeEngine, finish

ENTER, SPACE, RIGHT = Qt.Key.Key_Return, Qt.Key.Key_Space, Qt.Key.Key_Right


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (32, 40)).astype(np.uint16)


def lightness(plot):
    return [plot.getAxis(side).textPen().color().lightness() for side in ("left", "bottom")]


def test_plots_have_the_text_colour_of_the_theme(docked, docked_pair, image):
    widget, pair = docked(image), docked_pair(image, image)
    plots = [widget.gallery.scree, widget.kernel_plot.plot, widget.noise_plot.plot, pair.plot]
    try:
        widget.viewer.theme = "light"
        assert all(max(lightness(plot)) < 100 for plot in plots)
    finally:
        widget.viewer.theme = "dark"
    assert all(min(lightness(plot)) > 155 for plot in plots)


def test_epochs_are_told_as_they_are(docked_pair, image):
    plot = docked_pair(image, image).plot
    for axis in (plot.getAxis("left"), plot.getAxis("bottom")):
        axis.setRange(0, 3000)
        assert axis.autoSIPrefixScale == 1
        assert "x0.001" not in axis.labelString()


def test_what_few_need_is_folded_away(docked, docked_pair, image):
    for widget in (docked(image), docked_pair(image, image)):
        assert not widget.form.advanced.isExpanded()
    form = docked(image).form
    for field in (form.patch_size, form.n_stacks, form.seed, form.with_residual):
        assert form.advanced.isAncestorOf(field)
    for field in (form.layer_combo.native, form.strength, form.frames):
        assert not form.advanced.isAncestorOf(field)


def test_an_empty_viewer_is_no_mistake(viewer):
    widget, pair = ReucidWidget(viewer), Noise2NoiseWidget(viewer)
    for each in (widget, pair):
        viewer.window.add_dock_widget(each)
        assert not each.panel.notes.text()
        assert not each.panel.start_button.isEnabled()
    assert "Open an image to begin" in widget.panel.status.text()
    assert "to begin" in pair.card.findings.text() and "✕" not in pair.card.findings.text()


@pytest.mark.parametrize("field", ["seed", "strength", "frames"])
def test_enter_starts(docked, qtbot, image, field):
    widget = docked(np.stack([image, image]), FakeEngine(n_stacks=1))
    focused = getattr(widget.form, field)
    focused.setFocus()
    QTest.keyClick(focused, ENTER)
    assert widget._running is not None
    finish(qtbot, widget)


def test_enter_takes_the_number_that_was_typed(docked, qtbot, image):
    seeds = []
    widget = docked(image, FakeEngine(n_stacks=1))
    field = widget.form.seed
    widget.form.parameters = lambda: seeds.append(field.value()) or FakeEngine(n_stacks=1)
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "17")
    QTest.keyClick(field, ENTER)
    assert seeds[0] == 17
    finish(qtbot, widget)


def test_enter_on_a_button_presses_that_button(docked, image):
    widget = docked(image, FakeEngine())
    widget.copy_button.setFocus()
    QTest.keyClick(widget.copy_button, ENTER)
    assert widget._running is None
    assert widget.panel.status.text()  # the script is on the clipboard, or why it is not


def focus_of(widget):
    return widget.window().focusWidget()


def test_the_focus_stays_at_start_and_stop(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate))
    panel = widget.panel
    panel.start_button.setFocus()
    widget.denoise()
    assert focus_of(widget) is panel.stop_button
    widget.stop()
    assert focus_of(widget) is panel  # both buttons are disabled
    gate.open.set()
    finish(qtbot, widget)
    assert focus_of(widget) is panel.start_button


def test_a_run_takes_no_focus(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    widget.form.seed.setFocus()
    widget.denoise()
    finish(qtbot, widget)
    assert focus_of(widget) is widget.form.seed


@pytest.mark.parametrize("key", [SPACE, ENTER])
def test_the_gallery_by_keyboard(docked, qtbot, image, key):
    widget = docked(image, FakeEngine(n_stacks=1))
    widget.denoise()
    finish(qtbot, widget)
    tiles = widget.gallery.tiles
    assert tiles.focusPolicy() & Qt.FocusPolicy.TabFocus
    tiles.setCurrentRow(1)
    QTest.keyClick(tiles, RIGHT)
    QTest.keyClick(tiles, key)
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 2  # no new run
    assert (widget.viewer.layers[1].data == 3).all()
    assert tiles.currentRow() == 2


def test_messages_are_in_the_words_of_the_form(docked, docked_pair, image):
    widget, pair = docked(image), docked_pair(image, image)
    widget.panel.warn("3 of 8 are kept: raise n_components.")
    widget.panel.show_message("use n_stacks=3, or allow 1536 MiB.")
    shown = widget.panel.notes.text()
    assert "raise eigenpatches" in shown and "Use stacks 3, or allow 1.5 GiB" in shown
    pair.panel.show_message("the parts [0:64, 0:32] differ: set fallback=False.")
    assert pair.panel.notes.text() == (
        "The parts (rows 1 to 64, columns 1 to 32) differ: switch 'fallback' off."
    )
    pair.card.show_sentence("crop_size is too large")
    assert "Crop size is too large" in pair.card.findings.text()


def test_the_number_of_eigenpatches_can_be_raised(docked, image):
    form = docked(image).form
    form.n_components.setValue(40)
    assert form.parameters().n_components == 40


def test_pixels_that_are_nan_can_be_filled_in(docked, qtbot, noisy):
    image = noisy.astype(np.float32)
    image[3, 4], image[10, 0:2] = np.nan, np.inf
    widget = docked(image, scale=(2, 2))
    widget.form.patch_size.value = 7
    widget.form.n_stacks.setValue(1)
    widget.denoise()
    finish(qtbot, widget)
    button = widget.panel.remedy_button
    assert button.isVisibleTo(widget) and button.text() == "Fill them in"
    button.click()
    finish(qtbot, widget)
    filled = widget.form.layer
    assert filled.name == "input, 3 pixels filled in"
    assert filled.metadata["napari-lowdose filled in"]["pixels"] == 3
    np.testing.assert_array_equal(filled.scale, (2, 2))
    good = np.isfinite(image)
    np.testing.assert_array_equal(filled.data[good], image[good])
    around = image[2:5, 3:6][np.isfinite(image[2:5, 3:6])]
    assert around.min() <= filled.data[3, 4] <= around.max()
    assert not button.isVisibleTo(widget)
    finish(qtbot, widget)
    widget.denoise()
    finish(qtbot, widget)
    assert "REUCID" in widget.viewer.layers[-1].name
