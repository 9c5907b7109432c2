"""Denoise a folder while STEM software fills it, and append each result to one movie.

Usage: python examples/live_folder.py [SECONDS]

Ends after SECONDS (by default 5) without a new scan.  If it is interrupted, run it again: it
continues after the last scan that is denoised.  Without a script:

    napari-lowdose watch scans/ -o clean.zarr --silence 5
"""

import sys
import threading
import time
from pathlib import Path

import tifffile

from napari_lowdose import metrics, watch_folder
from napari_lowdose.samples import PIXEL_SIZE, stem_low_dose

silence = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
folder = Path("scans")
folder.mkdir(exist_ok=True)
scans = [stem_low_dose(seed=number)[0] for number in range(4)]
_, truth = stem_low_dose()


def microscope() -> None:
    """Save four scans, as the software of a microscope does."""
    for number, scan in enumerate(scans, start=1):
        tifffile.imwrite(
            folder / f"scan{number}.tif",
            scan,
            imagej=True,
            resolution=(1 / PIXEL_SIZE, 1 / PIXEL_SIZE),
            metadata={"unit": "nm"},
        )
        time.sleep(silence / 10)


threading.Thread(target=microscope).start()
for step in watch_folder(folder, "clean.zarr", poll=silence / 20, silence=silence):
    if step.image is None:  # the file cannot be denoised; the others go on
        print(f"{step.frame.name}: {step.message}")
        continue
    before, after = (
        metrics.psnr(truth, image, data_range=float(truth.max()))
        for image in (step.frame.pixels, step.image)
    )
    print(f"{step.frame.name}: {before:.1f} dB, denoised: {after:.1f} dB")
