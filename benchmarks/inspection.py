"""How often the tests of a residual say that structure was removed, rightly and wrongly.

Scenes of 256 x 256 pixels with Poisson noise, each with the noise estimated from the image itself.
*Truth* is the scene without noise, *half* the mean of scene and raw image, *blurred noise* the
scene with the noise that a Gaussian filter (sigma 1.5) leaves.  None of them has lost structure:
findings there are false alarms.  The filters and the engines may take structure away.  How much
is measured with the known scene: *lost* is the root mean square of scene minus mean result of all
draws, relative to the noise of a pixel, without what the noise of the draws adds to it.

Run: python -m benchmarks.inspection --draws 60
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lowdose import PoissonGaussian, Reucid, denoise
from napari_lowdose.inspection import inspect_result
from napari_lowdose.samples import nuclei_pair, stem_low_dose

Image = NDArray[np.float64]
N = 256
NOISE = PoissonGaussian(gain=1, offset=0, read_noise=0)
SMALL = 10  # draws of what may lose structure


def scenes() -> dict[str, Image]:
    """Return scenes in counts per pixel."""
    y, x = np.mgrid[:N, :N]
    spots = np.exp(-((y % 12 - 6) ** 2 + (x % 12 - 6) ** 2) / (2 * 2.2**2))
    disc = ndimage.gaussian_filter(np.where(np.hypot(y - 128, x - 128) < 70, 1.0, 0.0), 1)
    _, stem = stem_low_dose()
    nuclei = nuclei_pair()[2][:N, :N]
    return {
        "lattice, 6 to 31 e": 6 + 25 * spots,
        "lattice, 0.5 to 3 e": 0.5 + 2.5 * spots,
        "disc, 10 to 40 e": 10 + 30 * disc,
        "MoS2, 2 e on the mean": np.asarray(stem * (2 / stem.mean()), np.float64),
        "nuclei, 20 e on the mean": np.asarray(
            (nuclei - nuclei.min() + 1) * (20 / (nuclei - nuclei.min() + 1).mean()), np.float64
        ),
        "a slope, 5 to 6 e": 5 + x / N,
    }


CORRECT: dict[str, Callable[[Image, Image], Image]] = {
    "truth": lambda scene, raw: scene,
    "half": lambda scene, raw: (scene + raw) / 2,
    "blurred noise": lambda scene, raw: scene + ndimage.gaussian_filter(raw - scene, 1.5),
}
FILTERS: dict[str, Callable[[Image, Image], Image]] = {
    "Gaussian, 1": lambda scene, raw: ndimage.gaussian_filter(raw, 1),
    "Gaussian, 2": lambda scene, raw: ndimage.gaussian_filter(raw, 2),
    "median, 5": lambda scene, raw: ndimage.median_filter(raw, 5),
    "REUCID": lambda scene, raw: denoise(raw, Reucid(patch_size="psf")),
    "REUCID, alike": lambda scene, raw: denoise(raw, Reucid(stacks="alike")),
}


def lost(scene: Image, results: list[Image]) -> float:
    """Return the root mean square of what the results lack on the mean, in units of the noise."""
    if len(results) < 2:
        return float("nan")
    squares = np.square(scene - np.mean(results, axis=0)) - np.var(results, axis=0, ddof=1) / len(
        results
    )
    return float(np.sqrt(max(0.0, np.mean(squares / NOISE.variance(scene)))))


def main() -> None:
    """Print a table for each kind of result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = "noise", "weakened", "removed", "invented", "unknown"
    print(
        f"{'scene':26}{'result':16}{'draws':>6}"
        + "".join(f"{name:>10}" for name in names)
        + "      lost"
    )
    for scene_name, scene in scenes().items():
        for kind, n in ((CORRECT, options.draws), (FILTERS, min(options.draws, SMALL))):
            for name, make in kind.items():
                if options.only and options.only not in (scene_name, name):
                    continue
                found: Counter[str] = Counter()
                results = []
                for seed in range(n):
                    raw = NOISE.draw(scene, np.random.default_rng(seed))
                    try:
                        result = make(scene, raw)
                        results.append(np.asarray(result, np.float64))
                        found[inspect_result(raw, result).verdict.finding] += 1
                    except ValueError as error:
                        found[str(error)[:30]] += 1
                counts = "".join(f"{found[each]:10}" for each in names)
                rest = {key: value for key, value in found.items() if key not in names}
                missing = f"{lost(scene, results):10.2f} {rest or ''}"
                print(f"{scene_name:26}{name:16}{n:6}{counts}{missing}", flush=True)


if __name__ == "__main__":
    main()
