"""The dock widget of pairs in a real viewer, with a training that takes no time."""

import json

import numpy as np
import pytest
from napari.qt.threading import WorkerBase
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

from napari_lowdose.widgets import samples
from napari_lowdose.widgets.layers import remember_shift
from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget

from .conftest import finish, idle
from .fake_pair_engine import FakeNoise2Noise


def noisy_scene(seed, shape=(64, 80), moved=(0, 0)):
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    y, x = y - moved[0], x - moved[1]
    scene = 20 + 12 * np.sin(x / 5 + np.sin(y / 11)) * np.cos(y / 4 + x / 17)
    return np.random.default_rng(seed).poisson(np.broadcast_to(scene, shape)).astype(np.uint16)


@pytest.fixture
def pair():
    return noisy_scene(1), noisy_scene(2)


@pytest.fixture
def movies():
    return noisy_scene(1, (3, 64, 80)), noisy_scene(2, (3, 64, 80))


def click(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


# --------------------------------------------------------------- which two layers


def test_the_two_exposures_of_a_sample_are_chosen(viewer, qtbot):
    widget = Noise2NoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert not widget.panel.start_button.isEnabled()
    assert "Open the two exposures" in widget.card.findings.text()
    for data, options, _ in samples.nuclei_pair():
        viewer.add_image(data, **options)
    assert (widget.form.first.name, widget.form.second.name) == ("Nuclei, first", "Nuclei, second")
    finish(qtbot, widget)
    assert "No problems found" in widget.card.findings.text()
    assert widget.panel.start_button.isEnabled()


def test_two_selected_layers_are_the_pair_and_results_never_are(docked_pair, qtbot, pair):
    widget = docked_pair(*pair, FakeNoise2Noise())
    viewer = widget.viewer
    third = viewer.add_image(noisy_scene(3), name="third")
    viewer.layers.selection = {viewer.layers[0], third}
    assert (widget.form.first, widget.form.second) == (viewer.layers[0], third)
    widget.train()
    finish(qtbot, widget)
    result = viewer.layers[-1]
    viewer.layers.selection = {viewer.layers[0], result}
    assert (widget.form.first, widget.form.second) == (viewer.layers[0], third)


def test_one_image_is_no_pair(docked_pair, qtbot, pair):
    widget = docked_pair(pair[0], None)
    widget.choice.buttons["pair"].click()
    finish(qtbot, widget)
    assert "Open the second exposure" in widget.card.findings.text()
    assert widget.card.reucid_button.isVisibleTo(widget)
    assert not widget.panel.start_button.isEnabled()
    second = widget.viewer.add_image(pair[1], name="second")
    finish(qtbot, widget)
    assert widget.form.second is second and widget.panel.start_button.isEnabled()


def test_a_refused_pair_is_reported_and_cannot_be_trained(docked_pair, pair):
    widget = docked_pair(pair[0], pair[0].copy(), FakeNoise2Noise())
    assert widget.card.refusal
    assert not widget.panel.start_button.isEnabled()
    widget.train()
    assert widget.panel.status.text() == "Not started."
    assert len(widget.viewer.layers) == 2


def test_a_warning_is_shown_and_blocks_nothing(docked_pair, qtbot, pair):
    widget = docked_pair(pair[0], noisy_scene(2, moved=(2, 3)), FakeNoise2Noise())
    assert "⚠" in widget.card.findings.text()
    assert widget.card.register_button.isVisibleTo(widget)
    widget.train()
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 3


def test_the_pair_is_checked_again_when_its_pixels_change(docked_pair, qtbot, pair):
    widget = docked_pair(*pair)
    widget.viewer.layers[1].data = pair[0]
    finish(qtbot, widget)
    assert widget.card.refusal


def test_different_shapes_are_reported_before_a_run(docked_pair, pair):
    widget = docked_pair(pair[0], pair[1][:40])
    assert "64" in widget.card.findings.text() and "40" in widget.card.findings.text()
    assert not widget.panel.start_button.isEnabled()


def test_a_known_shift_is_filled_in(docked_pair, qtbot, pair):
    widget = docked_pair(*pair)
    first, second = widget.viewer.layers
    remember_shift(first, second, (0.25, -0.4))
    widget.choose_pair(second, first)
    assert widget.form.parameters().shift == (-0.25, 0.4)
    widget.choose_pair(first, second)
    assert widget.form.parameters().shift == (0.25, -0.4)
    finish(qtbot, widget)


# -------------------------------------------------------------------- a training


def test_the_preview_becomes_the_result_in_the_place_of_the_first(docked_pair, qtbot, pair, gate):
    place = {
        "scale": (0.2, 0.3), "translate": (5, 7), "rotate": 20, "units": ("nm", "nm"),
        "axis_labels": ("y", "x"), "colormap": "viridis",
    }  # fmt: skip
    gate.closed_at = 2
    widget = docked_pair(*pair, FakeNoise2Noise(at=gate), **place)
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 3)
    first, _, result = widget.viewer.layers
    assert result.name == "scan Noise2Noise (partial)"
    np.testing.assert_allclose(result.data, pair[0] * 0.91, rtol=1e-5)
    assert "CPU (none at all)" in widget.panel.status.text()
    assert "9.0 to 13.0 dB better than one exposure" in widget.panel.gain.text()
    gate.open.set()
    finish(qtbot, widget)
    assert result.name == "scan Noise2Noise"
    np.testing.assert_allclose(result.data, (pair[0] / 2 + pair[1] / 2), rtol=1e-5)
    for corner in ([0, 0], [63, 0], [11, 79]):
        np.testing.assert_allclose(result.data_to_world(corner), first.data_to_world(corner))
    assert result.units == first.units and result.axis_labels == ("y", "x")
    assert result.colormap.name == "viridis"
    record = result.metadata["napari-lowdose"]
    assert record["engine"] == "FakeNoise2Noise" and record["finished"] is True
    assert record["input"]["layer"] == ["scan, first", "scan, second"]
    assert record["training"]["epochs"] == 4
    json.dumps(record)
    assert widget.panel.status.text().startswith("Done")


def test_the_loss_is_drawn(docked_pair, qtbot, pair):
    widget = docked_pair(*pair, FakeNoise2Noise())
    widget.train()
    finish(qtbot, widget)
    epochs, losses = widget.plot._loss.getData()
    np.testing.assert_allclose(losses, 1 / epochs)
    _, held_out = widget.plot._validation.getData()
    np.testing.assert_allclose(held_out, 1.1 / epochs)


def test_disagreement_and_residual_are_added_hidden_if_asked(docked_pair, qtbot, pair):
    widget = docked_pair(*pair, FakeNoise2Noise())
    widget.form.with_disagreement.setChecked(True)
    widget.form.with_residual.setChecked(True)
    widget.train()
    finish(qtbot, widget)
    layers = {layer.name: layer for layer in widget.viewer.layers}
    result = layers["scan Noise2Noise"]
    one, two = (np.float32(each) for each in pair)
    np.testing.assert_allclose(layers["scan Noise2Noise disagreement"].data, abs(one - two) / 2)
    np.testing.assert_allclose(layers["scan Noise2Noise residual"].data, one - result.data)
    hidden = [name for name, layer in layers.items() if not layer.visible]
    assert hidden == ["scan Noise2Noise residual", "scan Noise2Noise disagreement"]
    assert widget.viewer.layers.selection.active is result


def test_stop_keeps_the_best_and_denoises_with_it(docked_pair, qtbot, pair, gate):
    gate.closed_at = 3
    widget = docked_pair(*pair, FakeNoise2Noise(at=gate, n_epochs=10**6))
    widget.train()
    qtbot.waitUntil(lambda: widget.model is not None and widget.model.record["epochs"] == 2)
    click(qtbot, widget.panel.stop_button)
    gate.open.set()
    finish(qtbot, widget)
    result = widget.viewer.layers[-1]
    assert result.name == "scan Noise2Noise"
    np.testing.assert_allclose(result.data, (pair[0] / 2 + pair[1] / 2), rtol=1e-5)
    assert widget.model.record["epochs"] == 3
    assert "epochs=3" in widget.script()


def test_stop_twice_keeps_the_preview(docked_pair, qtbot, pair, gate):
    gate.closed_at = 0
    widget = docked_pair(*pair, FakeNoise2Noise(at_frame=gate, n_epochs=10**6))
    widget.train()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 3)
    click(qtbot, widget.panel.stop_button)
    qtbot.wait(300)
    click(qtbot, widget.panel.stop_button)
    gate.open.set()
    finish(qtbot, widget)
    assert widget.viewer.layers[-1].name.endswith("(partial)")
    assert "partial" in widget.panel.status.text()
    assert widget.panel.continue_button.isEnabled()


def test_stop_before_there_is_a_network(docked_pair, qtbot, pair, gate):
    widget = docked_pair(*pair, FakeNoise2Noise(at=gate))
    widget.train()
    qtbot.wait(200)
    click(qtbot, widget.panel.stop_button)
    gate.open.set()
    finish(qtbot, widget)
    assert "Stopped" in widget.panel.status.text()
    assert widget.panel.start_button.isEnabled()


def test_continue_goes_on_and_the_script_is_one_training(docked_pair, qtbot, pair):
    widget = docked_pair(*pair, FakeNoise2Noise())
    assert not widget.panel.continue_button.isEnabled()
    assert widget.panel.start_button.text() == "Train"
    for _ in range(3):
        widget.continue_training() if widget.model else widget.train()
        finish(qtbot, widget)
    assert widget.panel.start_button.text() == "Train anew"
    assert widget.model.record["epochs"] == 12
    epochs, _ = widget.plot._loss.getData()
    np.testing.assert_array_equal(epochs, np.arange(1, 13))
    assert len(widget.viewer.layers) == 5  # every run a layer of its own
    assert "epochs=12" in widget.script() and "start" not in widget.script()
    widget.train()
    finish(qtbot, widget)
    assert widget.model.record["epochs"] == 4


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_out_of_memory_ends_in_a_sentence_and_keeps_the_network(docked_pair, qtbot, pair, error):
    def fail(epoch):
        if epoch == 3:
            raise error

    widget = docked_pair(*pair, FakeNoise2Noise(at=fail))
    widget.train()
    finish(qtbot, widget)
    assert "not enough memory" in widget.panel.notes.text()
    assert widget.panel.status.text() == "Failed."
    assert widget.viewer.layers[-1].name.endswith("(partial)")
    assert widget.panel.start_button.isEnabled() and widget.panel.continue_button.isEnabled()
    assert widget.model.record["epochs"] == 2


# -------------------------------------------------------------------- always safe


def test_deleting_the_exposures_during_training_does_not_lose_the_result(
    docked_pair, qtbot, pair, gate
):
    gate.closed_at = 2
    widget = docked_pair(*pair, FakeNoise2Noise(at=gate))
    widget.train()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 3)
    del widget.viewer.layers[0], widget.viewer.layers[0]
    gate.open.set()
    finish(qtbot, widget)
    (result,) = widget.viewer.layers
    np.testing.assert_allclose(result.data, (pair[0] / 2 + pair[1] / 2), rtol=1e-5)


def test_deleting_the_result_stops_the_training_and_keeps_the_network(
    docked_pair, qtbot, pair, gate
):
    gate.closed_at = 2
    widget = docked_pair(*pair, FakeNoise2Noise(at=gate, n_epochs=10**6))
    widget.train()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 3)
    del widget.viewer.layers[2]
    gate.open.set()
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 2
    assert "removed" in widget.panel.status.text()
    assert widget.model is not None


@pytest.mark.parametrize("how", ["viewer", "dock"])
def test_closing_stops_the_training(docked_pair, make_napari_viewer, qtbot, pair, how):
    reached = []
    engine = FakeNoise2Noise(n_epochs=10**6, pause=0.01, at=reached.append)
    viewer = make_napari_viewer()
    widget = docked_pair(*pair, engine, viewer)
    widget.train()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    if how == "viewer":
        viewer.close()
    else:
        viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    after = len(reached)
    qtbot.wait(200)
    assert len(reached) == after
    if how == "dock":
        assert viewer.layers[2].name.endswith(" (partial)")
        viewer.layers.selection = set(viewer.layers)  # nothing of the widget is called any more
        viewer.layers.clear()


def test_two_trainings_at_once_are_refused(docked_pair, qtbot, pair, gate):
    widget = docked_pair(*pair, FakeNoise2Noise(at=gate))
    widget.train()
    widget.train()
    assert "press Stop first" in widget.panel.notes.text()
    gate.open.set()
    finish(qtbot, widget)
    assert len(widget.viewer.layers) == 3


# --------------------------------------------------------------- stacks of frames


def test_all_pairs_of_two_movies(docked_pair, qtbot, movies):
    widget = docked_pair(*movies, FakeNoise2Noise(), scale=(10, 2, 2))
    assert widget.form.every.isVisibleTo(widget)
    widget.train()
    finish(qtbot, widget)
    result = widget.viewer.layers[-1]
    np.testing.assert_allclose(result.data, (movies[0] / 2 + movies[1] / 2), rtol=1e-5)
    np.testing.assert_allclose(result.scale, (10, 2, 2))


def test_context_is_offered_where_it_has_an_effect(docked_pair, movies, pair):
    form = docked_pair(*movies).form
    form.advanced.expand()
    form.context.setValue(1)
    assert form.context.isVisibleTo(form)
    assert form.parameters().context == 1
    form.frames.setCurrentIndex(0)  # a single frame has no neighbours
    assert not form.context.isVisibleTo(form)
    assert form.parameters().context == 0


def test_context_is_not_offered_for_neighbouring_frames_or_single_pairs(docked_pair, movies, pair):
    for layers in ((movies[0], None), pair):
        widget = docked_pair(*layers)
        widget.form.second_combo.value = widget.form.second or widget.form.first
        widget.form.advanced.expand()
        widget.form.context.setValue(1)
        assert not widget.form.context.isVisibleTo(widget.form)
        assert widget.form.parameters().context == 0


def test_the_frame_in_view_is_previewed_and_denoised(docked_pair, qtbot, movies, gate):
    gate.closed_at = 2
    widget = docked_pair(*movies, FakeNoise2Noise(at=gate), scale=(10, 2, 2))
    widget.viewer.dims.set_current_step(0, 2)
    widget.form.frames.setCurrentIndex(0)
    widget.train()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 3)
    result = widget.viewer.layers[-1]
    np.testing.assert_allclose(result.data[0], movies[0][2] * 0.91, rtol=1e-5)
    gate.open.set()
    finish(qtbot, widget)
    np.testing.assert_allclose(result.data[0], (movies[0][2] / 2 + movies[1][2] / 2), rtol=1e-5)
    np.testing.assert_allclose(result.scale, (10, 2, 2))
    np.testing.assert_allclose(result.data_to_world((0, 0, 0)), (20, 0, 0))
    assert "denoise((first[2], second[2]), model)" in widget.script()


# -------------------------------------------------------------------- the network


@pytest.fixture
def trained(docked_pair, qtbot, pair):
    widget = docked_pair(*pair, FakeNoise2Noise())
    widget.train()
    finish(qtbot, widget)
    return widget


@pytest.mark.parametrize("extent", ["current", "all", "lazy"])
@pytest.mark.parametrize("lazy", [False, True])
def test_the_network_is_applied_to_a_movie(trained, qtbot, movies, extent, lazy):
    import dask.array as da

    movie = da.from_array(movies[0], chunks=(1, 64, 80)) if lazy else movies[0]
    layer = trained.viewer.add_image(movie, name="movie", scale=(3, 1, 1))
    trained.network.target.value = layer
    assert trained.network.extent.isVisibleTo(trained)
    trained.network.extent.setCurrentIndex(trained.network.extent.findData(extent))
    trained.viewer.dims.set_current_step(0, 1)
    click(qtbot, trained.network.apply_button)
    finish(qtbot, trained)
    result = trained.viewer.layers[-1]
    assert "movie" in result.name and "denoised" in result.name
    expected = movies[0][1:2] / 2 if extent == "current" else movies[0] / 2
    np.testing.assert_allclose(np.asarray(result.data), expected)
    assert isinstance(result.data, np.ndarray) == (extent != "lazy")
    json.dumps(result.metadata["napari-lowdose"])
    assert "Noise2NoiseModel.load" in trained.script()


def test_writing_a_movie_to_a_folder_is_stopped_and_resumed(
    trained, qtbot, tmp_path, gate, monkeypatch
):
    seen = []

    def at(n):
        seen.append(n)
        gate(len(seen))

    gate.closed_at = 3
    object.__setattr__(trained.model, "at", at)
    movie = trained.viewer.add_image(noisy_scene(5, (6, 64, 80)), name="movie", scale=(3, 2, 2))
    path = tmp_path / "clean.zarr"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    trained.network.target.value = movie
    trained.network.extent.setCurrentIndex(trained.network.extent.findData("zarr"))
    trained.apply()
    qtbot.waitUntil(lambda: len(seen) == 3, timeout=20000)
    click(qtbot, trained.panel.stop_button)
    gate.open.set()
    finish(qtbot, trained)
    partial = trained.viewer.layers[-1]
    assert partial.name.endswith("denoised (partial)")
    np.testing.assert_allclose(partial.data[0], movie.data[0] / 2)
    trained.apply()
    finish(qtbot, trained)
    assert len(seen) == 7  # of the finished ones none; the one under way is begun again
    result = trained.viewer.layers[-1]
    assert result is not partial and not result.name.endswith("(partial)")
    np.testing.assert_allclose(np.asarray(result.data), movie.data / 2)
    np.testing.assert_allclose(result.scale, (3, 2, 2))


def test_applying_can_be_stopped(docked_pair, qtbot, pair, gate):
    widget = docked_pair(*pair, FakeNoise2Noise())
    widget.train()
    finish(qtbot, widget)
    seen = []

    def slow(n):
        seen.append(n)
        gate(len(seen))

    gate.closed_at = 2
    object.__setattr__(widget.model, "at", slow)
    movie = widget.viewer.add_image(noisy_scene(5, (6, 64, 80)), name="movie")
    widget.network.target.value = movie
    widget.network.extent.setCurrentIndex(widget.network.extent.findData("all"))
    widget.apply()
    qtbot.waitUntil(lambda: len(seen) == 2)
    click(qtbot, widget.panel.stop_button)
    gate.open.set()
    finish(qtbot, widget)
    result = widget.viewer.layers[-1]
    assert result.name == "movie denoised (partial)"
    np.testing.assert_allclose(result.data[0], movie.data[0] / 2)
    assert len(seen) < 6


def test_a_file_that_is_not_a_network_is_reported(trained, tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing of the kind")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    before = trained.model
    trained.network.load()
    assert "x.safetensors" in trained.panel.notes.text()
    assert trained.model is before


# --------------------------------------------------------------------- the looks


@pytest.mark.parametrize("height", [400, 800, 1200])
def test_nothing_is_cut_off(trained, qtbot, height):
    widget = trained
    widget.form.advanced.expand()
    widget.viewer.window.remove_dock_widget(widget)
    qtbot.addWidget(widget)
    widget.setFixedSize(320, height)
    widget.show()
    qtbot.waitUntil(lambda: widget.panel.status.isVisible())
    qtbot.wait(50)
    content = widget.widget()
    assert content.width() <= widget.viewport().width()
    texts = [each for each in content.findChildren(QLabel) if each.isVisibleTo(content)]
    panel, network = widget.panel, widget.network
    buttons = [panel.start_button, panel.continue_button, panel.stop_button, network.save_button]
    for each in [*texts, *buttons, network.apply_button, widget.copy_button, widget.plot]:
        assert each.width() >= each.minimumSizeHint().width(), each
        wrapped = each.heightForWidth(each.width())
        assert each.height() >= (wrapped if wrapped > 0 else each.minimumSizeHint().height()), each
        corner = each.mapTo(content, each.rect().bottomRight())
        assert content.rect().contains(corner), each


def test_the_form_sets_the_parameters_of_the_engine(docked_pair, qtbot, pair):
    from napari_lowdose import Noise2Noise

    widget = docked_pair(*pair)
    form = widget.form
    assert form.parameters() == Noise2Noise()
    form.preset.setCurrentIndex(form.preset.findData("paper"))
    form.stop.choose("epochs", 7)
    form.use.setCurrentIndex(form.use.findData("first"))
    form.normalise.setChecked(True)
    form.crop_size.setValue(64)
    form.learning_rate.setValue(0.003)
    form.device.setEditText("cpu")
    form.seed.setValue(5)
    assert form.parameters() == Noise2Noise(
        preset="paper", epochs=7, use="first", normalise=True, crop_size=64, learning_rate=0.003,
        device="cpu", seed=5,
    )  # fmt: skip
    form.stop.choose("time", 45)
    assert (form.parameters().epochs, form.parameters().time_budget) == (None, 45)
    form.device.setEditText("abacus")
    finish(qtbot, widget)


def test_the_script_before_a_run(docked_pair, pair):
    widget = docked_pair(*pair)
    widget.copy_button.click()
    script = QApplication.clipboard().text()
    assert "save it as" in script and "Noise2Noise().train(first, second)" in script
    assert idle(widget)
