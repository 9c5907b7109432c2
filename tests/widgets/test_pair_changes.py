"""What becomes of a training, its warnings and its network when layers and files change."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_lowdose.widgets.trained_network import TrainedNetwork

from .conftest import finish
from .fake_pair_engine import FakeModel, FakeNoise2Noise
from .test_noise2noise_widget import noisy_scene


@pytest.fixture
def pair():
    return noisy_scene(1), noisy_scene(2)


def test_renamed_shrunk_and_removed_exposures_do_not_end_the_training(
    docked_pair, qtbot, pair, gate
):
    import gc

    automatic = []

    def at(epoch):
        automatic.append(gc.isenabled())
        gate(epoch)

    gate.closed_at = 3
    widget = docked_pair(*pair, FakeNoise2Noise(at=at))
    first, second = widget.viewer.layers
    widget.train()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 3, timeout=20000)
    first.name = "renamed"
    second.data = second.data[:20, :30]
    assert "goes on with the pixels" in widget.panel.notes.text()
    widget.viewer.layers.remove(first)
    widget.viewer.layers.remove(second)
    gate.open.set()
    finish(qtbot, widget)
    (result,) = widget.viewer.layers
    np.testing.assert_allclose(result.data, (pair[0] / 2 + pair[1] / 2), rtol=1e-5)
    assert widget.panel.status.text().startswith("Done")
    assert widget.panel.notes.text().count("goes on with the pixels") == 1
    # Qt objects of a removed layer are let go of in their own thread
    assert not any(automatic) and gc.isenabled()


def test_a_warning_is_shown_once_until_the_next_run(docked_pair, qtbot, pair):
    class Warning(FakeNoise2Noise):
        def training_steps(self, first, second, shift=None, **how):
            import warnings

            for step in super().training_steps(first, second):
                warnings.warn("something to be aware of.", UserWarning, stacklevel=2)
                yield step

    widget = docked_pair(*pair, Warning())
    widget.train()
    finish(qtbot, widget)
    box, panel = widget.panel._box, widget.panel
    assert panel.notes.text() == "Something to be aware of."
    assert box.isVisibleTo(widget) and box.sign.isVisibleTo(widget)
    assert "rgb(227, 182, 23)" in box.styleSheet()
    widget.copy_button.click()
    widget.network.failed.emit("not saved: the disk is full")
    widget.viewer.add_labels(np.zeros((8, 8), int))
    assert panel.notes.text().splitlines() == [
        "Not saved: the disk is full", "Something to be aware of.",
    ]  # fmt: skip
    panel.show_message("")
    assert panel.notes.text() == "Something to be aware of."
    panel.start()
    assert not box.isVisibleTo(widget)


def test_continue_is_only_for_the_trained_pair(docked_pair, qtbot, pair):
    widget = docked_pair(*pair, FakeNoise2Noise())
    widget.train()
    finish(qtbot, widget)
    first, second, _ = widget.viewer.layers
    continues = widget.panel.continue_button
    assert continues.isEnabled()
    third = widget.viewer.add_image(noisy_scene(3), name="third")
    widget.choose_pair(first, third)
    finish(qtbot, widget)
    assert not continues.isEnabled()
    widget.continue_training()
    assert "another pair" in widget.panel.notes.text() and len(widget.viewer.layers) == 4

    known = dict(widget.pair.exposures)
    loaded = FakeModel(
        architecture=None, weights={}, offset=0, scale=1, record={"epochs": 3, "exposures": known}
    )
    widget.network.keep(TrainedNetwork(loaded, "loaded"))
    widget._enable()
    assert continues.isEnabled()  # the same first exposure
    widget.choose_pair(third, second)
    finish(qtbot, widget)
    assert not continues.isEnabled()
    widget.choose_pair(first, second)
    finish(qtbot, widget)
    assert continues.isEnabled()
    first.data = noisy_scene(9)
    finish(qtbot, widget)
    assert not continues.isEnabled()


def test_pixel_sizes_are_compared(docked_pair, qtbot, pair):
    fine = {"scale": (0.1, 0.1), "units": ("nm", "nm")}
    widget = docked_pair(*pair, FakeNoise2Noise(), **fine)
    widget.train()
    assert widget._running.engine.pixel_size == (0.1, 0.1)
    assert widget._running.engine.pixel_unit == "nm"
    finish(qtbot, widget)
    trained = replace(widget.model, pixel_size=(0.1, 0.1), pixel_unit="nm")

    def told(model, **options):
        widget.network.keep(TrainedNetwork(model, "network"))
        layer = widget.viewer.add_image(noisy_scene(4), **options)
        widget.apply_to(layer)
        finish(qtbot, widget)
        widget.viewer.layers.remove(layer)
        return widget.panel.notes.text()

    sentence = told(trained, scale=(0.4, 0.4), units=("nm", "nm"))
    assert "0.1 nm" in sentence and "0.4 nm" in sentence
    assert told(trained, scale=(1.0, 1.0), units=("angstrom", "angstrom")) == ""
    unknown = told(replace(trained, pixel_size=None), **fine)
    assert "is not known" in unknown
    assert told(trained) == ""
    no_unit = replace(trained, pixel_size=(0.1, 0.1), pixel_unit="units")
    assert "pixel size" in told(no_unit, scale=(0.4, 0.4))


def test_scripts_save_and_know_the_file_of_the_network(
    docked_pair, qtbot, pair, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    widget = docked_pair(*pair, FakeNoise2Noise())
    widget.train()
    finish(qtbot, widget)
    assert "model.save('scan Noise2Noise.safetensors')" in widget.script()

    path = tmp_path / "kept.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    monkeypatch.setattr(FakeModel, "save", lambda model, path: open(path, "w").close())
    trained = widget.model
    widget.network.save()
    widget.copy_button.click()
    assert f"Noise2NoiseModel.load({str(path)!r})" in QApplication.clipboard().text()
    assert "model.save" not in widget.script()

    widget.apply()
    finish(qtbot, widget)
    widget.network.keep(TrainedNetwork(replace(trained, record={}), "another, not saved"))
    script = widget.script()
    assert repr(str(path)) in script and "no file yet" not in script
    script = script.replace(f"Noise2NoiseModel.load({str(path)!r})", "model")
    for name in ("first", "second"):
        script = script.replace(f"tifffile.imread('{name}.tif')", name)
    given = {"model": trained, "first": pair[0], "second": pair[1], "sys": sys}
    exec(script, given)
    import tifffile

    saved = tifffile.imread(tmp_path / "scan denoised.tif")
    np.testing.assert_allclose(saved, widget.viewer.layers[-1].data)
    assert "napari" in script.partition("imwrite")[2]
    with pytest.raises(SystemExit, match="exists already"):
        exec(script, given)

    path.unlink()
    assert "no file yet" in widget.script()


def test_a_refusal_is_not_told_about_other_layers(docked_pair, qtbot, pair):
    widget = docked_pair(pair[0], pair[0].copy(), FakeNoise2Noise())
    widget.train()
    assert widget.panel.notes.text()
    widget.viewer.layers.clear()
    for name, exposure in zip(("one", "two"), pair, strict=True):
        widget.viewer.add_image(exposure, name=name)
    finish(qtbot, widget)
    assert not widget.panel.notes.text() and not widget.panel.status.text()
