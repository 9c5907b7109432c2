"""The parts of the REUCID widget, each by itself."""

import numpy as np
import pytest
from qtpy.QtGui import QImage, QPainter

from napari_lowdose import Reucid
from napari_lowdose.widgets.fields import PatchSizeField
from napari_lowdose.widgets.reucid.eigenpatches import EigenpatchGallery


@pytest.fixture
def field(qtbot):
    field = PatchSizeField()
    qtbot.addWidget(field)
    field.set_estimate(13)
    return field


@pytest.mark.parametrize(("mode", "shown"), [("auto", 13), ("psf", 13), ("wide", 39)])
def test_the_width_follows_the_mode(field, mode, shown):
    field.value = mode
    assert field.pixels.text() == f"≈ {shown} px"
    assert field.pixels.toolTip() == "PSF width ≈ 13 px; wide uses 39 px"
    assert field.value == mode
    field.set_estimate(None)
    assert field.pixels.text() == "…"
    assert field.pixels.toolTip() == ""


@pytest.mark.parametrize("width", [1, 2])
def test_too_small_a_width_is_reported_not_replaced(field, width):
    field.pixels.setValue(width)
    assert field.value == width
    field.set_estimate(15)
    assert field.value == width
    with pytest.raises(ValueError, match="odd"):
        Reucid(patch_size=field.value)


@pytest.mark.parametrize("largest", ["7.5", "1234", "98765432"])
def test_both_ends_of_the_scree_plot_are_labelled(qtbot, largest):
    gallery = EigenpatchGallery()
    qtbot.addWidget(gallery)
    gallery.resize(300, 400)
    gallery.show()
    values = float(largest) / np.arange(1, 26)
    gallery.scree.show_values(values, np.arange(25) < 3, noise_floor=0.0)
    qtbot.wait(50)
    axis = gallery.scree.getAxis("left")
    picture = QImage(10, 10, QImage.Format.Format_ARGB32)
    painter = QPainter(picture)
    _, _, labels = axis.generateDrawSpecs(painter)
    painter.end()
    texts = {text: rect for rect, _, text in labels}
    assert largest in texts and len(texts) == 2
    assert all(rect.left() >= 0 for rect in texts.values())
    assert gallery.scree.getAxis("bottom").labelText == "eigenpatch"
