"""Denoise the sample image, or your own, with REUCID and look at the result.

python examples/demo.py [IMAGE.tif]

Writes the result and a before/after picture to demo/, prints a short table, and opens napari
where there is a screen.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from napari_lowdose import Reucid, Run, metrics
from napari_lowdose.imaging.readers import read_image
from napari_lowdose.imaging.tiff import write_tiff
from napari_lowdose.samples import stem_low_dose

DEMO = Path("demo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", nargs="?", type=Path, help="an image file; default: the sample")
    path = parser.parse_args().image
    try:
        file = read_image(path) if path else None
        noisy, truth = (file.pixels, None) if file else stem_low_dose()
        start = time.perf_counter()
        run = reucid(noisy)
        seconds = time.perf_counter() - start
    except (OSError, ValueError) as error:
        sys.exit(f"{path or 'sample'}: {error}")
    layers = {"input": np.asarray(noisy), "REUCID": run.image}
    if truth is not None:
        layers["without noise"] = truth

    name = path.stem if path else "stem_low_dose"
    result, picture = DEMO / f"{name}_reucid.tif", DEMO / f"{name}_before_after.png"
    DEMO.mkdir(exist_ok=True)
    if file:
        write_tiff(result, run.image, file, record=run.record(), overwrite=True)
    else:
        tifffile.imwrite(result, run.image)
    before_after(layers).save(picture)
    print_table(layers, seconds)
    print(f"Result: {result}   Picture: {picture}")
    if has_screen():
        show(layers)


def reucid(image: Any) -> Run:
    """Run REUCID to the end, with a progress bar."""
    run = Run(image, Reucid())
    with tqdm(total=100, bar_format="{bar:20} {n:3.0f} % {desc}") as progress:
        for step in run:
            progress.set_description_str(step.message, refresh=False)
            progress.update(100 * step.fraction - progress.n)
    return run


def print_table(layers: dict[str, np.ndarray], seconds: float) -> None:
    shape = " x ".join(map(str, layers["input"].shape))
    print(f"\n{shape} pixels in {seconds:.2f} s")
    if "without noise" not in layers:
        print(f"noise taken away, standard deviation: {residual(layers).std():.4g}")
        return
    truth = layers["without noise"]
    data_range = float(truth.max())
    print(f"{'':8}{'PSNR':>10}{'SSIM':>8}")
    for name in ("input", "REUCID"):
        psnr = metrics.psnr(truth, layers[name], data_range=data_range)
        ssim = metrics.ssim(truth, layers[name], data_range=data_range)
        print(f"{name:8}{psnr:7.2f} dB{ssim:8.3f}")


def residual(layers: dict[str, np.ndarray]) -> np.ndarray:
    return layers["input"] - layers["REUCID"]


def before_after(layers: dict[str, np.ndarray]) -> Image.Image:
    """Return the first frames side by side: input, REUCID, what was taken away, the truth."""
    frames = {name: image[(0,) * (image.ndim - 2)] for name, image in layers.items()}
    frames["taken away"] = residual(frames)
    low, high = np.percentile(frames["REUCID"], (0.1, 99.9))
    height, width = frames["input"].shape
    zoom = max(1, 512 // max(height, width))
    tile, gap, caption = (width * zoom, height * zoom), 8, 28
    size = (len(frames) * (tile[0] + gap) - gap, tile[1] + caption)
    picture = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
    for number, (name, frame) in enumerate(frames.items()):
        # The residual has the same contrast, about mid-grey
        darkest = -(high - low) / 2 if name == "taken away" else low
        grey = np.clip((frame - darkest) / max(high - low, 1e-12), 0, 1) * 255
        left = number * (tile[0] + gap)
        panel = Image.fromarray(grey.astype(np.uint8)).resize(tile, Image.Resampling.NEAREST)
        picture.paste(panel, (left, caption))
        draw.text((left + 2, 3), name, fill=0, font=font)
    return picture


def has_screen() -> bool:
    desktop = sys.platform in ("darwin", "win32")
    return desktop or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def show(layers: dict[str, np.ndarray]) -> None:
    """Open napari with the images and the widget."""
    import napari

    viewer = napari.Viewer(title="napari-lowdose demo")
    limits = tuple(np.percentile(layers["REUCID"], (0.1, 99.9)))
    for name in ("without noise", "REUCID", "input"):
        if name in layers:
            viewer.add_image(layers[name], name=name, contrast_limits=limits)
    viewer.canvas.grid.stride = -1  # the input is on top of the list, and first in the grid
    viewer.canvas.grid.shape = (1, len(layers))
    viewer.canvas.grid.enabled = True
    viewer.window.add_plugin_dock_widget("napari-lowdose", "REUCID")
    viewer.fit_to_view()
    napari.run()


if __name__ == "__main__":
    main()
