"""Settings come back in the next session, presets by their names, and defaults on demand."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_lowdose.noise2noise import Noise2Noise
from napari_lowdose.reucid import Reucid
from napari_lowdose.widgets import presets
from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget
from napari_lowdose.widgets.presets import AS_SET, DEFAULTS
from napari_lowdose.widgets.reucid_widget import ReucidWidget

CHOSEN = Reucid(patch_size=9, n_stacks=3, memory_limit=2**30, scan_noise="keep", seed=7)


@pytest.fixture
def opened(viewer):
    """Return a function that opens a widget as a new session does."""

    def open_widget(kind=ReucidWidget):
        widget = kind(viewer)
        viewer.window.add_dock_widget(widget, name=f"{len(viewer.window.dock_widgets)}")
        return widget

    return open_widget


def remember(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.presets._later.isActive(), timeout=3000)


@pytest.mark.parametrize(
    "engine",
    [CHOSEN, Reucid(stacks="alike", deviations="average", patch_size="wide", outliers="keep")],
)
def test_the_settings_of_reucid_come_back_in_the_next_session(opened, qtbot, engine):
    first = opened()
    default = first.form.parameters()
    first.form.set_parameters(engine)
    remember(first, qtbot)
    second = opened()
    assert second.form.parameters() == engine
    assert second.form.stacks_chosen == first.form.stacks_chosen

    second.presets.choose(DEFAULTS)
    assert second.form.parameters() == default and not second.form.stacks_chosen
    remember(second, qtbot)
    assert opened().form.parameters() == default


def test_an_estimate_of_the_patch_size_does_not_become_a_setting(opened, qtbot):
    widget = opened()
    widget.form.patch_size.set_estimate(11)
    widget.form.seed.setValue(3)
    remember(widget, qtbot)
    again = opened()
    assert again.form.parameters().patch_size == "auto" and again.form.seed.value() == 3


def test_presets_have_names(opened, qtbot):
    widget = opened()
    widget.form.set_parameters(CHOSEN)
    widget.presets.keep("graphene 60 kV")
    assert widget.presets.combo.currentText() == "graphene 60 kV"
    widget.form.seed.setValue(1)
    assert widget.presets.combo.currentText() == AS_SET  # it no longer is that preset
    other = opened()
    other.presets.choose("graphene 60 kV")
    assert other.form.parameters() == CHOSEN
    other.presets.delete()
    assert other.presets.names == [] and other.form.parameters() == CHOSEN
    with pytest.raises(ValueError, match="another name"):
        other.presets.keep(DEFAULTS)


def test_the_settings_of_a_pair_come_back_but_not_its_shift(opened, viewer, qtbot):
    viewer.add_image(np.zeros((8, 8)), name="a")
    viewer.add_image(np.zeros((8, 8)), name="b")
    widget = opened(Noise2NoiseWidget)
    widget.form.stop.choose("epochs", 12)
    widget.form.preset.setCurrentIndex(2)
    widget.form.device.setEditText("cuda:1")
    widget.form.shift.value = (0.5, -0.25)
    remember(widget, qtbot)
    again = opened(Noise2NoiseWidget).form.parameters()
    assert again == Noise2Noise(preset="paper", epochs=12, device="cuda:1")


@pytest.mark.parametrize("text", ["{", "[]", '{"REUCID": 3}', '{"REUCID": {"": {"seed": "x"}}}'])
def test_a_damaged_file_is_no_harm(opened, text, qtbot):
    file = presets.settings_file()
    file.parent.mkdir(parents=True)
    file.write_text(text)
    widget = opened()
    assert widget.form.parameters() == opened().form.parameters()
    widget.form.seed.setValue(4)
    remember(widget, qtbot)
    assert json.loads(file.read_text())["REUCID"][""]["seed"] == 4


def test_the_file_is_beside_the_settings_of_napari(monkeypatch):
    monkeypatch.undo()
    from napari.settings import get_settings

    assert (
        presets.settings_file() == Path(get_settings().config_path).parent / "napari-lowdose.json"
    )
