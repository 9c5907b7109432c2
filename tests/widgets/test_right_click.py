"""The right-click on layers, and Layers > Filter: both have the same entries."""

import npe2
import numpy as np
import pytest
import yaml
from napari._app_model import get_app_model
from napari._app_model.constants import MenuId
from napari._app_model.context import get_context
from napari._qt._qapp_model import build_qmodel_menu
from napari.plugins._npe2 import on_plugins_registered
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtWidgets import QApplication, QMenu

from napari_lowdose.widgets import layer_commands
from napari_lowdose.widgets.right_click import ENTRIES, register_entries

from .conftest import finish
from .fake_pair_engine import FakeNoise2Noise
from .test_noise2noise_widget import noisy_scene

DENOISE, SPLIT = (title for title, _ in ENTRIES.values())


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    # The fixture gives each test a napari of its own, which knows no plugins
    manager = npe2.PluginManager.instance()
    if "napari-lowdose" not in manager._manifests:
        manager.register(npe2.PluginManifest.from_distribution("napari-lowdose"))
    if "napari-lowdose.denoise" not in get_app_model().commands:
        on_plugins_registered({manager.get_manifest("napari-lowdose")})
    register_entries()
    viewer.add_image(noisy_scene(1), name="scan, first")
    viewer.add_image(noisy_scene(2), name="scan, second")
    return viewer


def actions_of(menu):
    return {action.text(): action for action in menu.actions() if action.text()}


def menu_for(viewer, menu_id):
    menu = build_qmodel_menu(menu_id, parent=viewer.window._qt_window)
    menu.update_from_context(get_context(viewer.layers))
    return actions_of(menu)


@pytest.mark.parametrize("menu_id", [MenuId.LAYERLIST_CONTEXT, MenuId.LAYERS_FILTER])
def test_greyed_where_it_makes_no_sense(viewer, menu_id):
    layers = viewer.layers
    other = viewer.add_image(np.zeros((20, 20)), name="other shape")
    labels = viewer.add_labels(np.zeros((20, 20), int))
    colour = viewer.add_image(np.zeros((64, 80, 3), np.uint8), name="colour", rgb=True)
    sense = {
        (layers[0],): (True, True),
        (layers[0], layers[1]): (True, False),
        (layers[0], layers[1], other): (False, False),
        (layers[0], other): (False, False),
        (layers[0], labels): (False, False),
        (labels,): (False, False),
        (colour,): (False, False),
        (): (False, False),
    }
    for selected, enabled in sense.items():
        layers.selection.clear()
        for layer in selected:
            layers.selection.add(layer)
            layers.selection.active = layer if len(selected) == 1 else layers.selection.active
        entries = menu_for(viewer, menu_id)
        assert (entries[DENOISE].isEnabled(), entries[SPLIT].isEnabled()) == enabled, selected


def test_the_manifest_says_the_same():
    from pathlib import Path

    manifest = yaml.safe_load((Path(__file__).parents[2] / "napari.yaml").read_text())
    commands = {each["id"]: each for each in manifest["contributions"]["commands"]}
    for item, (name, entry) in zip(
        manifest["contributions"]["menus"]["napari/layers/filter"], ENTRIES.items(), strict=True
    ):
        command = commands[item["command"]]
        title = f"{command['title']} ({manifest['display_name']})"  # as napari writes it
        assert (title, command["enablement"]) == entry
        assert command["python_name"].endswith(f":{name}")
        assert callable(getattr(layer_commands, name))


def test_a_real_right_click_on_two_layers_trains_on_the_pair(viewer, qtbot, monkeypatch):
    from napari_lowdose.widgets.noise2noise_form import Noise2NoiseForm

    monkeypatch.setattr(Noise2NoiseForm, "parameters", lambda self: FakeNoise2Noise())
    viewer.layers.selection = set(viewer.layers)
    view = viewer.window._qt_viewer.layers
    qtbot.waitUntil(view.isVisible)
    shown = []

    def choose():
        menu = QApplication.activePopupWidget()
        if not isinstance(menu, QMenu):
            return QTimer.singleShot(50, choose)
        try:
            entry = actions_of(menu)[DENOISE]
            shown.append(entry.isEnabled())
            qtbot.mouseClick(
                menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(entry).center()
            )
        finally:  # an open menu would wait for ever
            menu.close()
        return None

    QTimer.singleShot(50, choose)
    middle = view.visualRect(view.model().index(0, 0)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.RightButton, pos=QPoint(middle))
    assert shown == [True]
    widget = layer_commands.opened_widget(viewer, "Noise2Noise pair")
    assert widget is not None
    assert (widget.form.first, widget.form.second) == tuple(viewer.layers[:2])
    finish(qtbot, widget)
    assert viewer.layers[-1].name == "scan Noise2Noise"


def test_one_layer_is_denoised_by_reucid_and_the_widget_is_opened_once(viewer, qtbot):
    first = viewer.layers[0]
    viewer.layers.selection.active = first
    for n in (1, 2):
        get_app_model().commands.execute_command("napari-lowdose.denoise")
        widget = layer_commands.opened_widget(viewer, "REUCID")
        finish(qtbot, widget)
        assert widget.form.layer is first
        assert len(viewer.layers) == 2 + n, widget.panel.notes.text()
        viewer.layers.selection.active = first
    assert len(viewer.window.dock_widgets) == 1


def test_one_layer_is_denoised_by_the_network_that_was_chosen(viewer, qtbot, monkeypatch):
    from dataclasses import replace

    widget = layer_commands.open_widget(viewer, "Noise2Noise pair")
    monkeypatch.setattr(widget.form, "parameters", lambda: FakeNoise2Noise())
    widget.train()
    finish(qtbot, widget)
    widget.network.network = replace(widget.network.network, path="network.safetensors")
    viewer.layers.selection.active = viewer.layers[0]
    layer_commands.denoise(viewer)
    finish(qtbot, widget)
    assert viewer.layers[-1].name == "scan, first denoised"
    np.testing.assert_allclose(viewer.layers[-1].data, viewer.layers[0].data / 2)
