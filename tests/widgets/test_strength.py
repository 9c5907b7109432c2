"""The strength in the form of REUCID, and results of alike stacks in the widget."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise
from napari_lowdose.engine import Step
from napari_lowdose.reucid.alike import AlikeStep
from napari_lowdose.reucid.noise_estimate import NoiseEstimate
from napari_lowdose.widgets.reucid.form import DEFAULT_STACKS, STRENGTHS

from .conftest import FakeEngine, finish
from .test_stack_patch_sizes import script_on


@dataclass(frozen=True)
class FakeAlike(FakeEngine):
    """The steps of `FakeEngine` as those of a pilot and its passes."""

    deviations: str = "keep"

    def frame_steps(self, frame: Any) -> Iterator[Step]:
        level = float(frame.mean())
        levels = np.linspace(level / 2, 2 * level, 5)
        noise = NoiseEstimate(2.0, 1.0, 3.0, levels, 2 * (levels - 1) + 9)
        for step in super().frame_steps(frame):
            if step.image is None:
                yield step
                continue
            groups = {"n_groups": 96, "deviations": 0.03} if step.stack else {}
            yield AlikeStep(**(vars(step) | groups), noise=noise)


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(20, (48, 64)).astype(np.uint16)


def choose(widget, strength):
    widget.form.strength.setCurrentIndex(widget.form.strength.findData(strength))


def run(qtbot, widget):
    widget.denoise()
    finish(qtbot, widget)
    return widget.viewer.layers.selection.active


# --------------------------------------------------------------------- the form


def test_strength_stands_for_stacks_and_deviations(docked, qtbot, image):
    widget = docked(image)
    assert widget.form.parameters() == Reucid(n_stacks=DEFAULT_STACKS)
    choose(widget, "balanced")
    assert widget.form.parameters() == Reucid(stacks="alike")
    choose(widget, "strongest")
    assert widget.form.parameters() == Reucid(stacks="alike", deviations="average")
    choose(widget, "faithful")
    assert widget.form.parameters() == Reucid(n_stacks=DEFAULT_STACKS)
    finish(qtbot, widget)


def test_fields_of_random_stacks_are_hidden_where_they_have_no_effect(docked, qtbot, image):
    widget = docked(image)
    form = widget.form
    form.advanced.expand()
    for strength, shown in (("balanced", False), ("strongest", False), ("faithful", True)):
        choose(widget, strength)
        assert form.n_stacks.isVisibleTo(form) == form.memory_limit.isVisibleTo(form) == shown
        assert form.patch_size.isVisibleTo(form)
    finish(qtbot, widget)


def test_help_names_every_strength_and_the_cost_of_the_strongest(docked, qtbot, image):
    widget = docked(image)
    tooltip = widget.form.strength.toolTip()
    assert all(f"<b>{strength}</b>" in tooltip for strength in STRENGTHS)
    choose(widget, "strongest")
    assert widget.form.strength_hint.text() == "weakens rare sites"
    finish(qtbot, widget)


def test_default_number_of_stacks_comes_back_after_an_alike_result(docked, qtbot, noisy):
    widget = docked(noisy)
    form = widget.form
    form.patch_size.value = 7
    choose(widget, "strongest")
    alike = run(qtbot, widget)
    asked = form.parameters()
    choose(widget, "faithful")
    form.n_stacks.setValue(2)
    faithful = run(qtbot, widget)
    widget.viewer.layers.selection.active = alike
    assert form.strength.currentData() == "strongest" and form.parameters() == asked
    assert widget.noise_plot.isVisibleTo(widget) and "weakened" in widget.panel.notes.text()
    assert not widget.kernel_plot.isVisibleTo(widget)  # the denoiser is no convolution
    widget.viewer.layers.selection.active = faithful
    assert form.parameters() == Reucid(patch_size=7, n_stacks=2)
    assert widget.kernel_plot.isVisibleTo(widget) and not widget.noise_plot.isVisibleTo(widget)
    finish(qtbot, widget)


# ------------------------------------------------------------------- the result


@pytest.mark.parametrize("strength", ["balanced", "strongest"])
def test_result_record_and_script_agree(docked, qtbot, noisy, strength):
    widget = docked(noisy)
    choose(widget, strength)
    result = run(qtbot, widget)
    engine = Reucid(**STRENGTHS[strength])
    np.testing.assert_array_equal(result.data, denoise(noisy, engine))
    record = result.metadata["napari-lowdose"]
    assert record["parameters"]["stacks"] == "alike"
    assert record["parameters"]["deviations"] == engine.deviations
    assert [step["stack"] for step in record["steps"]] == [0, 1, 2]
    assert "n_stacks" not in widget.script()
    made = {}
    exec(script_on(widget.script(), noisy), made)
    np.testing.assert_array_equal(made["clean"], result.data)
    assert ("are weakened" in widget.panel.notes.text()) == (strength == "strongest")


def test_frames_of_a_movie(docked, qtbot, noisy):
    movie = np.stack([noisy, noisy[::-1], noisy[:, ::-1]])
    widget = docked(movie)
    choose(widget, "balanced")
    finish(qtbot, widget)
    assert widget.form.patch_size.automatic is not None
    widget.form.frames.setCurrentIndex(1)
    result = run(qtbot, widget)
    np.testing.assert_array_equal(result.data, denoise(movie, Reucid(stacks="alike")))
    assert set(widget.current.stacks) == {(0,), (1,), (2,)} == set(widget.current.noise)
    made = {}
    exec(script_on(widget.script(), movie), made)
    np.testing.assert_array_equal(made["clean"], result.data)
    widget.viewer.dims.set_current_step(0, 1)
    assert "frame [1]" in widget.gallery.title.text()
    widget.form.frames.setCurrentIndex(0)
    one = run(qtbot, widget)
    np.testing.assert_array_equal(one.data[0], result.data[1])


def test_script_of_a_frame_with_wide_patches(docked, qtbot, noisy):
    widget = docked(np.stack([noisy, noisy[::-1]]))
    choose(widget, "balanced")
    widget.form.patch_size.value = "wide"
    result = run(qtbot, widget)
    made = {}
    exec(script_on(widget.script(), noisy), made)
    np.testing.assert_array_equal(made["clean"], result.data[0])


def test_pilot_and_passes_are_shown_one_after_the_other(docked, qtbot, image, gate):
    widget = docked(image, FakeAlike(at=gate))
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    result = widget.viewer.layers[1]
    np.testing.assert_allclose(result.data, image * np.float32(0.502), rtol=1e-5)
    assert widget.gallery.isVisibleTo(widget) and widget.noise_plot.isVisibleTo(widget)
    gate.open.set()
    finish(qtbot, widget)
    np.testing.assert_allclose(result.data, image / 2)


def test_status_has_groups_deviations_and_noise(docked, qtbot, image):
    widget = docked(image, FakeAlike())
    run(qtbot, widget)
    status = " ".join(widget.panel.status.text().split())
    assert (
        "patch size 3 px, 2 of 4 eigenpatches kept, 96 groups of alike patches of 3 px, "
        "deviations restored in 3 % of the image, gain 2 grey levels per electron, "
        "read noise 3 grey levels" in status
    )


# ----------------------------------------------------------------- eigenpatches


def test_eigenpatches_are_those_of_the_pilot_and_fixed(docked, qtbot, image):
    widget = docked(image, FakeAlike())
    result = run(qtbot, widget)
    assert [step.stack for step in widget.current.stacks[()]] == [0]
    assert not widget.gallery.stack_combo.isVisibleTo(widget.gallery)
    assert "kept in the pilot" in widget.gallery.caption.text()
    assert "click" not in widget.gallery.caption.text()
    clicks = []
    widget.gallery.toggled.connect(lambda *click: clicks.append(click))
    widget.gallery.tiles.itemClicked.emit(widget.gallery.tiles.item(2))
    assert clicks == []
    widget.gallery.toggled.emit(0, 2)  # as if it had been clicked
    finish(qtbot, widget)
    np.testing.assert_allclose(result.data, image / 2)
    assert "cannot be changed" in widget.panel.notes.text()
    assert "kept_by_hand" not in result.metadata["napari-lowdose"]


def test_eigenpatches_of_random_stacks_are_clickable_again(docked, qtbot, image):
    widget = docked(image, FakeAlike())
    run(qtbot, widget)
    widget.form.parameters = lambda: FakeEngine(n_stacks=1)
    result = run(qtbot, widget)
    assert "click to toggle" in widget.gallery.caption.text()
    widget.gallery.tiles.itemClicked.emit(widget.gallery.tiles.item(2))
    finish(qtbot, widget)
    assert (result.data == 3).all()


# -------------------------------------------------------------------- the noise


def test_noise_plot_shows_the_points_and_the_fitted_line(docked, qtbot, image):
    widget = docked(image, FakeAlike())
    assert not widget.noise_plot.isVisibleTo(widget)
    run(qtbot, widget)
    plot = widget.noise_plot
    assert plot.isVisibleTo(widget) and not plot.section.isExpanded()
    plot.section.expand(animate=False)
    assert plot.caption.text() == (
        "gain 2 grey levels per electron,\noffset 1, read noise 3 grey levels"
    )
    noise = widget.current.noise[()]
    levels, variances = plot.points.getData()
    np.testing.assert_allclose(levels, noise.levels)
    np.testing.assert_allclose(variances, noise.variances)
    at, line = plot.line.getData()
    np.testing.assert_allclose(line, 2 * (at - 1) + 9)
    assert at.min() == levels.min() and at.max() == levels.max()


def test_noise_plot_follows_the_frame_in_view(docked, qtbot, image):
    widget = docked(np.stack([image, 3 * image]), FakeAlike())
    widget.form.frames.setCurrentIndex(1)
    run(qtbot, widget)
    widget.noise_plot.section.expand(animate=False)
    highest = []
    for frame in (0, 1):
        widget.viewer.dims.set_current_step(0, frame)
        highest.append(widget.noise_plot.points.getData()[0].max())
    assert highest[1] == pytest.approx(3 * highest[0])


def test_frames_together_is_shown_where_it_has_an_effect(docked, qtbot, image):
    widget = docked(np.stack([image, image]))
    form = widget.form
    form.advanced.expand()
    choose(widget, "balanced")
    assert not form.frames_together.isVisibleTo(form)
    form.frames.setCurrentIndex(form.frames.findData(True))
    assert form.frames_together.isVisibleTo(form)
    form.frames_together.setValue(2)
    assert form.parameters().frames_together == 2
    choose(widget, "faithful")
    assert not form.frames_together.isVisibleTo(form)
    assert form.parameters().frames_together == 1
    choose(widget, "balanced")
    for labels in (("channel", "y", "x"), ("time", "y", "x")):
        layer = widget.viewer.add_image(np.stack([image, image]), axis_labels=labels)
        form.layer_combo.value = layer
        assert form.frames_together.isVisibleTo(form) == (labels[0] == "time")
    widget.viewer.layers.selection.active = widget.viewer.add_image(image)
    assert form.parameters().frames_together == 1
    finish(qtbot, widget)


def test_frames_together_with_an_automatic_patch_size(docked, qtbot, noisy):
    rng = np.random.default_rng(1)
    movie = np.stack([noisy, rng.permuted(noisy, axis=1), noisy[::-1]])
    widget = docked(movie)
    choose(widget, "balanced")
    widget.form.frames.setCurrentIndex(1)
    widget.form.frames_together.setValue(3)
    result = run(qtbot, widget)
    engine = Reucid(stacks="alike", frames_together=3)
    np.testing.assert_array_equal(result.data, denoise(movie, engine))
    assert result.metadata["napari-lowdose"]["parameters"]["frames_together"] == 3
    made = {}
    exec(script_on(widget.script(), movie), made)
    np.testing.assert_array_equal(made["clean"], result.data)
