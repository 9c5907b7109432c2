"""The kernel and the transfer function below the eigenpatches."""

import numpy as np
import pytest

from .conftest import FakeEngine, finish


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (48, 64)).astype(np.uint16)


def denoised(docked, qtbot, image, **place):
    widget = docked(image, FakeEngine(n_stacks=1), **place)
    widget.denoise()
    finish(qtbot, widget)
    return widget


def test_hidden_without_a_result_and_collapsed_at_first(docked, qtbot, image):
    widget = docked(image, FakeEngine())
    assert not widget.kernel_plot.isVisibleTo(widget)
    widget.denoise()
    finish(qtbot, widget)
    assert widget.kernel_plot.isVisibleTo(widget)
    assert not widget.kernel_plot.section.isExpanded()


def test_frequency_is_in_the_unit_of_the_layer(docked, qtbot, image):
    widget = denoised(docked, qtbot, image, scale=(0.2, 0.2), units=("nm", "nm"))
    widget.kernel_plot.section.expand(animate=False)
    axis = widget.kernel_plot.plot.getAxis("bottom")
    assert axis.labelText == "spatial frequency (1/nm)"
    frequency, gain = widget.kernel_plot.gain.getData()
    assert frequency[-1] == pytest.approx(2.5)
    # FakeEngine keeps two eigenpatches of a single pixel each: the gain is 2 / 9 everywhere
    np.testing.assert_allclose(gain, 2 / 9, rtol=1e-5)
    assert not widget.kernel_plot.picture.pixmap().isNull()


def test_cycles_per_pixel_without_a_scale(docked, qtbot, image):
    widget = denoised(docked, qtbot, image)
    widget.kernel_plot.section.expand(animate=False)
    axis = widget.kernel_plot.plot.getAxis("bottom")
    assert axis.labelText == "spatial frequency (cycles per pixel)"
    assert widget.kernel_plot.gain.getData()[0][-1] == 0.5


def test_curve_follows_a_click_on_an_eigenpatch(docked, qtbot, image):
    widget = denoised(docked, qtbot, image)
    widget.kernel_plot.section.expand(animate=False)
    widget.gallery.toggled.emit(0, 2)
    np.testing.assert_allclose(widget.kernel_plot.gain.getData()[1], 3 / 9, rtol=1e-5)
