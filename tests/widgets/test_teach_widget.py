"""The dock widget 'Teach REUCID' in a real viewer."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_lowdose import denoise
from napari_lowdose.reucid.classifier_file import read_classifier
from napari_lowdose.widgets.reucid_widget import ReucidWidget
from napari_lowdose.widgets.teach_widget import TeachWidget
from napari_lowdose.widgets.teaching.questions import region_in_view


@pytest.fixture(autouse=True)
def one_training(monkeypatch):
    monkeypatch.setattr("napari_lowdose.reucid.teaching.taught.FOLDS", 2)  # quicker


@pytest.fixture
def teacher(viewer):
    """Return a function: names of images to the widget docked."""

    def dock(*names, shape=(80, 90)):
        for seed, name in enumerate(names):
            fringes = 9 + 6 * np.cos(np.arange(shape[-1]) / (2 + seed))
            viewer.add_image(np.random.default_rng(seed).poisson(fringes, shape), name=name)
        widget = TeachWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Teach REUCID")
        return widget

    return dock


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=60000)


def ask(qtbot, widget):
    widget.panel.start_button.click()
    settle(qtbot, widget)


def test_pick_train_save_and_use(teacher, qtbot, tmp_path, monkeypatch):
    widget = teacher("one", "two")
    assert not widget.train_button.isEnabled() and not widget.save_button.isEnabled()
    for layer in list(widget.viewer.layers):
        widget.viewer.layers.selection.active = layer
        assert widget.layer is layer
        ask(qtbot, widget)
        for _ in range(2):  # the next question follows each pick
            widget.pictures.pictures[int(np.argmin(widget.question.counts))].clicked.emit()
            settle(qtbot, widget)
    assert len(widget.survey.picks) == 4
    assert "4 picks on 2 images" in widget.progress.text()
    assert {pick.image for pick in widget.survey.picks} == {"one", "two"}
    widget.train_button.click()
    settle(qtbot, widget)
    assert "of 4 picks it has not seen" in widget.outcome.text()
    assert widget.panel.status.text() == "Trained."
    path = tmp_path / "mine.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path)[:-12], ""))
    reucid = ReucidWidget(widget.viewer)
    widget.viewer.window.add_dock_widget(reucid, name="Denoise one image (REUCID) (napari-lowdose)")
    widget.use_button.click()
    assert read_classifier(path)[1]["n_picks"] == 4
    reucid.form.n_stacks.setValue(1)
    engine = reucid.form.parameters()
    assert engine.classifier == str(path)
    assert f"classifier={str(path)!r}" in reucid.script()
    assert denoise(widget.viewer.layers[0].data, engine).shape == (80, 90)


def test_keys_pick_and_take_back(teacher, qtbot):
    widget = teacher("one")
    QTest.keyClick(widget, "1")  # nothing is asked yet
    assert not widget.survey.picks
    ask(qtbot, widget)
    counts = widget.question.counts
    QTest.keyClick(widget.pictures, "2")
    settle(qtbot, widget)
    QTest.keyClick(widget.pictures, "0")
    settle(qtbot, widget)
    assert [pick.best for pick in widget.survey.picks] == [counts[1], None]
    QTest.keyClick(widget.pictures, Qt.Key.Key_Backspace)
    assert [pick.best for pick in widget.survey.picks] == [counts[1]]
    assert "1 pick on 1 image" in widget.progress.text()


def test_the_pictures_show_what_is_in_view(teacher, qtbot):
    widget = teacher("large", shape=(300, 700))
    layer = widget.viewer.layers[0]
    layer.corner_pixels = np.array([[20, 500], [100, 620]])
    rows, columns = region_in_view(layer)
    assert (rows, columns) == (slice(20, 100), slice(520, 600))
    layer.corner_pixels = np.array([[0, 0], [300, 700]])
    rows, columns = region_in_view(layer)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (256, 256)
    assert columns == slice(222, 478)


def test_changed_data_are_another_image(teacher, qtbot):
    widget = teacher("one")
    ask(qtbot, widget)
    widget.pick(0)
    settle(qtbot, widget)
    layer = widget.viewer.layers[0]
    layer.data = np.random.default_rng(5).poisson(4, (80, 90))
    ask(qtbot, widget)
    widget.pick(0)
    settle(qtbot, widget)
    assert [pick.image for pick in widget.survey.picks] == ["one", "one (2)"]


def test_an_image_that_cannot_be_denoised_is_told(teacher, qtbot):
    widget = teacher("one")
    widget.viewer.layers[0].data = np.zeros((80, 90))
    ask(qtbot, widget)
    assert widget.panel.notes.text() and widget.question is None


def test_a_bad_file_is_refused_in_the_reucid_widget(viewer, qtbot, tmp_path, monkeypatch):
    viewer.add_image(np.random.default_rng(0).poisson(4, (80, 90)))
    reucid = ReucidWidget(viewer)
    viewer.window.add_dock_widget(reucid, name="REUCID")
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"nothing")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    field = reucid.form.classifier
    field.activated.emit(field.count() - 1)
    assert field.value is None and field.currentText() == "included"
    assert "bad.safetensors is not a classifier" in reucid.panel.notes.text()
