"""Batch in the viewer: layers or a folder, a bad file, going on after Stop."""

import time

import numpy as np
import pytest
import tifffile

from napari_lowdose import denoise
from napari_lowdose.reucid import Reucid
from napari_lowdose.widgets.batch.images import image_of_layer
from napari_lowdose.widgets.batch_widget import BatchWidget

from .conftest import FakeEngine


@pytest.fixture
def batch(viewer):
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Batch")
    widget.engine = lambda: FakeEngine(n_stacks=2)
    return widget


def choose(box, value):
    box.setCurrentIndex(box.findData(value))


def run(batch, qtbot):
    batch.start()
    qtbot.waitUntil(lambda: not batch.runner.busy, timeout=10000)


def folder_of(tmp_path, n=3):
    for k in range(n):
        image = np.random.default_rng(k).poisson(100, (24, 32)).astype(np.uint16)
        tifffile.imwrite(tmp_path / f"{k}.tif", image)
    return tmp_path


def test_a_folder_with_a_bad_file_and_again(batch, qtbot, tmp_path):
    folder = folder_of(tmp_path)
    (folder / "1.tif").write_bytes(b"no image")
    choose(batch.form.images, "folder")
    batch.form.folder.value = str(folder)
    run(batch, qtbot)
    assert batch.table.states == ["done", "failed", "done"]
    assert "not a TIFF" in batch.table.item(1, 2).text()
    assert "2 of 3 done, 1 failed" in batch.panel.status.text()
    assert "'1.tif': This is not a TIFF" in batch.panel.notes.text()
    clean = tifffile.imread(folder / "2_denoised.tif")
    assert clean == pytest.approx(tifffile.imread(folder / "2.tif") * 0.5)

    # Again: results are no images, and finished ones are skipped
    image = np.full((24, 32), 7, np.uint16)
    image[0] = 8
    tifffile.imwrite(folder / "1.tif", image)
    run(batch, qtbot)
    assert batch.table.states == ["done"] * 3
    said = [batch.table.item(row, 2).text() for row in range(3)]
    assert ["finished before" in each for each in said] == [True, False, True]


def test_layers_go_into_a_folder_with_their_pixel_size(batch, viewer, qtbot, tmp_path):
    data = np.random.default_rng(0).poisson(100, (24, 32)).astype(np.uint16)
    viewer.add_image(data, name="a/b", scale=(0.5, 0.5), units=("nm", "nm"))
    viewer.add_image(data + 1, name="c")
    viewer.layers.selection = set(viewer.layers)
    run(batch, qtbot)
    assert "'a/b' has no file of its own" in batch.panel.notes.text()

    choose(batch.form.results, True)
    batch.form.out.value = str(tmp_path / "clean")
    run(batch, qtbot)
    assert batch.table.states == ["done", "done"]
    with tifffile.TiffFile(tmp_path / "clean" / "a_b_denoised.tif") as file:
        assert file.asarray() == pytest.approx(data * 0.5)
        assert file.imagej_metadata["unit"] == "nm"
        assert file.pages[0].tags["XResolution"].value[0] == 2


def test_stop_ends_within_a_second_and_start_goes_on(batch, qtbot, tmp_path):
    batch.engine = lambda: FakeEngine(n_stacks=20, pause=0.05)
    choose(batch.form.images, "folder")
    batch.form.folder.value = str(folder_of(tmp_path))
    batch.start()
    assert not batch.form.isEnabled()
    qtbot.waitUntil(lambda: batch.table.states[0] == "done", timeout=10000)
    qtbot.waitUntil(lambda: batch.table.states[1] == "running", timeout=10000)
    begun = time.perf_counter()
    batch.stop()
    qtbot.waitUntil(lambda: not batch.runner.busy, timeout=10000)
    assert time.perf_counter() - begun < 1
    assert batch.table.states == ["done", "stopped", "waiting"]
    assert not (tmp_path / "1_denoised.tif").exists() and batch.form.isEnabled()
    batch.engine = lambda: FakeEngine(n_stacks=20, pause=0)
    run(batch, qtbot)
    assert batch.table.states[1:] == ["done", "done"]


def test_settings_of_reucid_and_networks_that_are_missing(viewer, qtbot, tmp_path):
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Batch")
    assert widget.engine() == Reucid()
    for by, reason in (("trained", "train or load one"), ("file", "Choose the file")):
        choose(widget.form.by, by)
        widget.start()
        assert reason in widget.panel.notes.text() and not widget.runner.busy


def test_named_axes_of_a_layer_are_kept(viewer, tmp_path):
    layer = viewer.add_image(np.zeros((2, 8, 8), np.uint8), axis_labels=("c", "y", "x"))
    assert image_of_layer(layer, tmp_path / "a.tif").axes == "CYX"


def test_commands_take_an_image_and_return_one():
    from npe2 import PluginManager

    y, x = np.mgrid[:64, :64]
    image = np.random.default_rng(0).poisson(50 + 40 * np.sin(x / 2) * np.sin(y / 2))
    run = PluginManager.instance().commands.execute
    result = run("napari-lowdose.denoise_by_reucid", args=(image,), kwargs={"patch_size": 7})
    assert result == pytest.approx(denoise(image, Reucid(patch_size=7)))
