"""Parts of the dock widgets, each on its own."""

import numpy as np
import pytest
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lowdose import Noise2Noise, Reucid
from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.widgets.fields import PatchSizeField, ShiftField
from napari_lowdose.widgets.inspect.plots import PlotSection
from napari_lowdose.widgets.noise2noise.training_panel import LossPlot
from napari_lowdose.widgets.reucid.eigenpatches import EigenpatchGallery
from napari_lowdose.widgets.words import use_form_labels


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


def test_the_shift_field_allows_what_the_engine_accepts(qtbot):
    field = ShiftField()
    qtbot.addWidget(field)
    field.value = (8.0, -8.0)
    assert Noise2Noise(shift=field.value).shift == field.value
    with pytest.raises(ValueError, match="shift"):
        Noise2Noise(shift=(field.value[0] + 0.001, 0))


def test_a_long_training_is_drawn_with_fewer_points(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    steps = [
        TrainingStep(fraction=0, message="", epoch=n, n_steps=n, loss=1 / n)
        for n in range(1, 20001)
    ]
    plot.add(steps[:1])
    plot.add(steps[1:])
    plot.resize(300, 150)
    plot.show()
    qtbot.wait(50)
    epochs, losses = plot._loss.getData()
    assert 100 < len(epochs) < 3000
    assert epochs[-1] > 19800 and losses[-1] < losses[0]


def test_what_appears_in_an_open_section_is_not_cut_off(qtbot):
    dock = QWidget()
    qtbot.addWidget(dock)
    column = QVBoxLayout(dock)
    part = PlotSection("plot", "")
    column.addWidget(part)
    column.addStretch()
    dock.resize(220, 600)
    dock.show()
    part.section.expand()
    part.show_caption("Much more than one line of a narrow dock. " * 5)
    caption = part.caption
    qtbot.waitUntil(lambda: caption.height() >= caption.heightForWidth(caption.width()))
    assert caption.geometry().top() >= part.plot.geometry().bottom()
    part.section.collapse()
    assert not part.plot.isVisible()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("take it in any case (fallback=False).", "take it in any case (switch 'fallback' off)."),
        ("(outliers='keep' keeps their values)", "(outliers 'keep' keeps their values)"),
        ("give the two rectangles of the views (layout=...).", "press Draw the views."),
    ],
)
def test_messages_name_what_is_in_the_form(said, shown):
    assert use_form_labels(said) == shown
