"""Results are named by what differs, and listed: a click brings one back, a button deletes it."""

import numpy as np
import pytest

from napari_lowdose import Reucid

from .conftest import FakeEngine, finish
from .fake_pair_engine import FakeNoise2Noise


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (32, 40)).astype(np.uint16)


def run(qtbot, widget):
    widget.denoise() if hasattr(widget, "denoise") else widget.train()
    finish(qtbot, widget)
    return widget.past._runs[0].result


def click(widget, row):
    widget.past.list.setCurrentRow(row)
    widget.past.list.itemClicked.emit(widget.past.list.item(row))


def test_results_are_named_by_what_differs(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=2))
    assert run(qtbot, widget).name == "input FAKEENGINE"
    widget.form.parameters = lambda: FakeEngine(n_stacks=1)
    assert run(qtbot, widget).name == "input FAKEENGINE, stacks 1"
    assert run(qtbot, widget).name == "input FAKEENGINE, stacks 1 [1]"  # nothing differs


def test_the_strength_is_named(docked, qtbot, noisy):
    widget = docked(noisy)
    form = widget.form
    form.patch_size.value = 7
    form.n_stacks.setValue(1)
    run(qtbot, widget)
    form.strength.setCurrentIndex(form.strength.findData("balanced"))
    name = run(qtbot, widget).name
    assert name.startswith("input REUCID, strength balanced")


def test_a_click_in_the_history_restores_settings_and_gallery(docked, qtbot, noisy):
    widget = docked(noisy)
    form = widget.form
    form.patch_size.value = 7
    form.n_stacks.setValue(1)
    assert not widget.past.isVisibleTo(widget)
    older = run(qtbot, widget)
    form.patch_size.value = 9
    newer = run(qtbot, widget)
    past = widget.past
    assert past.isVisibleTo(widget) and past.list.count() == 2
    assert newer.name in past.list.item(0).text() and "patch size 9 px" in past.list.item(0).text()
    assert not past.list.item(0).icon().isNull()
    click(widget, 1)
    finish(qtbot, widget)
    assert widget.viewer.layers.selection.active is older
    assert form.parameters() == Reucid(patch_size=7, n_stacks=1)
    assert f"'{older.name}'" in widget.gallery.title.text()


def test_a_button_deletes_a_result(docked, qtbot, image):
    widget = docked(image, FakeEngine(n_stacks=1))
    widget.form.with_residual.setChecked(True)
    older = run(qtbot, widget)
    widget.form.with_residual.setChecked(False)
    newer = run(qtbot, widget)
    click(
        widget,
        [older.name in widget.past.list.item(n).text().splitlines() for n in (0, 1)].index(True),
    )
    widget.past.delete_button.click()
    assert [each.name for each in widget.viewer.layers] == ["input", newer.name]
    assert widget.past.list.count() == 1


def test_the_history_of_pairs(docked_pair, qtbot, truth):
    pair = np.random.default_rng(0).poisson(truth, (2, *truth.shape)).astype(np.uint16)
    widget = docked_pair(*pair, FakeNoise2Noise())
    widget.form.parameters = lambda: FakeNoise2Noise(seed=widget.form.seed.value())
    older = run(qtbot, widget)
    before = widget.model
    widget.form.seed.setValue(3)
    newer = run(qtbot, widget)
    assert newer.name == f"{older.name}, seed 3"
    assert widget.model is not before
    click(widget, 1)
    assert widget.viewer.layers.selection.active is older
    assert widget.form.seed.value() == 0 and widget.model is before
    widget.past.delete_button.click()
    assert older not in widget.viewer.layers and widget.past.list.count() == 1
