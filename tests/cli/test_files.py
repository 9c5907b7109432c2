"""Outputs of the command line are tried before the work, and what cannot be saved is not lost."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_lowdose import Noise2NoiseModel, Reucid
from napari_lowdose.cli import app as cli
from napari_lowdose.engine import Engine, Step
from napari_lowdose.io import atomic
from napari_lowdose.io.tiff import read_tiff
from napari_lowdose.samples import beamsplitter_frame

PROGRAM = [sys.executable, "-c", "from napari_lowdose.cli.app import main; main()"]


@dataclass(frozen=True)
class Copy(Engine):
    """Copy an image."""

    bug: int | None = None
    begun: ClassVar[list[bool]] = []

    def frame_steps(self, frame: Any) -> Iterator[Step]:
        self.begun.append(True)
        if frame.shape[-1] == self.bug:
            raise KeyError("bug")
        yield Step(fraction=1.0, message="done", image=np.asarray(frame, np.float32))


@dataclass(frozen=True)
class Difference(Engine):
    """First minus second."""

    takes = "pair"
    trains = True  # offers --save-model

    def frame_steps(self, first: Any, second: Any) -> Iterator[Step]:
        image = first.astype(np.float32) - second
        yield Step(fraction=1.0, message="done", image=image.astype(np.float32))


@pytest.fixture
def run():
    Copy.begun.clear()
    app = cli.build_app(copy=Copy, difference=Difference, reucid=Reucid)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def noisy(seed=0, shape=(48, 40)):
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    truth = 60 + 40 * np.sin(x / 3) * np.sin(y / 3)
    return np.random.default_rng(seed).poisson(truth, shape).astype(np.uint16)


def image_file(path, seed=0, shape=(48, 40)):
    path.parent.mkdir(exist_ok=True, parents=True)
    tifffile.imwrite(path, noisy(seed, shape), photometric="minisblack")
    return path


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def refuse_writing_into(folder, monkeypatch):
    """Let no finished file appear in `folder`, as on a disk that is full in the end."""
    replace = os.replace

    def full(source, target):
        if os.path.dirname(target) == str(folder):
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", full)


# ------------------------------------------------------------------------ before the work


def test_a_folder_that_cannot_be_written_into_is_told_before_the_work(run, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "part")

    path = image_file(tmp_path / "in.tif")
    (tmp_path / "ro").mkdir()
    monkeypatch.setattr(atomic, "open", refuse, raising=False)
    for out in ("ro/out.tif", "ro", "ro/out.zarr"):
        done = run("copy", path, "-o", tmp_path / out)
        says = f"Cannot write into {tmp_path / 'ro'}: Permission denied\n"
        assert done.exit_code == 2 and done.stderr.endswith(says) and done.stderr.count("\n") == 1
    assert Copy.begun == [] and files(tmp_path / "ro") == []


def test_a_disk_that_is_too_small_is_told_before_the_work(run, tmp_path, monkeypatch):
    usage = type("", (), {"free": 5000})
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: usage)
    path = image_file(tmp_path / "in.tif")
    for out in ("out.tif", "out.zarr"):
        done = run("copy", path, "-o", tmp_path / out)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        assert "needs 7.5 KiB, and 4.9 KiB are free in" in done.stderr
    assert Copy.begun == [] and files(tmp_path) == ["in.tif"]


def test_a_place_for_the_network_is_tried_before_the_training(run, tmp_path):
    first, second = image_file(tmp_path / "a.tif"), image_file(tmp_path / "b.tif", 1)
    out, network = tmp_path / "o.tif", tmp_path / f"{'n' * 250}.safetensors"
    done = run("difference", first, second, "-o", out, "--save-model", network)
    assert done.exit_code == 2 and "too long" in done.stderr and done.stderr.count("\n") == 1
    assert files(tmp_path) == ["a.tif", "b.tif"]


def test_a_form_that_cannot_hold_the_axes_is_told_before_the_work(run, tmp_path):
    path = tmp_path / "in.tif"
    pixels = noisy(shape=(1, 1, 2, 1, 1, 1, 1, 48, 40))
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "abcdefgYX"})
    done = run("copy", path, "-o", tmp_path / "out.ome.tif")
    assert done.exit_code == 2 and "cannot hold the axes abcdefgYX" in done.stderr
    assert Copy.begun == []
    assert run("copy", path, "-o", tmp_path / "out.tif").exit_code == 0


# ----------------------------------------------------------------------- after the work


def test_a_result_that_cannot_be_written_in_the_end_is_elsewhere(run, tmp_path, monkeypatch):
    path = image_file(tmp_path / "in" / "a.tif")
    (tmp_path / "out").mkdir()
    refuse_writing_into(tmp_path / "out", monkeypatch)
    done = run("copy", path, "-o", tmp_path / "out" / "clean.tif")
    found = tmp_path / "in" / "clean.tif"
    assert done.exit_code == 2
    assert f"{path}: saved the result to {found} instead: No space" in done.stderr
    assert done.stderr.count("\n") == 1
    np.testing.assert_array_equal(read_tiff(found).pixels, noisy())
    assert files(tmp_path / "out") == []


PAIR = ("--epochs", 1, "--crop-size", 32, "--width", 4, "--no-fallback")


def test_a_network_that_cannot_be_written_in_the_end_is_elsewhere(tmp_path, monkeypatch):
    first, second = (image_file(tmp_path / "in" / f"{s}.tif", s, (64, 64)) for s in (0, 1))
    (tmp_path / "out").mkdir()
    refuse_writing_into(tmp_path / "out", monkeypatch)
    out = tmp_path / "out"
    arguments = ["pair", first, second, "-o", out / "clean.tif", *PAIR]
    arguments += ["--save-model", out / "m.safetensors"]
    done = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert done.exit_code == 2
    for what, name in (("network", "m.safetensors"), ("result", "clean.tif")):
        assert f"saved the {what} to {tmp_path / 'in' / name} instead: " in done.stderr
    model = Noise2NoiseModel.load(tmp_path / "in" / "m.safetensors")
    assert model.record["epochs"] == pytest.approx(1, abs=0.5)
    assert read_tiff(tmp_path / "in" / "clean.tif").pixels.shape == (64, 64)
    assert files(out) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_training_that_came_to_an_end_is_not_for_nothing(tmp_path, monkeypatch, error):
    def interrupt(*_):
        raise error

    first, second = (image_file(tmp_path / f"{s}.tif", s, (64, 64)) for s in (0, 1))
    monkeypatch.setattr(Noise2NoiseModel, "prepare", interrupt)
    out, network = tmp_path / "clean.tif", tmp_path / "m.safetensors"
    arguments = ["pair", first, second, "-o", out, *PAIR, "--save-model", network]
    done = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert done.exit_code == (130 if error is KeyboardInterrupt else 2)
    assert Noise2NoiseModel.load(network).record["n_steps"] > 0
    if error is KeyboardInterrupt:
        says = f"{first} + {second}: stopped, saved the network to {network}\n"
        assert done.stderr == f"napari-lowdose: {says}"
    assert not out.exists()


# ------------------------------------------------------------------------- pairs of folders


def test_two_folders_are_pairs_by_name(run, tmp_path):
    for k in range(3):
        image_file(tmp_path / "A" / f"{k}.tif", k)
        image_file(tmp_path / "B" / f"{k}.tif", k + 10)
    done = run("difference", tmp_path / "A", tmp_path / "B", "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (0, "")
    for k in range(3):
        expected = noisy(k).astype(float) - noisy(k + 10)
        np.testing.assert_array_equal(read_tiff(tmp_path / "out" / f"{k}.tif").pixels, expected)


def test_an_image_without_a_partner_and_a_bad_one_stop_no_others(run, tmp_path):
    image_file(tmp_path / "A" / "1.tif")
    image_file(tmp_path / "B" / "1.tif", 1)
    image_file(tmp_path / "A" / "only.tif")
    image_file(tmp_path / "A" / "0.tif")
    (tmp_path / "B" / "0.tif").write_bytes(b"nonsense")
    done = run("difference", tmp_path / "A", tmp_path / "B", "-o", tmp_path / "out")
    assert done.exit_code == 2 and files(tmp_path / "out") == ["1.tif"]
    only, bad = done.stderr.splitlines()
    assert only.startswith(f"napari-lowdose: {tmp_path / 'A' / 'only.tif'}: skipped, no image")
    assert "not a TIFF file" in bad


def test_what_is_no_pair_of_folders_is_one_line(run, tmp_path):
    image_file(tmp_path / "A" / "1.tif")
    image_file(tmp_path / "B" / "2.tif")
    for second in (tmp_path / "B", tmp_path / "B" / "2.tif", tmp_path / "A"):
        done = run("difference", tmp_path / "A", second, "-o", tmp_path / "out")
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert files(tmp_path) == ["A", "B"]


def test_networks_of_many_pairs_need_a_folder(run, tmp_path):
    for k in range(2):
        image_file(tmp_path / "A" / f"{k}.tif", k)
        image_file(tmp_path / "B" / f"{k}.tif", k + 10)
    folders = ["difference", tmp_path / "A", tmp_path / "B", "-o", tmp_path / "out"]
    done = run(*folders, "--save-model", tmp_path / "m.safetensors")
    assert done.exit_code == 2 and "2 networks need a folder" in done.stderr
    assert files(tmp_path) == ["A", "B"]
    assert run(*folders, "--save-model", tmp_path / "networks").exit_code == 0


# ------------------------------------------------------------------------- odd files, names


def test_every_odd_file_has_its_line_and_stops_no_other(run, tmp_path):
    folder = tmp_path / "in"
    image_file(folder / "a.tif")
    (folder / "empty.tif").write_bytes(b"")
    (folder / "text.tif").write_text("Time\tIntensity\n")
    (folder / "noise.dm3").write_bytes(np.random.default_rng(0).bytes(2000))
    whole = image_file(folder / "cut.tif", shape=(3, 48, 40)).read_bytes()
    (folder / "cut.tif").write_bytes(whole[:-2000])
    image_file(folder / "bug.tif", shape=(48, 41))
    image_file(folder / "UPPER.TIF")
    image_file(folder / "called.dat")
    image_file(folder / "nothing")
    Image.fromarray(noisy()).save(folder / "picture.tif", format="PNG")
    done = run("copy", folder, "-o", tmp_path / "out", "--bug", 41)
    assert done.exit_code == 2 and "Traceback" not in done.output
    good = ["UPPER.TIF", "a.tif", "called.tif", "nothing.tif", "picture.tif"]
    assert files(tmp_path / "out") == good
    for name in good:
        np.testing.assert_array_equal(read_tiff(tmp_path / "out" / name).pixels, noisy())
    bad = ["bug.tif", "cut.tif", "empty.tif", "noise.dm3", "text.tif"]
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == [str(folder / name) for name in bad]
    assert "unexpected KeyError" in lines[0] and "cut off" in lines[1]


def test_bad_metadata_are_one_line_and_kept(run, tmp_path):
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="40" SizeY="48" '
        'SizeC="1" SizeZ="1" SizeT="1" PhysicalSizeX="0,325" PhysicalSizeY="0,325"><TiffData/>'
        "</Pixels></Image></OME>"
    )
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noisy(), description=xml.encode(), metadata=None)
    done = run("copy", path, "-o", tmp_path / "out.ome.tif")
    assert done.exit_code == 0
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and all(f"{path}: warning: PhysicalSize" in line for line in lines)
    result = read_tiff(tmp_path / "out.ome.tif")
    assert len(result.history[0]["warnings"]) == 2 and result.pixel_size is None


def test_frames_with_nan_are_named(run, tmp_path):
    movie = noisy(shape=(4, 48, 40)).astype(np.float32)
    movie[2, 3, 4] = np.nan
    tifffile.imwrite(tmp_path / "in.tif", movie, photometric="minisblack")
    for arguments in (("reucid", "--patch-size", 7), ("split",)):
        command, *options = arguments
        done = run(command, tmp_path / "in.tif", "-o", tmp_path / "out", *options)
        assert done.exit_code == 2 and "frame 3 of 4" in done.stderr


@pytest.mark.parametrize("name", ["-a.tif", "Größe µ 1.tif", 'a\'b "c".tif', "new\nline.tif"])
def test_odd_names(run, tmp_path, name):
    image_file(tmp_path / "in" / name)
    assert run("copy", tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert files(tmp_path / "out") == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")
def test_a_name_that_is_no_text(tmp_path):
    path = image_file(tmp_path / os.fsdecode(b"caf\xe9.tif"))
    done = subprocess.run(
        [*PROGRAM, "reucid", path, "-o", tmp_path / "out", "--patch-size", "7"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert files(tmp_path / "out") == [path.name]


def test_a_pattern_that_matches_nothing(run, tmp_path):
    done = run("copy", tmp_path / "*.tif", "-o", tmp_path / "out.tif")
    assert done.exit_code == 2 and "No file matches this pattern" in done.stderr


def test_the_command_that_split_prints_can_be_pasted(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "-my data"
    folder.mkdir()
    tifffile.imwrite("cam 1.tif", beamsplitter_frame()[0])
    done = run("split", "cam 1.tif", "--output=-my data")
    words = shlex.split(done.stdout.split("train with: ")[1])
    assert words[:2] == ["napari-lowdose", "pair"]
    for word in words[2:4]:
        assert read_tiff(word).pixels.ndim == 2 and not word.startswith("-")
