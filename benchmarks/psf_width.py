"""PSF width: what the estimate says of simulated PSFs, of shared images, and how long it takes.

Run ``python benchmarks/psf_width.py``. The images are read from ``../shared/data`` beside the
repository (or ``--data``); without them that part is skipped.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.io import imread

from napari_lowdose.reucid.psf_width import psf_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Image = NDArray[np.floating]

DRAWS = 5
DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def scattered(sigma: float, size: int = 256) -> Image:
    """Point sources at random places under a Gaussian PSF."""
    rng = np.random.default_rng(0)
    points = np.zeros((size, size))
    points[tuple(rng.integers(0, size, (2, int(0.02 * points.size / sigma**2))))] = 1
    spots = gaussian_filter(points, sigma)
    return spots / spots.max()


def lattice(sigma: float, pitch: float, size: int = 256, turn: float = 0.1) -> Image:
    """Square lattice of Gaussian spots, slightly turned."""
    y, x = np.mgrid[:size, :size]
    turned = np.cos(turn) * y - np.sin(turn) * x, np.sin(turn) * y + np.cos(turn) * x
    squares = (((axis + pitch / 2) % pitch - pitch / 2) ** 2 for axis in turned)
    return np.exp(-sum(squares) / (2 * sigma**2))


def low_dose(image: Image, psnr: float, seed: int, row_noise: float = 0.0) -> Image:
    """Poisson noise for a PSNR in dB, Gaussian noise of 5 % of the maximum, and row noise."""
    rng = np.random.default_rng(seed)
    scene = image / image.max()
    dose = scene.mean() / (10 ** (-psnr / 10) - 0.05**2)
    noisy = rng.poisson(dose * scene) / dose + 0.05 * rng.normal(size=scene.shape)
    return noisy + row_noise * rng.normal(size=(scene.shape[0], 1))


def background(image: Image) -> Image:
    """Gradient with blobs, as high as the image."""
    blobs = gaussian_filter(np.random.default_rng(7).normal(size=image.shape), len(image) / 8)
    return (blobs - blobs.min()) / np.ptp(blobs) + np.linspace(0, 1, image.shape[1])


def spread(widths: list[int]) -> str:
    """Write the smallest and the largest of some widths."""
    return f"{min(widths)}" if min(widths) == max(widths) else f"{min(widths)}..{max(widths)}"


def row(name: str, image: Image, expected: str) -> str:
    """One line of the table: clean, noisy, with row noise, with row noise and background."""
    cells = [str(psf_width(image))]
    cells += [
        spread([psf_width(low_dose(image, psnr, seed)) for seed in range(DRAWS)])
        for psnr in (22, 16, 13, 9)
    ]
    scanned = [low_dose(image, 16, seed, row_noise=0.08) for seed in range(DRAWS)]
    cells.append(spread([psf_width(seen) for seen in scanned]))
    cells.append(spread([psf_width(seen + background(image)) for seen in scanned]))
    return f"| {name} | {expected} | " + " | ".join(cells) + " |"


def simulations() -> None:
    """Print the widths of scenes whose PSF is known."""
    print("| scene | expected | clean | 22 dB | 16 dB | 13 dB | 9 dB | rows | + background |")
    print("|---|---|---|---|---|---|---|---|---|")
    for sigma in (1.2, 1.6, 2, 3, 4, 5):
        base = f"{4.5 * sigma:.1f}"
        print(row(f"scattered spots, sigma {sigma}", scattered(sigma), base))
        print(row(f"lattice, sigma {sigma}, sparse", lattice(sigma, 12 * sigma), base))
        pitch = max(6 * sigma, 10)
        expected = f"{min(0.61 * pitch, 4.5 * sigma):.1f}"
        print(row(f"lattice, sigma {sigma}, pitch {pitch:.0f}", lattice(sigma, pitch), expected))


def frames(folder: Path) -> Iterator[tuple[str, Image]]:
    """Read every image of the shared data; of a stack, the first frame."""
    kinds = ("sim_stem", "real_stem", "repeats", "dualview", "fluor_noisy_avg", "nuclei")
    for kind in kinds:
        for path in sorted((folder / kind).glob("*.*")):
            if path.suffix in (".tif", ".png"):
                image = imread(path)
                yield f"{kind}/{path.stem}", image[0] if image.ndim == 3 else image


def shared_images(folder: Path) -> None:
    """Print the widths of the shared images; of the simulated specimens, with noise too."""
    if not folder.is_dir():
        print(f"Shared images: skipped, there is no {folder}.")
        return
    print("| image | shape | width | 22 dB | 16 dB | 13 dB | 9 dB | rows |")
    print("|---|---|---|---|---|---|---|---|")
    for name, image in frames(folder):
        cells = [name, "x".join(map(str, image.shape)), str(psf_width(image))]
        if name.startswith("sim_stem"):
            for psnr, rows in ((22, 0.0), (16, 0.0), (13, 0.0), (9, 0.0), (16, 0.08)):
                draws = [low_dose(image, psnr, seed, rows) for seed in range(DRAWS)]
                cells.append(spread([psf_width(seen) for seen in draws]))
        print("| " + " | ".join(cells) + " |")


def timing() -> None:
    """Print how long a frame takes, the best of three, and by how much peak memory grows."""
    print("| pixels | seconds | peak memory beside the image, MiB |")
    print("|---|---|---|")
    for size in (512, 1024, 2048, 4096):
        image = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        image += np.tile(lattice(3, 18, 256), (size // 256, size // 256)).astype(np.float32)
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the shared images")
    data = parser.parse_args().data
    for part in (timing, simulations, lambda: shared_images(data)):
        part()
        print()


if __name__ == "__main__":
    main()
