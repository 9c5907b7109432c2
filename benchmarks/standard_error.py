"""The standard error that `standard_error` tells, against the noise of repeated draws.

``python -m benchmarks.standard_error [--draws 12] [--levels 9 16 22]`` draws the noise of 256 x 256
crops of ``sim_stem`` several times and denoises each draw.  The noise of the results is their
deviation from the mean of the draws, their error that from the truth.  The numbers are the standard
error of the first draw relative to both, root mean square over the image.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np

from benchmarks.reucid_quality import CROP, noisy
from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, denoise, standard_error

ENGINES = {
    "random": Reucid(patch_size="psf"),
    "alike": Reucid(stacks="alike"),
    "average": Reucid(stacks="alike", deviations="average"),
}
BORDER = 16  # pixels; the number in brackets is that of the border alone


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--levels", type=int, nargs="+", default=[9, 16, 22])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("standard error / noise of the draws (of the border), standard error / error")
    print(f"{'':24s}" + "".join(f"{name:>24s}" for name in ENGINES))
    ratios = []
    border = np.ones((CROP, CROP), bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    for name, whole in sim_stem().items():
        truth = whole[:CROP, :CROP]
        for db in arguments.levels:
            draws = [
                noisy(truth, db, 0.0, np.random.default_rng([draw, db]))
                for draw in range(arguments.draws)
            ]
            cells, row = "", []
            for engine in ENGINES.values():
                results = np.array([denoise(image, engine) for image in draws])
                told = standard_error(draws[0], engine)
                noise = results.std(axis=0, ddof=1)
                row.append(
                    [rms(told) / rms(noise), rms(told[border]) / rms(noise[border]),
                     rms(told) / rms(results - truth)]
                )  # fmt: skip
                cells += "{:12.2f} ({:.2f}) {:.2f}".format(*row[-1])
            ratios.append(row)
            print(f"{name:18s} {db:2d} dB{cells}", flush=True)
    mean = "".join("{:12.2f} ({:.2f}) {:.2f}".format(*each) for each in np.mean(ratios, axis=0))
    print(f"{'mean':24s}{mean}")


if __name__ == "__main__":
    main()
