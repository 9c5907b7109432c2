"""A recording never holds the source up, and says what is missing."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_lowdose import LiveRun
from napari_lowdose.engine import Engine, Step
from napari_lowdose.io.readers import read_image
from napari_lowdose.io.zarr_folder import own_attributes
from napari_lowdose.live.feed import Feed, IterableSource, LiveFrame
from napari_lowdose.live.growing_zarr import GrowingZarr
from napari_lowdose.live.recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "movie.zarr"


def frames(n: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).poisson(9, (n, 32, 32)).astype(dtype)


def live(pixels: np.ndarray, number: int) -> LiveFrame:
    return LiveFrame(pixels, number, time.perf_counter())


def pixels_in(path: Path) -> np.ndarray:
    return np.asarray(read_image(path).pixels)


@dataclass(frozen=True)
class Double(Engine):
    """Doubles a frame, so that a recording can be compared with it."""

    factor: float = 2.0

    def frame_steps(self, *given: Any) -> Iterator[Step]:
        yield Step(
            fraction=1.0, message="done", image=np.asarray(self.factor * given[0], np.float32)
        )


class Calibrated(IterableSource):
    """Frames of an iterable, whose pixel size is known from the start on."""

    def start(self, feed: Feed) -> None:
        self.pixel_size, self.unit = (0.25, 0.5), "nm"
        super().start(feed)


def test_raw_and_denoised_frames_of_a_run(path: Path) -> None:
    movie = frames(20)
    run = LiveRun(Calibrated(movie), Double(), newest=False)
    recorder = run.record(path, raw=True, clean=True)
    assert sum(step.image is not None for step in run) == 20
    assert not recorder.writing and recorder.error is None
    assert recorder.summary == "raw: 20 frames; denoised: 20 frames"
    raw, clean = path.with_name("movie_raw.zarr"), path.with_name("movie_clean.zarr")
    assert pixels_in(raw).dtype == np.uint16 and pixels_in(clean).dtype == np.float32
    np.testing.assert_array_equal(pixels_in(raw), movie)
    np.testing.assert_array_equal(pixels_in(clean), 2 * movie)
    for file in (read_image(raw), read_image(clean)):
        assert (file.axes, file.pixel_size, file.unit) == ("TYX", (0.25, 0.5), "nm")
    assert read_image(raw).history == ()
    (record,) = read_image(clean).history
    assert record["engine"] == "Double" and record["parameters"] == {"factor": 2.0}
    assert record["input"] == {"shape": [32, 32], "dtype": "uint16"}
    assert "napari-lowdose" in record["versions"] and record["first_frame"] == 0
    ours = own_attributes(raw)
    assert ours is not None and ours["recording"] == {"n_missed": 0, "missed": []}


def test_what_is_dropped_on_screen_is_not_dropped_on_disk(path: Path) -> None:
    movie = frames(30)
    released = threading.Event()

    def camera() -> Iterator[np.ndarray]:
        yield from movie
        released.set()

    run = LiveRun(camera(), Double())
    run.record(path)
    n_shown = 0
    for _ in run:
        released.wait(10)
        n_shown += 1
    assert n_shown < 30 and run.feed.n_dropped == 30 - n_shown
    np.testing.assert_array_equal(pixels_in(path), movie)


def slow_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let `GrowingZarr.append` wait for the event that is returned."""
    ready, append = threading.Event(), GrowingZarr.append

    def slow(self: GrowingZarr, *rest: Any) -> None:
        ready.wait(10)
        append(self, *rest)

    monkeypatch.setattr(GrowingZarr, "append", slow)
    return ready


def test_a_slow_disk_holds_nobody_up_and_the_missing_frames_are_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = slow_disk(monkeypatch)
    movie = frames(100)
    recorder = Recorder(path, max_bytes=5 * movie[0].nbytes)
    begun = time.perf_counter()
    for number, pixels in enumerate(movie[:50]):
        recorder.put_raw(live(pixels, number))
    assert time.perf_counter() - begun < 0.5
    ready.set()
    while recorder.raw.n_written + recorder.raw.n_missed < 50:  # type: ignore[union-attr]
        time.sleep(0.01)
    recorder.put_raw(live(movie[50], 50))
    summary = recorder.close()
    track = recorder.raw
    assert track is not None and 44 <= track.n_missed <= 45
    assert summary == f"{track.n_written} frames, {track.n_missed} missed"
    ((first, last),) = track.missed
    written = [*range(first), 50]
    assert last == 49
    np.testing.assert_array_equal(pixels_in(path), movie[written])
    assert [frame.number for frame in GrowingZarr.open(path).frames] == written
    ours = own_attributes(path)
    assert ours is not None
    assert ours["recording"] == {"n_missed": track.n_missed, "missed": [[first, last]]}


def test_close_does_not_wait_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = slow_disk(monkeypatch)
    recorder = Recorder(path)
    for number, pixels in enumerate(frames(10)):
        recorder.put_raw(live(pixels, number))
    assert "the disk does not answer" in recorder.close(timeout=0.05)
    ready.set()
    recorder.close()
    recorder._thread.join(10)
    assert recorder.summary == "1 frames, 9 missed"
    assert len(pixels_in(path)) == 1


def test_close_without_waiting(path: Path) -> None:
    recorder = Recorder(path)
    for number, pixels in enumerate(frames(10)):
        recorder.put_raw(live(pixels, number))
    recorder.close(wait=False)
    recorder._thread.join(10)
    assert not recorder.writing and len(pixels_in(path)) == 10


def test_an_error_of_the_disk_ends_the_recording_and_not_the_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = GrowingZarr.append

    def full(self: GrowingZarr, *rest: Any) -> None:
        if self.n_frames == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, *rest)

    monkeypatch.setattr(GrowingZarr, "append", full)
    movie = frames(10)
    run = LiveRun(iter(movie), Double(), newest=False)
    recorder = run.record(path)
    assert len(list(run)) == 10
    assert isinstance(recorder.error, OSError) and "No space left" in recorder.summary
    assert recorder.raw is not None and recorder.raw.n_written == 3
    np.testing.assert_array_equal(pixels_in(path), movie[:3])
    assert recorder.raw.n_missed == 7


def test_another_shape_or_dtype_begins_another_movie(path: Path) -> None:
    small, wide = frames(6), np.zeros((2, 32, 64), np.uint16)
    recorder = Recorder(path)
    each = [*small[:3], *wide, *small[3:], *small.astype(np.uint8)]
    for number, pixels in enumerate(each):
        recorder.put_raw(live(pixels, number))
    recorder.close()
    assert recorder.raw is not None
    assert [p.name for p in recorder.raw.paths] == ["movie.zarr", "movie_2.zarr", "movie_3.zarr"]
    first, second, third = map(pixels_in, recorder.raw.paths)
    np.testing.assert_array_equal(first, small)
    np.testing.assert_array_equal(second, wide)
    np.testing.assert_array_equal(third, small)
    assert third.dtype == np.uint8


def test_the_recording_of_a_source_that_fails_is_kept(path: Path) -> None:
    movie = frames(5)

    def unplugged() -> Iterator[np.ndarray]:
        yield from movie
        raise OSError("the cable is out")

    run = LiveRun(unplugged(), Double())
    run.record(path)
    with pytest.raises(OSError, match="the cable is out"):
        list(run)
    np.testing.assert_array_equal(pixels_in(path), movie)


def test_a_recording_in_the_middle_of_a_run(path: Path) -> None:
    movie = frames(30)
    run = LiveRun(iter(movie), Double(), newest=False)
    for step in run:
        if step.frame.number == 9:
            run.record(path, raw=False, clean=True)
        if step.frame.number == 19:
            assert run.stop_recording() == "10 frames"
    np.testing.assert_array_equal(pixels_in(path), 2 * movie[10:20])
    with pytest.raises(ValueError, match="the run has ended"):
        run.record(path.with_name("another.zarr"))
    assert [frame.number for frame in GrowingZarr.open(path).frames] == list(range(10, 20))


def test_the_record_names_each_engine_from_its_first_frame_on(path: Path) -> None:
    recorder = Recorder(path, raw=False, clean=True)
    movie = frames(3)
    run = LiveRun(iter(movie), Double(), newest=False)
    for step, engine in zip(run, (Double(), Double(), Half()), strict=True):
        recorder.put_clean(step, engine)
    recorder.close()
    records = read_image(path).history
    found = [(record["engine"], record["first_frame"]) for record in records]
    assert found == [("Double", 0), ("Half", 2)]


@dataclass(frozen=True)
class Half(Double):
    factor: float = 0.5


def test_nothing_is_replaced_and_nothing_left_for_no_frames(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="choose another name"):
        Recorder(path)
    assert path.read_text() == "precious"
    path.unlink()
    assert Recorder(path).close() == "0 frames"
    assert not list(path.parent.iterdir())
    with pytest.raises(ValueError, match="Choose what to record"):
        Recorder(path, raw=False)
