"""What a run leaves in the list of layers."""

import threading

import dask
import dask.array as da
import numpy as np
import pytest

from napari_lowdose.engine import Step
from napari_lowdose.widgets.layer_run import LazyRun
from napari_lowdose.widgets.result_layer import RESIDUAL_KEY

from .conftest import FakeEngine, idle


def watched(movie, reads):
    """Return `movie` as dask, one frame a chunk, that notes which thread reads."""

    def read(number):
        reads.append(threading.current_thread())
        return movie[number]

    delayed = [dask.delayed(read)(n) for n in range(len(movie))]
    return da.stack([da.from_delayed(each, movie.shape[1:], movie.dtype) for each in delayed])


@pytest.mark.parametrize("all_frames", [False, True])
def test_the_residual_of_a_lazy_movie_reads_nothing_until_it_is_shown(docked, qtbot, all_frames):
    movie = np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)
    reads = []
    widget = docked(watched(movie, reads), FakeEngine(n_stacks=1), contrast_limits=(0, 50))
    widget.form.frames.setCurrentIndex(int(all_frames))
    widget.form.with_residual.setChecked(True)
    widget.viewer.dims.set_current_step(0, 0)
    qtbot.wait(400)  # napari reads the frame in view, and the widget the others, some time later
    qtbot.waitUntil(lambda: idle(widget), timeout=20000)
    reads.clear()
    widget.denoise()
    qtbot.waitUntil(lambda: idle(widget), timeout=20000)
    assert len(reads) == (3 if all_frames else 1)  # by the engine
    widget.gallery.toggled.emit(0, 2)
    qtbot.waitUntil(lambda: idle(widget), timeout=20000)
    assert len(reads) == (3 if all_frames else 1)  # the run has kept what it read
    _, result, residual = widget.viewer.layers
    assert not residual.visible
    low, high = residual.contrast_limits
    assert low == -high < 0
    image = movie if all_frames else movie[:1]
    np.testing.assert_allclose(np.asarray(residual.data), image - result.data)


def test_the_residual_of_a_movie_in_memory_is_subtracted_frame_by_frame(docked, qtbot):
    movie = np.random.default_rng(0).poisson(20, (3, 32, 40)).astype(np.uint16)
    widget = docked(movie, FakeEngine())
    widget.form.frames.setCurrentIndex(1)
    widget.form.with_residual.setChecked(True)
    widget.denoise()
    qtbot.waitUntil(lambda: idle(widget), timeout=20000)
    _, result, residual = widget.viewer.layers
    assert residual.data.chunksize == (1, 32, 40)
    assert residual.metadata[RESIDUAL_KEY] == result.name
    assert residual.name == f"{result.name} residual"
    np.testing.assert_allclose(residual.contrast_limits[1], 3 * np.std(movie[0] / 2), rtol=1e-3)


def test_the_residual_of_a_partial_result_is_partial(docked, qtbot):
    going = threading.Event()

    def at(stack):
        if stack == 1:
            going.wait(20)

    image = np.random.default_rng(0).poisson(20, (32, 40))
    widget = docked(image, FakeEngine(at=at))
    widget.form.with_residual.setChecked(True)
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2)
    widget.stop()
    going.set()
    qtbot.waitUntil(lambda: idle(widget), timeout=20000)
    assert [layer.name for layer in widget.viewer.layers][1:] == [
        "input FAKEENGINE (partial)",
        "input FAKEENGINE residual (partial)",
    ]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_lazy_result_has_its_own_contrast(viewer, lazy):
    class Smooth(FakeEngine):
        def frame_steps(self, frame):
            calm = (frame * np.float32(0.01) + 100).astype(np.float32)
            yield Step(fraction=1, message="", image=calm)

    movie = np.random.default_rng(0).normal(100, 30, (4, 32, 40)).astype(np.float32)
    data = da.from_array(movie, chunks=(1, 32, 40)) if lazy else movie
    layer = viewer.add_image(data, contrast_limits=(0, 300))
    result = LazyRun(viewer.layers, layer, Smooth(), "clean").result
    low, high = result.contrast_limits
    shown = np.asarray(result.data[viewer.dims.current_step[0]])
    assert high - low < 1.5 * np.ptp(shown) < 10  # not 300
    assert low <= np.percentile(shown, 1) < np.percentile(shown, 99) <= high
    result.contrast_limits = (99, 103)
    viewer.dims.set_current_step(0, 3)
    assert tuple(result.contrast_limits) == (99, 103)  # set once: then they are the person's


def test_of_equal_results_none_is_called_partial_once_it_is_finished(docked, qtbot, gate):
    image = np.random.default_rng(0).poisson(20, (32, 40)).astype(np.uint16)
    widget = docked(image, FakeEngine(at=gate))
    widget.denoise()
    qtbot.waitUntil(lambda: len(widget.viewer.layers) == 2, timeout=20000)
    widget.stop()
    gate.open.set()
    qtbot.waitUntil(lambda: idle(widget), timeout=20000)
    widget.form.with_residual.setChecked(True)
    for _ in range(2):
        widget.denoise()
        qtbot.waitUntil(lambda: idle(widget), timeout=20000)
    stopped, *finished = [layer.name for layer in widget.viewer.layers[1:]]
    assert stopped.endswith("(partial)")
    assert len(finished) == 4 and not any("partial" in name for name in finished)
