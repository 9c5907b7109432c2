"""Stacks of alike patches against stacks of random patches, and rivals.

``python -m benchmarks.reucid_alike [stem] [large] [rows] [nuclei] [fluorescence] [order] [time]``
prints one table for each name, by default all.  PSNR in dB; the `data_range` is the maximum of the
truth.  "psf" is REUCID with random stacks and patches of the PSF width, "alike" the default of
alike stacks, "average" alike stacks with ``deviations="average"``.  The noise is estimated.

stem
    256 x 256 crops of ``sim_stem``, input 9, 13, 16 and 22 dB.
large
    WS2 and Si [110], 512 x 512 pixels at 15.94 dB.
rows
    As `stem` at 13 and 16 dB, with scan noise of 8 % of the maximum.
nuclei
    All images of ``nuclei``, noise added, 13 and 22 dB.
fluorescence
    All images of ``fluor_noisy_avg`` against their reference, with the best gain and offset for
    both, because they are stretched to 8 bit separately.
order
    False structure: power of the result that does not correlate with the truth, relative to the
    power of the truth, or to the noise where there is nothing to see.
time
    Seconds of the whole engine.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.reucid_quality import noisy
from benchmarks.shared_data import ROOT, shared, sim_stem
from napari_lowdose import Reucid, denoise, metrics

ENGINES = {
    "psf": Reucid(patch_size="psf", n_stacks=1),
    "alike": Reucid(stacks="alike"),
    "average": Reucid(stacks="alike", deviations="average"),
}
CROP = 256


def psnr(truth: np.ndarray, test: np.ndarray) -> float:
    """Return the PSNR against the maximum of the truth, dB."""
    return float(metrics.psnr(truth, test, data_range=float(truth.max())))


def fitted_psnr(truth: np.ndarray, test: np.ndarray) -> float:
    """Return the PSNR with the best gain and offset of the test image, dB."""
    terms = np.stack([test.ravel(), np.ones(test.size)], axis=1)
    best = terms @ np.linalg.lstsq(terms, truth.ravel(), rcond=None)[0]
    return float(20 * np.log10(np.ptp(truth)) - 10 * np.log10(np.mean((best - truth.ravel()) ** 2)))


def fluorescence() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, noisy image and reference; the mean of 50 without the frame itself."""
    for path in sorted((ROOT / "fluor_noisy_avg").glob("*_noisy.tif")):
        name = path.stem.removesuffix("_noisy")
        (other,) = path.parent.glob(f"{name}_avg*.tif")
        image, reference = (
            shared(f"fluor_noisy_avg/{p.name}").astype(np.float32) for p in (path, other)
        )
        if other.stem.endswith("avg50"):
            reference = (50 * reference - image) / 49
        yield name, image, reference


def table(rows: Iterator[tuple[str, np.ndarray, np.ndarray]], score: object = psnr) -> None:
    """Print one row for each name, image and truth, and their mean."""
    print(f"{'':28s} {'input':>7s}" + "".join(f"{name:>9s}" for name in ENGINES))
    found = []
    for name, image, truth in rows:
        results = [image, *(denoise(image, engine) for engine in ENGINES.values())]
        found.append([score(truth, result) for result in results])
        print(f"{name:28s} {found[-1][0]:7.2f}" + "".join(f"{x:9.2f}" for x in found[-1][1:]),
              flush=True)  # fmt: skip
    values = np.array(found)
    print(f"{'mean':28s} {values[:, 0].mean():7.2f}"
          + "".join(f"{x:9.2f}" for x in values[:, 1:].mean(0)))  # fmt: skip
    gain = values[:, 2:] - values[:, 1:2]
    print(f"{'least gain over psf':45s}" + "".join(f"{x:+9.2f}" for x in gain.min(0)))


def stem(levels: tuple[int, ...], row: float) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for name, whole in sim_stem().items():
        truth = whole[:CROP, :CROP]
        for db in levels:
            rng = np.random.default_rng([0, db, row > 0])
            yield f"{name} {db} dB", noisy(truth, db, row, rng), truth


def large() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for name in ("ws2_defects", "si_110"):
        truth = sim_stem()[name]
        yield name, noisy(truth, 15.94, 0.0, np.random.default_rng(0)), truth


def nuclei() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for path in sorted((ROOT / "nuclei").glob("*.png")):
        truth = shared(f"nuclei/{path.name}").astype(np.float32)
        for db in (13, 22):
            yield f"{path.stem} {db} dB", noisy(truth, db, 0.0, np.random.default_rng(db)), truth


def order() -> None:
    """Print the false structure in scenes without order, or with a single site."""
    size = 256
    y, x = np.mgrid[:size, :size] - size / 2
    rng = np.random.default_rng(0)
    film = gaussian_filter(rng.normal(size=(size, size)), 2.5)
    scenes = {
        "noise only": np.full((size, size), 20.0),
        "one site": 20 + 30 * np.exp(-(y**2 + x**2) / (2 * 2.5**2)),
        "amorphous film": 20 + 4 * film / film.std(),
        "amorphous film, faint": 20 + 1.5 * film / film.std(),
    }
    print(f"{'false structure, share of':24s} {'':10s}" + "".join(f"{n:>9s}" for n in ENGINES))
    for name, truth in scenes.items():
        image = rng.poisson(truth).astype(np.float32)
        signal = truth - truth.mean()
        power = np.mean(signal**2) if np.ptp(truth) > 0 and "film" in name else truth.mean()
        cells = ""
        for engine in ENGINES.values():
            result = denoise(image, engine)
            result = result - result.mean()
            share = (result * signal).sum() / max((signal**2).sum(), 1e-12)
            cells += f"{np.mean((result - share * signal) ** 2) / power:9.4f}"
        print(f"{name:24s} {'signal' if 'film' in name else 'noise':10s}{cells}", flush=True)


def timing() -> None:
    """Print the seconds of the whole engine, the median of three runs."""
    truth = sim_stem()["ws2_defects"]
    for side in (256, 512, 1024):
        image = np.tile(noisy(truth, 16, 0.0, np.random.default_rng(0)), (2, 2))[:side, :side]
        cells = ""
        for name, engine in ENGINES.items():
            seconds = []
            for _ in range(3):
                begun = time.perf_counter()
                denoise(image, engine)
                seconds.append(time.perf_counter() - begun)
            cells += f"  {name} {np.median(seconds):.2f} s"
        print(f"{side} x {side}{cells}", flush=True)


def main() -> None:
    tables = {
        "stem": lambda: table(stem((9, 13, 16, 22), 0.0)),
        "large": lambda: table(large()),
        "rows": lambda: table(stem((13, 16), 0.08)),
        "nuclei": lambda: table(nuclei()),
        "fluorescence": lambda: table(fluorescence(), fitted_psnr),
        "order": order,
        "time": timing,
    }
    for name in sys.argv[1:] or tables:
        print(f"\n{name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tables[name]()


if __name__ == "__main__":
    main()
