"""The widget 'Live': a source that the test drives, and an engine that halves its frames."""

import sys
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_lowdose import samples, split_frame
from napari_lowdose.engine import Engine, Step
from napari_lowdose.live import RunningMean, SplitViews
from napari_lowdose.metrics import psnr
from napari_lowdose.noise2noise.config import PRESETS
from napari_lowdose.reucid import Reucid
from napari_lowdose.widgets.live.form import CAMERA, FOLDER, SAMPLE
from napari_lowdose.widgets.live_widget import LiveWidget
from napari_lowdose.widgets.menus import denoise_live
from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget
from napari_lowdose.widgets.result_layer import is_result

from .fake_pair_engine import FakeModel


@dataclass(frozen=True)
class Half(Engine):
    """Halves a frame; refuses one that begins with 13."""

    title = "Half"

    def frame_steps(self, frame):
        if frame[0, 0] == 13:
            raise ValueError("the frame is unlucky.")
        yield Step(fraction=1.0, message="halved", image=np.float32(frame) / 2)


class Driven:
    """A source whose frames the test puts."""

    pixel_size, unit = (0.5, 0.25), "nm"

    def __init__(self):
        self.feed = None
        self.stopped = False

    def start(self, feed):
        self.feed = feed

    def stop(self):
        self.stopped = True


def noise(seed, shape=(40, 50), mean=9):
    return np.random.default_rng(seed).poisson(mean, shape).astype(np.uint16)


def running_threads():
    return {each.name for each in threading.enumerate() if each.name.startswith("live")}


@pytest.fixture
def live(viewer, qtbot):
    """Return the widget with the engine `Half`."""
    widget = LiveWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Denoise live")
    widget.form.engine = Half
    yield widget
    widget.stop()
    qtbot.waitUntil(lambda: not widget.running, timeout=20000)


@pytest.fixture
def source(live):
    """Return a source that the widget uses whatever is chosen; the choice gives its name."""
    live.form.choose(SAMPLE)
    source = Driven()
    live.form.source = lambda parent: source
    return source


@pytest.fixture
def started(live, source, qtbot):
    """Return a function that puts a frame and waits until it is shown; the run is started."""
    live.start()
    qtbot.waitUntil(lambda: source.feed is not None)

    def put(pixels):
        source.feed.put(pixels)
        number = source.feed.n_in - 1
        qtbot.waitUntil(lambda: shown(live) == number, timeout=5000)

    return put


def shown(widget):
    return None if widget.view.step is None else widget.view.step.frame.number


def ended(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.running, timeout=5000)
    assert not widget.panel.stop_button.isEnabled() and widget.panel.start_button.isEnabled()
    return widget.panel.status.text()


# --------------------------------------------------------------------- what is shown


def test_the_clean_frame_follows_the_raw_one(live, started):
    for seed in range(4):
        started(noise(seed))
        raw, clean = live.viewer.layers
        np.testing.assert_array_equal(raw.data, noise(seed))
        np.testing.assert_array_equal(clean.data, np.float32(noise(seed)) / 2)
    assert (raw.name, clean.name) == ("sample camera", "sample camera live")
    assert is_result(clean) and not is_result(raw)
    for layer in live.viewer.layers:
        np.testing.assert_allclose(layer.scale, (0.5, 0.25))
        assert [str(unit) for unit in layer.units] == ["nanometer"] * 2


def test_only_the_newest_frame_is_shown_and_the_others_are_counted(live, started, source, qtbot):
    started(noise(0))
    for seed in range(1, 30):
        source.feed.put(noise(seed))
    qtbot.waitUntil(lambda: shown(live) == 29, timeout=5000)
    np.testing.assert_array_equal(live.viewer.layers[0].data, noise(29))
    assert live.view.rates.n_shown < 20
    qtbot.waitUntil(lambda: "30 so far" in live.panel.status.text(), timeout=5000)


def test_the_contrast_stays_until_the_user_changes_it(live, started):
    started(noise(0))
    clean = live.viewer.layers[1]
    limits = tuple(clean.contrast_limits)
    assert limits == (clean.data.min(), clean.data.max())  # as by napari's own button
    started(noise(1, mean=90))
    assert tuple(clean.contrast_limits) == limits
    clean.contrast_limits = (1, 2)
    started(noise(2))
    assert tuple(clean.contrast_limits) == (1, 2)
    clean.reset_contrast_limits()  # the button
    assert tuple(clean.contrast_limits) == (clean.data.min(), clean.data.max())


def test_a_closed_shutter_decides_no_contrast(live, started):
    started(np.full((40, 50), 7, np.uint16))
    assert "is the shutter closed?" in live.panel.notes.text()
    started(noise(0))
    assert live.panel.notes.text() == ""
    for layer in live.viewer.layers:
        assert tuple(layer.contrast_limits) == (layer.data.min(), layer.data.max())


@pytest.mark.parametrize("pixels", [noise(1, (20, 30)), np.int32(noise(1)), np.float32(noise(1))])
def test_another_shape_or_dtype_goes_on_with_a_contrast_of_its_own(live, started, pixels):
    started(noise(0, mean=1000))
    started(pixels)
    raw, clean = live.viewer.layers
    assert raw.data.dtype == pixels.dtype
    np.testing.assert_array_equal(clean.data, np.float32(pixels) / 2)
    for layer in (raw, clean):
        assert tuple(layer.contrast_limits) == (layer.data.min(), layer.data.max())
    started(noise(2))
    np.testing.assert_array_equal(raw.data, noise(2))


def test_a_frame_that_cannot_be_denoised_says_why_and_the_next_one_is_shown(live, started):
    started(np.full((40, 50), 13, np.uint16) + np.eye(40, 50, 1, dtype=np.uint16))
    assert live.panel.notes.text() == "The frame is unlucky."
    started(noise(0))
    assert live.panel.notes.text() == ""
    np.testing.assert_array_equal(live.viewer.layers[-1].data, np.float32(noise(0)) / 2)


def test_arrays_of_others_are_never_written_into(live, started):
    started(noise(0))
    mine = np.zeros((40, 50), np.float32)
    live.viewer.layers[1].data = mine
    started(noise(1))
    assert not mine.any()
    np.testing.assert_array_equal(live.viewer.layers[1].data, np.float32(noise(1)) / 2)


def test_a_layer_that_somebody_updates(live, qtbot):
    place = {"scale": (2, 3), "translate": (5, 6), "units": ("um", "um"), "rotate": 30}
    layer = live.viewer.add_image(noise(0), name="preview", **place)
    assert live.form.layer is layer
    live.start()
    qtbot.waitUntil(lambda: shown(live) == 0)
    layer.data = noise(1)
    qtbot.waitUntil(lambda: shown(live) == 1)
    assert [each.name for each in live.viewer.layers] == ["preview", "preview live"]
    clean = live.viewer.layers[1]
    np.testing.assert_array_equal(clean.data, np.float32(noise(1)) / 2)
    for name in ("scale", "translate", "rotate"):
        np.testing.assert_allclose(getattr(clean, name), getattr(layer, name))
    layer.scale = (4, 4)  # another objective
    qtbot.waitUntil(lambda: np.allclose(clean.scale, 4), timeout=3000)
    clean.translate = (0, 100)  # the user puts it beside the other
    live._tick()
    np.testing.assert_allclose(clean.translate, (0, 100))
    np.testing.assert_array_equal(layer.data, noise(1))


def test_a_second_run_uses_the_layers_of_the_first(live, started, source, qtbot):
    started(noise(0))
    live.viewer.layers[1].contrast_limits = (1, 2)
    live.stop()
    assert ended(qtbot, live) == "Stopped after 1 frame."
    source.feed = None
    live.start()
    qtbot.waitUntil(lambda: source.feed is not None)
    source.feed.put(noise(1))
    qtbot.waitUntil(lambda: shown(live) == 0)
    _, clean = live.viewer.layers
    np.testing.assert_array_equal(clean.data, np.float32(noise(1)) / 2)
    assert tuple(clean.contrast_limits) == (1, 2)


def test_reucid(live, qtbot, truth):
    rng = np.random.default_rng(0)
    layer = live.viewer.add_image(rng.poisson(truth), name="camera")
    del live.form.engine
    live.start()
    for k in range(3):
        qtbot.waitUntil(lambda k=k: shown(live) == k, timeout=20000)
        layer.data = rng.poisson(truth)
    noisy, clean = (psnr(truth, each.data, data_range=truth.max()) for each in live.viewer.layers)
    assert clean > noisy + 5


# ------------------------------------------------------------------------- the end


def test_stop_while_no_frame_comes(live, started, source, qtbot):
    begun = time.perf_counter()
    live.panel.stop_button.click()
    assert ended(qtbot, live) == "Stopped after 0 frames."
    assert time.perf_counter() - begun < 1
    assert source.stopped and not running_threads()


def test_a_source_that_ends(live, started, source, qtbot):
    started(noise(0))
    source.feed.end()
    assert ended(qtbot, live) == "The source has ended after 1 frame."
    assert live.panel.notes.text() == ""


def test_an_error_of_the_source_is_told_and_the_recording_is_whole(
    live, started, source, qtbot, tmp_path
):
    live.recording.record(tmp_path / "movie")
    for seed in range(3):
        started(noise(seed))
    source.feed.end(OSError("the cable is out"))
    assert ended(qtbot, live) == "Ended after 3 frames."
    assert live.panel.notes.text() == "The cable is out"
    assert live.recording.status.text() == "Recorded in movie.zarr: 3 frames."
    movie = zarr.open(tmp_path / "movie.zarr")["0"]
    np.testing.assert_array_equal(movie[:], [noise(seed) for seed in range(3)])


def test_the_source_layer_is_removed(live, qtbot):
    layer = live.viewer.add_image(noise(0), name="preview")
    live.start()
    qtbot.waitUntil(lambda: shown(live) == 0)
    live.viewer.layers.remove(layer)
    assert ended(qtbot, live) == "Ended after 1 frame."
    assert live.panel.notes.text() == "The layer 'preview' was removed."
    assert [each.name for each in live.viewer.layers] == ["preview live"]


def test_the_result_is_removed(live, started, source, qtbot):
    started(noise(0))
    live.viewer.layers.remove("sample camera live")
    text = ended(qtbot, live)
    assert text == "Stopped after 1 frame: the layer 'sample camera live' was removed."
    assert source.stopped


def test_without_the_layer_of_raw_frames_it_goes_on(live, started):
    started(noise(0))
    live.viewer.layers.remove("sample camera")
    started(noise(1))
    assert live.running and "'sample camera' was removed" in live.panel.notes.text()
    np.testing.assert_array_equal(live.viewer.layers[0].data, np.float32(noise(1)) / 2)


def test_closing_the_dock_ends_the_run(live, started, source, qtbot):
    started(noise(0))
    live.viewer.window.remove_dock_widget(live)
    live.running = False  # for the fixture: nobody will ever tell
    live.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: source.stopped, timeout=5000)
    live.viewer.layers[0].data = noise(1)  # nothing is called that was deleted
    live.viewer.layers.clear()


def test_closing_the_viewer_ends_the_run_and_keeps_what_was_recorded(
    make_napari_viewer, qtbot, tmp_path
):
    viewer = make_napari_viewer()
    widget = LiveWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Denoise live")
    widget.form.engine = Half
    layer = viewer.add_image(noise(0), name="preview")
    widget.start()
    widget.recording.record(tmp_path / "movie.zarr")
    for n in range(3):
        qtbot.waitUntil(lambda n=n: shown(widget) == n)
        layer.data = noise(n + 1)
    run = widget.view.run
    viewer.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: run.feed.closed and not run.recorder.writing, timeout=5000)
    recorded = np.asarray(zarr.open(tmp_path / "movie.zarr")["0"])
    assert len(recorded) in (3, 4)  # the first one may have come before the recording
    for n, frame in enumerate(recorded, start=4 - len(recorded)):
        np.testing.assert_array_equal(frame, noise(n))


def test_a_second_start_is_refused(live, started):
    live.start()
    assert "press Stop first" in live.panel.notes.text()


# ------------------------------------------------------------ keep, record and train


def test_keep_the_frame_in_view(live, started, source):
    started(noise(0))
    started(noise(1))
    live.keep_frame.click()
    raw, clean = live.viewer.layers[-2:]
    assert (raw.name, clean.name) == ("sample camera frame 1", "sample camera frame 1 clean")
    started(noise(2))
    np.testing.assert_array_equal(raw.data, noise(1))
    np.testing.assert_array_equal(clean.data, np.float32(noise(1)) / 2)
    np.testing.assert_allclose(clean.scale, (0.5, 0.25))
    record = clean.metadata["napari-lowdose"]
    assert record["engine"] == "Half"
    assert record["input"] == {
        "layer": raw.name, "shape": [40, 50], "dtype": "uint16", "number": 1
    }  # fmt: skip


def test_keep_the_last_frames(live, source, qtbot):
    live.form.n_buffer.setValue(3)
    live.start()
    qtbot.waitUntil(lambda: source.feed is not None)
    for seed in range(5):
        source.feed.put(noise(seed))
    qtbot.waitUntil(lambda: shown(live) == 4)
    live.keep_last.click()
    kept = live.viewer.layers[-1]
    np.testing.assert_array_equal(kept.data, [noise(seed) for seed in (2, 3, 4)])
    np.testing.assert_allclose(kept.scale, (1, 0.5, 0.25))
    assert kept.name == "sample camera last 3 frames"
    live.stop()
    qtbot.waitUntil(lambda: not live.running)
    assert live.keep_last.isEnabled()  # the buffer outlives the run


def test_the_memory_of_the_buffer_is_told(live, started):
    started(np.zeros((512, 1024), np.uint16))
    assert live.form.n_buffer.text() == "32 frames, 32 MiB"
    live.form.n_buffer.setValue(100)
    assert live.form.n_buffer.text() == "100 frames, 100 MiB"


def test_both_are_recorded_and_stop_recording_goes_on_showing(live, started, qtbot, tmp_path):
    live.recording.what.setCurrentIndex(2)
    live.recording.record(tmp_path / "movie.zarr")
    assert live.recording.button.text() == "Stop recording"
    started(noise(0))
    started(noise(1))
    live.recording.button.click()
    qtbot.waitUntil(lambda: not live.recording.recording)
    started(noise(2))
    assert live.running
    for kind, factor in (("raw", 1), ("clean", 0.5)):
        movie = zarr.open(tmp_path / f"movie_{kind}.zarr")["0"]
        np.testing.assert_array_equal(movie[:], [factor * noise(seed) for seed in (0, 1)])


def test_a_folder_that_exists_is_not_overwritten(live, started, tmp_path):
    (tmp_path / "movie.zarr").mkdir()
    (tmp_path / "movie.zarr" / "mine").write_text("dear")
    live.recording.record(tmp_path / "movie.zarr")
    assert live.recording.status.text().startswith("Not recorded: ")
    started(noise(0))
    assert (tmp_path / "movie.zarr" / "mine").read_text() == "dear"


@pytest.fixture
def training(monkeypatch):
    """Replace the training by one that the test drives."""
    made = []

    class Training(SimpleNamespace):
        def __init__(self, buffer, against, engine, n_pairs):
            super().__init__(n_pairs=n_pairs, winner=None, model=None, message="", ended=False)
            made.append(self)

        def start(self):
            self.message = "training: 0 s"

        def stop(self):
            self.ended = True

        def close(self):
            self.ended = True

    monkeypatch.setattr("napari_lowdose.live.live_run.LiveTraining", Training)
    return made


def test_a_network_takes_over_and_is_told(live, started, training, qtbot):
    started(noise(0))
    live.train_button.click()
    assert live.train_button.text() == "Stop training" and not live.keep_network.isEnabled()
    started(noise(1))
    assert live.training.text() == "Training: 0 s" and live.panel.notes.text() == ""

    @dataclass(frozen=True)
    class Quarter(Half):
        title = "Quarter"

        def frame_steps(self, frame):
            yield Step(fraction=1.0, message="", image=np.float32(frame) / 4)

    training[0].winner = Quarter()
    training[0].message = "the network is now 14 dB better than the raw frame"
    started(noise(2))
    np.testing.assert_array_equal(live.viewer.layers[1].data, np.float32(noise(2)) / 4)
    assert live.viewer.layers[1].metadata["napari-lowdose"]["engine"] == "Quarter"
    qtbot.waitUntil(lambda: live.training.text().startswith("The network is now"), timeout=3000)
    live.train_button.click()
    assert training[0].ended and live.train_button.text() == "Train on the last frames"
    live.train_button.click()
    assert len(training) == 2  # from anew


def test_training_that_is_impossible_says_why(live, started, qtbot):
    live.view.run.engine = RunningMean(3)
    live.train_button.click()
    assert "A running mean cannot be compared" in live.panel.notes.text()
    assert live.train_button.text() == "Train on the last frames"


def test_the_network_is_kept_in_the_pair_widget(live, started, training):
    pair = Noise2NoiseWidget(live.viewer)
    live.viewer.window.add_dock_widget(pair, name="Denoise a pair (Noise2Noise) (napari-lowdose)")
    started(noise(0))
    live.train()
    model = FakeModel(architecture=PRESETS["fast"], weights={}, offset=0, scale=1, record={})
    training[0].model = model
    live._tick()
    live.keep_network.click()
    assert pair.model is model and pair.network.save_button.isEnabled()


# -------------------------------------------------------------------------- the form


def test_the_methods(live, tmp_path):
    del live.form.engine
    form = live.form
    assert form.engine() == Reucid()
    form.method_combo.setCurrentText("running mean")
    form.n_mean.setValue(5)
    assert isinstance(form.engine(), RunningMean) and form.engine().n == 5
    form.method_combo.setCurrentText("network from a file …")
    with pytest.raises(ValueError, match="Choose the file of the network first"):
        form.engine()
    form.method_combo.setCurrentText("network trained on a pair")
    live.form.choose(SAMPLE)
    live.start()
    assert live.panel.status.text() == "Not started."
    assert (
        "There is no network in the widget 'Denoise a pair (Noise2Noise)' yet"
        in live.panel.notes.text()
    )


def test_two_views_of_a_beamsplitter(live, qtbot, tmp_path):
    del live.form.engine
    frame, _ = samples.beamsplitter_frame()
    layout = split_frame(frame)[2]
    layout.save(tmp_path / "layout.json")
    live.form.method_combo.setCurrentText("running mean")
    live.form.views_combo.setCurrentText("two, layout from a file …")
    live.form.layout_file.value = tmp_path / "layout.json"
    engine = live.form.engine()
    assert isinstance(engine, SplitViews) and engine.layout == layout
    layer = live.viewer.add_image(frame, name="camera", scale=(2, 2))
    live.start()
    qtbot.waitUntil(lambda: shown(live) == 0, timeout=20000)
    clean = live.viewer.layers["camera live"]
    np.testing.assert_allclose(clean.translate, 2 * np.array(engine.origin))
    assert clean.data.shape < layer.data.shape


def test_a_camera_is_offered_once_there_is_one(live, monkeypatch):
    assert CAMERA not in live.form.source_combo.choices
    device = [""]
    core = SimpleNamespace(getCameraDevice=lambda: device[0])
    module = SimpleNamespace(CMMCorePlus=SimpleNamespace(instance=lambda: core))
    monkeypatch.setitem(sys.modules, "pymmcore_plus", module)
    live.reset_choices()
    assert CAMERA not in live.form.source_combo.choices
    device[0] = "DCam"
    live.reset_choices()
    assert CAMERA in live.form.source_combo.choices and live.form.source_name == "camera"


def test_a_folder_that_is_being_filled(live, qtbot, tmp_path):
    live.form.choose(FOLDER)
    live.start()
    assert "Choose the folder that is being filled first" in live.panel.notes.text()
    live.form.folder.value = tmp_path
    live.start()
    for seed in range(2):
        tifffile.imwrite(tmp_path / f"scan{seed}.tif", noise(seed))
        qtbot.waitUntil(lambda seed=seed: shown(live) == seed, timeout=10000)
    raw, clean = live.viewer.layers
    assert (raw.name, clean.name) == (tmp_path.name, f"{tmp_path.name} live")
    live.keep_frame.click()
    assert live.viewer.layers[-1].name == f"{tmp_path.name} scan1.tif clean"
    live.stop()
    ended(qtbot, live)
    assert not running_threads()


def test_a_source_that_was_chosen_stays_and_a_new_layer_is_suggested_only_before(live, started):
    started(noise(0))
    assert live.form.source_combo.value == SAMPLE
    live.viewer.add_image(noise(1), name="other")
    live.running = False
    live.reset_choices()
    live.running = True
    assert live.form.source_combo.value == SAMPLE


def test_denoise_live_from_the_menu(live, qtbot):
    live.viewer.add_image(noise(1), name="other")
    layer = live.viewer.add_image(noise(0), name="preview")
    live.viewer.layers.selection = {live.viewer.layers["other"]}
    denoise_live(live.viewer)
    qtbot.waitUntil(lambda: shown(live) == 0)
    assert live.view.name == "other" and layer.name == "preview"


def test_a_result_as_source_is_warned_of(live, started, qtbot):
    started(noise(0))
    live.stop()
    ended(qtbot, live)
    del live.form.source
    live.start_on(live.viewer.layers["sample camera live"])
    assert "is a result already" in live.panel.notes.text()
