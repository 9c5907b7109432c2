"""The command that inspects a result and writes a report."""

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from napari_lowdose.cli.app import app

Y, X = np.mgrid[:64, :64]
TRUTH = 10 + 40 * np.exp(-((Y % 16 - 8) ** 2 + (X % 16 - 8) ** 2) / 12)


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def files(tmp_path):
    raw, result = tmp_path / "raw.tif", tmp_path / "clean.tif"
    pixels = np.random.default_rng(0).poisson(TRUTH)
    options = {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "nm"}}
    tifffile.imwrite(raw, pixels.astype(np.uint16), **options)
    tifffile.imwrite(result, gaussian_filter(pixels.astype(np.float32), 2), **options)
    return raw, result


def test_a_report_is_written_and_the_verdict_printed(run, files, tmp_path):
    out = tmp_path / "report.html"
    done = run("inspect", *files, "--second", files[0], "-o", out, "--noise=1,0,0")
    assert done.exit_code == 0, done.stderr
    assert "Structure was removed" in done.stdout and done.stdout.count("\n") == 1
    page = out.read_text(encoding="utf-8")
    assert "distance (nm)" in page and "half a bit" in page
    assert "raw.tif" in page and "clean.tif" in page  # in the script
    done = run("inspect", *files, "-o", out)
    assert done.exit_code == 2 and "exists already" in done.stderr
    assert run("inspect", *files, "-o", out, "--overwrite").exit_code == 0


def test_the_record_of_a_result_comes_into_its_report(run, files, tmp_path):
    clean, out = tmp_path / "reucid.tif", tmp_path / "report.html"
    assert run("reucid", files[0], "-o", clean, "--patch-size=9").exit_code == 0
    done = run("inspect", files[0], clean, "--truth", files[1], "-o", out)
    assert done.exit_code == 0, done.stderr
    page = out.read_text(encoding="utf-8")
    assert "Reucid(patch_size=9)" in page and "best direction" in page and "PSNR" in page


def test_a_frame_of_a_movie(run, files, tmp_path):
    movies = [tmp_path / "movie.tif", tmp_path / "clean movie.tif"]
    for path, source in zip(movies, files, strict=True):
        frame = tifffile.imread(source)
        tifffile.imwrite(path, np.stack([frame] * 2), imagej=True, metadata={"axes": "TYX"})
    out = tmp_path / "report.html"
    assert "--frame" in run("inspect", *movies, "-o", out).stderr
    done = run("inspect", *movies, "-o", out, "--frame=1")
    assert done.exit_code == 0, done.stderr
    assert "image = image[1]" in out.read_text(encoding="utf-8")


def test_frames_are_counted_over_all_axes(run, files, tmp_path):
    stacks = [tmp_path / "stack.tif", tmp_path / "clean stack.tif"]
    for path, source in zip(stacks, files, strict=True):
        frame = tifffile.imread(source)
        tifffile.imwrite(path, np.stack([[frame] * 3] * 2), imagej=True, metadata={"axes": "TZYX"})
    out = tmp_path / "report.html"
    assert "from 0 to 5" in run("inspect", *stacks, "-o", out).stderr
    done = run("inspect", *stacks, "-o", out, "--frame=4")
    assert done.exit_code == 0, done.stderr
    assert "image = image[1, 1]" in out.read_text(encoding="utf-8")


def test_unsuitable_files_are_refused_in_one_line(run, files, tmp_path):
    raw, result = files
    small = tmp_path / "small.tif"
    tifffile.imwrite(small, tifffile.imread(result)[:50])
    out = tmp_path / "report.html"
    for arguments, message in [
        ((raw, small, "-o", out), "the result (50, 64)"),
        ((raw, tmp_path / "none.tif", "-o", out), "No such file"),
        ((raw, result, "-o", tmp_path / "report.pdf"), ".html"),
        ((raw, result, "-o", out, "--noise=3"), "GAIN,OFFSET,READ"),
        ((raw, result, "-o", tmp_path / "none" / "r.html"), "there is no folder"),
    ]:
        done = run("inspect", *arguments)
        assert done.exit_code == 2 and message in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    assert not out.exists()
