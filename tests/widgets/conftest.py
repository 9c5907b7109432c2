"""A real viewer with the widget docked in it, and engines that do what a test needs."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import napari
import numpy as np
import pytest
from napari._qt.qt_viewer import QtViewer
from napari.qt.threading import WorkerBase
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_lowdose.engine import Engine, Step
from napari_lowdose.reucid import StackStep
from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget
from napari_lowdose.widgets.reucid_widget import ReucidWidget


@dataclass(frozen=True)
class FakeEngine(Engine):
    """Halves the image, a stack at a time; `at` runs in the thread before each stack."""

    n_stacks: int = 3
    pause: float = 0.02
    wide: bool = False
    at: Callable[[int], None] = field(default=lambda stack: None, repr=False)

    def frame_steps(self, frame: Any) -> Iterator[Step]:
        for stack in range(self.n_stacks):
            self.at(stack)
            time.sleep(self.pause)
            yield Step(fraction=(stack + 0.5) / self.n_stacks, message="half a stack")
            yield StackStep(
                fraction=(stack + 1) / self.n_stacks,
                message=f"stack {stack + 1}",
                image=np.float32(frame) * np.float32(0.5 + 0.001 * (self.n_stacks - 1 - stack)),
                stack=stack,
                n_stacks=self.n_stacks,
                patch_size=3,
                eigenpatches=np.eye(4, 9, dtype=np.float32).reshape(4, 3, 3),
                singular_values=np.array([8.0, 4.0, 2.0, 1.0]),
                utilities=np.array([0.9, 0.8, 0.2, 0.1], np.float32),
                kept=np.array([True, True, False, False]),
                noise_floor=1.0,
                wide=self.wide,
            )

    def rebuild(self, frame: Any, stacks: list[StackStep]) -> Any:
        return np.full(frame.shape, stacks[0].kept.sum(), np.float32)


@pytest.fixture(scope="package", autouse=True)
def quick_viewers() -> Iterator[None]:
    """Do once what napari does for every viewer: find plugins, look at all objects; wait less.

    Every test with a viewer ends in full garbage collections; `gc.freeze` exempts what is imported.
    """
    from npe2 import PluginManager

    PluginManager.instance().discover()
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManager, "discover", lambda *args, **kwargs: 0)
        # In the background, for every widget that is opened
        patch.setattr(
            "napari_lowdose.widgets.noise2noise_widget.load_torch_for_interface", lambda: None
        )
        # Each test waits several times until its widgets have settled
        patch.setattr("napari_lowdose.widgets.dock_area.DEBOUNCE", 20)
        patch.setattr("napari_lowdose.widgets.presets.DELAY", 20)
        yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared_viewer(qapp: QApplication) -> Iterator[napari.Viewer]:
    """Return the viewer that most tests use one after the other: to open one takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda _: None)
        viewer = napari.Viewer(show=False, show_welcome_screen=False)
        QtViewer._instances.clear()  # make_napari_viewer takes any that it finds for a leak
        yield viewer
        patch.setattr(viewer.window._qt_window, "_save_current_window_settings", lambda: None)
        viewer.close()


@pytest.fixture
def viewer(shared_viewer: napari.Viewer, qtbot: QtBot) -> Iterator[napari.Viewer]:
    """Return the shared viewer, without layers and widgets.

    Tests that close or show the viewer open their own with `make_napari_viewer`.
    """
    yield shared_viewer
    for widget in list(shared_viewer.window.dock_widgets.values()):
        shared_viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    WorkerBase.await_workers(20000)
    shared_viewer.layers.clear()
    shared_viewer.dims.ndisplay = 2


@pytest.fixture(autouse=True)
def settings_of_the_test(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test remember settings for the next one, or for whoever runs the tests."""
    file = tmp_path / "napari config" / "presets.json"
    monkeypatch.setattr("napari_lowdose.widgets.presets.settings_file", lambda: file)


def dock_in(viewer: napari.Viewer, widget: QWidget, name: str, engine: Any, qtbot: QtBot) -> Any:
    """Dock `widget`, let it use `engine` (None: the real one), and wait until it is ready."""
    viewer.window.add_dock_widget(widget, name=name)
    if engine is not None:
        widget.form.parameters = lambda: engine
    finish(qtbot, widget)
    return widget


@pytest.fixture
def docked(viewer: napari.Viewer, qtbot: QtBot) -> Callable[..., ReucidWidget]:
    """Return a function: (image, engine or None for the real one, layer options) to widget."""

    def dock(image: Any, engine: Any = None, viewer: Any = viewer, **options: Any) -> ReucidWidget:
        viewer.add_image(image, name="input", **options)
        return dock_in(viewer, ReucidWidget(viewer), "Denoise one image (REUCID)", engine, qtbot)

    return dock


@pytest.fixture
def docked_pair(viewer: napari.Viewer, qtbot: QtBot) -> Callable[..., Noise2NoiseWidget]:
    """Return a function: (first, second, engine or None for the real one, options) to widget."""

    def dock(
        first: Any, second: Any, engine: Any = None, viewer: Any = viewer, **options: Any
    ) -> Noise2NoiseWidget:
        viewer.add_image(first, name="scan, first", **options)
        if second is not None:
            viewer.add_image(second, name="scan, second", **options)
        return dock_in(
            viewer, Noise2NoiseWidget(viewer), "Denoise a pair (Noise2Noise)", engine, qtbot
        )

    return dock


def idle(widget: Any) -> bool:
    """Whether nothing is running or about to."""
    return not (widget.runner.busy or widget._running or is_due(widget))


def is_due(widget: Any) -> bool:
    """Whether a debouncer of the widget, or the debouncer given, has yet to call back."""
    return any(timer.isActive() for timer in widget.findChildren(QTimer, "settle"))


def finish(qtbot, widget):
    qtbot.waitUntil(lambda: idle(widget), timeout=60000)


class Gate:
    """Holds an engine before stack 1 until it is opened."""

    def __init__(self):
        self.open = threading.Event()
        self.closed_at = 1

    def __call__(self, stack):
        if stack == self.closed_at:
            self.open.wait(20)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()
    WorkerBase.await_workers(20000)
