"""Plant a defect: clicks on sites of an image, and how much of the change survives there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Points
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHideEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_lowdose import Reucid, denoise, survival
from napari_lowdose.engine import Step
from napari_lowdose.noise2noise.config import PRESETS
from napari_lowdose.widgets.dock_area import RUN_IN_PROGRESS
from napari_lowdose.widgets.noise2noise_widget import NO_NETWORK
from napari_lowdose.widgets.survival.click_mode import ClickMode
from napari_lowdose.widgets.survival.defect_panel import CONTRASTS
from napari_lowdose.widgets.survival.planted_sites import MEASURED_ALREADY
from napari_lowdose.widgets.trained_network import TrainedNetwork

from .conftest import finish
from .fake_pair_engine import FakeModel

ROWS, COLUMNS = np.indices((96, 96))
TRUTH = 20 + sum(
    200 * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / 8)
    for y in range(8, 96, 16)
    for x in range(8, 96, 16)
)
NOISY = np.random.default_rng(0).poisson(TRUTH).astype(np.uint16)
ATOM, OTHER_ATOM, BETWEEN = (40, 56), (56, 24), (49, 47)
HALVED = CONTRASTS["halve its contrast"]


@dataclass(frozen=True)
class Half(Reucid):
    """Halves the image; `at` runs in the thread before each image, whose number it gets."""

    at: Callable[[int], None] = field(default=lambda number: None, repr=False, compare=False)
    seen: list[Any] = field(default_factory=list, repr=False, compare=False)

    def frame_steps(self, *frames: Any) -> Iterator[Step]:
        self.at(len(self.seen))
        self.seen.append(frames[0])
        yield Step(fraction=0.5, message="half way")
        yield Step(fraction=1, message="done", image=np.float32(frames[0]) / 2)


def press(qtbot, widget):
    qtbot.mouseClick(widget.defects.start_button, Qt.MouseButton.LeftButton)


def click(widget, position, *, layer=None, drag=0, button=1):
    """Click on a pixel of the layer, in the frame in view."""
    viewer = widget.viewer
    layer = layer or viewer.layers[0]
    world = np.array(viewer.dims.point)
    frame = layer.world_to_data(world)[:-2]
    event = SimpleNamespace(
        type="mouse_press",
        button=button,
        modifiers=(),
        pos=np.array([100, 100]),
        position=layer.data_to_world((*frame, *position)),
        is_dragging=False,
    )
    mouse_press_callbacks(viewer, ReadOnlyWrapper(event))
    for kind, callbacks in (
        ("mouse_move", mouse_move_callbacks),
        ("mouse_release", mouse_release_callbacks),
    ):
        later = SimpleNamespace(**(vars(event) | {"type": kind, "is_dragging": True}))
        later.pos = later.pos + drag
        callbacks(viewer, ReadOnlyWrapper(later))


def measure(qtbot, widget, *positions, **options):
    for position in positions:
        click(widget, position, **options)
    qtbot.waitUntil(lambda: not widget.defects.runner.busy, timeout=60000)


def points_of(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Points)]


def texts(widget):
    return widget.defects.status.text(), widget.defects.notes.text()


def half_survives(widget):
    share, rest = texts(widget)[0].split(" ", 1)
    return float(share) == pytest.approx(0.5, abs=0.05) and "planted contrast survives" in rest


def choose(widget, label):
    widget.defects.contrast.setCurrentIndex(widget.defects.contrast.findText(label))


@pytest.fixture
def ready(docked, qtbot):
    """Return a function that docks the widget and presses the button."""

    def dock(image=NOISY, engine=None, **options):
        widget = docked(image, engine or Half(), **options)
        press(qtbot, widget)
        return widget

    return dock


# ---------------------------------------------------------------------- the answer


def test_the_answer_is_that_of_the_script(ready, qtbot):
    widget = ready(engine=Reucid(patch_size="psf"))
    assert "Click on a site of 'input'" in texts(widget)[0]
    assert "denoised with the settings above" in texts(widget)[0]
    measure(qtbot, widget, ATOM)
    (layer,) = points_of(widget.viewer)
    site = tuple(layer.data[0])
    assert np.hypot(*np.subtract(site, ATOM)) < 1.5
    found = survival(NOISY, Reucid(patch_size="psf"), site)
    assert 0.8 < found.share < 1.1
    assert texts(widget) == (f"{found}.", "")
    assert layer.name == "input REUCID survival"
    assert list(layer.text.values) == [f"{found.share:.2f}"]
    record = layer.metadata["napari-lowdose"]
    assert (record["engine"], record["contrast"]) == ("Reucid", -0.5)
    assert record["input"] == {"layer": "input", "frame": []}
    np.testing.assert_array_equal(record["shares"], found.shares)


def test_several_sites_give_a_mean(ready, qtbot):
    widget = ready(engine=Reucid(patch_size="psf"))
    measure(qtbot, widget, ATOM, OTHER_ATOM, (72, 72))
    (layer,) = points_of(widget.viewer)
    found = survival(NOISY, Reucid(patch_size="psf"), layer.data)
    assert texts(widget)[0] == f"{found}." and "mean of 3 sites" in texts(widget)[0]
    shares = [f"{share:.2f}" for share in found.shares.mean(axis=1)]
    assert list(layer.text.values) == shares


def test_a_click_beside_an_atom_finds_the_atom(ready, qtbot):
    widget = ready()
    measure(qtbot, widget, (ATOM[0] + 2, ATOM[1] - 1))
    (layer,) = points_of(widget.viewer)
    assert np.hypot(*np.subtract(layer.data[0], ATOM)) <= 1.5
    measure(qtbot, widget, ATOM)
    assert texts(widget)[1] == MEASURED_ALREADY
    assert len(layer.data) == 1 and half_survives(widget)


def test_the_points_lie_on_the_image(ready, qtbot):
    place = {
        "scale": (0.2, 0.3), "translate": (5, 7), "rotate": 20, "units": ("nm", "nm"),
        "affine": [[1, 0, 3], [0, 2, 4], [0, 0, 1]],
    }  # fmt: skip
    widget = ready(**place)
    measure(qtbot, widget, ATOM)
    (layer,), source = points_of(widget.viewer), widget.viewer.layers[0]
    np.testing.assert_allclose(layer.data_to_world((3, 4)), source.data_to_world((3, 4)))
    np.testing.assert_allclose(layer.scale, source.scale)
    assert layer.units == source.units
    assert np.hypot(*np.subtract(layer.data[0], ATOM)) < 1.5
    assert set(widget.viewer.layers.selection) == {source}


def test_the_change_is_that_of_the_choice(ready, qtbot):
    widget = ready()
    layers = []
    for label, contrast in CONTRASTS.items():
        choose(widget, label)
        measure(qtbot, widget, ATOM)
        layers = points_of(widget.viewer)
        planted = layers[-1].metadata["napari-lowdose"]["planted"]
        assert planted[0] == pytest.approx(200 * contrast, rel=0.2)
    assert [len(layer.data) for layer in layers] == [1, 1, 1]  # not the same kind of change


def test_the_frame_in_view_of_a_movie_is_changed(ready, qtbot):
    engine = Half()
    dark = np.random.default_rng(1).poisson(20.0, NOISY.shape)
    widget = ready(np.stack([dark, NOISY, dark]), engine, scale=(2, 1, 1))
    widget.viewer.dims.set_current_step(0, 1)
    measure(qtbot, widget, ATOM)
    (layer,) = points_of(widget.viewer)
    assert layer.data.shape == (1, 3) and layer.data[0, 0] == 1
    np.testing.assert_array_equal(engine.seen[0], NOISY)
    widget.viewer.dims.set_current_step(0, 0)
    measure(qtbot, widget, ATOM)
    assert "standard errors of the noise only" in texts(widget)[1]


def test_an_invisible_change_is_told(ready, qtbot):
    faint = np.random.default_rng(0).poisson(20 + (TRUTH - 20) / 20)
    widget = ready(faint)
    choose(widget, "add half of it")
    measure(qtbot, widget, ATOM)
    assert "it can hardly be seen in the raw image" in texts(widget)[1]


# ---------------------------------------------------------------------- the engine


@pytest.mark.parametrize(("patch_size", "n_stacks"), [("wide", 1), ("psf", 2)])
def test_a_result_is_repeated_as_it_was_made(docked, qtbot, patch_size, n_stacks):
    widget = docked(NOISY)
    widget.form.patch_size.value = patch_size
    widget.form.n_stacks.setValue(n_stacks)
    widget.denoise()
    finish(qtbot, widget)
    result = widget.viewer.layers["input REUCID"]
    widget.form.patch_size.value = 5  # of the next run
    press(qtbot, widget)
    assert "denoised as 'input REUCID'" in texts(widget)[0]
    np.testing.assert_array_equal(denoise(NOISY, widget._subject().engine), result.data)
    before = result.data
    widget._toggle(0, 0)
    finish(qtbot, widget)
    assert np.abs(result.data - before).max() > 1
    again = denoise(NOISY, widget._subject().engine)
    np.testing.assert_allclose(again, result.data, atol=1e-3)


def test_a_frame_of_a_result_is_repeated_with_the_patch_size_of_the_movie(docked, qtbot):
    widget = docked(np.stack([NOISY, NOISY[::-1]]))
    widget.form.frames.setCurrentIndex(1)
    widget.denoise()
    finish(qtbot, widget)
    widget.viewer.dims.set_current_step(0, 1)
    again = denoise(NOISY[::-1], widget._subject().engine)
    np.testing.assert_array_equal(again, widget.viewer.layers["input REUCID"].data[1])


def test_a_defect_of_one_frame_is_denoised_without_the_other_frames(docked, qtbot):
    widget = docked(np.stack([NOISY, NOISY]))
    form = widget.form
    form.strength.setCurrentIndex(form.strength.findData("balanced"))
    form.frames.setCurrentIndex(form.frames.findData(True))
    form.frames_together.setValue(2)
    press(qtbot, widget)
    assert "but from this frame alone" in texts(widget)[0]
    assert widget._subject().engine.frames_together == 1
    finish(qtbot, widget)


def test_another_image_is_denoised_with_the_form(docked, qtbot):
    widget = docked(NOISY)
    widget.denoise()
    finish(qtbot, widget)
    other = widget.viewer.add_image(NOISY[::-1], name="other")
    widget.form.layer_combo.value = other
    widget.form.patch_size.value = 7
    press(qtbot, widget)
    assert "of 'other'" in texts(widget)[0] and "settings above" in texts(widget)[0]
    assert widget._subject().engine == Reucid(patch_size=7)
    finish(qtbot, widget)


def test_a_network_is_applied_to_the_first_exposure(docked_pair, qtbot):
    widget = docked_pair(NOISY, NOISY[::-1].copy())
    press(qtbot, widget)
    assert texts(widget) == ("Not started.", NO_NETWORK)
    assert not widget.defects.start_button.isChecked()
    model = FakeModel(architecture=PRESETS["fast"], weights={}, offset=0, scale=1, record={})
    widget.network.keep(TrainedNetwork(model, "net"))
    press(qtbot, widget)
    measure(qtbot, widget, ATOM)
    assert half_survives(widget)
    assert points_of(widget.viewer)[0].name == "scan, first denoised survival"


# ------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ((-20, 56), "The site at y=-20, x=56 is outside of the image of 96 x 96 pixels."),
        ((40, 96), "The site at y=40, x=96 is outside of the image of 96 x 96 pixels."),
    ],
)
def test_a_click_outside_is_refused(ready, qtbot, position, message):
    widget = ready()
    measure(qtbot, widget, position)
    assert texts(widget)[1] == message and not points_of(widget.viewer)
    measure(qtbot, widget, ATOM)
    assert texts(widget)[1] == ""


def test_a_site_that_does_not_stand_out_is_refused_and_the_others_stay(ready, qtbot):
    flat = np.random.default_rng(0).poisson(np.where(ROWS < 48, 20, TRUTH))
    widget = ready(flat)
    measure(qtbot, widget, (56, 24), (20, 20))
    (layer,) = points_of(widget.viewer)
    assert len(layer.data) == 1
    assert "standard errors of the noise only: choose one" in texts(widget)[1]
    assert half_survives(widget)


def test_a_result_and_a_view_in_3d_are_refused(docked, qtbot):
    widget = docked(NOISY, Half())
    widget.viewer.add_image(NOISY, name="clean", metadata={"napari-lowdose": {}})
    widget.form.layer_combo.value = widget.viewer.layers["clean"]
    press(qtbot, widget)
    assert texts(widget)[1] == "'clean' is a result: choose the raw image that it was made from."
    widget.form.layer_combo.value = widget.viewer.layers["input"]
    widget.viewer.dims.ndisplay = 3
    press(qtbot, widget)
    assert "in 2D" in texts(widget)[1] and not widget.defects.start_button.isChecked()


def test_there_is_no_click_during_a_run(docked, qtbot, gate):
    gate.closed_at = 0
    widget = docked(NOISY, Half(at=gate))
    widget.denoise()
    press(qtbot, widget)
    assert texts(widget)[1] == RUN_IN_PROGRESS
    gate.open.set()
    finish(qtbot, widget)


def test_an_unsuitable_image_is_refused_in_one_sentence(ready, qtbot):
    pixels = NOISY.astype(float)
    pixels[3, 4] = np.nan
    widget = ready(pixels, contrast_limits=(0, 200))
    measure(qtbot, widget, ATOM)
    assert "NaN" in texts(widget)[1] and texts(widget)[1].count(". ") == 0


# -------------------------------------------------------------------- the work


def test_stop_keeps_the_sites_that_are_measured(ready, qtbot, gate):
    gate.closed_at = 8  # the second draw of the second site
    widget = ready(engine=Half(at=gate))
    for position in (ATOM, OTHER_ATOM, (72, 72)):
        click(widget, position)
    (layer,) = points_of(widget.viewer)
    qtbot.waitUntil(lambda: "…" not in layer.text.values[0])
    assert list(layer.text.values[1:]) == ["…", "…"]
    qtbot.waitUntil(lambda: "site 2, draw" in texts(widget)[0])
    assert widget.defects.stop_button.isVisibleTo(widget.defects)
    qtbot.mouseClick(widget.defects.stop_button, Qt.MouseButton.LeftButton)
    gate.open.set()
    qtbot.waitUntil(lambda: not widget.defects.runner.busy)
    assert texts(widget)[0] == "Stopped." and len(layer.data) == 1
    assert not widget.defects.stop_button.isVisibleTo(widget.defects)
    measure(qtbot, widget, OTHER_ATOM)  # goes on
    assert "mean of 2 sites" in texts(widget)[0]


@pytest.mark.parametrize("removed", ["input", "input REUCID survival"])
def test_a_layer_that_is_removed_meanwhile_stops_the_work(ready, qtbot, gate, removed):
    gate.closed_at = 2
    widget = ready(engine=Half(at=gate))
    click(widget, ATOM)
    click(widget, OTHER_ATOM)
    qtbot.waitUntil(lambda: "draw 1" in texts(widget)[0])
    widget.viewer.layers.remove(widget.viewer.layers[removed])
    gate.open.set()
    qtbot.waitUntil(lambda: not widget.defects.runner.busy)
    source = removed == "input"
    assert texts(widget)[0] == (
        "Stopped: 'input' was removed."
        if source
        else "Stopped: the layer of the sites was removed."
    )
    assert widget.defects.mode.active != source
    if not source:
        measure(qtbot, widget, ATOM)
        assert [len(layer.data) for layer in points_of(widget.viewer)] == [1]


def test_data_that_change_begin_new_sites(ready, qtbot):
    widget = ready()
    measure(qtbot, widget, ATOM)
    widget.viewer.layers["input"].data = NOISY[::-1].copy()
    measure(qtbot, widget, (95 - ATOM[0], ATOM[1]))
    assert [len(layer.data) for layer in points_of(widget.viewer)] == [1, 1]
    finish(qtbot, widget)


# -------------------------------------------------------------------- the mode


def test_a_drag_and_the_right_button_plant_nothing(ready, qtbot):
    widget = ready()
    click(widget, ATOM, drag=30)
    click(widget, ATOM, button=2)
    assert not widget.defects.runner.busy and not points_of(widget.viewer)
    measure(qtbot, widget, ATOM, drag=1)  # no hand is perfectly still
    assert points_of(widget.viewer)


LEAVING = {
    "the button": lambda widget: widget.defects.start_button.click(),
    "a hidden widget": lambda widget: QApplication.sendEvent(widget.defects, QHideEvent()),
    "no image": lambda widget: widget.viewer.layers.remove("input"),
    "another mode": lambda widget: ClickMode(widget.viewer, widget).enter(),
}


@pytest.mark.parametrize("how", LEAVING)
def test_a_mode_that_is_left_leaves_nothing_behind(ready, qtbot, how):
    widget = ready()
    viewer = widget.viewer
    assert viewer.cursor.style == "crosshair"
    LEAVING[how](widget)
    assert widget.defects.mode._pressed not in viewer.mouse_drag_callbacks
    assert not widget.defects.mode.active and not widget.defects.start_button.isChecked()
    assert texts(widget)[0] in ("", "Stopped: 'input' was removed.")
    if ClickMode._current is not None:
        ClickMode._current.leave()
    assert viewer.cursor.style == "standard"


def test_the_mode_ends_with_its_widget(docked, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    before = list(viewer.mouse_drag_callbacks)
    widget = docked(NOISY, Half(), viewer)
    press(qtbot, widget)
    assert len(viewer.mouse_drag_callbacks) == len(before) + 1
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert list(viewer.mouse_drag_callbacks) == before
    viewer.layers.selection.clear()  # nothing of the widget is called any more
    viewer.layers.clear()


def test_a_click_does_not_paint_labels(docked, qtbot):
    widget = docked(NOISY, Half())
    labels = widget.viewer.add_labels(np.zeros(NOISY.shape, int))
    labels.mode = "paint"
    press(qtbot, widget)
    measure(qtbot, widget, ATOM)
    assert points_of(widget.viewer) and not labels.data.any()
    assert widget.viewer.cursor.style == "crosshair"  # another layer was added and selected


def test_a_real_click_and_escape(docked, make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    widget = docked(NOISY, Half(), viewer)
    window, canvas = viewer.window._qt_window, viewer.window._qt_viewer.canvas
    window.activateWindow()
    qtbot.waitActive(window)
    press(qtbot, widget)
    y, x = viewer.layers[0].data_to_world(ATOM)
    across, down, *_ = canvas.view.scene.transform.map([x, y])
    qtbot.mouseClick(
        canvas.native, Qt.MouseButton.LeftButton, pos=QPoint(round(across), round(down))
    )
    qtbot.waitUntil(lambda: "survives" in texts(widget)[0], timeout=20000)
    assert np.hypot(*np.subtract(points_of(viewer)[0].data[0], ATOM)) < 1.5
    QTest.keyClick(canvas.native, Qt.Key.Key_Escape)
    assert not widget.defects.mode.active
    assert "survives" in texts(widget)[0]  # the answer stays
