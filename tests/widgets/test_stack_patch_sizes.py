"""The frames of a movie have one patch size, which is shown before a run; channels their own."""

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.layers._source import layer_source
from scipy.ndimage import gaussian_filter

from napari_lowdose import Reucid, denoise, denoise_steps
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid import StackStep
from napari_lowdose.reucid.stack_patch_sizes import (
    StackPatchSizes,
    StackReucid,
    find_patch_sizes,
)
from napari_lowdose.widgets.layers import axis_names, channel_axis
from napari_lowdose.widgets.reucid.patch_sizes import stack_engine

from .conftest import finish


def blobs(width, seed):
    """A scene as seen through a PSF, in counts."""
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.normal(size=(72, 80)), width)
    return rng.poisson(60 * (1 + 0.8 * scene / np.abs(scene).max())).astype(np.uint16)


@pytest.fixture(scope="module")
def movie():
    return np.stack([blobs(1.2, seed) for seed in range(8)])


@pytest.fixture(scope="module")
def channels():
    return np.stack([blobs(6, 1), blobs(1, 2), blobs(1, 3)])


def widths(engine, stack):
    return [run_to_end(engine.find_patch_size([frame]))[0] for frame in stack]


def test_the_frames_of_a_movie_share_the_patch_size_of_most(movie):
    odd_one_out = movie.copy()
    odd_one_out[0] = blobs(6, 9)
    engine = Reucid(patch_size="psf")
    alone = widths(engine, odd_one_out)
    assert alone[0] > 2 * max(alone[1:])
    sizes = run_to_end(find_patch_sizes(engine, odd_one_out))
    assert set(sizes.found) == {()}
    assert sizes.at((3,)).width in alone[1:]


def test_black_and_invalid_frames_do_not_influence_the_patch_size(movie):
    stack = movie.astype(np.float32)
    stack[0], stack[3, 4, 5] = 0, np.nan
    sizes = run_to_end(find_patch_sizes(Reucid(patch_size="psf"), stack))
    assert sizes.at((0,)).width in widths(Reucid(patch_size="psf"), movie)
    black = run_to_end(find_patch_sizes(Reucid(), np.zeros((3, 32, 32))))
    assert black.engine_at(Reucid(), (1,)) == Reucid()


@pytest.mark.parametrize("named", [False, True])
def test_each_channel_has_its_own_size(channels, named):
    engine = Reucid(patch_size="psf")
    alone = widths(engine, channels)
    sizes = run_to_end(find_patch_sizes(engine, channels, 0 if named else None))
    assert [sizes.at((c,)).width for c in range(3)] == alone
    assert bool(sizes.note()) != named


def test_a_named_axis_is_never_guessed_to_be_channels(channels):
    sizes = run_to_end(find_patch_sizes(Reucid(patch_size="psf"), channels, may_guess=False))
    assert set(sizes.found) == {()}


def test_channels_of_a_movie(channels):
    stack = np.stack([channels[:2]] * 2)  # (T, C, Y, X)
    sizes = run_to_end(find_patch_sizes(Reucid(patch_size="psf"), stack, 1))
    assert sizes.at((0, 0)) == sizes.at((1, 0)) != sizes.at((0, 1))


def test_channels_are_denoised_as_if_each_were_alone(channels):
    engine = Reucid(patch_size="psf", n_stacks=1)
    of = StackReucid(engine, channels, channel_axis=0)
    clean = denoise(channels, of)
    for c, channel in enumerate(channels):
        np.testing.assert_array_equal(clean[c], denoise(channel, engine))


def test_the_current_frame_has_the_patch_size_of_all_frames(movie):
    engine = Reucid(patch_size="psf", n_stacks=1)
    everything = denoise(movie, StackReucid(engine, movie))
    one = denoise(movie[5], StackReucid(engine, movie, (5,)))
    np.testing.assert_array_equal(one, everything[5])


def test_a_wide_patch_is_marked_as_wide(movie):
    of = StackReucid(Reucid(patch_size="wide"), movie, (2,))
    steps = [step for step in denoise_steps(movie[2], of) if isinstance(step, StackStep)]
    assert steps and all(step.wide for step in steps)


def test_in_the_widget(docked, qtbot, channels):
    widget = docked(channels, axis_labels=("c", "y", "x"))
    form, dims = widget.form, widget.viewer.dims
    form.patch_size.value = "psf"
    shown = []
    for c in range(3):
        dims.set_current_step(0, c)
        shown.append(form.patch_size.pixels.value())
    assert shown == widths(Reucid(patch_size="psf"), channels)
    form.n_stacks.setValue(1)
    form.frames.setCurrentIndex(1)
    widget.denoise()
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    steps = result.metadata["napari-lowdose"]["steps"]
    assert [step["patch_size"] for step in steps] == shown
    assert result.metadata["napari-lowdose"]["engine"] == "Reucid"
    assert result.metadata["napari-lowdose"]["parameters"]["patch_size"] == "psf"
    made = {}
    exec(script_on(widget.script(), channels), made)
    np.testing.assert_array_equal(made["clean"], result.data)
    form.frames.setCurrentIndex(0)
    widget.denoise()
    finish(qtbot, widget)
    np.testing.assert_array_equal(widget.viewer.layers[-1].data[0], result.data[2])


def script_on(script, image):
    """Return `script` on an array, without its file."""
    begin, end = script.index("\nsource ="), script.index("clean =")
    script = script[:begin] + "\nimage = given\n" + script[end : script.index("tifffile.imwrite")]
    globals()["given"] = image
    return f"from {__name__} import given\n" + script


def test_auto_shows_the_automatic_patch_size(docked, qtbot, movie):
    widget = docked(movie)
    field = widget.form.patch_size
    assert field.mode.currentData() == "auto"
    assert field.pixels.text() == f"{field.automatic} px"
    auto = run_to_end(find_patch_sizes(Reucid(), movie)).at(())
    assert field.automatic == auto.width
    widget.form.frames.setCurrentIndex(0)
    widget.form.n_stacks.setValue(1)
    widget.denoise()
    finish(qtbot, widget)
    assert f"patch size {auto.width} px" in widget.panel.status.text()


def test_guessed_channels_are_reported(docked, qtbot, channels):
    widget = docked(channels)
    widget.form.patch_size.value = "psf"
    widget.form.n_stacks.setValue(1)
    widget.form.frames.setCurrentIndex(1)
    widget.denoise()
    finish(qtbot, widget)
    assert "as channels do: each has its own" in widget.panel.notes.text()
    assert "partial" not in widget.gallery.title.text()


# ------------------------------------------------------------------- what axes are


@pytest.mark.parametrize(
    ("labels", "axis"),
    [(("c", "y", "x"), 0), (("t", "Channel", "y", "x"), 1), (("t", "y", "x"), None), (None, None)],
)
def test_channels_by_the_labels_of_a_layer(labels, axis):
    layer = Image(np.zeros((4,) * (len(labels or "...") - 2) + (20, 30)), axis_labels=labels)
    assert channel_axis(axis_names(layer)) == axis


@pytest.mark.parametrize("axes", ["CYX", "TYX"])
def test_channels_by_the_axes_of_the_file(tmp_path, channels, axes):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, channels, imagej=True, metadata={"axes": axes})
    with layer_source(path=str(path)):
        layer = Image(channels)
    assert axis_names(layer) == tuple(axes.lower())
    of = stack_engine(Reucid(), layer)
    assert of.channel_axis == (0 if axes == "CYX" else None)
    assert not of.may_guess


def test_only_a_few_frames_of_a_lazy_stack_are_read(movie):
    reads = []

    def read(block_id):
        reads.append(block_id[0])
        return movie[:1]

    lazy = da.map_blocks(
        read, chunks=((1,) * 40, (72,), (80,)), dtype=movie.dtype, meta=movie[:0, :0, :0]
    )
    sizes = run_to_end(find_patch_sizes(Reucid(patch_size="psf"), lazy))
    assert isinstance(sizes, StackPatchSizes)
    assert len(reads) == 5 and {0, 39} <= set(reads)
