"""Accuracy of the PSF width on simulated scenes, its values on real images, and its run time.

``python -m benchmarks.psf_width``; real images are read from ``../shared/data``, and skipped if the
data are missing.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
from skimage.io import imread

from benchmarks.reucid_quality import ROW, noisy
from benchmarks.scenes import Image, background, lattice, scattered
from benchmarks.shared_data import ROOT
from napari_lowdose.reucid.psf_width import psf_width

DRAWS = 5
LEVELS = (22, 16, 13, 9)  # dB
ROW_LEVEL = 16  # dB, before the row noise


def drawn(truth: Image, db: float, row: float = 0.0) -> list[Image]:
    """Add noise to a scene, several times."""
    truth = truth.astype(np.float32)
    return [noisy(truth, db, row, np.random.default_rng(draw)) for draw in range(DRAWS)]


def spread(widths: list[int]) -> str:
    """Format the smallest and the largest of some widths."""
    return f"{min(widths)}" if min(widths) == max(widths) else f"{min(widths)}..{max(widths)}"


def row(name: str, image: Image, expected: str) -> str:
    """Return a row of the table: clean, noisy, with row noise, with row noise and background."""
    cells = [str(psf_width(image))]
    cells += [spread([psf_width(seen) for seen in drawn(image, db)]) for db in LEVELS]
    scanned = drawn(image, ROW_LEVEL, ROW)
    uneven = background(image.shape, seed=7)
    cells.append(spread([psf_width(seen) for seen in scanned]))
    cells.append(spread([psf_width(seen + uneven) for seen in scanned]))
    return f"| {name} | {expected} | " + " | ".join(cells) + " |"


def simulations() -> None:
    """Print the widths for scenes with a known PSF."""
    print("| scene | expected | clean | 22 dB | 16 dB | 13 dB | 9 dB | rows | + background |")
    print("|---|---|---|---|---|---|---|---|---|")
    for sigma in (1.2, 1.6, 2, 3, 4, 5):
        base = f"{4.5 * sigma:.1f}"
        print(row(f"scattered spots, sigma {sigma}", scattered(sigma), base))
        print(row(f"lattice, sigma {sigma}, sparse", lattice(sigma, 12 * sigma), base))
        pitch = max(6 * sigma, 10)
        expected = f"{min(0.61 * pitch, 4.5 * sigma):.1f}"
        print(row(f"lattice, sigma {sigma}, pitch {pitch:.0f}", lattice(sigma, pitch), expected))


def frames() -> Iterator[tuple[str, Image]]:
    """Read every image of the shared data; the first frame of a stack."""
    kinds = ("sim_stem", "real_stem", "repeats", "dualview", "fluor_noisy_avg", "nuclei")
    for kind in kinds:
        for path in sorted((ROOT / kind).glob("*.*")):
            if path.suffix in (".tif", ".png"):
                image = imread(path)
                yield f"{kind}/{path.stem}", image[0] if image.ndim == 3 else image


def shared_images() -> None:
    """Print the widths for the shared images, and for simulated specimens with noise."""
    if not ROOT.is_dir():
        print(f"skipped: {ROOT} is missing")
        return
    print("| image | shape | width | 22 dB | 16 dB | 13 dB | 9 dB | rows |")
    print("|---|---|---|---|---|---|---|---|")
    for name, image in frames():
        cells = [name, "x".join(map(str, image.shape)), str(psf_width(image))]
        if name.startswith("sim_stem"):
            for db, row_noise in [(db, 0.0) for db in LEVELS] + [(ROW_LEVEL, ROW)]:
                draws = drawn(image, db, row_noise)
                cells.append(spread([psf_width(seen) for seen in draws]))
        print("| " + " | ".join(cells) + " |")


def timing() -> None:
    """Print the best time of three per frame, and the increase of peak memory."""
    print("| pixels | seconds | peak memory without the image, MiB |")
    print("|---|---|---|")
    for size in (512, 1024, 2048, 4096):
        image = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        image += np.tile(lattice(3, 18), (size // 256, size // 256)).astype(np.float32)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            psf_width(image)
            seconds.append(time.perf_counter() - start)
        tracemalloc.start()
        psf_width(image)
        memory = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        print(f"| {size} x {size} | {min(seconds):.3f} | {memory:.0f} |")


def main() -> None:
    """Print the three tables."""
    for part in (timing, simulations, shared_images):
        part()
        print()


if __name__ == "__main__":
    main()
