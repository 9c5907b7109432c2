"""What becomes of the input after a run has begun changes nothing of its result."""

import dask.array as da
import numpy as np
import pytest

from napari_lowdose import Reucid, denoise
from napari_lowdose.widgets import layer_run as module
from napari_lowdose.widgets.layer_run import snapshot

from .conftest import FakeEngine, finish
from .fake_pair_engine import FakeNoise2Noise


@pytest.fixture
def stack():
    return np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)


@pytest.mark.parametrize("all_frames", [False, True])
def test_data_changed_in_place_right_after_the_start(docked, qtbot, stack, all_frames):
    before = stack.copy()
    widget = docked(stack, FakeEngine())
    widget.form.frames.setCurrentIndex(int(all_frames))
    widget.viewer.dims.set_current_step(0, 1)
    widget.form.with_residual.setChecked(True)
    widget.denoise()
    stack[:] = 7
    finish(qtbot, widget)
    result, residual = widget.viewer.layers[1:]
    expected = before / 2 if all_frames else before[1:2] / 2
    np.testing.assert_allclose(result.data, expected)
    np.testing.assert_allclose(np.asarray(residual.data), expected)


def test_toggling_twice_restores_the_result_although_the_input_changed(docked, qtbot, noisy):
    widget = docked(noisy)
    widget.form.patch_size.value = 11
    widget.denoise()
    finish(qtbot, widget)
    result = widget.viewer.layers[1]
    picture = result.data.copy()
    widget.viewer.layers[0].data[:] = 0
    widget.viewer.layers[0].refresh()
    widget.gallery.toggled.emit(0, 0)
    finish(qtbot, widget)
    assert np.abs(result.data - picture).max() > 1
    widget.gallery.toggled.emit(0, 0)
    finish(qtbot, widget)
    np.testing.assert_allclose(result.data, picture, rtol=1e-5)


def test_a_large_stack_is_copied_frame_by_frame_as_it_is_read(stack, monkeypatch):
    monkeypatch.setattr(module, "MAX_COPY_BYTES", 0)
    before = stack.copy()
    taken = snapshot(stack)
    assert taken.shape == stack.shape and taken.dtype == stack.dtype
    np.testing.assert_array_equal(np.asarray(taken[1]), before[1])
    stack[:] = 7
    np.testing.assert_array_equal(np.asarray(taken[1]), before[1])
    assert (np.asarray(taken[2]) == 7).all()  # its turn had not come


def test_a_frame_that_was_not_kept_and_has_changed_is_refused(stack, monkeypatch):
    monkeypatch.setattr(module, "MAX_COPY_BYTES", 0)
    monkeypatch.setattr(module, "MAX_FRAMES_BYTES", stack[0].nbytes)
    taken = snapshot(stack)
    for number in range(3):
        np.asarray(taken[number])
    stack[2, 5, 5] += 1
    np.asarray(taken[0])
    np.asarray(taken[1])
    with pytest.raises(ValueError, match="changed since it was denoised"):
        np.asarray(taken[2])


def test_a_lazy_frame_is_read_once(stack):
    reads = []

    def read(block_info=None):
        reads.append(block_info[None]["array-location"])
        return stack[:1]

    lazy = da.map_blocks(read, chunks=((1, 1, 1), (32,), (40,)), dtype=stack.dtype)
    taken = snapshot(lazy)
    for _ in range(3):
        np.asarray(taken[1])
    assert len(reads) == 1


@pytest.mark.parametrize("lazy", [False, True])
def test_a_mask_is_not_dropped(stack, lazy):
    masked = np.ma.masked_less(stack, 15)
    if lazy:
        masked = da.from_array(masked, chunks=(1, 32, 40), asarray=False)
    taken = snapshot(masked)
    frame = taken[1].compute() if lazy else taken[1]
    assert np.ma.is_masked(frame)
    np.testing.assert_array_equal(np.ma.getmaskarray(frame), stack[1] < 15)


def test_the_network_is_trained_on_the_pair_as_it_was(docked_pair, qtbot, truth):
    first, second = np.random.default_rng(0).poisson(truth, (2, *truth.shape)).astype(np.uint16)
    before = first.copy(), second.copy()
    trained = []

    class Watched(FakeNoise2Noise):
        def prepare(self, given):
            trained.extend(given.exposures)
            return (yield from super().prepare(given))

    widget = docked_pair(first, second, Watched())
    widget.train()
    first[:] = second[:] = 7
    finish(qtbot, widget)
    expected = before[0] / 2 + before[1] / 2
    np.testing.assert_allclose(widget.viewer.layers[-1].data, expected, rtol=1e-5)
    np.testing.assert_array_equal(trained, before)


def test_a_copy_of_a_single_image_does_not_change_the_result(docked, qtbot, noisy):
    widget = docked(noisy.astype(np.float64)[::2, ::2])  # not contiguous
    widget.form.patch_size.value = 7
    widget.form.n_stacks.setValue(1)
    widget.denoise()
    finish(qtbot, widget)
    expected = denoise(noisy.astype(np.float64)[::2, ::2], Reucid(patch_size=7, n_stacks=1))
    np.testing.assert_array_equal(widget.viewer.layers[1].data, expected)
