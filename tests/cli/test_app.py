"""The command line as a user meets it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from napari_lowdose import Reucid
from napari_lowdose.cli import app as cli
from napari_lowdose.engine import Engine, Step
from napari_lowdose.io.tiff import read_tiff
from napari_lowdose.samples import beamsplitter_frame

DATA = Path(__file__).parents[3] / "shared" / "data"
BANNED = ("torch", "napari", "qtpy", "skimage", "npe2", "tifffile", "rich")
BANNED += ("scipy.fft", "scipy.linalg", "scipy.ndimage")
PROGRAM = [sys.executable, "-c", "from napari_lowdose.cli.app import main; main()"]


@dataclass(frozen=True)
class Doubler(Engine):
    """Twice as bright, not as clean.

    Parameters
    ----------
    refuse : int, optional
        Which width of an image it cannot stand.
    warn : bool
        Whether every frame is worth a warning.
    """

    refuse: int | None = None
    warn: bool = False

    def frame_steps(self, frame: Any) -> Iterator[Step]:
        yield Step(fraction=0.5, message="half way")
        if self.warn:
            warnings.warn("some pixels look\nsaturated.", stacklevel=1)
            warnings.warn("for programmers", DeprecationWarning, stacklevel=1)
        if frame.shape[-1] == self.refuse:
            raise ValueError("This image is\ntoo wide.")
        yield Step(fraction=1.0, message="there", image=np.asarray(2 * frame, np.float32))


@pytest.fixture
def run():
    app = cli.build_app(doubler=Doubler, reucid=Reucid)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def image_file(path, shape=(40, 36), **options):
    y, x = np.indices(shape)[-2:]
    truth = 30 + 20 * np.sin(x / 2) * np.sin(y / 2)
    pixels = np.random.default_rng(0).poisson(truth).astype(np.uint16)
    options = {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "nm"}} | options
    tifffile.imwrite(path, pixels, **options)
    return path


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------ one file


def test_one_file(run, tmp_path):
    path = image_file(tmp_path / "in.tif")
    done = run("doubler", path, "-o", tmp_path / "out.tif")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path} -> {tmp_path / 'out.tif'}: ")
    result = read_tiff(tmp_path / "out.tif")
    np.testing.assert_array_equal(result.pixels, 2 * read_tiff(path).pixels)
    assert (result.pixel_size, result.unit) == ((0.25, 0.25), "nm")
    (record,) = result.history
    assert (record["source"], record["engine"], record["finished"]) == ("in.tif", "Doubler", True)
    assert files(tmp_path) == ["in.tif", "out.tif"]


@pytest.mark.parametrize("out", ["results", "a/b/results"])
def test_one_file_into_a_folder(run, tmp_path, out):
    path = image_file(tmp_path / "in.tif")
    assert run("doubler", path, "-o", tmp_path / out).exit_code == 0
    assert files(tmp_path / out) == ["in.tif"]


def test_what_exists_already_stays_without_overwrite(run, tmp_path):
    path = image_file(tmp_path / "in.tif")
    out = tmp_path / "out.tif"
    out.write_bytes(b"precious")
    done = run("doubler", path, "-o", out)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"napari-lowdose: {path}: {out} exists already")
    assert "--overwrite" in done.stderr and done.stderr.count("\n") == 1
    assert out.read_bytes() == b"precious"
    assert run("doubler", path, "-o", out, "--overwrite").exit_code == 0
    assert read_tiff(out).history


def test_the_input_is_never_replaced(run, tmp_path):
    path = image_file(tmp_path / "in.tif")
    before = path.read_bytes()
    for out in (path, tmp_path):  # the folder that the input lies in, too
        done = run("doubler", path, "-o", out, "--overwrite")
        assert done.exit_code == 2 and "would replace the input" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("out", "says"),
    [("out.png", "use the extension .tif"), ("nowhere/out.tif", "there is no folder")],
)
def test_outputs_that_cannot_be(run, tmp_path, out, says):
    done = run("doubler", image_file(tmp_path / "in.tif"), "-o", tmp_path / out)
    assert done.exit_code == 2 and says in done.stderr and done.stderr.count("\n") == 1


def test_a_disk_that_fills_up(run, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    path = image_file(tmp_path / "in.tif")
    monkeypatch.setattr(os, "fsync", full)
    done = run("doubler", path, "-o", tmp_path / "out.tif")
    assert done.exit_code == 2 and "No space left on device" in done.stderr
    assert files(tmp_path) == ["in.tif"]


def test_no_memory(run, tmp_path, monkeypatch):
    def starved(*_):
        raise MemoryError

    monkeypatch.setattr(Doubler, "frame_steps", starved)
    done = run("doubler", image_file(tmp_path / "in.tif"), "-o", tmp_path / "out.tif")
    assert done.exit_code == 2 and "not enough memory" in done.stderr


# --------------------------------------------------------------------------- many


def test_a_bad_file_does_not_stop_the_others(run, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    image_file(inputs / "a.tif")
    (inputs / "b.tif").write_bytes(b"nonsense")
    tifffile.imwrite(inputs / "c.tiff", np.zeros((30, 20, 3), np.uint8), photometric="rgb")
    image_file(inputs / "d.tif", (30, 31))
    image_file(inputs / "e.tif", (3, 40, 36), metadata={"axes": "TYX"})
    (inputs / ".hidden.tif").write_bytes(b"")
    (inputs / "notes.txt").write_text("no image")
    done = run("doubler", inputs, "-o", tmp_path / "out", "--refuse", 31)
    assert done.exit_code == 2
    assert files(tmp_path / "out") == ["a.tif", "e.tif"]
    lines = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["napari-lowdose", str(inputs / name)] for name in ("b.tif", "c.tiff", "d.tif")
    ]
    assert lines[0].endswith("not a TIFF file: its first bytes are b'nons'.")
    assert "colour" in lines[1]
    assert lines[2].endswith("This image is too wide.")
    assert len(done.stdout.splitlines()) == 2


def test_files_and_folders_together(run, tmp_path):
    (tmp_path / "more").mkdir()
    inputs = [image_file(tmp_path / "a.tif"), tmp_path / "more", tmp_path / "missing.tif"]
    image_file(tmp_path / "more" / "b.tif")
    done = run("doubler", *inputs, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert done.stderr == f"napari-lowdose: {inputs[2]}: No such file or directory\n"
    assert files(tmp_path / "out") == ["a.tif", "b.tif"]


def test_two_inputs_of_one_name_are_refused_before_anything_is_done(run, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        image_file(tmp_path / folder / "a.tif")
    done = run("doubler", tmp_path / "one", tmp_path / "two", "-o", tmp_path / "out", "--overwrite")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert f"both {tmp_path / 'one' / 'a.tif'} and {tmp_path / 'two' / 'a.tif'}" in done.stderr
    assert files(tmp_path) == ["one", "two"]


def test_no_result_replaces_another_input(run, tmp_path):
    folder, link = tmp_path / "in", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder, target_is_directory=True)
    before = image_file(folder / "x.tif").read_bytes()
    (folder / "x.dm3").write_bytes(b"its result is x.tif")
    for out in (folder, link):
        done = run("doubler", folder, "-o", out, "--overwrite")
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        says = f"{folder / 'x.dm3'}: the result would replace the input {folder / 'x.tif'}; "
        assert done.stderr.startswith(f"napari-lowdose: {says}")
    assert (folder / "x.tif").read_bytes() == before


def test_no_result_replaces_what_an_input_is_a_link_to(run, tmp_path):
    for folder in ("raw", "links"):
        (tmp_path / folder).mkdir()
    before = image_file(tmp_path / "raw" / "a.tif").read_bytes()
    image_file(tmp_path / "links" / "b.tif")
    (tmp_path / "links" / "a.tif").symlink_to(tmp_path / "raw" / "a.tif")
    done = run("doubler", tmp_path / "links", "-o", tmp_path / "raw", "--overwrite")
    assert done.exit_code == 2 and "would replace the input" in done.stderr
    assert files(tmp_path / "raw") == ["a.tif"]
    assert (tmp_path / "raw" / "a.tif").read_bytes() == before


def test_an_empty_folder_and_a_file_for_many(run, tmp_path):
    (tmp_path / "in").mkdir()
    done = run("doubler", tmp_path / "in", "-o", tmp_path / "out")
    assert done.exit_code == 2 and "no images in this folder" in done.stderr
    image_file(tmp_path / "in" / "a.tif")
    (tmp_path / "out.tif").write_bytes(b"precious")
    done = run("doubler", tmp_path / "in", "-o", tmp_path / "out.tif", "--overwrite")
    assert done.exit_code == 2 and "need a folder" in done.stderr
    assert (tmp_path / "out.tif").read_bytes() == b"precious"


# ----------------------------------------------------------------------- warnings


def test_warnings_of_the_engine_are_told_and_kept(run, tmp_path):
    (tmp_path / "in").mkdir()
    inputs = [image_file(tmp_path / "in" / name, (3, 40, 36)) for name in ("a.tif", "b.tif")]
    done = run("doubler", *inputs, "-o", tmp_path / "out", "--warn")
    assert done.exit_code == 0
    told = "some pixels look saturated."  # once, not for every frame
    assert done.stderr == "".join(f"napari-lowdose: {p}: warning: {told}\n" for p in inputs)
    for path in inputs:
        assert read_tiff(tmp_path / "out" / path.name).history[0]["warnings"] == [told]


def test_a_warning_before_an_error_is_told(run, tmp_path):
    path = image_file(tmp_path / "in.tif", (30, 31))
    done = run("doubler", path, "-o", tmp_path / "out.tif", "--warn", "--refuse", 31)
    assert done.exit_code == 2
    assert [line.rsplit(": ")[-1] for line in done.stderr.splitlines()] == [
        "some pixels look saturated.",
        "This image is too wide.",
    ]


def test_dead_rows_are_told(tmp_path):
    pixels = np.random.default_rng(0).poisson(20, (64, 64)).astype(np.uint16)
    pixels[12] = 0
    tifffile.imwrite(tmp_path / "in.tif", pixels)
    done = subprocess.run(
        [*PROGRAM, "reucid", tmp_path / "in.tif", "-o", tmp_path / "out.tif"],
        capture_output=True,
        text=True,
        check=True,
    )
    said = f"napari-lowdose: {tmp_path / 'in.tif'}: warning: the image has 1 constant row"
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    (record,) = read_tiff(tmp_path / "out.tif").history
    assert "row 12" in record["warnings"][0]


# ------------------------------------------------------------------------- REUCID


def test_reucid(run, tmp_path):
    path = image_file(tmp_path / "in.tif")
    options = ["--patch-size", 7, "--n-stacks", 2, "--keep", 5, "--n-components", 12, "--seed", 3]
    options += ["--scan-noise", "keep", "--exact", "--memory-limit", "1GiB"]
    done = run("reucid", path, "-o", tmp_path / "out.tif", *options)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "patch 7 px, kept 5 of 12 eigenpatches in each of 2 patch stacks, " in done.stdout
    (record,) = read_tiff(tmp_path / "out.tif").history
    assert json.loads(json.dumps(record["parameters"])) == {
        "patch_size": 7,
        "n_stacks": 2,
        "memory_limit": 2**30,
        "n_components": 12,
        "stacks": "random",
        "deviations": "keep",
        "frames_together": 1,
        "keep": 5,
        "scan_noise": "keep",
        "exact": True,
        "outliers": "remove",
        "classifier": None,
        "seed": 3,
    }
    assert len(record["steps"]) == 2


def test_reucid_is_the_library_with_its_own_defaults(run, tmp_path):
    from napari_lowdose import denoise

    path = image_file(tmp_path / "in.tif", (64, 64))
    done = run("reucid", path, "-o", tmp_path / "out.tif")
    assert done.exit_code == 0, done.stderr
    expected = denoise(tifffile.imread(path), Reucid())
    np.testing.assert_allclose(tifffile.imread(tmp_path / "out.tif"), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        ["--patch-size", "8"],
        ["--patch-size", "tall"],
        ["--scan-noise", "maybe"],
        ["--seed", "-1"],
        ["--seed", "1.5"],
        ["--n-stacks", "0"],
        ["--n-stacks", "70000"],
        ["--memory-limit", "0"],
        ["--memory-limit", "-5"],
        ["--memory-limit", "1"],
        pytest.param(["--memory-limit", "9" * 400], id="endless"),
        ["--keep", ";"],
    ],
)
def test_reucid_refuses_parameters_in_one_line(run, tmp_path, options):
    done = run("reucid", image_file(tmp_path / "in.tif"), "-o", tmp_path / "out.tif", *options)
    assert done.exit_code == 2
    assert done.stderr.startswith("napari-lowdose: ") and done.stderr.count("\n") == 1
    assert files(tmp_path) == ["in.tif"]


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((40, 40), np.nan, np.float32),
        np.full((40, 40), 7, np.uint8),
        np.zeros((4, 4), np.uint16),
        np.zeros((40, 40), bool),
        np.zeros((40, 40), np.complex64),
    ],
    ids=["nan", "constant", "tiny", "boolean", "complex"],
)
def test_reucid_refuses_unsuitable_images_in_one_line(run, tmp_path, pixels):
    tifffile.imwrite(tmp_path / "in.tif", pixels)
    done = run("reucid", tmp_path / "in.tif", "-o", tmp_path / "out.tif")
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith(f"napari-lowdose: {tmp_path / 'in.tif'}: ")
    assert done.stderr.count("\n") == 1
    assert files(tmp_path) == ["in.tif"]


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
def test_reucid_on_a_real_image(run, tmp_path):
    path = DATA / "real_stem" / "graphene_si_2nm.tif"
    done = run("reucid", path, "-o", tmp_path / "out.tif")
    assert done.exit_code == 0, done.stderr
    image, result = read_tiff(path), read_tiff(tmp_path / "out.tif")
    assert (result.pixel_size, result.unit) == (image.pixel_size, "angstrom")
    assert 0 < np.std(result.pixels) < np.std(image.pixels)


@pytest.mark.parametrize(("keep", "told"), [("3", "(0-2)"), ("0,1,4", "(0-1 4)"), ("4,", "(4)")])
def test_which_eigenpatches_were_kept_is_told(run, tmp_path, keep, told):
    path = image_file(tmp_path / "in.tif")
    done = run(
        "reucid", path, "-o", tmp_path / "o.tif", "--patch-size", 7, "--n-stacks", 1, "--keep", keep
    )
    assert told in done.stdout, done.output


# ------------------------------------------------------------------ zarr, in and out


def test_a_zarr_is_written_frame_by_frame(run, tmp_path):
    path = image_file(tmp_path / "in.tif", (3, 40, 36), metadata={"axes": "TYX", "unit": "nm"})
    out = tmp_path / "out.zarr"
    done = run("doubler", path, "-o", out, "--warn")
    assert done.exit_code == 0
    clean = zarr.open_array(out / "0")
    (record,) = clean.attrs["napari-lowdose"]["history"]
    assert (record["source"], record["warnings"]) == ("in.tif", ["some pixels look saturated."])
    np.testing.assert_array_equal(clean[:], 2 * tifffile.imread(path))
    assert clean.chunks == (1, 40, 36)
    assert clean.attrs["scale"] == [1, 0.25, 0.25]
    assert clean.attrs["units"] == ["pixel", "nm", "nm"]
    # The same again has nothing to do; another engine is not mixed in
    assert run("doubler", path, "-o", out, "--warn").exit_code == 0
    done = run("doubler", path, "-o", out, "--refuse", 7)
    assert done.exit_code == 2 and "begun with another" in done.stderr
    assert run("doubler", path, "-o", out, "--refuse", 7, "--overwrite").exit_code == 0


def test_a_zarr_is_an_image_too(run, tmp_path):
    path = image_file(tmp_path / "in.tif", (3, 40, 36), metadata={"axes": "TYX", "unit": "nm"})
    twice, four = tmp_path / "2.zarr", tmp_path / "4.zarr"
    assert run("doubler", path, "-o", twice).exit_code == 0
    assert run("doubler", twice, "-o", four).exit_code == 0
    np.testing.assert_array_equal(zarr.open_array(four / "0")[:], 4 * tifffile.imread(path))
    history = zarr.open_array(four / "0").attrs["napari-lowdose"]["history"]
    assert [record["engine"] for record in history] == ["Doubler", "Doubler"]
    done = run("doubler", twice, "-o", tmp_path / "4.tif")
    assert done.exit_code == 0, done.stderr
    result = read_tiff(tmp_path / "4.tif")
    assert (result.axes, result.pixel_size, result.unit) == ("TYX", (0.25, 0.25), "nm")
    assert len(result.history) == 2
    done = run("doubler", twice, "-o", twice, "--overwrite")
    assert done.exit_code == 2 and "would replace the input" in done.stderr


def test_a_zarr_that_is_none(run, tmp_path):
    (tmp_path / "in.zarr").mkdir()
    for name, says in (("in.zarr", "no zarr array"), ("missing.zarr", "No such file")):
        done = run("doubler", tmp_path / name, "-o", tmp_path / "out.tif")
        assert done.exit_code == 2 and says in done.stderr and done.stderr.count("\n") == 1


# --------------------------------------------------------------------- pair and apply


@dataclass(frozen=True)
class Difference(Engine):
    """First minus second."""

    takes = "pair"
    trains = True  # offers --save-model
    times: float = 1.0

    def frame_steps(self, first: Any, second: Any) -> Iterator[Step]:
        image = self.times * (first.astype(np.float32) - second)
        yield Step(fraction=1.0, message="done", image=image.astype(np.float32))


@pytest.mark.parametrize("trains", [False, True])
def test_only_engines_that_train_offer_to_save_a_model(trains) -> None:
    engine = type("Training", (Difference,), {"trains": trains, "__doc__": "Train."})
    app = cli.build_app(engine=engine, another=Difference)
    text = CliRunner().invoke(app, ["engine", "--help"], env={"COLUMNS": "200"}).stdout
    assert ("--save-model" in text) == ("--continue" in text) == trains
    assert "--times" in text


@pytest.fixture
def run_pair():
    app = cli.build_app(difference=Difference)
    return lambda *arguments: CliRunner().invoke(app, ["difference", *map(str, arguments)])


def pair_files(folder, shape=(40, 36)):
    first, second = image_file(folder / "first.tif", shape), folder / "second.tif"
    y, x = np.indices(shape)[-2:]
    noisy = np.random.default_rng(1).poisson(30 + 20 * np.sin(x / 2) * np.sin(y / 2))
    tifffile.imwrite(second, noisy.astype(np.uint16), photometric="minisblack")
    return first, second


def test_a_pair(run_pair, tmp_path):
    first, second = pair_files(tmp_path)
    done = run_pair(first, second, "-o", tmp_path / "out.tif", "--times", 2)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{first} + {second} -> {tmp_path / 'out.tif'}: ")
    result = read_tiff(tmp_path / "out.tif")
    expected = 2.0 * tifffile.imread(first) - 2.0 * tifffile.imread(second)
    np.testing.assert_array_equal(result.pixels, expected)
    assert (result.pixel_size, result.unit) == ((0.25, 0.25), "nm")  # of the first
    assert result.history[0]["source"] == ["first.tif", "second.tif"]


def test_a_pair_obeys_the_same_rules(run_pair, tmp_path):
    first, second = pair_files(tmp_path)
    before = second.read_bytes()
    for out in (first, second):
        done = run_pair(first, second, "-o", out, "--overwrite")
        assert done.exit_code == 2 and "would replace the input" in done.stderr
    assert second.read_bytes() == before
    out = tmp_path / "out.tif"
    out.write_bytes(b"precious")
    done = run_pair(first, second, "-o", out)
    assert done.exit_code == 2 and "--overwrite" in done.stderr and done.stderr.count("\n") == 1
    assert out.read_bytes() == b"precious"
    done = run_pair(first, tmp_path / "missing.tif", "-o", tmp_path / "new.tif")
    assert done.exit_code == 2 and "No such file" in done.stderr and done.stderr.count("\n") == 1
    done = run_pair(tmp_path / "missing.tif", second, "-o", tmp_path / "new.tif")
    assert f"directory: {tmp_path / 'missing.tif'}" in done.stderr  # which of the two
    other = image_file(tmp_path / "other.tif", (40, 37))
    done = run_pair(first, other, "-o", tmp_path / "new.tif")
    assert done.exit_code == 2 and "must have the same shape" in done.stderr
    for network, says in (
        ("m.pt", "use the extension .safetensors"),
        ("no/m.safetensors", "no folder"),
    ):
        done = run_pair(
            first, second, "-o", tmp_path / "new.tif", "--save-model", tmp_path / network
        )
        assert done.exit_code == 2 and says in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "new.tif").exists()


def test_train_keep_continue_and_apply(tmp_path):
    from napari_lowdose import Noise2NoiseModel, denoise
    from napari_lowdose.samples import stem_pair

    def run(*arguments):
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    paths = [tmp_path / "first.tif", tmp_path / "second.tif"]
    images = [image[:96, :96] for image in stem_pair()[:2]]
    for path, image in zip(paths, images, strict=True):
        tifffile.imwrite(path, image)
    out, network, more = (tmp_path / n for n in ("o.tif", "m.safetensors", "n.safetensors"))

    done = run(
        "pair",
        *paths,
        "-o",
        out,
        "--save-model",
        network,
        "--epochs",
        2,
        "--shift",
        "0,0",
        "--no-fallback",
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{out} and {network}: 2 epochs" in done.stdout
    (record,) = read_tiff(out).history
    assert record["engine"] == "Noise2Noise" and record["training"]["epochs"] == 2
    model = Noise2NoiseModel.load(network)
    np.testing.assert_array_equal(tifffile.imread(out), denoise(tuple(images), model))

    done = run("pair", *paths, "-o", out, "--save-model", network, "--epochs", 1)
    assert done.exit_code == 2 and "exists already" in done.stderr  # before any training
    done = run(
        *("pair", *paths, "-o", tmp_path / "p.tif", "--epochs", 1),
        *("--save-model", more, "--continue", network, "--no-fallback"),
    )
    assert done.exit_code == 0, done.stderr
    assert Noise2NoiseModel.load(more).record["epochs"] == pytest.approx(3)

    done = run("apply", network, *paths, "-o", tmp_path / "clean")
    assert (done.exit_code, done.stderr) == (0, "")
    clean = tifffile.imread(tmp_path / "clean" / "second.tif")
    np.testing.assert_array_equal(clean, denoise(images[1], model))

    done = run("apply", paths[0], paths[1], "-o", tmp_path / "q.tif")
    assert done.exit_code == 2 and "network" in done.stderr and done.stderr.count("\n") == 1
    done = run("apply", tmp_path / "missing", paths[1], "-o", tmp_path / "q.tif")
    assert done.exit_code == 2 and "No such file" in done.stderr
    done = run("pair", paths[0], paths[0], "-o", tmp_path / "q.tif")
    assert done.exit_code == 2 and "same data" in done.stderr and done.stderr.count("\n") == 1


def test_pairs_of_one_counted_image_or_movie(tmp_path):
    from napari_lowdose import MoviePairs, Noise2Noise, Noise2NoiseModel, ThinnedNetwork, denoise

    def run(*arguments):
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    rng = np.random.default_rng(0)
    frames = rng.poisson(9 + 6 * np.cos(np.arange(64) / 2), (4, 64, 64)).astype(np.uint16)
    movie, image = tmp_path / "movie.tif", tmp_path / "image.tif"
    tifffile.imwrite(movie, frames, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(image, frames[0])
    out, network = tmp_path / "o.tif", tmp_path / "n.safetensors"

    done = run("movie", movie, "-o", out, "--pairs", "even-odd", "--epochs", 2, "--no-fallback")
    assert done.exit_code == 0 and "2 epochs" in done.stdout
    expected = denoise(frames, MoviePairs(Noise2Noise(epochs=2, fallback=False), "even-odd"))
    np.testing.assert_array_equal(tifffile.imread(out), expected)
    done = run("movie", movie, "-o", tmp_path / "p.tif", "--pairs", "odd")
    assert done.exit_code == 2 and "'neighbours', 'even-odd'" in done.stderr

    done = run(
        *("counted", image, "-o", tmp_path / "c.tif", "--epochs", 1, "--no-fallback"),
        *("--save-model", network),
    )
    assert (done.exit_code, done.stderr) == (0, "")
    clean = tifffile.imread(tmp_path / "c.tif")
    done = run("apply", network, image, "-o", tmp_path / "d.tif")  # divided as for the training
    assert (done.exit_code, done.stderr) == (0, "")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "d.tif"), clean)
    model = Noise2NoiseModel.load(network)
    np.testing.assert_array_equal(denoise(frames[0], ThinnedNetwork(model)), clean)


def test_a_network_of_another_pixel_size_is_warned_of(tmp_path):
    from napari_lowdose import Noise2NoiseModel

    def run(*arguments):
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    first, second = pair_files(tmp_path)  # 0.25 nm
    network = tmp_path / "m.safetensors"
    done = run(
        "pair", first, second, "-o", tmp_path / "o.tif", "--epochs", 1, "--save-model", network
    )
    assert done.exit_code == 0, done.stderr
    model = Noise2NoiseModel.load(network)
    assert (model.pixel_size, model.pixel_unit) == ((0.25, 0.25), "nm")
    done = run("apply", network, first, "-o", tmp_path / "same.tif")
    assert (done.exit_code, done.stderr) == (0, "")
    coarse = image_file(tmp_path / "coarse.tif", resolution=(1, 1))
    done = run("apply", network, coarse, "-o", tmp_path / "other.tif")
    assert done.exit_code == 0
    assert "trained at a pixel size of 0.25 nm, and this image has 1 nm" in done.stderr
    (record,) = read_tiff(tmp_path / "other.tif").history
    assert "pixel size" in record["warnings"][0]


# -------------------------------------------------------------- in its own process


def test_help_and_version_are_quick(tmp_path):
    code = (
        "import sys; from napari_lowdose.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        f"finally: print([m for m in {BANNED} if m in sys.modules])"
    )
    helps = [[command, "--help"] for command in ("reucid", "pair", "apply", "watch")]
    for arguments in (["--help"], *helps, ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"  # nothing slow was loaded
    assert done.stdout.startswith("napari-lowdose ")


def test_help_names_every_parameter_and_its_default():
    done = subprocess.run(
        [*PROGRAM, "reucid", "--help"], capture_output=True, text=True, check=True
    )
    for option in ("--patch-size auto|psf|wide|N", "--n-stacks N", "--memory-limit BYTES"):
        assert option in done.stdout
    for option in (
        "--keep",
        "--scan-noise remove|keep|columns",
        "--exact",
        "--seed N",
        "--overwrite",
    ):
        assert option in done.stdout
    assert f"[default: {Reucid().n_components}]" in " ".join(done.stdout.split())


def test_bad_files_leave_one_line_and_no_traceback(tmp_path):
    noise = np.random.default_rng(0).integers(0, 99, (5, 64, 64)).astype(np.uint16)
    path = tmp_path / "cut off.tif"
    tifffile.imwrite(path, noise, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        last = file.pages[-1].offset
    path.write_bytes(path.read_bytes()[:last])  # tifffile only logs that
    done = subprocess.run(
        [*PROGRAM, "reucid", path, "-o", tmp_path / "out.tif"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"napari-lowdose: {path}: This TIFF is cut off")
    assert done.stderr.count("\n") == 1 and done.stdout == ""


SLOW = """
import signal
import time
from dataclasses import dataclass
import numpy as np
from napari_lowdose.cli import app as cli
from napari_lowdose.engine import Engine, Step

# A suite that runs in the background of a shell ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)

@dataclass(frozen=True)
class Slow(Engine):
    '''Slow.'''
    def frame_steps(self, image):
        yield Step(fraction=0.1, message="begun", image=np.asarray(image, np.float32))
        print("begun", flush=True)
        time.sleep(60)
        yield Step(fraction=1.0, message="done", image=np.asarray(image, np.float32))

cli.app = cli.build_app(slow=Slow, other=Slow)
cli.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process on Windows")
def test_ctrl_c(tmp_path):
    path = image_file(tmp_path / "in.tif")
    (tmp_path / "out").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, "slow", path, "-o", tmp_path / "out" / "out.tif"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)  # half of what the engine would take
    assert process.returncode == 130
    assert stderr == f"napari-lowdose: {path}: stopped, no output was written\n"
    assert files(tmp_path / "out") == []


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals on Windows")
def test_a_progress_bar_on_a_terminal(tmp_path):
    import pty
    import termios

    path = image_file(tmp_path / "in.tif", (9, 256, 256), metadata={"axes": "TYX"})
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with subprocess.Popen(
        [*PROGRAM, "reucid", path, "-o", tmp_path / "out.tif"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other side has closed
            while chunk := os.read(ours, 4096):
                shown += chunk
        stdout = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"in.tif:   0%" in shown and b"left" in shown
    assert "in each patch stack of 9 frames" in stdout
    assert stdout.count("\n") == 1


def test_split_makes_a_pair_that_can_be_trained_on(run, tmp_path):
    frame, _ = beamsplitter_frame()
    source = tmp_path / "camera.tif"
    pixel_size = {"resolution": (10, 10), "metadata": {"unit": "um"}}
    tifffile.imwrite(source, frame, imagej=True, **pixel_size)
    done = run("split", source, "-o", tmp_path / "views")
    assert done.exit_code == 0, done.stderr
    assert "side by side" in done.stdout and "--shift=" in done.stdout
    first, second = (read_tiff(tmp_path / "views" / f"camera_{n}.tif") for n in ("first", "second"))
    assert first.pixels.shape == second.pixels.shape
    assert first.pixel_size == pytest.approx((0.1, 0.1))
    again = run("split", source, "-o", tmp_path / "views")
    assert again.exit_code == 2 and "exists already" in again.stderr


def test_split_refuses_halves_of_different_scenes(run, tmp_path):
    scenes = np.random.default_rng(0).poisson(20, (128, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "camera.tif", scenes)
    done = run("split", tmp_path / "camera.tif", "-o", tmp_path)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert len(list(tmp_path.iterdir())) == 1
