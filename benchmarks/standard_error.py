"""The standard error that `standard_error` tells, against the noise of repeated draws.

``python -m benchmarks.standard_error [--draws 12] [--levels 9 16 22] [--specimens NAME ...]`` draws
the noise of 256 x 256 crops of ``sim_stem`` several times and denoises each draw.  The noise of the
results is their deviation from the mean of the draws, their error that from the truth.  For each
engine three numbers:

- standard error of the first draw / noise, root mean square over the image;
- the same with given groups (``redraw=False``), in brackets;
- standard error / error, which includes what is blurred or weakened.

At the end the local accuracy: the factor between the standard error and the noise of 9 x 9 pixels,
root mean square of its logarithm.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from scipy.ndimage import uniform_filter

from benchmarks.reucid_quality import CROP, noisy
from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, denoise, standard_error

ENGINES = {
    "random": Reucid(patch_size="psf"),
    "alike": Reucid(stacks="alike"),
    "average": Reucid(stacks="alike", deviations="average"),
}
FORMAT = "{:12.2f} ({:.2f}) {:.2f}   x {:.2f}"


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def local_factor(told: np.ndarray, noise: np.ndarray) -> float:
    """Return the typical factor between both, of 9 x 9 pixels."""
    powers = (uniform_filter(np.square(each, dtype=np.float64), 9) for each in (told, noise))
    logarithms = [np.log(np.maximum(power, 1e-8)) / 2 for power in powers]
    return float(np.exp(rms(logarithms[0] - logarithms[1])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--levels", type=int, nargs="+", default=[9, 16, 22])
    specimens = sim_stem()
    parser.add_argument("--specimens", nargs="+", default=list(specimens), choices=specimens)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("standard error / noise (with given groups), / error, and local factor")
    print(f"{'':22s}" + "".join(f"{name:>31s}" for name in ENGINES))
    rows = []
    for name in arguments.specimens:
        truth = specimens[name][:CROP, :CROP]
        for db in arguments.levels:
            draws = [
                noisy(truth, db, 0.0, np.random.default_rng([draw, db]))
                for draw in range(arguments.draws)
            ]
            row = []
            for engine in ENGINES.values():
                results = np.array([denoise(image, engine) for image in draws])
                noise = results.std(axis=0, ddof=1)
                told = standard_error(draws[0], engine)
                given = standard_error(draws[0], engine, redraw=False)
                row.append(
                    [rms(told) / rms(noise), rms(given) / rms(noise),
                     rms(told) / rms(results - truth), local_factor(told, noise)]
                )  # fmt: skip
            rows.append(row)
            cells = "".join(FORMAT.format(*each) for each in row)
            print(f"{name:16s} {db:2d} dB{cells}", flush=True)
    cells = "".join(FORMAT.format(*each) for each in np.mean(rows, axis=0))
    print(f"{'mean':22s}{cells}")


if __name__ == "__main__":
    main()
