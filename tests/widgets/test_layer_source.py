"""The frames of an image layer, however something else updates it."""

import numpy as np
import pytest
import zarr
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication

from napari_lowdose.live.feed import Feed
from napari_lowdose.widgets.live.layer_source import LayerSource


def noise(seed, shape=(40, 50)):
    return np.random.default_rng(seed).poisson(9, shape).astype(np.uint16)


@pytest.fixture
def follow(viewer):
    """Return a function: layer data and options to the layer, its source, and the frames put."""
    parents = []

    def follow(data, **options):
        layer = viewer.add_image(data, name="preview", **options)
        parents.append(QObject())
        source, feed, frames = LayerSource(viewer, layer, parents[-1]), Feed(), []
        feed.watch(lambda frame: frames.append(frame.pixels))
        source.start(feed)
        source.feed = feed
        return layer, source, frames

    yield follow
    for parent in parents:
        parent.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def arrives(qtbot, frames, pixels):
    qtbot.waitUntil(lambda: np.array_equal(frames[-1], pixels), timeout=5000)


def test_a_new_array_is_seen_at_once_and_each_time(follow):
    layer, _, frames = follow(noise(0))
    for seed in range(1, 5):
        layer.data = noise(seed)
    assert [frame.tolist() for frame in frames] == [noise(seed).tolist() for seed in range(5)]
    layer.data = noise(4)  # of the same pixels, but somebody says that it is new
    assert len(frames) == 6


@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("refreshes", [True, False])
def test_writing_into_the_array_is_seen_and_the_frame_is_a_copy(follow, qtbot, visible, refreshes):
    data = noise(0)
    layer, _, frames = follow(data, visible=visible)
    for seed in (1, 2):
        data[:] = noise(seed)
        if refreshes:
            layer.refresh()
        arrives(qtbot, frames, noise(seed))
    np.testing.assert_array_equal(frames[0], noise(0))


def test_in_place_and_then_assigned_is_one_frame(follow, qtbot):
    data = noise(0)
    layer, _, frames = follow(data)
    qtbot.wait(30)
    data[:] = noise(1)
    layer.data = data
    qtbot.wait(100)
    assert len(frames) == 2


def test_what_the_user_does_is_no_new_frame(follow, viewer, qtbot):
    layer, _, frames = follow(noise(0, (5, 40, 50)))
    layer.contrast_limits = (0, 3)
    layer.gamma = 0.5
    layer.visible = False
    layer.visible = True
    for step in (1, 3, 0):
        viewer.dims.set_current_step(0, step)
        qtbot.wait(30)
    layer.refresh()
    qtbot.wait(50)
    assert len(frames) == 1


def test_the_frame_in_view_of_a_stack(follow, viewer, qtbot):
    data = noise(0, (5, 40, 50))
    _, _, frames = follow(data)
    viewer.dims.set_current_step(0, 3)
    qtbot.wait(30)
    data[1] = noise(1)  # not in view
    qtbot.wait(60)
    assert len(frames) == 1
    data[3] = noise(2)
    arrives(qtbot, frames, noise(2))


@pytest.mark.parametrize("leading", [(3,), (3, 2)])
def test_the_newest_frame_of_a_stack_that_grows(follow, viewer, leading):
    layer, _, frames = follow(noise(0, (*leading, 40, 50)))
    viewer.dims.set_current_step(0, 1)
    in_view = (-1, *(0,) * (len(leading) - 1))
    for seed in range(1, 4):
        layer.data = np.concatenate([layer.data, noise(seed, (1, *leading[1:], 40, 50))])
        np.testing.assert_array_equal(frames[-1], layer.data[in_view])
        viewer.dims.set_current_step(0, 0)  # the user looks at the first
    assert len(frames) == 4


@pytest.mark.parametrize("blank", [0, np.nan])
@pytest.mark.parametrize("in_zarr", [False, True])
def test_a_stack_that_is_filled(follow, viewer, qtbot, blank, in_zarr):
    data = np.full((9, 40, 50), blank, np.float32)
    data[:2] = noise(0, (2, 40, 50))
    if in_zarr:
        data = zarr.array(data, chunks=(1, 40, 50))
    _, _, frames = follow(data)
    np.testing.assert_array_equal(frames[-1], data[1])
    for n in range(2, 9):
        data[n] = noise(n)
        arrives(qtbot, frames, noise(n))
    data[3:5] = noise(20, (2, 40, 50))  # not the newest
    viewer.dims.set_current_step(0, 4)
    qtbot.wait(60)
    assert len(frames) == 8


def test_nothing_is_put_of_a_stack_that_is_empty_so_far(follow, qtbot):
    data = np.zeros((9, 40, 50), np.uint16)
    _, _, frames = follow(data)
    qtbot.wait(50)
    assert not frames
    data[0] = noise(1)
    qtbot.waitUntil(lambda: bool(frames))


def test_many_frames_at_once(follow, qtbot):
    data = np.zeros((1000, 8, 8), np.uint16)
    data[:1] = noise(0, (8, 8))
    _, _, frames = follow(data)
    data[:700] = noise(1, (700, 8, 8))
    arrives(qtbot, frames, data[699])


def test_a_changed_shape_and_dtype(follow, qtbot):
    layer, _, frames = follow(noise(0))
    for pixels in (noise(1, (30, 20)), np.float32(noise(2)), noise(3, (4, 30, 20))):
        layer.data = pixels
        expected = pixels[0] if pixels.ndim == 3 else pixels
        np.testing.assert_array_equal(frames[-1], expected)
        assert frames[-1].dtype == pixels.dtype


def test_the_pixel_size_follows_the_objective(follow):
    layer, source, _ = follow(noise(0), scale=(0.5, 0.25), units=("nm", "nm"))
    assert (source.pixel_size, source.unit) == ((0.5, 0.25), "nm")
    layer.scale = (0.1, 0.1)
    layer.data = noise(1)
    assert source.pixel_size == pytest.approx((0.1, 0.1))


def test_a_removed_layer_ends_the_feed_in_a_sentence(follow, viewer):
    layer, source, _ = follow(noise(0))
    viewer.layers.remove(layer)
    reader = iter(source.feed)
    next(reader)
    with pytest.raises(ValueError, match=r"^The layer 'preview' was removed\.$"):
        next(reader)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(np.zeros((9, 9, 3), np.uint8), "colour image"), (np.zeros((9, 9), bool), "mask")],
)
def test_refused(viewer, data, reason):
    with pytest.raises(ValueError, match=reason):
        LayerSource(viewer, viewer.add_image(data, rgb=data.ndim == 3), QObject())


def test_after_its_end_nothing_is_connected(follow, qtbot):
    layer, source, frames = follow(noise(0))
    before = len(layer.events.data.callbacks)
    source.stop()
    layer.data = noise(1)
    source.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert len(layer.events.data.callbacks) == before - 1
    layer.data = noise(2)
    assert len(frames) == 1
