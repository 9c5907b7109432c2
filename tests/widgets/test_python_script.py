"""The copied script names a file only if the layer shows the whole of it."""

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.layers._source import layer_source

from napari_lowdose import Reucid, denoise
from napari_lowdose.io.readers import read_image
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.layers import layer_file
from napari_lowdose.widgets.python_script import Axes, reucid_script, saving_line

from .conftest import FakeEngine


def layer_from(path, data):
    with layer_source(path=None if path is None else str(path)):
        return Image(data)


@pytest.fixture
def movie():
    return np.random.default_rng(0).poisson(20, (3, 80, 90)).astype(np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_whole_file_is_named(movie, tmp_path, compression):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, compression=compression, photometric="minisblack")
    layer = layer_from(path, movie)
    assert layer_file(layer) == str(path)
    assert LayerRun([], layer, FakeEngine()).path == str(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda movie: movie[:, :40],
        lambda movie: movie[0],
        lambda movie: movie.astype(np.float32),
        lambda movie: movie + np.uint16(1),
    ],
    ids=["cropped", "one frame", "converted", "replaced"],
)
def test_data_that_differ_from_the_file_must_be_saved_first(movie, tmp_path, change):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, photometric="minisblack")
    layer = layer_from(path, movie)
    layer.data = change(movie)
    run = LayerRun([], layer, FakeEngine())
    assert run.path is None
    script = reucid_script(Reucid(), run.path)
    assert str(path) not in script
    assert script.startswith("# ") and "save it as image.tif first" in script


def test_folders_and_missing_files_are_not_named(movie, tmp_path):
    for path in (tmp_path, tmp_path / "missing.dm4", tmp_path / "missing.tif", None):
        assert layer_file(layer_from(path, movie)) is None
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II")
    assert layer_file(layer_from(broken, movie)) is None
    assert layer_file(None) is None


def test_a_stack_of_several_files_is_not_named(viewer, movie, tmp_path):
    for number, frame in enumerate(movie):
        tifffile.imwrite(tmp_path / f"{number}.tif", frame)
    (layer,) = viewer.open(sorted(tmp_path.iterdir()), stack=True, plugin="napari")
    assert layer.data.shape == movie.shape
    assert layer_file(layer) is None


def test_the_script_for_another_format_runs(movie, tmp_path):
    path = tmp_path / "movie.npy"
    np.save(path, movie)
    engine = Reucid(patch_size=5, n_stacks=1, keep=[0, 1])
    script = reucid_script(engine, layer_file(layer_from(path, movie)), frame=(1,))
    made = {}
    exec(script, made)
    np.testing.assert_array_equal(made["clean"], denoise(movie[1], engine))


# ------------------------------------------------------------ what the script leaves


def run_script(script):
    made = {}
    exec(script, made)
    return made


@pytest.mark.parametrize("frame", [(), (1,)])
def test_the_script_saves_its_result_beside_the_input(movie, tmp_path, frame):
    path = tmp_path / "my movie.tif"
    tifffile.imwrite(path, movie, imagej=True, metadata={"axes": "TYX"})
    before = path.read_bytes()
    with layer_source(path=str(path)):
        layer = Image(movie, scale=(3, 0.5, 0.25), units=("s", "nm", "nm"))
    engine = Reucid(patch_size=5, n_stacks=1, keep=[0, 1])
    script = reucid_script(engine, layer_file(layer), frame, axes=Axes.from_layer(layer))
    made = run_script(script)
    saved = tmp_path / ("my movie 1 REUCID.tif" if frame else "my movie REUCID.tif")
    assert made["target"] == saved
    image = read_image(saved)
    np.testing.assert_array_equal(image.pixels, denoise(movie[frame] if frame else movie, engine))
    assert image.axes == ("YX" if frame else "TYX")
    np.testing.assert_allclose(image.pixel_size, (0.5, 0.25))
    assert image.unit == "nm"
    assert path.read_bytes() == before


def test_the_script_never_replaces_a_file(movie, tmp_path):
    path = tmp_path / "frame.tif"
    tifffile.imwrite(path, movie[0])
    there = tmp_path / "frame REUCID.tif"
    there.write_bytes(b"precious")
    with pytest.raises(SystemExit, match="exists already"):
        run_script(reucid_script(Reucid(), str(path)))
    assert there.read_bytes() == b"precious"


def test_the_script_without_a_file_runs_on_the_saved_layer(movie, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = reucid_script(Reucid(patch_size=5, n_stacks=1, keep=[0, 1]), None)
    tifffile.imwrite("image.tif", movie[0])
    run_script(script)
    assert read_image("image REUCID.tif").pixels.shape == movie[0].shape


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (None, "TYX"),
        (("z", "y", "x"), "ZYX"),
        (("c", "t", "y", "x"), "CTYX"),
        (("a", "t", "y", "x"), "TZYX"),
        (("t", "time", "y", "x"), "TZYX"),
    ],
)
def test_any_axes_can_be_saved(tmp_path, monkeypatch, labels, names):
    monkeypatch.chdir(tmp_path)
    ndim = len(labels or names)
    layer = Image(np.zeros((3,) * (ndim - 2) + (20, 30)), axis_labels=labels, scale=(-2,) * ndim)
    axes = Axes.from_layer(layer)
    assert axes.names == names
    clean = np.random.default_rng(0).normal(size=layer.data.shape).astype(np.float32)
    exec(saving_line("'out.tif'", "clean", axes), {"tifffile": tifffile, "clean": clean})
    np.testing.assert_array_equal(tifffile.imread("out.tif"), clean)


def test_the_script_explains_how_to_view_the_result(movie):
    script = reucid_script(Reucid(), "a.tif", axes=Axes("YX", (0.5, 0.5), "nm"))
    (looked,) = [line for line in script.splitlines() if "add_image(clean" in line]
    assert looked == '# viewer.add_image(clean, name="clean", scale=(0.5, 0.5))'
    to_look = script[script.index("# import napari") :].replace("# ", "")
    assert "napari.run()" in to_look
    compile(to_look, "script", "exec")
