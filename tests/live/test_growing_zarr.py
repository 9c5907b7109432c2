"""A movie that grows: nothing that was appended is lost, and nothing of others is replaced."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr
from zarr.storage import LocalStore

from napari_lowdose.io.readers import read_image
from napari_lowdose.live.growing_zarr import GrowingZarr, RecordedFrame


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "movie.zarr"


def frame(number: int) -> np.ndarray:
    """Return the frame that every process of these tests appends as `number`."""
    return np.random.default_rng(number).poisson(30, (24, 32)).astype(np.uint16)


def movie_of(path: Path, n: int = 3) -> GrowingZarr:
    movie = GrowingZarr.create(path, (24, 32), np.uint16, pixel_size=(0.5, 0.25), unit="nm")
    for number in range(n):
        movie.append(frame(number))
    return movie


def check_frames(pixels: np.ndarray, n: int) -> None:
    np.testing.assert_array_equal(pixels, np.stack([frame(number) for number in range(n)]))


def test_values_dtype_pixel_size_and_the_list_of_frames_are_kept(path: Path) -> None:
    movie = movie_of(path, 0)
    before = time.time()
    for number in range(0, 200, 2):
        movie.append(frame(number // 2), number=number, name=f"scan {number} µ.tif")
    movie.close(history=[{"engine": "None"}])
    file = read_image(path)
    assert file.pixels.dtype == np.uint16
    check_frames(np.asarray(file.pixels), 100)
    assert (file.axes, file.pixel_size, file.unit) == ("TYX", (0.5, 0.25), "nm")
    assert file.history == ({"engine": "None"},)
    frames = GrowingZarr.open(path).frames
    assert [each.number for each in frames] == list(range(0, 200, 2))
    assert frames[1].name == "scan 2 µ.tif"
    assert before - 0.001 <= frames[0].time <= frames[99].time <= time.time()
    yaozarrs.validate_zarr_store(str(path))


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int32", "float32", "float64"])
def test_any_dtype_of_a_camera(path: Path, dtype: str) -> None:
    pixels = np.arange(48).reshape(6, 8).astype(dtype)
    movie = GrowingZarr.create(path, (6, 8), dtype)
    movie.append(pixels)
    movie.append(np.zeros_like(pixels))  # a closed shutter is a frame as well
    movie.close()
    found = np.asarray(read_image(path).pixels)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, [pixels, np.zeros_like(pixels)])
    assert read_image(path).pixel_size is None


def test_it_is_readable_while_it_grows(path: Path) -> None:
    movie = movie_of(path, 0)
    with pytest.raises(ValueError, match="no frame in this recording yet"):
        read_image(path)
    for n in (1, 2):
        movie.append(frame(n - 1))
        check_frames(np.asarray(read_image(path).pixels), n)
    movie.close()


APPENDING = """
import sys
from napari_lowdose.live.growing_zarr import GrowingZarr
from tests.live.test_growing_zarr import frame, movie_of
from pathlib import Path
path = Path(sys.argv[1])
movie = GrowingZarr.open(path) if path.exists() else movie_of(path, 0)
while True:
    movie.append(frame(movie.n_frames))
    print(movie.n_frames, flush=True)
"""


def test_a_killed_process_loses_no_frame_and_another_continues(path: Path) -> None:
    n = 0
    for more in (70, 30):  # more and less than a block
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDING, path],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        appended = n
        while appended < n + more:
            appended = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        lines = process.stdout.read().split()
        process.wait()
        appended = max(appended, *map(int, lines), 0)
        n = len(read_image(path).pixels)
        assert appended <= n <= appended + 1  # killed before it was told
        check_frames(np.asarray(read_image(path).pixels), n)
        check_frames(np.asarray(zarr.open_array(path / "0", mode="r")[:n]), n)
    movie = GrowingZarr.open(path)
    assert movie.n_frames == n
    movie.append(frame(n))
    movie.close()
    check_frames(np.asarray(zarr.open_array(path / "0", mode="r")), n + 1)
    assert not list(path.rglob("*.partial"))
    assert {each.name for each in path.parent.iterdir()} == {"movie.zarr"}


def test_an_incomplete_line_is_a_frame_that_was_not_written(path: Path) -> None:
    movie_of(path, 3)._lock.close()  # as if it was killed
    with open(path / "0" / "frames.txt", "ab") as file:
        file.write(b"3 2026-01-01T00:0")
    assert len(read_image(path).pixels) == 3
    movie = GrowingZarr.open(path)
    movie.append(frame(3))
    movie.close()
    check_frames(np.asarray(read_image(path).pixels), 4)


def test_a_finished_movie_can_be_continued(path: Path) -> None:
    movie_of(path, 2).close()
    movie = GrowingZarr.open(path)
    movie.append(frame(2), 7, 0.0, "last")
    assert movie.frames[-1] == RecordedFrame(7, 0.0, "last")
    movie.close()
    check_frames(np.asarray(read_image(path).pixels), 3)
    assert read_image(path).pixel_size == (0.5, 0.25)


def test_two_do_not_write_at_once(path: Path) -> None:
    movie = movie_of(path)
    with pytest.raises(BlockingIOError, match="being written by another run"):
        GrowingZarr.open(path)
    movie.close()


def test_nothing_is_replaced(path: Path) -> None:
    movie_of(path, 2).close()
    with pytest.raises(FileExistsError, match="choose another name"):
        movie_of(path)
    check_frames(np.asarray(read_image(path).pixels), 2)
    shutil.rmtree(path)
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="choose another name"):
        movie_of(path)
    assert path.read_text() == "precious"
    path.unlink()
    zarr.create_array(path, data=np.zeros((4, 24, 32), np.uint16))
    with pytest.raises(ValueError, match="not a recording of napari-lowdose"):
        GrowingZarr.open(path)
    with pytest.raises(FileNotFoundError):
        GrowingZarr.open(path.with_name("nothing.zarr"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Cannot write into|Not a directory"):
        movie_of(tmp_path / "file" / "movie.zarr")


def test_another_shape_or_dtype_is_refused_and_nothing_is_lost(path: Path) -> None:
    movie = movie_of(path, 2)
    with pytest.raises(ValueError, match="24 x 32 uint16, this one is 32 x 24 uint16"):
        movie.append(frame(2).T)
    with pytest.raises(ValueError, match="uint16, this one is 24 x 32 float32"):
        movie.append(frame(2).astype(np.float32))
    movie.append(frame(2))
    movie.close()
    check_frames(np.asarray(read_image(path).pixels), 3)


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = movie_of(path, 3)

    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(OSError, match=r"No space left on device\): the 3 frames before it are"):
            movie.append(frame(3))
        with pytest.raises(OSError, match="No space left"):
            movie.close()
    check_frames(np.asarray(read_image(path).pixels), 3)
    GrowingZarr.open(path).close()  # with space again
    assert zarr.open_array(path / "0").shape[0] == 3


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_folder_that_is_removed_or_renamed(path: Path) -> None:
    movie = movie_of(path, 3)
    moved = path.rename(path.with_name("mine.zarr"))
    with pytest.raises(OSError, match="removed or renamed"):
        movie.append(frame(3))
    assert not path.exists()
    check_frames(np.asarray(read_image(moved).pixels), 3)


def test_without_frames_nothing_is_left(path: Path) -> None:
    movie_of(path, 0).close()
    assert not list(path.parent.iterdir())
