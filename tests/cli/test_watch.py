"""`napari-lowdose watch`: every frame is denoised once, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from napari_lowdose import Noise2Noise, Noise2NoiseModel, Reucid, denoise, samples, watch_folder
from napari_lowdose.cli.app import app
from napari_lowdose.io.readers import read_image
from napari_lowdose.live.growing_zarr import GrowingZarr

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = [sys.executable, "-c", "from napari_lowdose.cli.app import main; main()"]
QUICK = ["--poll=0.02", "--silence=0.3", "--patch-size=7"]
ENGINE = Reucid(patch_size=7)


def frame(seed: int, shape: tuple[int, ...] = (48, 64)) -> np.ndarray:
    fringes = 30 + 20 * np.cos(np.arange(shape[-1]) / 2)
    return np.random.default_rng(seed).poisson(fringes, shape).astype(np.uint16)


def write(path: Path, seed: int = 0, shape: tuple[int, ...] = (48, 64), size: float = 0.1) -> Path:
    tifffile.imwrite(
        path, frame(seed, shape), imagej=True, resolution=(1 / size,) * 2, metadata={"unit": "nm"}
    )
    return path


def watch(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


def check(out: Path, seeds: list[int], names: list[str] | None = None) -> None:
    """Check that the movie has each frame as `denoise` returns it, in this order."""
    names = [f"img{seed}.tif" for seed in seeds] if names is None else names
    movie = GrowingZarr.open(out)
    assert [each.name for each in movie.frames] == names
    movie.close()
    found = np.asarray(read_image(out).pixels)
    expected = np.stack([denoise(frame(seed), ENGINE) for seed in seeds])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


def test_every_frame_is_denoised_as_by_the_reucid_command(folder):
    out = folder / "clean.zarr"  # in the watched folder
    for seed in (12, 9, 10):
        write(folder / f"img{seed}.tif", seed)
    done = watch(folder, "-o", out, *QUICK)
    assert done.exit_code == 0, done.stderr
    check(out, [9, 10, 12])
    image = read_image(out)
    assert (image.axes, image.unit) == ("TYX", "nm")
    np.testing.assert_allclose(image.pixel_size, (0.1, 0.1), rtol=1e-6)
    assert image.history[-1]["engine"] == "Reucid"
    lines = done.stdout.splitlines()
    assert [line.rpartition(": ")[0] for line in lines] == [
        f"{folder / name} -> {out}" for name in ("img9.tif", "img10.tif", "img12.tif")
    ]
    assert done.stderr == (
        f"napari-lowdose: {folder}: no new frame came, 3 frames are in {out}; the same command "
        "continues after them\n"
    )


def test_frames_that_come_while_it_runs(folder, tmp_path):
    out = tmp_path / "clean.zarr"
    steps = watch_folder(folder, out, ENGINE, poll=0.02)
    for seed in (2, 1, 3):
        write(folder / f"img{seed}.tif", seed)
        step = next(steps)
        assert (step.frame.name, step.message) == (f"img{seed}.tif", "")
        np.testing.assert_array_equal(read_image(out).pixels[-1], step.image)
    steps.close()
    check(out, [2, 1, 3])


def test_a_restart_continues_with_what_is_new(folder, tmp_path):
    out = tmp_path / "clean.zarr"
    for seed in (1, 2):
        write(folder / f"img{seed}.tif", seed)
    assert watch(folder, "-o", out, *QUICK).exit_code == 0
    write(folder / "img0.tif", 0)  # a late one
    write(folder / "img3.tif", 3)
    done = watch(folder, "-o", out, *QUICK)
    assert done.exit_code == 0 and done.stdout.count("\n") == 2
    check(out, [1, 2, 0, 3])
    assert watch(folder, "-o", out, *QUICK).stdout == ""
    check(out, [1, 2, 0, 3])


def test_a_killed_process_loses_no_frame_and_none_comes_twice(folder, tmp_path):
    out = tmp_path / "clean.zarr"
    for seed in range(12):
        write(folder / f"img{seed}.tif", seed)
    command = [*PROGRAM, "watch", folder, "-o", out, *QUICK]
    for n_lines in (1, 3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(n_lines):
                assert "-> " in process.stdout.readline()
            process.kill()
        n = read_image(out).pixels.shape[0]  # readable, without the frame that was being written
        assert n_lines <= n < 12
    assert watch(folder, "-o", out, *QUICK).exit_code == 0
    check(out, list(range(12)))


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process on Windows")
@pytest.mark.parametrize("n", [0, 2])
def test_ctrl_c(folder, tmp_path, n):
    out = tmp_path / "clean.zarr"
    for seed in range(n):
        write(folder / f"img{seed}.tif", seed)
    # A suite that runs in the background of a shell ignores SIGINT
    handle = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    begun = "import napari_lowdose.live.folder as f; f.FolderSource._look = lambda self: print('-')"
    program = [sys.executable, "-c", handle + (begun + ";" if not n else "") + PROGRAM[-1]]
    with subprocess.Popen(
        [*program, "watch", folder, "-o", out, "--patch-size=7", "--poll=0.02"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for _ in range(max(n, 1)):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    kept = f"{n} frames are in {out}; the same command continues after them"
    kept = kept if n else "no output was written"
    assert stderr == f"napari-lowdose: {folder}: stopped, {kept}\n"
    assert out.exists() == bool(n)
    if n:
        check(out, [0, 1])


def test_what_cannot_be_denoised_has_a_line_each_and_the_others_go_on(folder, tmp_path):
    out = tmp_path / "clean.zarr"
    write(folder / "img1.tif", 1)
    write(folder / "img2.tif", 2, (48, 80))
    write(folder / "img3.tif", 3, size=0.2)
    write(folder / "img4.tif", 4, (5, 64))
    (folder / "img5.tif").write_bytes(write(tmp_path / "x.tif").read_bytes()[:-9])
    tifffile.imwrite(folder / "img6.tif", np.zeros((48, 64), np.uint16))
    write(folder / "img7.tif", 7)
    done = watch(folder, "-o", out, *QUICK)
    assert done.exit_code == 2
    lines = [line.removeprefix(f"napari-lowdose: {folder}/") for line in done.stderr.splitlines()]
    other = "and the frames in clean.zarr have"
    for line, start in zip(
        lines[:-1],
        [
            f"img2.tif: it has 48 x 80 pixels, {other} 48 x 64 pixels",
            f"img3.tif: it has pixels of 0.2 x 0.2 nm, {other} pixels of 0.1 x 0.1 nm",
            "img4.tif: ",  # too small
            "img6.tif: warning: the frame is constant: is the shutter closed?",
            "img5.tif: This TIFF is cut off",
        ],
        strict=True,
    ):
        assert line.startswith(start), done.stderr
    movie = GrowingZarr.open(out)
    assert [each.name for each in movie.frames] == ["img1.tif", "img6.tif", "img7.tif"]
    movie.close()
    assert read_image(out).history[-1]["warnings"] == [
        "the frame is constant: is the shutter closed?"
    ]
    write(folder / "img5.tif", 5)  # mended
    done = watch(folder, "-o", out, *QUICK)
    assert done.exit_code == 2 and f"{folder / 'img5.tif'} -> {out}" in done.stdout


def test_what_belongs_to_something_else_is_refused(folder, tmp_path):
    out, other = tmp_path / "clean.zarr", tmp_path / "other"
    write(folder / "img1.tif", 1)
    other.mkdir()
    assert watch(folder, "-o", out, *QUICK).exit_code == 0
    zarr.save_array(tmp_path / "foreign.zarr", frame(0))
    GrowingZarr.create(tmp_path / "raw.zarr", (8, 8), np.uint16).append(np.ones((8, 8), np.uint16))
    (folder / "notes.pdf").write_bytes(b"%PDF")
    new = tmp_path / "new.zarr"
    for arguments, says in (
        ([other, "-o", out], f"{out} was begun with the frames of {folder}: choose"),
        ([folder, "-o", out, "--patch-size=9"], f"{out} was begun with another engine or param"),
        ([folder, "-o", out, "--fast"], f"{out} was begun with another engine or parameter"),
        ([folder, "-o", tmp_path / "foreign.zarr"], "and was not made by watching a folder"),
        ([folder, "-o", tmp_path / "raw.zarr"], "and was not made by watching a folder"),
        ([folder, "-o", tmp_path / "out.tif"], "use the extension .zarr"),
        ([folder, "-o", tmp_path / "no" / "out.zarr"], f"there is no folder {tmp_path / 'no'}"),
        ([tmp_path / "typo", "-o", new], f"No such file or directory: {tmp_path / 'typo'}"),
        ([folder / "notes.pdf", "-o", new], "neither a folder, a TIFF nor a .zarr"),
        ([out, "-o", out], "the result would replace the input"),
        ([out, "-o", out / "new.zarr"], "the result would replace the input"),
        ([folder, "-o", new, "--poll=0"], "poll must be a positive number"),
        ([folder, "-o", new, "--model", folder / "img1.tif"], "img1.tif"),
    ):
        done = watch(*arguments, *(each for each in QUICK if each[:6] not in str(arguments)))
        assert done.exit_code == 2 and says in done.stderr, (arguments, done.stderr)
        assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert not new.exists()
    check(out, [1])


def test_two_processes_cannot_write_one_output(folder, tmp_path):
    out = tmp_path / "clean.zarr"
    write(folder / "img1.tif", 1)
    first = watch_folder(folder, out, ENGINE, poll=0.02)
    next(first)
    done = watch(folder, "-o", out, *QUICK)
    assert done.exit_code == 2 and "is being written by another run" in done.stderr
    first.close()
    check(out, [1])


def test_an_output_that_is_removed_meanwhile_is_an_error(folder, tmp_path):
    out = tmp_path / "clean.zarr"
    write(folder / "img1.tif", 1)
    steps = watch_folder(folder, out, ENGINE, poll=0.02)
    next(steps)
    out.rename(tmp_path / "moved.zarr")
    write(folder / "img2.tif", 2)
    with pytest.raises(OSError, match="removed or renamed"):
        next(steps)


def test_nothing_came(folder, tmp_path):
    done = watch(folder, "-o", tmp_path / "clean.zarr", *QUICK)
    assert done.exit_code == 2
    assert done.stderr == f"napari-lowdose: {folder}: no new frame came, no output was written\n"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_growing_stack_is_continued_where_it_was(tmp_path):
    path, out = tmp_path / "scan.tif", tmp_path / "clean.zarr"
    page = {"photometric": "minisblack", "contiguous": False}
    with tifffile.TiffWriter(path) as writer:
        writer.write(frame(0), **page)
        writer.write(frame(1), **page)
        done = watch(path, "-o", out, *QUICK)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith(f"{path} frame 1 -> {out}: ")
        writer.write(frame(2), **page)
        assert watch(path, "-o", out, *QUICK).exit_code == 0
    check(out, [0, 1, 2], [f"scan.tif frame {k}" for k in (1, 2, 3)])


def test_a_network_and_its_warning_of_the_pixel_size(folder, tmp_path):
    first, second, _ = samples.stem_pair()
    model = Noise2Noise(epochs=0.01, width=4, pixel_size=0.4, pixel_unit="nm", device="cpu").train(
        first[:128, :128], second[:128, :128]
    )
    assert isinstance(model, Noise2NoiseModel)
    model.save(tmp_path / "net.safetensors")
    for seed in (1, 2):
        write(folder / f"img{seed}.tif", seed)
    out = tmp_path / "clean.zarr"
    done = watch(folder, "-o", out, "--model", tmp_path / "net.safetensors", *QUICK[:2])
    assert done.exit_code == 0, done.stderr
    assert f"{folder / 'img1.tif'}: warning: this network was trained at" in done.stderr
    found = np.asarray(read_image(out).pixels)
    for image, seed in zip(found, (1, 2), strict=True):
        with pytest.warns(UserWarning):  # it was not trained for such images
            expected = denoise(frame(seed), model)
        np.testing.assert_allclose(image, expected, rtol=1e-5)


def test_fast_denoises_as_a_running_source_is(folder, tmp_path):
    for seed in (1, 2, 3):
        write(folder / f"img{seed}.tif", seed)
    done = watch(folder, "-o", tmp_path / "clean.zarr", "--fast", *QUICK)
    assert done.exit_code == 0, done.stderr
    truth = np.broadcast_to(30 + 20 * np.cos(np.arange(64) / 2), (48, 64))
    for image in np.asarray(read_image(tmp_path / "clean.zarr").pixels):
        assert np.std(image - truth) < 0.35 * np.std(frame(1) - truth)
