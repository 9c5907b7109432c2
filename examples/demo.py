"""Denoise sample images with both engines, or your own image with REUCID.

python examples/demo.py [IMAGE.tif] [--seconds 20]

REUCID denoises a single image.  Noise2Noise trains a network on a pair of exposures, so it runs on
the sample pair only.  The script writes the results and before/after pictures to demo/, prints a
short table for each, and opens napari if there is a screen.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from napari_lowdose import Noise2Noise, Reucid, Run, metrics
from napari_lowdose.io.readers import read_image
from napari_lowdose.io.tiff import write_tiff
from napari_lowdose.samples import stem_low_dose, stem_pair

DEMO = Path("demo")
TRUTH = "without noise"
SECONDS = 20.0  # training time


@dataclass
class Result:
    """Images by name: the input, the result (named after its engine), and the truth if known."""

    engine: str
    layers: dict[str, np.ndarray]
    seconds: float

    @property
    def noisy(self) -> np.ndarray:
        return next(iter(self.layers.values()))

    @property
    def clean(self) -> np.ndarray:
        return self.layers[self.engine]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", nargs="?", type=Path, help="image file (default: samples)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="training time")
    arguments = parser.parse_args()
    DEMO.mkdir(exist_ok=True)
    try:
        if arguments.image:
            results = [own_image(arguments.image)]
        else:
            results = [sample_image(), sample_pair(arguments.seconds)]
    except (OSError, ValueError) as error:
        sys.exit(f"{arguments.image or 'sample'}: {error}")
    if has_screen():
        show(results)


def own_image(path: Path) -> Result:
    file = read_image(path)
    run, seconds = with_progress(Run(file.pixels, Reucid()))
    result = Result("REUCID", {"input": np.asarray(file.pixels), "REUCID": run.image}, seconds)
    target = DEMO / f"{path.stem}_reucid.tif"
    write_tiff(target, run.image, file, record=run.record(), overwrite=True)
    report(result, target)
    return result


def sample_image() -> Result:
    noisy, truth = stem_low_dose()
    run, seconds = with_progress(Run(noisy, Reucid()))
    result = Result("REUCID", {"input": noisy, "REUCID": run.image, TRUTH: truth}, seconds)
    target = DEMO / "stem_low_dose_reucid.tif"
    tifffile.imwrite(target, run.image)
    report(result, target)
    return result


def sample_pair(training_seconds: float) -> Result:
    first, second, truth = stem_pair()
    run, seconds = with_progress(Run((first, second), Noise2Noise(time_budget=training_seconds)))
    layers = {"first": first, "second": second, "Noise2Noise": run.image, TRUTH: truth}
    result = Result("Noise2Noise", layers, seconds)
    target = DEMO / "stem_pair_noise2noise.tif"
    tifffile.imwrite(target, run.image)
    run.model.save(DEMO / "stem_pair_network.safetensors")
    report(result, target)
    return result


def with_progress(run: Run) -> tuple[Run, float]:
    """Run to the end with a progress bar; return the run and its duration in seconds."""
    start = time.perf_counter()
    with tqdm(total=100, bar_format="{bar:20} {n:3.0f} % {desc}") as progress:
        for step in run:
            progress.set_description_str(step.message, refresh=False)
            progress.update(100 * step.fraction - progress.n)
    return run, time.perf_counter() - start


def report(result: Result, target: Path) -> None:
    """Print a table and save a picture."""
    shape = " x ".join(map(str, result.noisy.shape))
    print(f"\n{result.engine}: {shape} pixels in {result.seconds:.2f} s")
    if TRUTH in result.layers:
        truth = result.layers[TRUTH]
        data_range = float(truth.max())
        print(f"{'':12}{'PSNR':>10}{'SSIM':>8}")
        for name in (name for name in result.layers if name != TRUTH):
            psnr = metrics.psnr(truth, result.layers[name], data_range=data_range)
            ssim = metrics.ssim(truth, result.layers[name], data_range=data_range)
            print(f"{name:12}{psnr:7.2f} dB{ssim:8.3f}")
    else:
        removed = np.std(result.noisy - result.clean)
        print(f"standard deviation of the removed noise: {removed:.4g}")
    picture = target.with_name(target.stem.rsplit("_", 1)[0] + "_before_after.png")
    before_after(result).save(picture)
    print(f"Result: {target}   Picture: {picture}\n")


def before_after(result: Result) -> Image.Image:
    """Return the first frames side by side: input, result, truth and removed noise."""
    frames = {
        name: image[(0,) * (image.ndim - 2)]
        for name, image in result.layers.items()
        if name != "second"
    }
    noisy, clean = (image[(0,) * (image.ndim - 2)] for image in (result.noisy, result.clean))
    frames["removed"] = noisy - clean
    low, high = np.percentile(clean, (0.1, 99.9))
    height, width = noisy.shape
    zoom = max(1, 512 // max(height, width))
    tile, gap, caption = (width * zoom, height * zoom), 8, 28
    size = (len(frames) * (tile[0] + gap) - gap, tile[1] + caption)
    picture = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
    for number, (name, frame) in enumerate(frames.items()):
        # Same contrast for the removed noise, centred on mid-grey, so that it can be compared
        darkest = -(high - low) / 2 if name == "removed" else low
        grey = np.clip((frame - darkest) / max(high - low, 1e-12), 0, 1) * 255
        left = number * (tile[0] + gap)
        panel = Image.fromarray(grey.astype(np.uint8)).resize(tile, Image.Resampling.NEAREST)
        picture.paste(panel, (left, caption))
        draw.text((left + 2, 3), name, fill=0, font=font)
    return picture


def has_screen() -> bool:
    desktop = sys.platform in ("darwin", "win32")
    return desktop or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def show(results: Iterable[Result]) -> None:
    """Open napari with one row of images per engine, and the widgets."""
    import napari

    viewer = napari.Viewer(title="napari-lowdose demo")
    results = list(results)
    for row, result in reversed(list(enumerate(results))):
        limits = tuple(np.percentile(result.clean, (0.1, 99.9)))
        gap = 1.05 * np.array(result.noisy.shape[-2:])
        leading = (0,) * (result.noisy.ndim - 2)
        for column, (name, image) in reversed(list(enumerate(result.layers.items()))):
            position = (*leading, *(gap * (row, column)))
            title = f"{result.engine}: {name}" if len(results) > 1 else name
            viewer.add_image(image, name=title, contrast_limits=limits, translate=position)
    viewer.window.add_plugin_dock_widget("napari-lowdose", "Denoise one image (REUCID)")
    if len(results) > 1:
        viewer.window.add_plugin_dock_widget(
            "napari-lowdose", "Denoise a pair (Noise2Noise)", tabify=True
        )
    viewer.fit_to_view()
    napari.run()


if __name__ == "__main__":
    main()
