"""What the dock widget shows and does as layers, clicks and runs come in any order."""

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise
from napari_lowdose.widgets import samples
from napari_lowdose.widgets.reucid_widget import ReucidWidget
from napari_lowdose.widgets.words import use_form_labels

from .conftest import FakeEngine, finish, idle, is_due


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (48, 64)).astype(np.uint16)


# ------------------------------------------------------------- the chosen layer


def test_the_sample_opened_with_the_dock_open_is_the_noisy_image(viewer, qtbot):
    widget = ReucidWidget(viewer)
    viewer.window.add_dock_widget(widget)
    for data, options, _ in samples.stem_low_dose():
        viewer.add_image(data, **options)
    assert widget.form.layer is viewer.layers["Low-dose STEM"]
    assert viewer.layers.selection.active is widget.form.layer
    assert viewer.layers[-1] is widget.form.layer and widget.form.layer.visible
    finish(qtbot, widget)


def test_without_an_active_layer_the_newest_visible_image_is_chosen(viewer, qtbot):
    for name, visible in [("first", True), ("second", True), ("hidden", False)]:
        viewer.add_image(np.eye(32), name=name, visible=visible)
    viewer.layers.selection.clear()
    widget = ReucidWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert widget.form.layer is viewer.layers["second"]
    finish(qtbot, widget)


def test_the_chosen_layer_follows_the_layer_list_but_not_to_results(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    viewer = widget.viewer
    widget.form.with_residual.setChecked(True)
    widget.denoise()
    finish(qtbot, widget)
    first, result, residual = viewer.layers
    for ours in (result, residual):
        viewer.layers.selection.active = ours
        assert widget.form.layer is first
    second = viewer.add_image(image[::-1], name="second")
    assert widget.form.layer is second
    viewer.add_labels(np.zeros((32, 32), int))
    assert widget.form.layer is second
    viewer.layers.selection.active = first
    assert widget.form.layer is first
    finish(qtbot, widget)


def test_the_chosen_layer_stays_during_a_run(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate))
    chosen = widget.form.layer
    widget.denoise()
    widget.viewer.add_image(image, name="second")
    assert widget.form.layer is chosen
    gate.open.set()
    finish(qtbot, widget)


# ------------------------------------------------------------------ eigenpatches


def by_hand(layer):
    kept = layer.metadata["napari-lowdose"].get("kept_by_hand", [])
    return {tuple(each["index"]): each["kept"] for each in kept}


def test_clicks_in_several_frames_all_take_effect(docked, qtbot):
    movie = np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)
    widget = docked(movie, FakeEngine(n_stacks=1))
    widget.form.frames.setCurrentIndex(1)
    widget.denoise()
    finish(qtbot, widget)
    for frame in (0, 2):
        widget.viewer.dims.set_current_step(0, frame)
        widget.gallery.toggled.emit(0, 2)
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    assert (result.data[[0, 2]] == 3).all()
    np.testing.assert_allclose(result.data[1], movie[1] / 2)
    assert by_hand(result) == {(0,): [[0, 1, 2]], (2,): [[0, 1, 2]]}


@pytest.mark.parametrize("settled", [False, True])
def test_a_click_just_before_a_run_takes_effect(docked, qtbot, image, settled):
    widget = docked(image, FakeEngine(n_stacks=1))
    widget.denoise()
    finish(qtbot, widget)
    widget.gallery.toggled.emit(0, 2)
    if settled:  # the run takes the place of the rebuild
        widget._rebuild_later.cancel()
        widget._rebuild()
        assert widget.runner.busy
    widget.denoise()
    finish(qtbot, widget)
    _, clicked, second = widget.viewer.layers
    assert (clicked.data == 3).all()
    assert by_hand(clicked) == {(): [[0, 1, 2]]}
    np.testing.assert_allclose(second.data, image / 2)
    assert by_hand(second) == {}
    assert widget.panel.status.text().startswith("Done")


def test_a_click_during_a_run_takes_effect_after_it(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(n_stacks=1))
    widget.denoise()
    finish(qtbot, widget)
    gate.closed_at = 0
    widget.form.parameters = lambda: FakeEngine(n_stacks=1, at=gate)
    widget.denoise()
    widget.gallery.toggled.emit(0, 2)
    qtbot.waitUntil(lambda: not is_due(widget._rebuild_later))
    gate.open.set()
    finish(qtbot, widget)
    clicked = widget.viewer.layers[1]
    assert (clicked.data == 3).all()
    assert by_hand(clicked) == {(): [[0, 1, 2]]}


# ------------------------------------------------------------- the default stacks


def test_the_default_number_of_stacks_never_fails_on_a_small_image(docked, qtbot):
    wave = 1.3 + np.sin(np.arange(24))
    small = np.random.default_rng(0).poisson(40 * np.outer(wave, wave)).astype(np.float32)
    widget = docked(small)
    widget.form.patch_size.value = 7
    widget.denoise()
    finish(qtbot, widget)
    assert widget.panel.status.text().startswith("Done")
    result = widget.viewer.layers[1]
    np.testing.assert_array_equal(result.data, denoise(small, Reucid(patch_size=7, n_stacks=1)))
    assert "n_stacks=5" not in widget.script()


def test_the_default_number_of_stacks_never_fails_for_memory(docked, qtbot):
    wave = 1.3 + np.sin(np.arange(160))
    image = np.random.default_rng(0).poisson(40 * np.outer(wave, wave)).astype(np.float32)
    widget = docked(image)
    engine = Reucid(patch_size=11, n_stacks=5, memory_limit=2 * 2**20)
    widget.form.parameters = lambda: engine
    widget.denoise()
    finish(qtbot, widget)
    assert widget.panel.status.text().startswith("Done")
    assert len(widget.current.stacks[()]) > 5


def test_too_many_requested_stacks_are_reported(docked, qtbot):
    widget = docked(np.random.default_rng(0).poisson(20, (24, 24)).astype(np.float32))
    widget.form.patch_size.value = 7
    widget.form.n_stacks.setValue(4)
    widget.denoise()
    finish(qtbot, widget)
    assert widget.panel.notes.text().startswith("Stacks is 4, which leaves too few patches")
    assert len(widget.viewer.layers) == 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("patch_size must be odd", "patch size must be odd"),
        ("memory_limit is -1", "memory limit is -1"),
        ("use n_stacks=2", "use stacks 2"),
        ("nothing to replace", "nothing to replace"),
    ],
)
def test_messages_use_the_labels_of_the_form(said, shown):
    assert use_form_labels(said) == shown


# --------------------------------------------------------------------- the status


def test_the_status_is_removed_with_its_layer(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    for _ in range(2):
        widget.denoise()
        finish(qtbot, widget)
        assert widget.panel.status.text() and widget.panel.progress.value()
        if "second" not in widget.viewer.layers:
            widget.viewer.add_image(image, name="second")
        else:
            del widget.viewer.layers[-1]
        assert widget.panel.status.text() == ""
        assert widget.panel.progress.value() == 0
        finish(qtbot, widget)


def test_refused_parameters_start_nothing(docked, qtbot, image, monkeypatch):
    def refuse():
        raise ValueError("patch_size is even: use an odd number.")

    widget = docked(image, FakeEngine(n_stacks=1))
    widget.denoise()
    finish(qtbot, widget)
    monkeypatch.setattr(widget.form, "parameters", refuse)
    widget.denoise()
    assert widget.panel.status.text() == "Not started."
    assert widget.panel.progress.value() == 0
    assert widget.panel.notes.text() == "Patch size is even: use an odd number."
    assert idle(widget)


def test_stopping_stays_until_the_run_has_stopped(docked, qtbot, image, gate):
    widget = docked(image, FakeEngine(at=gate))
    said = []
    advance = widget.panel.advance

    def listen(step):
        advance(step)
        said.append(widget.panel.status.text())

    widget.panel.advance = listen
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    widget.stop()
    del said[:]
    gate.open.set()
    finish(qtbot, widget)
    assert said and set(said) == {"stopping …"}
    assert widget.panel.status.text().startswith("Stopped")


def test_the_script_before_a_run_names_no_outdated_file(viewer, tmp_path):
    import tifffile

    path = tmp_path / "whole.tif"
    tifffile.imwrite(path, np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    (layer,) = viewer.open(path, plugin="napari")
    widget = ReucidWidget(viewer)
    assert str(path) in widget.script()
    layer.data = layer.data[:40, :40]
    assert str(path) not in widget.script()
