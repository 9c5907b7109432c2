"""Every frame that other programs write comes once, whole, and in order."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_lowdose import Reucid, denoise_live
from napari_lowdose.live.feed import Feed, LiveFrame
from napari_lowdose.live.folder import FolderSource, source_for
from napari_lowdose.live.growing_stack import StackSource
from napari_lowdose.live.growing_zarr import GrowingZarr
from napari_lowdose.live.live_run import LiveRun

if TYPE_CHECKING:
    from pathlib import Path

    from napari_lowdose.live.polled_source import PolledSource

POLL = 0.02


def pixels(seed: int, shape: tuple[int, ...] = (24, 32)) -> np.ndarray:
    fringes = 30 + 20 * np.cos(np.arange(shape[-1]) / 2)
    return np.random.default_rng(seed).poisson(fringes, shape).astype(np.uint16)


def write(path: Path, seed: int = 0, shape: tuple[int, ...] = (24, 32), **options: Any) -> Path:
    tifffile.imwrite(path, pixels(seed, shape), photometric="minisblack", **options)
    return path


class Collected:
    """The frames of a source so far, read in a thread of their own."""

    def __init__(self, source: PolledSource) -> None:
        self.source, self.frames, self.error = source, [], None
        self._feed = Feed(newest=False)
        self._thread = threading.Thread(target=self._read, daemon=True)
        source.start(self._feed)
        self._thread.start()

    @property
    def names(self) -> list[str]:
        return [frame.name for frame in self.frames]

    def wait(self, n: int) -> list[str]:
        """Wait for n frames, and return the names of all."""
        until(lambda: len(self.frames) >= n)
        return self.names

    def wait_for_looks(self, n: int = 4) -> None:
        """Wait until the source has looked n times."""
        looks, done = self.source._look, threading.Semaphore(0)

        def counted() -> bool:
            try:
                return looks()
            finally:
                done.release()

        self.source._look = counted  # type: ignore[method-assign]
        for _ in range(n):
            assert done.acquire(timeout=30)

    def ended(self) -> list[str]:
        """Wait for the end of the source."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.names

    def _read(self) -> None:
        try:
            for frame in self._feed:
                self.frames.append(frame)
        except Exception as error:
            self.error = error


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def watch(told: list[str]) -> Iterator[Callable[..., Collected]]:
    """Collect the frames of a path, with fast polling; stopped at the end."""
    running: list[Collected] = []

    def begin(path: Path, **options: Any) -> Collected:
        options = {"poll": POLL, "tell": lambda notice: told.append(notice.text), **options}
        running.append(Collected(source_for(path, **options)))
        return running[-1]

    yield begin
    for each in running:
        each.source.stop()


def test_files_come_once_in_the_order_of_their_numbers_with_values_and_pixel_size(folder, watch):
    for number in (10, 2, 1):
        write(folder / f"img{number}.tif", number, imagej=True, resolution=(4, 2),
              metadata={"unit": "nm"})  # fmt: skip
    found = watch(folder)
    assert found.wait(3) == ["img1.tif", "img2.tif", "img10.tif"]
    write(folder / "img3.tif", 3)  # late
    assert found.wait(4)[3:] == ["img3.tif"]
    found.wait_for_looks()
    assert len(found.frames) == 4
    for frame, seed in zip(found.frames, (1, 2, 10, 3), strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels(seed))
    assert [frame.number for frame in found.frames] == [0, 1, 2, 3]
    assert (found.frames[0].pixel_size, found.frames[0].unit) == ((0.5, 0.25), "nm")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_that_is_written_in_pieces_comes_when_it_is_whole(folder, watch, compression, told):
    whole = write(folder.parent / "scan.tif", 5, compression=compression).read_bytes()
    found = watch(folder)
    with open(folder / "scan.tif", "wb") as file:
        for piece in np.array_split(np.frombuffer(whole, np.uint8), 5):
            assert found.frames == []
            file.write(piece.tobytes())
            file.flush()
            found.wait_for_looks(4)  # as long as it takes to believe that nothing changes
    assert found.wait(1) == ["scan.tif"]
    np.testing.assert_array_equal(found.frames[0].pixels, pixels(5))
    assert told == []


def test_a_truncated_file_is_given_up_with_a_word_and_comes_once_it_is_mended(folder, watch, told):
    whole = write(folder.parent / "scan.tif", 5).read_bytes()
    (folder / "a.tif").write_bytes(whole[:-100])
    write(folder / "b.tif", 6)
    found = watch(folder, patience=0.1)
    assert found.wait(1) == ["b.tif"]
    until(lambda: bool(told))
    found.wait_for_looks()
    (said,) = told
    assert said.startswith(f"{folder / 'a.tif'}: This TIFF is cut off")
    (folder / "a.tif").write_bytes(whole)
    assert found.wait(2) == ["b.tif", "a.tif"]
    np.testing.assert_array_equal(found.frames[1].pixels, pixels(5))


def test_temporary_and_other_files_are_left_out_and_a_renamed_one_comes(folder, watch, told):
    for name in (".hidden.tif", "~lock.tif", "scan.tif.part", "scan.TMP"):
        shutil.copy(write(folder.parent / "x.tif"), folder / name)
    (folder / "notes.txt").write_text("dwell time 4 us")
    Image.fromarray(pixels(0).astype(np.uint8)).save(folder / "overview.png")
    (folder / "older").mkdir()
    write(folder / "older" / "scan.tif")
    write(folder / "no suffix", 3)
    found = watch(folder)
    found.wait_for_looks()
    assert found.names == ["no suffix"]  # a TIFF, whatever its name
    os.rename(folder / "scan.tif.part", folder / "scan.tif")
    assert found.wait(2)[1:] == ["scan.tif"]
    assert told == []


def test_a_zarr_folder_in_the_folder_is_left_out_with_a_word_but_not_a_result(folder, watch, told):
    zarr.create_array(folder / "scan.zarr", shape=(2, 8, 8), dtype="uint8")
    movie = GrowingZarr.create(folder / "clean.zarr", (8, 8), np.float32)
    write(folder / "a.tif")
    found = watch(folder)
    found.wait(1)
    found.wait_for_looks()
    movie.close()
    assert found.names == ["a.tif"]
    assert told == [f"{folder / 'scan.zarr'}: left out, as it is a folder; watch it by itself."]


def test_a_file_with_several_frames_gives_all_of_them_and_those_that_are_added(folder, watch):
    write(folder / "stack.tif", 1, (2, 3, 24, 32))
    found = watch(folder)
    assert found.wait(6) == [f"stack.tif frame {k}" for k in range(1, 7)]
    np.testing.assert_array_equal(
        [frame.pixels for frame in found.frames], pixels(1, (2, 3, 24, 32)).reshape(6, 24, 32)
    )
    with tifffile.TiffWriter(folder / "later.tif") as writer:
        writer.write(pixels(7), photometric="minisblack", metadata=None)
        found.wait(7)
        writer.write(pixels(8), photometric="minisblack", metadata=None)
    assert found.wait(8)[6:] == ["later.tif", "later.tif frame 2"]
    np.testing.assert_array_equal(found.frames[7].pixels, pixels(8))


def test_a_warning_about_a_file_is_told_with_its_name(folder, watch, told):
    write(folder / "a.ome.tif", ome=True)
    damaged = (folder / "a.ome.tif").read_bytes().replace(b"</Pixels>", b"<?Pixels>")
    (folder / "a.ome.tif").write_bytes(damaged)
    write(folder / "b.tif")
    watch(folder).wait(2)
    (said,) = told
    assert said.startswith(f"{folder / 'a.ome.tif'}: the metadata of this TIFF are ignored")


def test_a_file_that_is_touched_or_written_again_does_not_come_twice(folder, watch):
    write(folder / "a.tif", 1)
    found = watch(folder)
    found.wait(1)
    os.utime(folder / "a.tif", (1, 1))
    found.wait_for_looks()
    write(folder / "a.tif", 2)
    found.wait_for_looks()
    assert found.names == ["a.tif"]


@pytest.mark.parametrize(
    ("existing", "first"), [("skip", []), ("newest", ["img3.tif"]), ("denoise", None)]
)
def test_what_is_there_at_the_start(folder, watch, existing, first):
    for number in (1, 3, 20):
        write(folder / f"img{number}.tif")
        os.utime(folder / f"img{number}.tif", (100 - number, 2000 if number == 3 else number))
    (folder / "notes.txt").write_text("the newest file is not an image")
    found = watch(folder, existing=existing)
    found.wait_for_looks()
    assert found.names == (["img1.tif", "img3.tif", "img20.tif"] if first is None else first)
    write(folder / "img2.tif")
    assert found.wait(len(found.names) + 1)[-1] == "img2.tif"


def test_a_folder_that_is_away_for_a_while_is_waited_for(folder, watch, told):
    away = folder.with_name("unplugged")
    folder.rename(away)
    found = watch(folder)
    until(lambda: len(told) == 1)
    away.rename(folder)
    write(folder / "a.tif")
    assert found.wait(1) == ["a.tif"]
    folder.rename(away)
    until(lambda: len(told) == 3)
    found.wait_for_looks()
    write(away / "b.tif")
    away.rename(folder)
    assert found.wait(2) == ["a.tif", "b.tif"]
    found.wait_for_looks()
    assert found.names == ["a.tif", "b.tif"]
    lost = f"{folder} cannot be read (No such file or directory): waiting for it."
    assert told == [lost, f"{folder} can be read: going on."] * 2


def test_frames_that_are_done_are_left_out_unless_their_file_has_more(folder, watch):
    now = time.time()
    for name in ("done.tif", "grown.tif"):
        write(folder / name, 1)
        os.utime(folder / name, (now - 10, now - 10))
    write(folder / "grown.tif", 2, (3, 24, 32))
    os.utime(folder / "grown.tif", (now, now))
    write(folder / "stack.tif", 3, (3, 24, 32))
    write(folder / "x.tif")
    done = dict.fromkeys(
        ("done.tif", "grown.tif", "stack.tif frame 1", "stack.tif frame 2"), now - 5
    )
    found = watch(folder, done=done)
    assert found.wait(4) == ["grown.tif frame 2", "grown.tif frame 3", "stack.tif frame 3", "x.tif"]
    found.wait_for_looks()
    assert len(found.frames) == 4


def test_a_silence_ends_it_and_tells_what_was_never_whole(folder, watch, told):
    write(folder / "a.tif")
    (folder / "b.tif").write_bytes(b"II*\0")
    begun = time.monotonic()
    found = watch(folder, silence=0.15)
    assert found.ended() == ["a.tif"]
    assert time.monotonic() - begun > 0.15
    (said,) = told
    assert said.startswith(f"{folder / 'b.tif'}: This TIFF is damaged")


def test_the_silence_begins_anew_with_every_change_but_not_with_other_files(folder, watch):
    whole = write(folder.parent / "scan.tif", 5).read_bytes()
    found = watch(folder, silence=1.0)
    with open(folder / "scan.tif", "wb") as file:  # for longer than the silence
        for piece in np.array_split(np.frombuffer(whole, np.uint8), 26):
            file.write(piece.tobytes())
            file.flush()
            time.sleep(0.05)
    assert found.wait(1) == ["scan.tif"]
    log = open(folder / "log.txt", "w")
    while found._thread.is_alive():
        log.write("still waiting\n")
        log.flush()
        time.sleep(0.01)
    log.close()


def test_it_stops_at_once_while_the_reader_is_slow(folder):
    for number in range(9):
        write(folder / f"{number}.tif")
    source, feed = FolderSource(folder, poll=POLL), Feed(newest=False)
    source.start(feed)
    next(iter(feed))
    begun = time.monotonic()
    source.stop()
    assert time.monotonic() - begun < 0.9
    assert not source._thread.is_alive() and feed.n_in < 9


def test_frames_are_dropped_if_the_newest_wins_but_the_last_one_never(folder):
    for number in range(5):
        write(folder / f"{number}.tif", number, (48, 48))
    run = LiveRun(FolderSource(folder, poll=POLL, silence=0.3), Reucid(patch_size=7))
    *_, last = run
    assert last.frame.name == "4.tif" and last.n_in == 5


def test_another_shape_in_the_middle_is_denoised_as_well(folder):
    for number, side in enumerate((48, 64, 48)):
        write(folder / f"{number}.tif", number, (side, 48))
    source = FolderSource(folder, poll=POLL, silence=0.2)
    steps = list(denoise_live(source, Reucid(patch_size=7)))
    assert [step.image.shape for step in steps] == [(48, 48), (64, 48), (48, 48)]


def test_a_drive_is_read_and_not_mapped(folder, watch):
    """A mapped file that becomes shorter, or vanishes, would end the process."""
    write(folder / "a.tif", 1, (2, 24, 32))
    found = watch(folder)
    found.wait(2)
    os.truncate(folder / "a.tif", 0)
    np.testing.assert_array_equal(found.frames[1].pixels, pixels(1, (2, 24, 32))[1])


def test_impossible_parameters_are_refused(folder):
    with pytest.raises(ValueError, match="existing must be one of"):
        FolderSource(folder, existing="all")
    with pytest.raises(ValueError, match="silence must be a positive number"):
        FolderSource(folder, silence=0)
    with pytest.raises(ValueError, match="is a file, not a folder"):
        FolderSource(write(folder / "a.tif"))


# ------------------------------------------------------------------------------- growing stacks


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"ome": True}])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_that_grows_page_by_page(tmp_path, watch, options, compression):
    path = tmp_path / "scan.tif"
    found = watch(path)
    page = {"photometric": "minisblack", "contiguous": False, "compression": compression}
    with tifffile.TiffWriter(path, **options) as writer:
        for number in range(4):
            writer.write(pixels(number), resolution=(10, 10), resolutionunit="CENTIMETER", **page)
            if number == 1:
                assert found.wait(2)[-1] == "scan.tif frame 2"  # while the file is open
    found.wait(4)
    found.wait_for_looks()
    check(found.frames, range(4))
    assert found.frames[0].pixel_size == (0.1, 0.1) and found.frames[0].unit == "cm"


def check(frames: list[LiveFrame], seeds: range, shape: tuple[int, int] = (24, 32)) -> None:
    assert len(frames) == len(seeds)
    for frame, seed in zip(frames, seeds, strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels(seed, shape))


@pytest.mark.parametrize("imagej", [False, True])
def test_a_tiff_whose_frames_follow_each_other_behind_one_page(tmp_path, watch, imagej):
    path = tmp_path / "scan.tif"
    found = watch(path)
    with tifffile.TiffWriter(path, imagej=imagej) as writer:
        for number in range(6):
            writer.write(pixels(number), photometric="minisblack", contiguous=True)
            if number == 3:
                found.wait(4)
    found.wait(6)
    found.wait_for_looks()
    check(found.frames, range(6))


def test_an_imagej_stack_of_known_length_that_is_being_saved(tmp_path, watch):
    whole = write(tmp_path / "whole.tif", 0, (5, 24, 32), imagej=True).read_bytes()
    truth = tifffile.imread(tmp_path / "whole.tif")
    with tifffile.TiffFile(tmp_path / "whole.tif") as file:
        start, one = file.pages.first.dataoffsets[0], file.pages.first.nbytes
    path = tmp_path / "scan.tif"
    found = watch(path)
    with open(path, "wb") as file:
        file.write(whole[: start + 2 * one + 7])
        file.flush()
        assert len(found.wait(2)) == 2
        found.wait_for_looks()
        assert len(found.frames) == 2  # the third is not whole
        file.write(whole[start + 2 * one + 7 :])
    found.wait(5)
    np.testing.assert_array_equal([frame.pixels for frame in found.frames], truth)


def test_no_page_of_a_tiff_comes_before_it_is_whole(tmp_path, watch):
    """The source sees the file cut off at many places."""
    whole = tmp_path / "whole.tif"
    with tifffile.TiffWriter(whole) as writer:
        for number in range(3):
            writer.write(pixels(number), photometric="minisblack", contiguous=False)
    content, path = whole.read_bytes(), tmp_path / "scan.tif"
    found = watch(path)
    for piece in np.array_split(np.frombuffer(content, np.uint8), 20):
        with open(path, "ab") as file:
            file.write(piece.tobytes())
        found.wait_for_looks(3)
        check(found.frames, range(len(found.frames)))
    assert len(found.wait(3)) == 3


def test_a_stack_that_is_begun_anew_comes_again_with_a_word(tmp_path, watch, told):
    path = write(tmp_path / "scan.tif", 1, (4, 24, 32))
    found = watch(path)
    found.wait(4)
    write(path, 2, (2, 24, 32))
    found.wait(6)
    assert told == [f"{path} was begun anew: its frames come from the first one on."]
    np.testing.assert_array_equal(
        [frame.pixels for frame in found.frames[4:]], pixels(2, (2, 24, 32))
    )


@pytest.mark.parametrize(("existing", "first"), [("skip", 4), ("newest", 3), ("denoise", 1)])
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_what_is_in_a_stack_at_the_start(tmp_path, watch, existing, first, suffix):
    path = tmp_path / f"scan{suffix}"
    stack = pixels(1, (5, 24, 32))
    if suffix == ".zarr":
        array = zarr.create_array(path, shape=(5, 24, 32), chunks=(1, 24, 32), dtype="uint16")
        array[:3] = stack[:3]
        found = watch(path, existing=existing)
        found.wait_for_looks()
        array[3:] = stack[3:]
    else:
        with tifffile.TiffWriter(path) as writer:
            for number, page in enumerate(stack):
                if number == 3:
                    found = watch(path, existing=existing)
                    found.wait_for_looks()
                writer.write(page, photometric="minisblack", contiguous=False)
    names = [f"scan{suffix} frame {k}" for k in range(first, 6)]
    assert found.wait(len(names)) == names
    np.testing.assert_array_equal([frame.pixels for frame in found.frames], stack[first - 1 :])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("grows", ["shape", "chunks"])
def test_a_zarr_array_that_grows(tmp_path, watch, zarr_format, grows):
    path = tmp_path / "scan.zarr"
    found = watch(path)
    shape = (0 if grows == "shape" else 4, 24, 32)
    array = zarr.create_array(
        path, shape=shape, chunks=(1, 12, 32), dtype="uint16", zarr_format=zarr_format
    )
    for number in range(4):
        if grows == "shape":
            array.resize((number + 1, 24, 32))
        array[number] = pixels(number)
        if number == 1:
            assert found.wait(2)[-1] == "scan.zarr frame 2"
    found.wait(4)
    found.wait_for_looks()
    check(found.frames, range(4))


def test_frames_of_a_zarr_array_that_share_a_chunk_come_when_they_are_filled(tmp_path, watch):
    array = zarr.create_array(
        tmp_path / "scan.zarr", shape=(8, 24, 32), chunks=(4, 24, 32), dtype="uint16"
    )
    found = watch(tmp_path / "scan.zarr")
    for number in range(6):
        array[number] = pixels(number)
        found.wait(number + 1)
    found.wait_for_looks()
    check(found.frames, range(6))


def test_half_a_frame_of_a_zarr_array_does_not_come(tmp_path, watch):
    array = zarr.create_array(
        tmp_path / "scan.zarr", shape=(8, 24, 32), chunks=(1, 12, 32), dtype="uint16"
    )
    found = watch(tmp_path / "scan.zarr")
    array[0, :12] = pixels(0)[:12]
    found.wait_for_looks()
    assert found.frames == []
    array[0, 12:] = pixels(0)[12:]
    found.wait(1)
    array[2] = pixels(2)  # the second one is black: zarr writes no chunk
    found.wait(3)
    assert not found.frames[1].pixels.any()
    np.testing.assert_array_equal(found.frames[2].pixels, pixels(2))


def test_a_recording_of_this_package_that_goes_on(tmp_path, watch):
    movie = GrowingZarr.create(
        tmp_path / "raw.zarr", (24, 32), np.uint16, pixel_size=(0.5, 0.25), unit="nm"
    )
    found = watch(tmp_path / "raw.zarr")
    for number in range(3):
        movie.append(pixels(number))
        found.wait(number + 1)
    movie.close()
    found.wait_for_looks()
    check(found.frames, range(3))
    assert (found.frames[0].pixel_size, found.frames[0].unit) == ((0.5, 0.25), "nm")


def test_a_stack_with_axes_before_rows_and_columns_comes_frame_by_frame(tmp_path, watch):
    stack = pixels(3, (2, 3, 24, 32))
    zarr.save_array(tmp_path / "scan.zarr", stack)
    found = watch(tmp_path / "scan.zarr")
    found.wait(6)
    np.testing.assert_array_equal(
        [frame.pixels for frame in found.frames], stack.reshape(6, 24, 32)
    )


def test_what_is_not_a_stack_is_told(tmp_path, watch, told):
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    zarr.save_array(tmp_path / "image.zarr", pixels(0))
    for name in ("colour.tif", "image.zarr"):
        assert watch(tmp_path / name, silence=0.1).ended() == []
    assert "colour" in told[0] and told[1].endswith("not a stack that grows.")


def test_the_source_of_a_path(tmp_path):
    write(tmp_path / "scan.dat")
    zarr.save_array(tmp_path / "scan", pixels(0, (2, 8, 8)))
    stacks = ["scan.dat", "scan", "later.zarr", "later.btf"]
    assert all(isinstance(source_for(tmp_path / name), StackSource) for name in stacks)
    assert isinstance(source_for(tmp_path), FolderSource)
    assert isinstance(source_for(tmp_path / "later"), FolderSource)
