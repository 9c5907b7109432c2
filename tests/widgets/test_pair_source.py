"""What a pair is made of: the choice, its default, and the training with each source."""

from typing import ClassVar

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_lowdose import MoviePairs, PoissonGaussian, Thinned
from napari_lowdose.noise2noise.noise_checks import PairNote
from napari_lowdose.widgets.noise2noise.pair_card import PairCard
from napari_lowdose.widgets.noise2noise.source import SOURCES

from .conftest import finish
from .fake_pair_engine import FakeNoise2Noise
from .test_noise2noise_training import set_for_a_short_training, wait_for_network
from .test_noise2noise_widget import noisy_scene


@pytest.fixture
def movie():
    return noisy_scene(1, (5, 64, 80))


class Remembers(FakeNoise2Noise):
    """Keeps what it was trained on in `seen`."""

    seen: ClassVar = []

    def training_steps(self, first, second, shift=None, **how):
        self.seen[:] = [(np.asarray(first), np.asarray(second), self.use)]
        yield from super().training_steps(first, second)


def visible_rows(widget):
    form = widget.form
    return {
        name
        for name, field in {
            "first": form.first_combo.native, "only": form.only_combo.native, "pairs": form.pairs,
            "noise": form.noise, "split": form.split_button, "every": form.every,
            "stop": form.stop, "use": form.use, "shift": form.shift, "normalise": form.normalise,
            "disagreement": form.with_disagreement,
        }.items()
        if field.isVisibleTo(form)
    }  # fmt: skip


# ------------------------------------------------------------------- the default


def test_the_default_follows_from_the_layers(docked_pair, qtbot, movie):
    widget = docked_pair(movie, None)
    viewer, choice = widget.viewer, widget.choice
    assert choice.value == "movie"
    viewer.layers.clear()
    viewer.add_image(noisy_scene(1), name="counts")
    finish(qtbot, widget)
    assert choice.value == "counted" and "No problems" in widget.card.findings.text()
    viewer.add_image(noisy_scene(2), name="more counts")
    finish(qtbot, widget)
    assert choice.value == "pair"
    viewer.layers.clear()
    viewer.add_image(noisy_scene(1) / 3.7, name="no whole numbers")
    finish(qtbot, widget)
    assert choice.value == "pair" and widget.pair.refusal


def test_grey_levels_are_not_taken_for_counts_but_may_be_chosen(docked_pair, qtbot):
    widget = docked_pair(11 * noisy_scene(1, (128, 128)), None)
    assert widget.choice.value == "pair"
    widget.choice.buttons["counted"].click()
    finish(qtbot, widget)
    assert "times the variance of counts" in widget.card.refusal
    assert "estimated" in widget.card.refusal and "REUCID" in widget.card.refusal
    assert widget.card.reucid_button.isVisibleTo(widget)
    assert not widget.panel.start_button.isEnabled()
    widget.form.noise.setCurrentIndex(widget.form.noise.findData("estimate"))
    finish(qtbot, widget)
    assert not widget.pair.refusal and widget.panel.start_button.isEnabled()
    assert "grey levels per count" in widget.card.findings.text()
    # The estimate is where the known numbers start from
    widget.form.noise.setCurrentIndex(widget.form.noise.findData("known"))
    assert 8 < widget.form.gain.value() < 14 and widget.form.gain.isVisibleTo(widget)
    widget.form.gain.setValue(11)
    widget.form.offset.setValue(0)
    widget.form.read_noise.setValue(0)
    finish(qtbot, widget)
    assert not widget.pair.refusal
    noise = PoissonGaussian(gain=11.0, offset=0.0, read_noise=0.0)
    assert widget.pair.engine().noise == noise
    assert f"noise={noise!r}" not in widget.script() and repr(noise) in widget.script()
    assert "PoissonGaussian, Thinned" in widget.script()  # imported
    widget.form.gain.setValue(0)
    finish(qtbot, widget)
    assert "There is no noise" in widget.pair.refusal


def test_what_the_user_has_chosen_stays(docked_pair, qtbot, movie):
    widget = docked_pair(movie, None)
    widget.choice.buttons["counted"].click()
    widget.viewer.add_image(movie, name="another")
    finish(qtbot, widget)
    assert widget.choice.value == "counted"
    assert widget.pair.layers[0].name == "scan, first"
    widget.viewer.layers.selection = set(widget.viewer.layers)
    assert widget.choice.value == "counted"
    widget.viewer.layers.remove("scan, first")
    finish(qtbot, widget)
    assert widget.choice.value == "movie"  # the layer is gone, and with it the choice


def test_only_the_fields_that_a_source_needs_are_shown(docked_pair, qtbot, movie):
    widget = docked_pair(movie, movie)
    widget.form.advanced.expand()
    common = {"stop", "disagreement"}
    rows = {
        "pair": common | {"first", "every", "use", "shift", "normalise"},
        "movie": (common | {"only", "pairs", "every", "normalise"}) - {"disagreement"},
        "counted": common | {"only", "noise"},
        "split": {"only", "split"},
    }
    for name, expected in rows.items():
        widget.choice.buttons[name].click()
        found = visible_rows(widget)
        assert found - {"use", "shift", "normalise", "disagreement"} == expected - {
            "use", "shift", "normalise", "disagreement"
        }, name  # fmt: skip
        if name != "split":
            assert found == expected, name
        assert widget.choice.sentence.text() == SOURCES[name].sentence
    assert not widget.panel.start_button.isEnabled()
    finish(qtbot, widget)


# ------------------------------------------------------------------------- a movie


@pytest.mark.parametrize("pairs", ["neighbours", "even-odd"])
def test_the_frames_of_one_movie(docked_pair, qtbot, movie, pairs):
    widget = docked_pair(movie, None, Remembers())
    widget.form.pairs.setCurrentIndex(widget.form.pairs.findData(pairs))
    finish(qtbot, widget)
    widget.train()
    finish(qtbot, widget)
    ((first, second, use),) = Remembers.seen
    expected = (movie[:-1], movie[1:]) if pairs == "neighbours" else (movie[0:4:2], movie[1:4:2])
    np.testing.assert_array_equal(first, expected[0])
    np.testing.assert_array_equal(second, expected[1])
    assert use == "first"  # the gain that is told is that of one frame
    np.testing.assert_allclose(widget.viewer.layers[-1].data, movie / 2)  # each by itself
    script = widget.script()
    assert "MoviePairs(Noise2Noise(" in script and f"{pairs!r}).train(movie)" in script
    assert widget.panel.continue_button.isEnabled()
    widget.form.pairs.setCurrentIndex(1 - widget.form.pairs.currentIndex())
    finish(qtbot, widget)
    assert not widget.panel.continue_button.isEnabled()  # other pairs


def test_black_and_repeated_frames_are_left_out_and_told(docked_pair, qtbot, movie):
    movie[1] = 0
    movie[3] = movie[2]
    widget = docked_pair(movie, None, Remembers())
    text = widget.card.findings.text()
    assert "No problems" in text
    assert "frame 2 of 5 (black or constant)" in text
    assert "frame 4 of 5 (the same as an earlier frame)" in text
    widget.train()
    finish(qtbot, widget)
    ((first, second, _),) = Remembers.seen
    np.testing.assert_array_equal(first, movie[[0, 2]])
    np.testing.assert_array_equal(second, movie[[2, 4]])


def test_the_preview_of_a_movie_is_at_the_frame_in_view(docked_pair, qtbot, movie, gate):
    gate.closed_at = 2
    widget = docked_pair(movie, None, FakeNoise2Noise(at=gate))
    widget.viewer.dims.set_current_step(0, 3)
    widget.form.pairs.setCurrentIndex(widget.form.pairs.findData("even-odd"))
    finish(qtbot, widget)
    widget.train()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    # Frames 2 and 3 are a pair; the rest is not denoised yet
    np.testing.assert_allclose(widget.viewer.layers[-1].data[3], movie[2] * 0.91, rtol=1e-5)
    np.testing.assert_allclose(widget.viewer.layers[-1].data[2], movie[2])
    gate.open.set()
    finish(qtbot, widget)


def test_a_movie_of_one_frame_is_refused(docked_pair, qtbot):
    widget = docked_pair(noisy_scene(1), None)
    widget.choice.buttons["movie"].click()
    finish(qtbot, widget)
    assert "is one image, not a movie" in widget.pair.refusal


def test_a_drifting_movie_is_registered_and_comes_back(docked_pair, qtbot):
    frames = [noisy_scene(k, (96, 120), (2 * k, -3 * k)) for k in range(4)]
    widget = docked_pair(np.stack(frames), None, FakeNoise2Noise())
    assert widget.card.register_button.isVisibleTo(widget)
    widget.card.register_button.click()
    finish(qtbot, widget)
    registered = widget.viewer.layers[-1]
    assert registered.name == "scan, first registered" and registered.data.shape == (4, 90, 111)
    assert widget.choice.value == "movie" and widget.form.only is registered
    assert "shifted" not in widget.card.findings.text()
    assert "press Train" in widget.panel.status.text()


# ----------------------------------------------------------------- a counted image


def test_a_counted_image_is_divided(docked_pair, qtbot):
    counts = noisy_scene(1)
    widget = docked_pair(counts, None, Remembers())
    widget.train()
    finish(qtbot, widget)
    ((first, second, use),) = Remembers.seen
    np.testing.assert_array_equal(first + second, np.broadcast_to(counts, first.shape))
    assert len(first) == 8 and use == "both"
    # The network is the mean of both halves: half of the image, and whole again
    np.testing.assert_allclose(widget.viewer.layers[-1].data, counts, rtol=1e-5)
    assert "6.0 to 7.0 dB better than the image" in widget.panel.gain.text()  # 9 to 10, less 3
    assert "Thinned(Noise2Noise(" in widget.script()
    assert "denoise(image, ThinnedNetwork(model))" in widget.script()
    another = widget.viewer.add_image(noisy_scene(2), name="another")
    widget.apply_to(another)
    finish(qtbot, widget)
    np.testing.assert_allclose(widget.viewer.layers[-1].data, another.data, rtol=1e-5)
    assert "ThinnedNetwork(model)" in widget.script()


def test_a_refused_image_goes_to_reucid(docked_pair, qtbot, monkeypatch):
    from napari_lowdose.widgets import noise2noise_widget
    from napari_lowdose.widgets.reucid_widget import ReucidWidget

    widget = docked_pair(noisy_scene(1) / 3.7, None)
    widget.viewer.add_image(noisy_scene(2) / 3.7, name="not asked for", visible=False)
    widget.choice.buttons["counted"].click()
    finish(qtbot, widget)
    assert "holds no counts" in widget.card.refusal
    reucid = ReucidWidget(widget.viewer)
    qtbot.addWidget(reucid)
    monkeypatch.setattr(noise2noise_widget, "open_widget", lambda viewer, name: reucid)
    widget.card.reucid_button.click()
    assert reucid.form.layer_combo.value is widget.pair.layers[0]
    finish(qtbot, reucid)


def test_a_counted_image_with_the_real_engine(docked_pair, qtbot, tmp_path, monkeypatch, truth):
    pytest.importorskip("torch")
    from napari_lowdose import metrics

    counts = np.random.default_rng(0).poisson(truth / 4).astype(np.uint16)
    widget = set_for_a_short_training(docked_pair(counts, None))
    widget.form.stop.choose("epochs", 15)  # of eight divisions each
    assert widget.choice.value == "counted"
    widget.train()
    finish(qtbot, widget)
    result = widget.viewer.layers[-1]
    top = float(truth.max() / 4)
    before = metrics.psnr(truth / 4, counts.astype(np.float32), data_range=top)
    gain = metrics.psnr(truth / 4, result.data, data_range=top) - before
    assert gain > 3
    told = widget.network.network.gain.least
    assert told.low - 1.5 < gain < told.high + 1.5  # over the whole image

    path = str(tmp_path / "network.safetensors")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (path, ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (path, ""))
    widget.network.save()
    script = widget.script()
    widget.network.load()
    assert widget.network.network.thinned and widget.panel.continue_button.isEnabled()
    widget.apply()
    finish(qtbot, widget)
    np.testing.assert_allclose(widget.viewer.layers[-1].data, result.data, atol=1e-3 * top)
    assert not widget.panel.notes.text()  # the dose of the halves is no surprise
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(script.replace("tifffile.imread('image.tif')", "counts"), {"counts": counts}, made)
    # Not to the last digit: after other tests this thread may round differently from that of a run
    again = metrics.psnr(truth / 4, made["clean"], data_range=top) - before
    assert again == pytest.approx(gain, abs=0.5)
    assert np.corrcoef(made["clean"].ravel(), result.data.ravel())[0, 1] > 0.99


def test_a_movie_with_the_real_engine(docked_pair, qtbot, truth):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    movie = rng.poisson(np.broadcast_to(truth / 4, (4, *truth.shape))).astype(np.uint16)
    widget = set_for_a_short_training(docked_pair(movie, None))
    widget.train()
    finish(qtbot, widget)
    clean = widget.viewer.layers[-1].data
    errors = [np.mean((each - truth / 4) ** 2) for each in (movie, clean)]
    gain = 10 * np.log10(errors[0] / errors[1])
    told = widget.network.network.gain.least
    assert gain > 3 and told.low - 1.5 < gain < told.high + 1.5  # of one frame, not of a pair


@pytest.mark.parametrize("source", ["counted", "movie"])
def test_stop_denoises_with_the_best_network(docked_pair, qtbot, truth, source):
    """Also where the pairs had to be made first."""
    pytest.importorskip("torch")
    shape = truth.shape if source == "counted" else (4, *truth.shape)
    image = np.random.default_rng(0).poisson(np.broadcast_to(truth / 4, shape)).astype(np.uint16)
    widget = set_for_a_short_training(docked_pair(image, None))
    widget.form.stop.choose("time", 3600)
    widget.train()
    wait_for_network(qtbot, widget)
    widget.stop()
    finish(qtbot, widget)
    assert widget.panel.status.text().startswith("Done")
    assert not widget.viewer.layers[-1].name.endswith("(partial)")
    assert np.isfinite(widget.viewer.layers[-1].data).all()


# ------------------------------------------------------------------------ the card


def test_the_card_tells_in_the_order_of_harm(qtbot):
    card = PairCard()
    qtbot.addWidget(card)
    notes = [
        PairNote("note", "a remark.", "frames"),
        PairNote("warn", "correlated.", "correlated noise"),
        PairNote("refuse", "useless.", "same"),
        PairNote("warn", "moved.", "moved"),
    ]
    card.show_notes(notes)
    text = card.findings.text()
    told = [
        "Prevents the training", "Useless.", "Makes the result wrong", "Moved.", "Costs quality",
        "Correlated.", "A remark.",
    ]  # fmt: skip
    assert [text.index(each) for each in told] == sorted(text.index(each) for each in told)
    assert "No problems" not in text and card.refusal == "useless."
    card.show_notes(notes[:1])
    assert "No problems" in card.findings.text() and "<b>" not in card.findings.text()


# ------------------------------------------------------------------ there and back


def test_a_frame_is_split_and_its_views_come_back(docked_pair, qtbot, monkeypatch):
    from napari_lowdose.widgets import noise2noise_widget, split_widget
    from napari_lowdose.widgets.samples import beamsplitter_frame
    from napari_lowdose.widgets.split_widget import SplitWidget

    (_, _, _), (frame, _, _) = beamsplitter_frame()
    widget = docked_pair(frame, None, FakeNoise2Noise())
    other = widget.viewer.add_image(noisy_scene(3), name="another, on top")
    widget.choice.buttons["split"].click()
    widget.form.only_combo.value = widget.viewer.layers[0]
    split = SplitWidget(widget.viewer)
    qtbot.addWidget(split)
    opened = {"Split camera frame": split, "Denoise a pair (Noise2Noise)": widget}
    for module in (noise2noise_widget, split_widget):
        monkeypatch.setattr(module, "open_widget", lambda viewer, name: opened[name])
    focused = []
    monkeypatch.setattr(widget.panel.start_button, "setFocus", lambda: focused.append(True))
    widget.form.split_button.click()
    assert split.form.layer_combo.value is widget.viewer.layers[0] is not other
    qtbot.waitUntil(lambda: split.found is not None, timeout=20000)
    split.split()
    finish(qtbot, widget)
    assert widget.choice.value == "pair"
    assert [each.name for each in widget.pair.layers] == [
        "scan, first, first view", "scan, first, second view"
    ]  # fmt: skip
    assert widget.form.shift.value != (0.0, 0.0)
    assert "press Train" in widget.panel.status.text() and focused
    assert widget.panel.start_button.isEnabled()


def test_engines_know_where_their_pairs_come_from(docked_pair, qtbot, movie):
    widget = docked_pair(movie, None)
    assert isinstance(widget.pair.engine(), MoviePairs)
    widget.form.normalise.setChecked(True)
    widget.form.every.setValue(2)
    widget.choice.buttons["counted"].click()
    engine = widget.pair.engine()
    assert isinstance(engine, Thinned)
    # Hidden fields of another source have no effect
    assert (engine.engine.normalise, engine.engine.every) == (False, 1)
    finish(qtbot, widget)
