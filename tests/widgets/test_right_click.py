"""The right-click on layers, and Layers > Filter: both have the same entries."""

from dataclasses import replace

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
from scipy.ndimage import gaussian_filter

from napari_lowdose.noise2noise.exposure_statistics import about_exposures
from napari_lowdose.widgets import menus, result_job
from napari_lowdose.widgets.noise2noise.form import Noise2NoiseForm
from napari_lowdose.widgets.right_click import ENTRIES, register_entries
from napari_lowdose.widgets.titles import ONE_IMAGE, PAIR
from napari_lowdose.widgets.trained_network import TrainedNetwork

from .conftest import finish
from .fake_pair_engine import FakeNoise2Noise
from .test_noise2noise_widget import noisy_scene

DENOISE, LIVE, SPLIT, INSPECT, EVIDENCE, ERROR = (title for title, _ in ENTRIES.values())


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
def test_disabled_for_unsuitable_layers(viewer, menu_id):
    layers = viewer.layers
    other = viewer.add_image(np.zeros((20, 20)), name="other shape")
    labels = viewer.add_labels(np.zeros((20, 20), int))
    colour = viewer.add_image(np.zeros((64, 80, 3), np.uint8), name="colour", rgb=True)
    mask = viewer.add_image(np.zeros((64, 80), bool), name="mask")
    sense = {
        (layers[0],): (True, True),
        (layers[0], layers[1]): (True, False),
        (layers[0], layers[1], other): (False, False),
        (layers[0], other): (False, False),
        (layers[0], labels): (False, False),
        (labels,): (False, False),
        (colour,): (False, False),
        (mask,): (False, False),
        (): (False, False),
    }
    for selected, enabled in sense.items():
        layers.selection.clear()
        for layer in selected:
            layers.selection.add(layer)
            layers.selection.active = layer if len(selected) == 1 else layers.selection.active
        entries = menu_for(viewer, menu_id)
        assert (entries[DENOISE].isEnabled(), entries[SPLIT].isEnabled()) == enabled, selected
        assert entries[EVIDENCE].isEnabled() == enabled[0], selected
        assert entries[INSPECT].isEnabled() == enabled[0], selected
        assert entries[LIVE].isEnabled() == enabled[1], selected


def test_the_manifest_has_the_same_enablement():
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
        assert callable(getattr(menus, name))


def test_a_real_right_click_on_two_layers_trains_on_the_pair(viewer, qtbot, monkeypatch):
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
    widget = menus.opened_widget(viewer, PAIR)
    assert widget is not None
    assert (widget.form.first, widget.form.second) == tuple(viewer.layers[:2])
    finish(qtbot, widget)
    assert viewer.layers[-1].name == "scan Noise2Noise"


def test_one_layer_is_denoised_by_reucid_and_the_widget_is_opened_once(viewer, qtbot):
    first = viewer.layers[0]
    viewer.layers.selection.active = first
    for n in (1, 2):
        get_app_model().commands.execute_command("napari-lowdose.denoise")
        widget = menus.opened_widget(viewer, ONE_IMAGE)
        finish(qtbot, widget)
        assert widget.form.layer is first
        assert len(viewer.layers) == 2 + n, widget.panel.notes.text()
        viewer.layers.selection.active = first
    assert len(viewer.window.dock_widgets) == 1


def test_the_evidence_of_a_result_is_shown_beside_it(viewer, qtbot):
    viewer.layers.selection.active = viewer.layers[0]
    menus.denoise(viewer)
    finish(qtbot, menus.opened_widget(viewer, ONE_IMAGE))
    result = viewer.layers[-1]
    viewer.layers.selection.active = result
    get_app_model().commands.execute_command("napari-lowdose.show_evidence")
    qtbot.waitUntil(lambda: not result_job.running, timeout=20000)
    assert viewer.layers[-1].name == f"{result.name} not supported by the data"
    assert viewer.layers.selection.active is result


@pytest.fixture
def widget(viewer, qtbot, monkeypatch):
    """Return the pair widget with a network that was trained on the two layers."""
    widget = menus.open_widget(viewer, PAIR)
    monkeypatch.setattr(widget.form, "parameters", FakeNoise2Noise)
    widget.train()
    finish(qtbot, widget)
    known = about_exposures(viewer.layers[0].data)
    network = widget.network.network
    network.model.record["exposures"] = known
    return widget


def test_one_layer_is_denoised_by_a_network_that_fits_if_ticked(viewer, qtbot, widget):
    def denoised(layer):
        viewer.layers.selection.active = layer
        menus.denoise(viewer)
        for each in (widget, menus.opened_widget(viewer, ONE_IMAGE)):
            if each is not None:
                finish(qtbot, each)
        return viewer.layers[-1].name

    first = viewer.layers[0]
    assert not widget.network.for_right_click.isChecked()
    assert denoised(first) == "scan, first REUCID"
    widget.network.for_right_click.setChecked(True)
    assert denoised(first) == "scan, first denoised"
    np.testing.assert_allclose(viewer.layers[-1].data, first.data / 2)

    reucid = menus.opened_widget(viewer, ONE_IMAGE)
    brighter = viewer.add_image(first.data + 500, name="brighter")
    assert denoised(brighter) == "brighter REUCID"
    assert "network was not applied" in reucid.panel.notes.text()
    assert "mean" in reucid.panel.notes.text()
    coarse = viewer.add_image(first.data, name="coarse", scale=(4, 4))
    assert denoised(coarse) == "coarse REUCID"
    assert "pixel size" in reucid.panel.notes.text()

    widget.network.keep(TrainedNetwork(replace(widget.model), "another"))
    assert not widget.network.for_right_click.isChecked()


def pair_after_right_clicks(viewer, qtbot, monkeypatch, layers, times=1, engine=FakeNoise2Noise):
    monkeypatch.setattr(Noise2NoiseForm, "parameters", lambda self: engine())
    for _ in range(times):
        viewer.layers.selection = set(layers)
        menus.denoise(viewer)
        qtbot.wait(30)
    widget = menus.opened_widget(viewer, PAIR)
    finish(qtbot, widget)
    return widget


def test_a_shifted_pair_is_not_trained_on_before_it_is_registered(viewer, qtbot, monkeypatch):
    moved = viewer.add_image(noisy_scene(3, moved=(5, 4)), name="moved")
    layers = [viewer.layers[0], moved]
    widget = pair_after_right_clicks(viewer, qtbot, monkeypatch, layers)
    assert len(viewer.layers) == 3
    assert widget.panel.status.text() == "Not started."
    assert "register them first" in widget.panel.notes.text()
    assert widget.card.register_button.isVisible()
    widget.pair.register()
    finish(qtbot, widget)
    widget = pair_after_right_clicks(viewer, qtbot, monkeypatch, viewer.layers[-2:])
    assert widget.panel.status.text().startswith("Done")


def test_five_right_clicks_make_one_training(viewer, qtbot, monkeypatch, gate):
    gate.closed_at = 2
    QTimer.singleShot(3000, gate.open.set)
    widget = pair_after_right_clicks(
        viewer, qtbot, monkeypatch, viewer.layers[:2], 5, lambda: FakeNoise2Noise(at=gate)
    )
    assert [layer.name for layer in viewer.layers[2:]] == ["scan Noise2Noise"]
    assert widget.panel.status.text().startswith("Done")


def test_a_result_is_refused_as_a_partner(viewer, qtbot, monkeypatch, widget):
    result = viewer.layers[-1]
    pair_after_right_clicks(viewer, qtbot, monkeypatch, [viewer.layers[0], result])
    assert viewer.layers[-1] is result
    assert widget.panel.status.text() == "Not started."
    assert f"'{result.name}' is a result: choose two raw" in widget.panel.notes.text()
    assert "is a result" in widget.card.findings.text()

    # What napari saves and opens again has no record: its pixels tell
    smooth = viewer.add_image(gaussian_filter(result.data, 2), name="opened again")
    widget.choose_pair(viewer.layers[0], smooth)
    finish(qtbot, widget)
    assert "seems to be denoised" in widget.card.refusal
    assert not widget.panel.start_button.isEnabled()


def test_a_result_is_denoised_again_with_a_warning(viewer, qtbot, widget):
    result = viewer.layers[-1]
    widget.apply_to(result)
    finish(qtbot, widget)
    assert "is a result already" in widget.panel.notes.text()
    viewer.layers.selection.active = result
    menus.denoise(viewer)
    reucid = menus.opened_widget(viewer, ONE_IMAGE)
    finish(qtbot, reucid)
    assert reucid.panel.notes.text().count("is a result already") == 1
    assert reucid.panel.status.text().startswith("Done")
