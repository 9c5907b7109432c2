"""Layouts of beamsplitters on the command line: kept, compared with later movies, and used."""

import shlex

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_lowdose import Noise2NoiseModel, SplitLayout, samples
from napari_lowdose.cli import app as cli
from napari_lowdose.io.tiff import read_tiff
from napari_lowdose.io.zarr_folder import read_zarr


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def camera_file(path, **splitter):
    frame = samples.beamsplitter_frame(splitter=samples.Beamsplitter(**splitter))[0]
    tifffile.imwrite(path, frame)
    return path


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Return a folder with a frame of a turned splitter, its views and its layout."""
    folder = tmp_path_factory.mktemp("splitter")
    source = camera_file(folder / "camera.tif", rotation=0.5, magnification=1.005)
    done = run("split", source, "-o", folder / "views", "--save-layout", folder / "splitter.json")
    assert done.exit_code == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


def test_the_printed_command_uses_the_saved_layout(calibrated, tmp_path):
    words = shlex.split((calibrated / "said.txt").read_text().split("train with: ")[1])
    words = [word.replace("OUT", str(tmp_path / "clean.tif")) for word in words[1:]]
    done = run(*words, "--epochs", 0.1, "--save-model", tmp_path / "network.safetensors")
    assert done.exit_code == 0, done.stderr
    layout = SplitLayout.load(calibrated / "splitter.json")
    model = Noise2NoiseModel.load(tmp_path / "network.safetensors")
    assert model.affine == layout.affine is not None
    both = run("pair", *words[1:3], "-o", tmp_path / "b.tif", "--shift=0,0", words[3])
    assert both.exit_code == 2 and "not both" in both.stderr


def test_a_frame_is_split_and_trained_on_in_one_command(calibrated, tmp_path):
    layout = calibrated / "splitter.json"
    out = tmp_path / "clean.tif"
    done = run("pair", calibrated / "camera.tif", "--layout", layout, "-o", out, "--epochs", 0.1)
    assert done.exit_code == 0, done.stderr
    y0, y1, x0, x1 = SplitLayout.load(layout).regions[0]
    assert read_tiff(out).pixels.shape == (y1 - y0, x1 - x0)
    alone = run("pair", calibrated / "camera.tif", "-o", tmp_path / "other.tif")
    assert alone.exit_code == 2 and "--layout FILE" in alone.stderr
    whole = calibrated / "camera.tif"
    wrong = run("pair", whole, whole, "--layout", layout, "-o", tmp_path / "other.tif")
    assert wrong.exit_code == 2 and "do not belong to this layout" in wrong.stderr


def test_a_drift_since_the_calibration_is_told(tmp_path):
    calibration, later = camera_file(tmp_path / "a.tif"), tmp_path / "b.tif"
    camera_file(later, shift=(1.3, -2.1))
    layout = tmp_path / "splitter.json"
    assert run("split", calibration, "-o", tmp_path / "a", "--save-layout", layout).exit_code == 0
    same = run("split", calibration, "-o", tmp_path / "c", "--layout", layout)
    assert (same.exit_code, same.stderr) == (0, "")
    done = run("split", later, "-o", tmp_path / "b", "--layout", layout)
    assert done.exit_code == 0
    assert "the views have drifted by 0.5 px since the calibration" in done.stderr
    assert f"--layout={layout}" in done.stdout
    done = run("split", later, "-o", tmp_path / "d", "--save-layout", layout)
    assert done.exit_code == 2 and "exists already" in done.stderr
    done = run("split", later, "-o", tmp_path / "d", "--layout", tmp_path / "none.json")
    assert done.exit_code == 2 and "auto, side-by-side, above, or the file" in done.stderr


def test_both_views_of_watched_frames_are_denoised(calibrated, tmp_path):
    folder, out = tmp_path / "frames", tmp_path / "clean.zarr"
    folder.mkdir()
    camera_file(folder / "1.tif", rotation=0.5, magnification=1.005)
    layout = calibrated / "splitter.json"
    done = run(
        "watch", folder, "-o", out, "--layout", layout, "--silence", 0.2, "--poll", 0.05,
        "--patch-size", 9,
    )  # fmt: skip
    assert done.exit_code == 0 and "drifted" not in done.stderr, done.stderr
    found = read_zarr(out).pixels
    y0, y1, x0, x1 = SplitLayout.load(layout).regions[0]
    assert found.shape == (1, y1 - y0, x1 - x0)
    truth = samples.beamsplitter_frame()[1][y0:y1, x0:x1]
    assert np.corrcoef(np.asarray(found[0]).ravel(), truth.ravel())[0, 1] > 0.97
