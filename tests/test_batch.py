"""Files one by one: a bad one does not stop the others, finished ones are skipped, integers."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_lowdose import PoissonGaussian, Thinned, samples, split_frame
from napari_lowdose.batch import FileJob, batch_steps, beside, file_jobs
from napari_lowdose.cli.app import build_app
from napari_lowdose.engine import Engine, Step
from napari_lowdose.io.rounded import rounded_like
from napari_lowdose.io.tiff import read_tiff


@dataclass(frozen=True)
class Mean(Engine):
    """Subtract from each pixel its distance from the mean, in part."""

    share: float = 1.0
    gain: float = 1.0

    def frame_steps(self, frame):
        mean = frame.mean(dtype=np.float64)
        image = self.gain * (mean + (1 - self.share) * (frame - mean))
        yield Step(fraction=0.5, message="half")
        yield Step(fraction=1.0, message="done", image=image.astype(np.float32))


def images(folder, n=3, sigma=20.0, dtype=np.uint16):
    paths = []
    for k in range(n):
        pixels = np.random.default_rng(k).normal(200, sigma, (32, 48)).astype(dtype)
        tifffile.imwrite(folder / f"{k}.tif", pixels, imagej=True)
        paths.append(folder / f"{k}.tif")
    return paths


def jobs_of(paths, engine, **options):
    targets = [((path,), path.parent / "clean" / path.name) for path in paths]
    return file_jobs(targets, engine, **options)


def ends(jobs):
    return [(step.number, step.state) for step in batch_steps(jobs) if step.state != "running"]


def test_a_bad_file_is_told_in_one_sentence_and_the_others_go_on(tmp_path):
    paths = images(tmp_path)
    paths[1].write_bytes(b"II*\0 and nothing else")
    steps = list(batch_steps(jobs_of(paths, Mean())))
    last = [step for step in steps if step.state != "running"]
    assert [step.state for step in last] == ["done", "failed", "done"]
    assert last[1].message.startswith("This TIFF is damaged") and "\n" not in last[1].message
    assert steps[-1].fraction == 1 and [s.fraction for s in steps] == sorted(
        s.fraction for s in steps
    )
    clean = read_tiff(tmp_path / "clean" / "0.tif").pixels
    assert clean == pytest.approx(tifffile.imread(paths[0]).mean(), rel=1e-6)


def test_finished_files_are_skipped_and_changed_ones_are_done_again(tmp_path):
    paths = images(tmp_path)
    assert ends(jobs_of(paths[:2], Mean())) == [(0, "done"), (1, "done")]
    before = [(tmp_path / "clean" / p.name).stat().st_mtime_ns for p in paths[:2]]

    again = jobs_of(paths, Mean(), resume=True)
    assert [state for _, state in ends(again)] == ["done"] * 3
    assert ["finished before" in job.line for job in again] == [True, True, False]
    assert before == [(tmp_path / "clean" / p.name).stat().st_mtime_ns for p in paths[:2]]

    # Another parameter, or another input under the same name, is not the same result
    other = jobs_of(paths[:1], Mean(share=0.5), resume=True)
    (failed,) = [s for s in batch_steps(other) if s.state != "running"]
    assert failed.state == "failed" and "exists already" in failed.message
    tifffile.imwrite(paths[0], np.full((8, 8), 3, np.uint16))
    changed = jobs_of(paths[:1], Mean(), resume=True, overwrite=True)
    assert ends(changed) == [(0, "done")] and "finished before" not in changed[0].line


def test_another_noise_or_layout_is_another_result(tmp_path):
    def request(engine, **options):
        return FileJob((tmp_path / "a.tif",), tmp_path / "b.tif", engine, **options).request()

    weak, strong = (PoissonGaussian(1, 0, read_noise) for read_noise in (1, 9))
    assert request(Thinned(noise=weak)) == request(Thinned(noise=PoissonGaussian(1, 0, 1)))
    assert request(Thinned(noise=weak)) != request(Thinned(noise=strong))
    layout = split_frame(samples.beamsplitter_frame()[0])[2]
    moved = replace(layout, regions=layout.regions[::-1])
    assert request(Mean(), layout=layout) != request(Mean(), layout=moved)


def test_a_stopped_batch_leaves_no_half_result(tmp_path):
    jobs = jobs_of(images(tmp_path), Mean())
    steps = batch_steps(jobs)
    while (step := next(steps)).message != "half" or step.number != 1:
        pass
    steps.close()
    assert sorted(p.name for p in (tmp_path / "clean").iterdir()) == ["0.tif"]


def test_integers_of_the_input_are_half_the_size_and_near_the_result(tmp_path):
    (path,) = images(tmp_path, 1)
    (job,) = jobs_of([path], Mean(share=0.9), stored="input")
    assert ends([job]) == [(0, "done")]
    stored = tifffile.imread(job.target)
    raw = tifffile.imread(path).astype(float)
    exact = raw.mean() + 0.1 * (raw - raw.mean())
    assert stored.dtype == np.uint16 and np.abs(stored - exact).max() <= 0.5001
    assert "rounded to uint16" in job.line
    assert "rounded to uint16" in read_tiff(job.target).history[-1]["stored"]
    with tifffile.TiffFile(job.target) as file:
        assert file.is_imagej and file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE


@pytest.mark.parametrize(
    ("engine", "sigma", "dtype", "reason"),
    [
        (Mean(gain=400), 20, np.uint16, "uint16 holds 0 to 65535: store it as float32."),
        (Mean(gain=-1), 20, np.uint16, "uint16 holds 0 to 65535"),
        (Mean(), 1.5, np.uint8, "coarser than the noise that is left"),
    ],
)
def test_integers_that_would_lose_the_result_are_refused(tmp_path, engine, sigma, dtype, reason):
    (job,) = jobs_of(images(tmp_path, 1, sigma, dtype), engine, stored="input")
    (last,) = [step for step in batch_steps([job]) if step.state != "running"]
    assert last.state == "failed" and reason in last.message and not job.target.exists()


def test_float_input_stays_float32():
    image = np.random.default_rng(0).normal(0, 1, (8, 8))
    stored, note = rounded_like(image, image)
    assert stored.dtype == np.float32 and note == ""


def test_a_compressed_result_is_smaller_and_another_program_reads_it(tmp_path):
    (path,) = images(tmp_path, 1)
    sizes = {}
    for compression in ("zlib", "none"):
        (job,) = jobs_of([path], Mean(), compression=compression, overwrite=True)
        assert ends([job]) == [(0, "done")]
        sizes[compression] = job.target.stat().st_size
        from PIL import Image

        with Image.open(job.target) as picture:
            assert np.asarray(picture) == pytest.approx(tifffile.imread(path).mean(), rel=1e-6)
    assert sizes["zlib"] < 0.5 * sizes["none"]


def test_the_command_line_has_the_same_options(tmp_path):
    (path,) = images(tmp_path, 1)
    app = build_app(mean=Mean)

    def run(*arguments):
        return CliRunner().invoke(app, ["mean", *map(str, arguments)])

    out = tmp_path / "out.tif"
    assert run(path, "-o", out, "--dtype", "input").exit_code == 0
    assert tifffile.imread(out).dtype == np.uint16
    again = run(path, "-o", out, "--dtype", "input", "--resume")
    assert again.exit_code == 0 and "finished before" in again.stdout
    refused = run(path, "-o", out, "--resume")  # float32 was asked for now
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr
    wrong = run(path, "-o", out, "--dtype", "int3")
    assert wrong.exit_code == 2 and "--dtype expects float32|input" in wrong.stderr
    zarr = run(path, "-o", tmp_path / "out.zarr", "--dtype", "input")
    assert zarr.exit_code == 2 and "name the result .tif" in zarr.stderr


def test_results_beside_their_inputs_have_names_of_their_own(tmp_path):
    assert beside(tmp_path / "a.tif").name == "a_denoised.tif"
