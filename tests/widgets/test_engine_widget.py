"""The dock widget that is generated from the parameters of an engine."""

import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from scipy.ndimage import median_filter

from napari_lowdose.engine import Engine, Step
from napari_lowdose.widgets.engine_widget import EngineWidget

from .conftest import finish

proceed = threading.Event()


@dataclass(frozen=True)
class Median(Engine):
    """A median filter.

    Parameters
    ----------
    size : int
        Width of the window, pixels.
    mode : {"reflect", "nearest"}
        Extension beyond the edges.
    weight : float
        Weight of the filtered image.
    limit : int, optional
        Largest value.
    channels : dict, optional
        Not a plain type.
    """

    size: int = 3
    mode: Literal["reflect", "nearest"] = "reflect"
    weight: float = 0.25
    limit: int | None = None
    wait: bool = False
    channels: dict[str, int] | None = None

    takes = "image"
    title = "Median"

    def __post_init__(self):
        if self.size % 2 == 0:
            raise ValueError(f"size must be odd, not {self.size}.")

    def frame_steps(self, frame):
        yield Step(fraction=0.5, message="half", image=np.float32(frame))
        if self.wait:
            proceed.wait(20)
        filtered = median_filter(frame, self.size, mode=self.mode)
        yield Step(fraction=1, message="done", image=np.float32(filtered))


@pytest.fixture
def dock(viewer):
    def dock(*images, engine_class=Median):
        for number, image in enumerate(images):
            viewer.add_image(image, name=f"image {number}")
        widget = EngineWidget(viewer, engine_class)
        viewer.window.add_dock_widget(widget, name="engine")
        return widget

    proceed.clear()
    yield dock
    proceed.set()


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (32, 40)).astype(np.uint16)


def field(widget, name):
    layout = widget.form.layout()
    for row in range(layout.rowCount()):
        label = layout.itemAt(row, layout.ItemRole.LabelRole)
        if label is not None and label.widget().text() == name:
            return layout.itemAt(row, layout.ItemRole.FieldRole).widget()
    return None


def test_the_form_has_the_defaults_of_the_engine(dock, image):
    widget = dock(image)
    assert widget.engine() == Median()
    assert "Width of the window" in field(widget, "size").toolTip()
    assert field(widget, "channels") is None


def test_parameters_come_from_the_form(dock, image):
    widget = dock(image)
    field(widget, "size").setValue(5)
    field(widget, "limit").setValue(20000)
    field(widget, "mode").setCurrentText("nearest")
    field(widget, "weight").setValue(0.31)
    engine = widget.engine()
    assert (engine.size, engine.limit, engine.mode) == (5, 20000, "nearest")
    assert engine.weight == pytest.approx(0.31)


def test_the_result_is_a_layer_beside_the_input(dock, qtbot, image):
    widget = dock(image)
    field(widget, "size").setValue(5)
    widget.panel.start_button.click()
    finish(qtbot, widget)
    result = widget.viewer.layers[-1]
    assert result.name == "image 0 Median"
    np.testing.assert_allclose(result.data, median_filter(image, 5))
    assert widget.panel.status.text().startswith("Done")
    assert result.metadata["napari-lowdose"]["parameters"]["size"] == 5


@pytest.mark.parametrize("all_frames", [False, True])
def test_one_frame_of_a_stack_or_all(dock, qtbot, image, all_frames):
    movie = np.stack([image, image + 5, image + 9])
    widget = dock(movie)
    widget.viewer.dims.set_current_step(0, 1)
    widget.frames.setCurrentIndex(int(all_frames))
    widget.denoise()
    finish(qtbot, widget)
    expected = [median_filter(frame, 3) for frame in (movie if all_frames else movie[1:2])]
    np.testing.assert_allclose(widget.viewer.layers[-1].data, expected)


def test_stop_keeps_a_partial_result(dock, qtbot, image):
    widget = dock(np.stack([image, image]))
    widget.frames.setCurrentIndex(1)
    field(widget, "wait").setChecked(True)
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    assert not widget.panel.start_button.isEnabled()
    widget.panel.stop_button.click()
    proceed.set()
    finish(qtbot, widget)
    assert widget.viewer.layers[-1].name.endswith("(partial)")
    assert widget.panel.status.text() == "Stopped: the partial result is kept."


def test_invalid_parameters_are_refused_with_the_message_of_the_engine(dock, image):
    widget = dock(image)
    field(widget, "size").setValue(4)
    widget.denoise()
    assert "must be odd" in widget.panel.notes.text()
    assert len(widget.viewer.layers) == 1


def test_an_engine_for_pairs_gets_two_layers(dock, qtbot, image):
    @dataclass(frozen=True)
    class Mean(Engine):
        takes = "pair"

        def frame_steps(self, first, second):
            mean = np.float32(first + second) / 2
            yield Step(fraction=1, message="done", image=mean)

    widget = dock(image, image + 4, engine_class=Mean)
    assert [layer.name for layer in widget.layers] == ["image 0", "image 1"]
    widget.denoise()
    finish(qtbot, widget)
    np.testing.assert_allclose(widget.viewer.layers[-1].data, image + 2)


def test_without_an_image_nothing_can_be_started(dock):
    widget = dock()
    assert not widget.panel.start_button.isEnabled()
