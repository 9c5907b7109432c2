"""The commands that compare a result with its input, and that plant a change."""

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_lowdose import Noise2NoiseModel, Reucid, standard_error
from napari_lowdose.cli.app import app
from napari_lowdose.io.tiff import read_tiff

NOISE = "--noise=1,0,0"
ROWS, COLUMNS = np.indices((96, 96))


def spot(y, x, height):
    return height * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / 8)


TRUTH = 20 + sum(spot(y, x, 200) for y in range(8, 96, 16) for x in range(8, 96, 16))


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def files(tmp_path):
    image, result = tmp_path / "in.tif", tmp_path / "clean.tif"
    pixels = np.random.default_rng(0).poisson(TRUTH).astype(np.uint16)
    options = {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "nm"}}
    tifffile.imwrite(image, pixels, **options)
    tifffile.imwrite(result, (TRUTH + spot(48, 48, 100)).astype(np.float32), **options)
    return image, result


def test_evidence_is_written_as_three_channels(run, files, tmp_path):
    out = tmp_path / "out.tif"
    done = run("evidence", *files, "-o", out, NOISE)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "1 place with structure that the data do not support" in done.stdout
    written = read_tiff(out)
    assert (written.axes, written.pixels.shape) == ("CYX", (3, 96, 96))
    assert (written.pixel_size, written.unit) == ((0.25, 0.25), "nm")
    significance, unsupported, residual = written.pixels
    assert unsupported[48, 48] == 1 and set(np.unique(unsupported)) == {0, 1}
    assert residual[48, 48] < -5 < 5 < significance[48, 48]
    assert written.history[-1]["evidence"]["noise"] == [1, 0, 0]


def test_a_frame_of_a_movie_is_compared(run, files, tmp_path):
    movie = [tmp_path / "movie.tif", tmp_path / "clean movie.tif"]
    for path, source in zip(movie, files, strict=True):
        frame = tifffile.imread(source)
        tifffile.imwrite(path, np.stack([frame, frame]), imagej=True, metadata={"axes": "TYX"})
    out = tmp_path / "out.tif"
    done = run("evidence", *movie, "-o", out, NOISE)
    assert done.exit_code == 2 and "choose one frame of a movie with --frame" in done.stderr
    assert run("evidence", *movie, "-o", out, NOISE, "--frame", 1).exit_code == 0


def test_evidence_refuses_unsuitable_files_in_one_line(run, files, tmp_path):
    image, result = files
    small = tmp_path / "small.tif"
    tifffile.imwrite(small, tifffile.imread(result)[:50])
    out = tmp_path / "out.tif"
    out.write_bytes(b"precious")
    for arguments, message in [
        ((image, small, "-o", tmp_path / "new.tif"), "the result (50, 96)"),
        ((image, tmp_path / "none.tif", "-o", tmp_path / "new.tif"), "No such file"),
        ((tmp_path / "none.tif", result, "-o", tmp_path / "new.tif"), f"directory: {tmp_path}"),
        ((image, result, "-o", tmp_path / "new.tif", "--noise=3"), "GAIN,OFFSET,READ, not '3'"),
        ((image, result, "-o", image, "--overwrite"), "input"),
        ((image, result, "-o", out), "exists already"),
        ((image, result, "-o", tmp_path / "none" / "new.tif"), "there is no folder"),
        ((image, result, "-o", tmp_path / "new.zarr"), "use the extension .tif"),
        ((image, result, "-o", tmp_path), "is a folder"),
    ]:
        done = run("evidence", NOISE, *arguments)
        assert done.exit_code == 2 and message in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    assert out.read_bytes() == b"precious"
    assert not list(tmp_path.glob("new*")) and not list(tmp_path.glob(".*"))


def test_standard_error_is_written_in_grey_levels(run, files, tmp_path):
    image, _ = files
    out = tmp_path / "error.tif"
    done = run("standard-error", image, "-o", out, "--patch-size=9")
    assert done.exit_code == 0, done.stderr
    assert "standard error" in done.stdout
    written = read_tiff(out)
    assert (written.axes, written.pixels.dtype) == ("YX", np.float32)
    assert (written.pixel_size, written.unit) == ((0.25, 0.25), "nm")
    expected = standard_error(tifffile.imread(image), Reucid(patch_size=9))
    np.testing.assert_array_equal(written.pixels, expected)
    assert written.history[-1]["standard_error"]["parameters"]["patch_size"] == 9
    done = run("standard-error", image, "-o", out, "--patch-size=9")
    assert done.exit_code == 2 and "exists already" in done.stderr
    done = run("standard-error", image, "-o", tmp_path / "none" / "error.tif", "--patch-size=9")
    assert done.exit_code == 2 and "there is no folder" in done.stderr


def test_survival_prints_the_surviving_share(run, files):
    image, _ = files
    options = ["--at=40,56", "--at=56,40", "--contrast=-0.5", "--draws=2", NOISE]
    done = run("survival", image, *options, "--patch-size=psf")
    assert done.exit_code == 0, done.stderr
    assert "of the planted contrast survives" in done.stdout
    share = float(done.stdout.rpartition(": ")[2].split()[0])
    assert 0.85 < share < 1.1


def test_survival_with_a_trained_network(run, files, tmp_path):
    from napari_lowdose import Noise2Noise, samples

    first, second, _ = samples.stem_pair()
    model = Noise2Noise(epochs=0.01, device="cpu").train(first, second)
    assert isinstance(model, Noise2NoiseModel)
    model.save(tmp_path / "net.safetensors")
    options = ["--model", tmp_path / "net.safetensors", "--at=40,56", "--draws=1", NOISE]
    done = run("survival", files[0], *options)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at=40"], "--at takes Y,X, not '40'"),
        (["--at=40,560"], "outside of the image"),
        (["--at=40,56", "--patch-size=huge"], "--patch-size expects"),
    ],
)
def test_survival_refuses_in_one_line(run, files, options, message):
    done = run("survival", files[0], *options, NOISE)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1
