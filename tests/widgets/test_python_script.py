"""The copied script names a file only if the layer shows the whole of it."""

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.layers._source import layer_source

from napari_lowdose import Reucid, denoise
from napari_lowdose.widgets.layer_file import file_of
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.python_script import reucid_script

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
    assert file_of(layer) == str(path)
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
def test_other_data_than_the_file_has_are_to_be_saved_first(movie, tmp_path, change):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, photometric="minisblack")
    layer = layer_from(path, movie)
    layer.data = change(movie)
    run = LayerRun([], layer, FakeEngine())
    assert run.path is None
    script = reucid_script(Reucid(), run.path)
    assert str(path) not in script
    assert script.startswith("# ") and "save it as image.tif first" in script


def test_a_folder_a_missing_file_and_no_file_are_not_named(movie, tmp_path):
    for path in (tmp_path, tmp_path / "missing.dm4", tmp_path / "missing.tif", None):
        assert file_of(layer_from(path, movie)) is None
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II")
    assert file_of(layer_from(broken, movie)) is None
    assert file_of(None) is None


def test_a_stack_of_several_files_is_not_named(make_napari_viewer, movie, tmp_path):
    for number, frame in enumerate(movie):
        tifffile.imwrite(tmp_path / f"{number}.tif", frame)
    viewer = make_napari_viewer()
    (layer,) = viewer.open(sorted(tmp_path.iterdir()), stack=True, plugin="napari")
    assert layer.data.shape == movie.shape
    assert file_of(layer) is None


def test_the_script_for_another_format_runs(movie, tmp_path):
    path = tmp_path / "movie.npy"
    np.save(path, movie)
    engine = Reucid(patch_size=5, n_stacks=1, keep=[0, 1])
    script = reucid_script(engine, file_of(layer_from(path, movie)), frame=(1,))
    made = {}
    exec(script, made)
    np.testing.assert_array_equal(made["clean"], denoise(movie[1], engine))
