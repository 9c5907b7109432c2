"""A region first: what is in view or in a rectangle, at its place and with its record."""

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise
from napari_lowdose.widgets.region import chosen_region

from .conftest import finish


def choose(widget, where):
    widget.form.where.setCurrentIndex(widget.form.where.findData(where))


def test_a_rectangle_lies_at_its_place_and_is_in_the_script(docked, viewer, qtbot):
    y, x = np.mgrid[:96, :128]
    truth = 50 + 40 * np.sin(x / 2) * np.sin(y / 2)
    image = np.random.default_rng(0).poisson(truth).astype(np.uint16)
    widget = docked(image, Reucid(patch_size=7), scale=(0.5, 0.5), translate=(10, 20))
    choose(widget, "rectangle")
    widget.denoise()
    assert "Draw a rectangle first" in widget.panel.notes.text()

    # Corners in world coordinates: pixels (16, 32) to (80, 96), around their centres
    low, high = np.array([16, 32]) - 0.5, np.array([80, 96]) - 0.5
    corners = np.array([low, high]) * 0.5 + [10, 20]
    viewer.add_shapes([corners], shape_type="rectangle")
    widget.denoise()
    finish(qtbot, widget)
    result = widget.current.result
    assert result.data.shape == (64, 64)
    assert result.data == pytest.approx(denoise(image[16:80, 32:96], Reucid(patch_size=7)))
    assert tuple(result.translate) == (18, 36) and "[16:80, 32:96]" in result.name
    assert result.metadata["napari-lowdose"]["input"]["region"] == [16, 80, 32, 96]
    assert "[..., 16:80, 32:96]" in widget.script()


def test_what_is_in_view(viewer):
    layer = viewer.add_image(np.zeros((3, 100, 200)))
    layer.corner_pixels = np.array([[0, 20, 50], [0, 59, 149]])
    assert chosen_region("view", viewer.layers, layer) == (20, 60, 50, 150)
    layer.corner_pixels = np.array([[0, 0, 0], [2, 99, 199]])
    assert chosen_region("view", viewer.layers, layer) is None  # all of it


def test_a_rectangle_beside_the_image_is_refused(viewer):
    layer = viewer.add_image(np.zeros((10, 10)), name="a")
    viewer.add_shapes([np.array([[20, 20], [30, 30]])], shape_type="rectangle")
    with pytest.raises(ValueError, match="Nothing of 'a' is in the rectangle"):
        chosen_region("rectangle", viewer.layers, layer)
