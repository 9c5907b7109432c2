import threading
import time

import numpy as np
import pytest

from napari_lowdose.live.feed import Feed, IterableSource


def test_the_newest_frame_wins_and_the_others_are_counted():
    feed = Feed()
    for value in range(5):
        feed.put(np.full((4, 4), value))
    feed.end()
    (frame,) = feed
    assert frame.pixels[0, 0] == 4 and frame.number == 4
    assert (feed.n_in, feed.n_dropped) == (5, 4)


def test_every_frame_is_read_if_the_source_waits():
    feed = Feed(newest=False)
    IterableSource(np.full((4, 4), value) for value in range(50)).start(feed)
    assert [frame.pixels[0, 0] for frame in feed] == list(range(50))
    assert feed.n_dropped == 0


@pytest.mark.parametrize("kind", ["lists", "lazy", "tensors"])
def test_frames_of_other_libraries_become_arrays(kind):
    movie = np.arange(32.0).reshape(2, 4, 4)
    if kind == "lazy":
        given = pytest.importorskip("dask.array").from_array(movie, chunks=(1, 2, 4))
    else:
        given = pytest.importorskip("torch").tensor(movie) if kind == "tensors" else movie.tolist()
    feed = Feed(newest=False)
    IterableSource(given).start(feed)
    frames = [frame.pixels for frame in feed]
    assert all(type(pixels) is np.ndarray for pixels in frames)
    np.testing.assert_array_equal(frames, movie)


def test_what_is_no_frame_ends_the_run_with_a_sentence():
    feed = Feed(newest=False)
    IterableSource([np.zeros((4, 4)), "b.tif"]).start(feed)
    with pytest.raises(ValueError, match="the frame is a path"):
        list(feed)


def test_a_put_never_waits_for_the_reader():
    feed = Feed()
    begun = time.perf_counter()
    for _ in range(1000):
        feed.put(np.zeros((4, 4)))
    assert time.perf_counter() - begun < 0.5


def test_watchers_see_dropped_frames_as_well():
    feed, seen = Feed(), []
    feed.watch(lambda frame: seen.append(frame.number))
    for _ in range(3):
        feed.put(np.zeros((4, 4)))
    assert seen == [0, 1, 2]


def test_the_error_of_a_source_reaches_the_reader_after_the_last_frame():
    def unplugged():
        yield np.zeros((4, 4))
        raise OSError("the cable is out")

    feed = Feed(newest=False)
    IterableSource(unplugged()).start(feed)
    reader = iter(feed)
    assert next(reader).number == 0
    with pytest.raises(OSError, match="the cable is out"):
        next(reader)


def test_close_wakes_a_waiting_reader_and_a_waiting_source():
    feed = Feed(newest=False)
    feed.put(np.zeros((4, 4)))
    source = threading.Thread(target=feed.put, args=(np.zeros((4, 4)),))
    source.start()
    threading.Timer(0.05, feed.close).start()
    source.join(5)
    assert not source.is_alive()
    assert list(feed) == []


def test_a_reader_who_ends_with_a_frame_does_not_hide_it_from_the_watchers():
    for _ in range(50):
        feed, seen = Feed(), []
        feed.watch(lambda frame, seen=seen: seen.append(frame.number))
        source = threading.Thread(target=feed.put, args=(np.zeros((4, 4)),))
        source.start()
        next(iter(feed))
        feed.close()
        source.join(5)
        assert seen == [0]
