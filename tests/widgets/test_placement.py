"""A result lies on its input, whatever the transforms of the layer, and on what is seen of it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import Dims, LayerList
from napari.layers import Image

from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.layers import frame_in_view, view_error

from .conftest import FakeEngine, finish
from .fake_pair_engine import FakeNoise2Noise

SHAPE = (2, 3, 20, 30)


def numbers(n, low, high):
    return st.lists(st.floats(low, high), min_size=n, max_size=n)


@st.composite
def placed_layers(draw):
    ndim = draw(st.integers(2, 4))
    signs = draw(st.lists(st.sampled_from([-1, 1]), min_size=ndim, max_size=ndim))
    options = {
        "scale": np.multiply(signs, draw(numbers(ndim, 0.1, 9))),
        "translate": draw(numbers(ndim, -50, 50)),
        "units": ("s", "um", "nm", "nm")[-ndim:],
        "axis_labels": ("t", "z", "y", "x")[-ndim:],
    }
    if draw(st.booleans()):
        angles = draw(numbers(3, -180, 180))
        options["rotate"] = angles[0] if ndim == 2 else tuple(angles) if ndim == 3 else None
    if draw(st.booleans()):
        options["shear"] = draw(numbers(ndim * (ndim - 1) // 2, -0.5, 0.5))
    if draw(st.booleans()):
        affine = np.eye(ndim + 1)
        affine[:ndim] += np.reshape(draw(numbers(ndim * (ndim + 1), -0.2, 0.2)), (ndim, -1))
        options["affine"] = affine
    return Image(np.arange(np.prod(SHAPE[-ndim:]), dtype=float).reshape(SHAPE[-ndim:]), **options)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=placed_layers(), data=st.data())
def test_result_and_input_agree_in_the_world(layer, data):
    leading = layer.data.shape[:-2]
    one = bool(leading) and data.draw(st.booleans())
    frame = tuple(data.draw(st.integers(0, n - 1)) for n in leading) if one else ()
    layers = LayerList([layer])
    run = LayerRun(layers, layer, FakeEngine(n_stacks=1, pause=0), frame, with_residual=True)
    run.show(list(run.run))
    run.end()
    _, result, residual = layers
    for made in (result, residual):
        assert made.data.shape == ((1,) * len(frame) + SHAPE[-2:] if one else layer.data.shape)
        for y in (0, 19):
            for x in (0, 29):
                at = frame or (1,) * len(leading)
                in_result = ((0,) * len(frame) if one else at) + (y, x)
                np.testing.assert_allclose(
                    made.data_to_world(in_result), layer.data_to_world((*at, y, x)), atol=1e-6
                )
        assert made.units == layer.units
        assert made.axis_labels == layer.axis_labels
        np.testing.assert_array_equal(made.scale, layer.scale)
    np.testing.assert_allclose(np.asarray(result.data)[(0,) * len(leading)], layer.data[
        frame or (0,) * len(leading)] / 2)  # fmt: skip


def test_the_current_frame_is_shown_at_its_frame_only(docked, qtbot):
    movie = np.random.default_rng(0).poisson(20, (5, 32, 40)).astype(np.uint16)
    widget = docked(movie, FakeEngine(n_stacks=1), scale=(10, 2, 2))
    dims = widget.viewer.dims
    dims.set_current_step(0, 3)
    widget.denoise()
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    assert dims.nsteps[0] == 5
    assert view_error(dims, result) == ""
    for other in (0, 2, 4):
        dims.set_current_step(0, other)
        assert "no frame at this position" in view_error(dims, result)
    widget.gallery.toggled.emit(0, 2)  # what is seen of the run changes, wherever the sliders are
    finish(qtbot, widget)
    assert result.data.shape == (1, 32, 40)
    assert (result.data == 3).all()


# ------------------------------------------------------------------ what is on the canvas


@pytest.mark.parametrize(
    ("order", "axes"), [((2, 0, 1), "0 and 1"), ((1, 0, 2), "0 and 2"), ((2, 1, 0), "0 and 1")]
)
@pytest.mark.parametrize("all_frames", [False, True])
def test_another_plane_than_the_frames_is_not_denoised(docked, qtbot, order, axes, all_frames):
    stack = np.random.default_rng(0).poisson(20, (16, 32, 40)).astype(np.uint16)
    widget = docked(stack, FakeEngine(n_stacks=1))
    widget.viewer.dims.order = order
    widget.form.frames.setCurrentIndex(int(all_frames))
    widget.denoise()
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 1
    assert widget.panel.status.text() == "Not started."
    assert f"its axes {axes}" in widget.panel.notes.text()
    assert "Roll the dimensions back" in widget.panel.notes.text()


def test_a_transposed_canvas_still_shows_the_frames(docked, qtbot):
    stack = np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)
    widget = docked(stack, FakeEngine(n_stacks=1))
    widget.viewer.dims.order = (0, 2, 1)
    widget.viewer.dims.set_current_step(0, 2)
    widget.denoise()
    finish(qtbot, widget)
    np.testing.assert_allclose(widget.viewer.layers[1].data[0], stack[2] / 2)


def test_in_3d_there_is_no_current_frame(docked, qtbot):
    stack = np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)
    widget = docked(stack, FakeEngine(n_stacks=1))
    widget.viewer.dims.ndisplay = 3
    widget.denoise()
    assert "switch to 2D" in widget.panel.notes.text()
    widget.form.frames.setCurrentIndex(1)
    widget.denoise()
    finish(qtbot, widget)
    np.testing.assert_allclose(widget.viewer.layers[1].data, stack / 2)


def test_a_layer_with_fewer_axes_than_the_viewer():
    dims = Dims(ndim=4, order=(1, 0, 2, 3), range=((0, 9, 1),) * 4, point=(5, 2, 0, 0))
    layer = Image(np.zeros((3, 20, 30)))
    assert frame_in_view(dims, layer) == (2,)
    assert view_error(dims, layer) == ""
    rolled = Dims(ndim=4, order=(0, 2, 1, 3))
    assert "on the canvas are its axes 0 and 2" in view_error(rolled, layer)


@pytest.mark.parametrize("extent", ["current", "all"])
def test_a_network_is_applied_to_the_frame_on_the_canvas(docked_pair, qtbot, truth, extent):
    first, second = np.random.default_rng(0).poisson(truth, (2, 4, *truth.shape)).astype(np.uint16)
    widget = docked_pair(first, second, FakeNoise2Noise())
    widget.viewer.dims.order = (1, 0, 2)
    widget.form.frames.setCurrentIndex(int(extent == "all"))
    widget.train()
    assert "Roll the dimensions back" in widget.panel.notes.text()
    widget.viewer.dims.order = (0, 1, 2)
    widget.train()
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 3
    widget.viewer.dims.order = (1, 0, 2)
    widget.network.extent.setCurrentIndex(widget.network.extent.findData(extent))
    widget.apply()
    finish(qtbot, widget)
    assert "Roll the dimensions back" in widget.panel.notes.text()
    assert len(widget.viewer.layers) == 3
