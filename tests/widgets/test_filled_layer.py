"""Pixels that are NaN are filled in where an engine refuses them."""

import numpy as np
import pytest

from napari_lowdose.widgets.filled_layer import FILLED_KEY, filled_in
from napari_lowdose.widgets.layers import remember_shift
from napari_lowdose.widgets.teach_widget import TeachWidget

from .conftest import finish
from .fake_pair_engine import FakeModel, FakeNoise2Noise
from .test_inspect_widget import BLURRED, RAW, docked, wait
from .test_noise2noise_widget import noisy_scene


def with_holes(image, *holes):
    image = image.astype(np.float32)
    for hole in holes:
        image[hole] = np.nan
    return image


def fill(qtbot, widget, button):
    assert button.isVisibleTo(widget) and button.text() == "Fill them in"
    button.click()
    finish(qtbot, widget)
    assert not button.isVisibleTo(widget)


def test_both_layers_of_a_pair_are_filled_in_and_keep_their_shift(docked_pair, qtbot):
    first = with_holes(noisy_scene(1), (3, 4))
    second = with_holes(noisy_scene(2), (9, 9), (0, 0))
    widget = docked_pair(first, second, FakeNoise2Noise(), scale=(2, 3))
    remember_shift(*widget.viewer.layers, (0.25, -0.5))
    widget.pair.choose(*widget.viewer.layers)
    finish(qtbot, widget)
    assert not widget.panel.start_button.isEnabled()
    fill(qtbot, widget, widget.card.fill_button)
    one, other = widget.pair.layers
    assert (one.name, other.name) == (
        "scan, first, 1 pixel filled in", "scan, second, 2 pixels filled in",
    )  # fmt: skip
    assert np.isfinite(one.data).all() and np.isfinite(other.data).all()
    assert widget.form.shift.value == (0.25, -0.5)
    np.testing.assert_array_equal(other.scale, (2, 3))
    assert widget.panel.start_button.isEnabled()


def test_only_the_exposure_with_nan_is_replaced(docked_pair, qtbot):
    widget = docked_pair(with_holes(noisy_scene(1), (3, 4)), noisy_scene(2))
    fill(qtbot, widget, widget.card.fill_button)
    assert len(widget.viewer.layers) == 3
    assert widget.pair.layers == (widget.viewer.layers[2], widget.viewer.layers[1])


@pytest.mark.parametrize("source", ["movie", "counted"])
def test_a_movie_and_a_counted_image_stay_what_they_are(docked_pair, qtbot, source):
    image = noisy_scene(1, (4, 64, 80) if source == "movie" else (64, 80))
    widget = docked_pair(with_holes(image, (..., 2, 7)), None)
    widget.choice.buttons[source].click()
    finish(qtbot, widget)
    assert "NaN" in widget.card.findings.text()
    fill(qtbot, widget, widget.card.fill_button)
    assert widget.choice.value == source
    assert FILLED_KEY in widget.form.only.metadata
    assert not widget.pair.refusal


def test_nothing_to_interpolate_from_is_not_offered(docked_pair, qtbot):
    widget = docked_pair(np.full((64, 80), np.nan, np.float32), noisy_scene(2))
    assert widget.card.refusal and not widget.card.fill_button.isVisibleTo(widget)


def test_the_layer_that_a_network_is_applied_to(docked_pair, qtbot):
    widget = docked_pair(noisy_scene(1), noisy_scene(2), FakeNoise2Noise())
    widget.train()
    finish(qtbot, widget)
    other = widget.viewer.add_image(with_holes(noisy_scene(3), (5, 5)), name="other")

    class Refuses(FakeModel):
        def frame_steps(self, *exposures, **around):
            if not np.isfinite(exposures[0]).all():
                raise ValueError("1 of 5120 pixels are NaN or infinite: fill them in first.")
            yield from super().frame_steps(*exposures, **around)

    model = widget.model
    object.__setattr__(widget.network.network, "model", Refuses(**vars(model)))
    widget.apply_to(other)
    finish(qtbot, widget)
    fill(qtbot, widget, widget.panel.remedy_button)
    assert widget.network.target_layer.name == "other, 1 pixel filled in"
    widget.apply()
    finish(qtbot, widget)
    assert widget.panel.status.text().startswith("Done")


def test_inspect_chooses_the_filled_layers_in_their_roles(viewer, qtbot):
    viewer.add_image(with_holes(RAW, (4, 4)), name="scan")
    viewer.add_image(with_holes(BLURRED, (5, 4)), name="clean")
    viewer.add_image(RAW, name="again")
    widget = docked(viewer, qtbot)
    for role, layer in zip(("raw", "result", "second"), viewer.layers, strict=True):
        getattr(widget.form, role).value = layer
    widget.inspect()
    wait(widget, qtbot)
    assert widget.found is None
    widget.panel.remedy_button.click()
    wait(widget, qtbot)
    chosen = [layer.name for layer in widget.form.chosen().values() if layer is not None]
    assert chosen == ["scan, 1 pixel filled in", "clean, 1 pixel filled in", "again"]
    widget.inspect()
    wait(widget, qtbot)
    assert widget.found is not None


def test_holes_of_any_shape_are_filled_in():
    y, x = np.mgrid[:32, :40]
    plane = 3.25 * y - 2.5 * x
    for hole in (np.s_[5:9, 7:20], np.s_[:, 10:12], np.s_[0, 0], np.s_[20, :]):
        image = with_holes(plane, hole)
        filled = filled_in(image)
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[np.isfinite(image)], image[np.isfinite(image)])
    inside = with_holes(plane, np.s_[5:9, 7:20])
    np.testing.assert_allclose(filled_in(inside), plane, atol=1e-4)


def test_teach_asks_about_the_filled_image(viewer, qtbot):
    viewer.add_image(with_holes(noisy_scene(1), (4, 4)), name="scan")
    widget = TeachWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Teach REUCID")
    widget.ask()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=30000)
    widget.panel.remedy_button.click()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=30000)
    assert widget.layer.name == "scan, 1 pixel filled in"
    widget.ask()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=30000)
    assert widget.question is not None
