"""Streams into zarr lose neither the input nor an earlier result, and check what is there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import dask.array as da
import numpy as np
import pytest
import yaozarrs
import zarr
from dask.delayed import delayed

from napari_lowdose import Noise2Noise, Noise2NoiseModel, Reucid, Stream, denoise, denoise_to_zarr
from napari_lowdose.engine import Engine
from napari_lowdose.io.arrays import sliceable
from napari_lowdose.io.input_files import files_overlap
from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.streaming import output_folder
from napari_lowdose.streaming.hashes import FrameHashes
from tests.streaming.counting import Counting, numbered
from tests.streaming.test_killed import content
from tests.streaming.test_stream import stopped_after

MOVIE = numbered(4)
TWICE = (2 * MOVIE).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clean.zarr"


@pytest.fixture
def old(path: Path) -> Path:
    """Return a finished result, three times as bright."""
    denoise_to_zarr(MOVIE, Counting(3.0), path)
    return path


def array_in(path: Path) -> Any:
    return zarr.open_array(path / "0")


# ------------------------------------------------------------------- the input is not replaced


def read(path: Path) -> np.ndarray:
    return zarr.open_array(path)[:]  # type: ignore[return-value]


WAYS: dict[str, Callable[[Path], Any]] = {
    "zarr": lambda path: zarr.open_array(path, mode="r"),
    "dask": lambda path: da.from_zarr(path),
    "a slice": lambda path: da.from_zarr(str(path))[1:, :4],
    "computed": lambda path: (da.from_zarr(path) + 1).rechunk((2, 3, 6)),
    "the second of a pair": lambda path: (MOVIE + 1, da.from_zarr(path)),
    "a stack": lambda path: da.stack([np.ones((5, 6)), da.from_zarr(path)[2]]),
    "read later": lambda path: da.from_delayed(delayed(read)(path), MOVIE.shape, MOVIE.dtype),
    "by a function": lambda path: da.from_delayed(
        delayed(lambda: read(path))(), MOVIE.shape, MOVIE.dtype
    ),
    "mapped": lambda path: np.memmap(path / "c/0/0/0", np.uint8, "r")[:30][None],
}


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_result_never_replaces_its_input(path: Path, way: str, link: bool) -> None:
    zarr.create_array(path, data=MOVIE, chunks=(1, 5, 6))
    before, target = content(path), path
    given = WAYS[way](path)
    if link:
        target = path.with_name("link.zarr")
        target.symlink_to(path)
    engine: Any = Noise2Noise(epochs=1) if isinstance(given, tuple) else Counting()
    with pytest.raises(ValueError, match="would replace the input"):
        denoise_to_zarr(given, engine, target, overwrite=True)
    assert content(path) == before


def test_what_is_inside_the_target_or_around_it_is_not_replaced(path: Path) -> None:
    group = zarr.open_group(path, mode="w")
    member = group.create_array("raw", data=MOVIE)
    before = content(path)
    for given in (member, da.from_zarr(member)):
        for target in (path, path / "raw", path / "raw" / "clean.zarr"):
            with pytest.raises(ValueError, match="would replace the input"):
                denoise_to_zarr(given, Counting(), target, overwrite=True)
    assert content(path) == before
    # Beside it in the same group nothing is lost
    clean = denoise_to_zarr(da.from_zarr(member), Counting(), path / "clean")
    np.testing.assert_array_equal(clean[:], TWICE)
    np.testing.assert_array_equal(member[:], MOVIE)


def test_an_input_that_is_not_recognised_is_read_to_the_end(old: Path) -> None:
    class Hidden:
        place: ClassVar[Path] = old / "0"
        ndim, shape, dtype = 3, MOVIE.shape, np.dtype(np.float32)

        def __getitem__(self, index: Any) -> Any:
            return zarr.open_array(self.place)[index]

    clean = denoise_to_zarr(Hidden(), Counting(), old, overwrite=True)
    np.testing.assert_array_equal(clean[:], 2 * (3 * MOVIE).astype(np.float32))


def test_arrays_of_other_places_are_no_danger(tmp_path: Path, path: Path) -> None:
    zarr.create_array(path, data=MOVIE)
    other = zarr.create_array(tmp_path / "in.zarr", data=MOVIE)
    for given in (MOVIE, da.from_array(MOVIE), other, da.from_zarr(other)):
        assert not files_overlap(given, path)


# ------------------------------------------------------- an earlier result stays, until the end


class Stopping(Counting):
    """Is interrupted at its first step."""

    def frame_steps(self, *frames: Any) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield


@pytest.mark.parametrize("fault", ["nan", "parameter", "interrupted", "pair"])
def test_what_is_refused_leaves_the_old_result(old: Path, fault: str) -> None:
    before = content(old)
    given: Any = MOVIE.copy()
    engine: Any = Counting()
    if fault == "nan":
        given[0, 1, 1] = np.nan
    elif fault == "parameter":
        engine = Reucid(patch_size=99)
    elif fault == "interrupted":
        engine = Stopping()
    else:
        given, engine = (given, given), Noise2Noise(epochs=1)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        denoise_to_zarr(given, engine, old, overwrite=True)
    assert content(old) == before
    assert [each.name for each in old.parent.iterdir()] == [old.name]


def test_the_old_result_is_there_until_the_new_one_is_whole(old: Path) -> None:
    stream = Stream(MOVIE, Counting(), old, overwrite=True)
    for step in stream:
        if step.image is not None:
            np.testing.assert_array_equal(array_in(old)[:], 3 * MOVIE)
            np.testing.assert_array_equal(stream.image[step.index], step.image)
    np.testing.assert_array_equal(array_in(old)[:], TWICE)
    np.testing.assert_array_equal(stream.image[:], TWICE)
    assert [each.name for each in old.parent.iterdir()] == [old.name]


def test_a_result_behind_a_link_is_replaced_where_it_is(old: Path) -> None:
    link = old.with_name("link.zarr")
    real = old.parent / "disk" / "real.zarr"
    real.parent.mkdir()
    old.rename(real)
    link.symlink_to(real)
    clean = denoise_to_zarr(MOVIE, Counting(), link, overwrite=True)
    np.testing.assert_array_equal(clean[:], TWICE)
    assert link.is_symlink() and [each.name for each in real.parent.iterdir()] == [real.name]


def test_overwriting_is_gone_on_with(old: Path) -> None:
    engine = Counting()
    stopped_after(Stream(MOVIE, engine, old, overwrite=True), 2)
    np.testing.assert_array_equal(array_in(old)[:], 3 * MOVIE)
    with pytest.raises(ValueError, match="begun with another"):
        denoise_to_zarr(MOVIE, engine, old)
    clean = denoise_to_zarr(MOVIE, engine, old, overwrite=True)
    np.testing.assert_array_equal(clean[:], TWICE)
    assert engine.seen == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["ours", "v2", "v3"])
def test_other_files_in_the_folder_stay(path: Path, kind: str) -> None:
    if kind == "ours":
        denoise_to_zarr(MOVIE, Counting(3.0), path)
    else:
        zarr.create_array(path, data=MOVIE, zarr_format=int(kind[1]))  # type: ignore[arg-type]
    (path / "notes").mkdir()
    (path / "notes" / "thesis.txt").write_text("precious")
    (path / "read me.txt").write_text("too")
    clean = denoise_to_zarr(MOVIE, Counting(), path, overwrite=True)
    np.testing.assert_array_equal(clean[:], TWICE)
    assert (path / "notes" / "thesis.txt").read_text() == "precious"
    there = {"0", "zarr.json", "notes", "read me.txt"}
    assert {each.name for each in path.iterdir()} == there


@pytest.mark.parametrize("kind", ["group", "ome", "folder", "file"])
def test_what_is_no_result_of_ours_is_not_replaced(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
        (path / "thesis.txt").write_text("precious")
    elif kind == "file":
        path.write_text("precious")
    else:
        group = zarr.open_group(path, mode="w")
        group.create_array("0", data=MOVIE)
        if kind == "ome":
            level = {"path": "0", "coordinateTransformations": []}
            group.attrs["ome"] = {"version": "0.5", "multiscales": [{"datasets": [level]}]}
    before = content(path.parent)
    with pytest.raises(ValueError, match="will not be replaced"):
        denoise_to_zarr(np.ones((2, 5, 6)), Counting(), path, overwrite=True)
    assert content(path.parent) == before


def test_where_folders_cannot_be_swapped_nothing_is_lost_either(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_folder, "swap", lambda *_: False)
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name.endswith("part"):
            os.rename(old.with_name(f"{old.name}.napari-lowdose-old"), kept)
            raise SystemExit
        return rename(self, target)

    kept = old.with_name("kept")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises((SystemExit, OSError)):
            denoise_to_zarr(MOVIE, Counting(), old, overwrite=True)
    kept.rename(old.with_name(f"{old.name}.napari-lowdose-old"))  # as the kill has left it
    with pytest.raises(ValueError, match="begun with another"):
        denoise_to_zarr(MOVIE, Counting(5.0), old)
    np.testing.assert_array_equal(array_in(old)[:], 3 * MOVIE)  # it is back
    engine = Counting()
    clean = denoise_to_zarr(MOVIE, engine, old, overwrite=True)
    np.testing.assert_array_equal(clean[:], TWICE)
    assert engine.seen == []  # the new one was whole
    assert [each.name for each in old.parent.iterdir()] == [old.name]


# ------------------------------------------------------------------- data, and not a list


def chunk(path: Path, number: int) -> Path:
    return path / "0" / "c" / str(number) / "0" / "0"


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("damage", ["deleted", "empty", "truncated", "another"])
def test_a_damaged_frame_is_made_again(path: Path, damage: str, finished: bool) -> None:
    engine = Counting()
    stopped_after(Stream(MOVIE, engine, path), 99 if finished else 3)
    file = chunk(path, 1)
    if damage == "deleted":
        file.unlink()
    elif damage == "another":
        shutil.copy(chunk(path, 0), file)
    else:
        file.write_bytes(file.read_bytes()[: 0 if damage == "empty" else -7])
    stream = Stream(MOVIE, engine, path)
    list(stream)
    np.testing.assert_array_equal(stream.image[:], TWICE)
    assert engine.seen == ([0, 1, 2, 3, 1] if finished else [0, 1, 2, 1, 3])
    assert array_in(path).attrs["napari-lowdose"]["finished"] is True


def test_a_repair_that_is_stopped_is_not_called_finished(path: Path) -> None:
    denoise_to_zarr(MOVIE, Counting(), path)
    for number in (1, 2):
        chunk(path, number).unlink()
    stopped_after(Stream(MOVIE, Counting(), path), 1)
    assert zarr.open_group(path).attrs["napari-lowdose"]["finished"] is False  # type: ignore[index, call-overload]


@pytest.mark.parametrize("finished", [False, True])
def test_a_frame_of_the_input_that_was_changed_is_noticed(path: Path, finished: bool) -> None:
    stopped_after(Stream(MOVIE, Counting(), path), 99 if finished else 3)
    changed = MOVIE.copy()
    changed[1, 2, 2] += 1  # neither the first nor the last
    with pytest.raises(ValueError, match="begun with another input"):
        denoise_to_zarr(changed, Counting(), path)
    clean = denoise_to_zarr(changed, Counting(), path, overwrite=True)
    np.testing.assert_array_equal(clean[:], 2 * changed)


def test_a_second_stream_is_refused_at_once_and_does_no_harm(path: Path) -> None:
    first = iter(Stream(MOVIE, Counting(), path))
    next(first)
    for overwrite in (False, True):
        for movie in (MOVIE, MOVIE + 1):
            engine = Counting()
            with pytest.raises(OSError, match="being written by another run"):
                denoise_to_zarr(movie, engine, path, overwrite=overwrite)
            assert engine.seen == []
    list(first)
    np.testing.assert_array_equal(array_in(path)[:], TWICE)


def test_the_lock_of_a_process_that_is_gone_locks_nothing(path: Path) -> None:
    path.with_name(f".{path.name}.lock").write_bytes(b"")
    clean = denoise_to_zarr(MOVIE, Counting(), path)
    np.testing.assert_array_equal(clean[:], TWICE)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@dataclass(frozen=True)
class Taught(Engine):
    """Trains a network in no time."""

    takes = "pair"
    trains = True
    network: Any = field(compare=False)

    def prepare(self, given: Any) -> Generator[Any, None, Engine]:
        model = self.network
        yield TrainingStep(
            fraction=1.0, message="taught", epoch=1.0, n_steps=1, loss=0.0, model=model
        )
        return (yield from model.prepare(given))

    def load_model(self, path: Path) -> Noise2NoiseModel:
        return Noise2NoiseModel.load(path)


def test_frames_of_two_networks_are_not_mixed(path: Path) -> None:
    movie = np.random.default_rng(0).poisson(9, (2, 3, 64, 64)) + 5.0
    movie += 20 * np.sin(np.arange(64) / 3) ** 2
    pair = movie[0], movie[1]
    model = Noise2Noise(epochs=0.1, width=2).train(movie[0, 0], movie[1, 0])
    other = replace(model, offset=model.offset + 1)
    stopped_after(Stream(pair, Taught(model), path), 1)
    file = path / "network.safetensors"
    for lost in (True, False):
        file.unlink()
        if not lost:
            other.save(file)
        before = content(path)
        with pytest.raises(ValueError, match=r"a network, .*, that is missing or has changed"):
            denoise_to_zarr(pair, Taught(other), path)
        assert content(path) == before
        other.save(file)
    clean = denoise_to_zarr(pair, Taught(other), path, overwrite=True)
    np.testing.assert_array_equal(clean[:], denoise(pair, other))
    # Once all frames are finished, the network is no longer needed
    file.unlink()
    steps = list(Stream(pair, Taught(model), path))
    assert [step.message for step in steps] == ["all frames are finished already"]


@pytest.mark.parametrize(
    "change",
    [
        {"finished": None},
        {"finished": "yes"},
        {"history": 3},
        {"work": ["a"]},
        {"network": 7},
    ],
)
def test_attributes_of_wrong_types_end_in_a_result_or_a_sentence(
    path: Path, change: dict[str, Any]
) -> None:
    stopped_after(Stream(MOVIE, Counting(), path), 2)
    about = json.loads((path / "zarr.json").read_text())
    about["attributes"]["napari-lowdose"].update(change)
    if change == {"finished": None}:
        del about["attributes"]["napari-lowdose"]["finished"]
    (path / "zarr.json").write_text(json.dumps(about))
    if "work" in change:
        with pytest.raises(ValueError, match="begun with another"):
            denoise_to_zarr(MOVIE, Counting(), path)
    else:
        np.testing.assert_array_equal(denoise_to_zarr(MOVIE, Counting(), path)[:], TWICE)


@pytest.mark.parametrize("damage", ["shape", "dtype", "gone", "not JSON"])
def test_a_damaged_result_is_said_to_be_and_can_be_overwritten(path: Path, damage: str) -> None:
    stopped_after(Stream(MOVIE, Counting(), path), 2)
    file = path / "0" / "zarr.json"
    about = json.loads(file.read_text())
    if damage == "shape":
        about["shape"] = [2, 5, 6]
    elif damage == "dtype":
        about["data_type"], about["fill_value"] = "int16", 0
    file.write_text("{" if damage == "not JSON" else json.dumps(about))
    if damage == "gone":
        shutil.rmtree(path / "0")
    with pytest.raises(ValueError, match="is damaged"):
        denoise_to_zarr(MOVIE, Counting(), path)
    clean = denoise_to_zarr(MOVIE, Counting(), path, overwrite=True)
    np.testing.assert_array_equal(clean[:], TWICE)


# ------------------------------------------------------------- before the work, and during it


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    engine = Counting()
    with pytest.raises(OSError, match="cannot be written"):
        denoise_to_zarr(MOVIE, engine, tmp_path / "file" / "clean.zarr")
    assert engine.seen == [] and (tmp_path / "file").read_text() == "precious"
    if Path("/proc/self").exists():
        with pytest.raises(OSError, match="cannot be written"):
            denoise_to_zarr(MOVIE, engine, "/proc/clean.zarr")
    for place in ("/", "s3://bucket/clean.zarr"):
        with pytest.raises(ValueError, match="not a folder on this computer"):
            denoise_to_zarr(MOVIE, engine, place)


def test_a_full_disk_is_said_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Counting()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 4 * 5 * 6 * 3}))
        with pytest.raises(OSError, match=r"needs up to .* GB left"):
            denoise_to_zarr(MOVIE, engine, path)
    assert engine.seen == [] and not list(path.parent.iterdir())


def test_a_disk_that_is_full_in_the_end_costs_no_frame(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Counting()
    add = FrameHashes.add

    def full(self: FrameHashes, number: int, *rest: Any) -> None:
        if number == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, number, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(FrameHashes, "add", full)
        with pytest.raises(
            OSError, match=r"No space left on device\): the finished frames are kept"
        ):
            denoise_to_zarr(MOVIE, engine, path)
    np.testing.assert_array_equal(denoise_to_zarr(MOVIE, engine, path)[:], TWICE)
    assert engine.seen == [0, 1, 2, 2, 3]


@pytest.mark.parametrize("step", ["create_image", "open_to_write"])
def test_a_result_that_cannot_be_begun_costs_no_earlier_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    denoise_to_zarr(MOVIE, Counting(), path)

    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(output_folder, step, refuse)
        with pytest.raises(OSError, match="No space left on device"):
            denoise_to_zarr(MOVIE + 1, Counting(), path, overwrite=True)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    np.testing.assert_array_equal(denoise_to_zarr(MOVIE, Counting(), path)[:], TWICE)


def test_folders_that_were_made_for_nothing_are_removed(path: Path) -> None:
    target = path.with_name("new") / "newer" / "clean.zarr"
    with pytest.raises(ValueError, match="nothing to see"):
        denoise_to_zarr(np.full((2, 4, 5), np.nan), Counting(), target)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("damage", [b"?", None])
def test_a_frame_of_a_zarr_array_that_is_damaged_is_named(path: Path, damage: bytes | None) -> None:
    source = path.with_name("in.zarr")
    movie = zarr.create_array(source, data=MOVIE, chunks=(1, 5, 6))
    file = source / "c" / "2" / "0" / "0"
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(ValueError, match=r"^frame 3 of 4: the (zarr array is damaged|chunk)"):
        denoise_to_zarr(movie, Counting(), path)
    with pytest.raises(ValueError, match=r"^frame 3 of 4: the (zarr array is damaged|chunk)"):
        np.asarray(sliceable(movie)[2])


@pytest.mark.parametrize("kind", ["dask", "computed"])
def test_a_frame_that_cannot_be_read_is_named(path: Path, kind: str) -> None:
    source = path.with_name("in.zarr")
    zarr.create_array(source, data=MOVIE, chunks=(1, 5, 6))
    (source / "c" / "2" / "0" / "0").write_bytes(b"?")
    movie = da.from_zarr(source)
    if kind == "computed":
        movie = movie + 1
    with pytest.raises(ValueError, match=r"^frame 3 of 4: the input cannot be read"):
        denoise_to_zarr(movie, Counting(), path)
    assert np.isfinite(array_in(path)[:2]).all()  # the others stay


# ------------------------------------------------------------------------ OME-Zarr


@pytest.mark.parametrize(
    ("shape", "axes"), [((5, 6), None), ((2, 5, 6), "TYX"), ((1, 2, 3, 5, 6), "TCZYX")]
)
def test_a_result_is_ome_zarr(path: Path, shape: tuple[int, ...], axes: str | None) -> None:
    leading = len(shape) - 2
    denoise_to_zarr(
        np.ones(shape) * np.arange(6),
        Counting(),
        path,
        axes=axes,
        scale=np.array([2] * leading + [0.5, 0.25]),  # type: ignore[arg-type]
        units=["s" if axes == "TYX" else "pixel"] * leading + ["Å", "nm"],
    )
    yaozarrs.validate_zarr_store(path)
    about = dict(zarr.open_group(path).attrs)
    (image,) = about["ome"]["multiscales"]  # type: ignore[index, call-overload]
    names = axes or "YX"
    assert [axis["name"] for axis in image["axes"]] == list(names.lower())
    assert [axis.get("unit") for axis in image["axes"][-2:]] == ["angstrom", "nanometer"]
    if axes == "TYX":
        assert image["axes"][0] == {"name": "t", "type": "time", "unit": "second"}
    (scale,) = image["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [2] * leading + [0.5, 0.25]}
    assert about["scale"] == scale["scale"] and about.get("axes") == axes
    assert about["napari-lowdose"]["finished"] is True  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"axes": "---"}, "axes takes a letter for each of the 3 axes"),
        ({"axes": "YX"}, "axes takes a letter"),
        ({"axes": "YXT"}, "rows and columns must come last"),
        ({"scale": (1, 2)}, "scale takes one for each of the 3 axes"),
        ({"scale": 2}, "scale takes one"),
        ({"scale": (1, 0, 1)}, "scale takes numbers other than zero"),
        ({"scale": (1, float("nan"), 1)}, "scale takes numbers"),
        ({"units": "nmm"}, "units takes one for each"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    path: Path, attributes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        denoise_to_zarr(MOVIE, Counting(), path, **attributes)
    assert not path.exists()


def test_scale_and_units_of_pint(path: Path) -> None:
    unit = pytest.importorskip("pint").UnitRegistry()
    scale = (1 * unit.second, 0.5 * unit.nm, 0.5 * unit.nm)
    clean = denoise_to_zarr(MOVIE, Counting(), path, scale=scale)
    assert clean.attrs["scale"] == [1, 0.5, 0.5]
    assert clean.attrs["units"] == ["second", "nanometer", "nanometer"]


def test_a_zarr_array_whose_rows_and_columns_come_first_is_refused(path: Path) -> None:
    movie = zarr.create_array(
        path.with_name("in.zarr"), data=MOVIE.transpose(1, 2, 0), dimension_names=("y", "x", "t")
    )
    with pytest.raises(ValueError, match="axes YXT, and rows and columns"):
        denoise_to_zarr(movie, Counting(), path)
