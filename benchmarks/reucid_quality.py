"""PSNR of REUCID on simulated specimens with known truth.

``python -m benchmarks.reucid_quality [--draws N]`` adds noise to ``../shared/data/sim_stem``
(Poisson, and Gaussian of 5 % of the maximum; 256 x 256 crops).  It prints the mean PSNR of the
classifier's choice, the best choice in hindsight, the plain rule, BM3D, and "auto" patches.  The
`data_range` is the maximum of the truth.  ``--columns`` compares noise of rows and of columns, with
``scan_noise="remove"`` and "columns".
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, StackStep, denoise, denoise_steps, metrics
from napari_lowdose.reucid.teaching.error_of_choice import best_in_hindsight
from training.labels import (
    Decomposition,
    contributions,
    error_of_choice,
    noise_floor,
    plain_rule,
)
from training.noise import GAUSSIAN, add_noise, scale_for_psnr, scan_noise

LEVELS = (9, 13, 16, 22)  # dB of the input
ROW_LEVELS = (13, 16)
ROW = 0.08  # standard deviation of the row noise, relative to the maximum
CROP = 256


def noisy(truth: np.ndarray, db: float, row: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise such that the input has a PSNR of `db`, then add row noise."""
    level = scale_for_psnr(truth, db)
    image = add_noise(truth, rng, peak=level.peak, gaussian=level.gaussian)
    return image + truth.max() * scan_noise(truth.shape, rng, row=row)


def best_bm3d(truth: np.ndarray, image: np.ndarray, psnr: Callable[[np.ndarray], float]) -> float:
    """Return the best PSNR of BM3D over sigma, with and without variance stabilisation."""
    from bm3d import bm3d

    scale = truth.max()
    spread = float(np.std(image - truth))
    best = max(psnr(bm3d(image, spread * f)) for f in (0.7, 1.0, 1.4, 2.0))
    # Generalised Anscombe transform, with the gain as the ratio of noise variance to mean
    gain = max((spread**2 - (GAUSSIAN * scale) ** 2) / truth.mean(), 1e-12)
    inside = image * gain + 0.375 * gain**2 + (GAUSSIAN * scale) ** 2
    root = 2 / gain * np.sqrt(np.maximum(inside, 0))
    for f in (0.7, 1.0, 1.4, 2.0):
        clean = np.maximum(bm3d(root, f), 0)
        best = max(
            best, psnr(((clean * gain / 2) ** 2 - 0.375 * gain**2 - (GAUSSIAN * scale) ** 2) / gain)
        )
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--no-bm3d", action="store_true")
    parser.add_argument("--columns", action="store_true")
    arguments = parser.parse_args()
    if arguments.columns:
        column_noise(arguments.draws)
        return
    table: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for name, whole in sim_stem().items():
        truth = whole[:CROP, :CROP]
        for db, row in [(db, 0.0) for db in LEVELS] + [(db, ROW) for db in ROW_LEVELS]:
            for draw in range(arguments.draws):
                image = noisy(truth, db, row, np.random.default_rng([draw, db, row > 0]))
                result = measure(truth, image, bm3d=not arguments.no_bm3d)
                noise = f"{db} dB" + (" + rows" if row else "")
                table["white" if not row else "rows", noise].append(result)
                table["white" if not row else "rows", name].append(result)
                table["white" if not row else "rows", "mean"].append(result)
    columns = list(result)
    print(f"{'':6s} {'':18s}" + "".join(f"{c:>12s}" for c in columns))
    for (kind, group), rows in sorted(table.items(), key=lambda kv: (kv[0][0], kv[0][1] == "mean")):
        means = "".join(f"{np.mean([r[c] for r in rows]):12.2f}" for c in columns)
        print(f"{kind:6s} {group:18s}{means}")


def column_noise(draws: int) -> None:
    """Print the mean PSNR with noise of rows, and of columns in the same truth."""
    db = 13
    results = []
    for whole in sim_stem().values():
        truth = whole[:CROP, :CROP]
        for draw in range(draws):
            rows = noisy(truth, db, ROW, np.random.default_rng([draw, db, 1]))
            columns = noisy(truth.T, db, ROW, np.random.default_rng([draw, db, 2])).T
            cleans = (
                rows,
                denoise(rows, Reucid(patch_size="psf", n_stacks=1)),
                columns,
                denoise(columns, Reucid(patch_size="psf", n_stacks=1)),
                denoise(columns, Reucid(patch_size="psf", n_stacks=1, scan_noise="columns")),
            )
            top = float(truth.max())
            results.append([metrics.psnr(truth, clean, data_range=top) for clean in cleans])
    names = ("rows", "remove", "columns", "remove", "columns")
    print("".join(f"{name:>10s}" for name in names))
    print("".join(f"{value:10.2f}" for value in np.mean(results, axis=0)))


def measure(truth: np.ndarray, image: np.ndarray, *, bm3d: bool) -> dict[str, float]:
    """Return the PSNR, in dB, of every method for one image."""

    def psnr(test: np.ndarray) -> float:
        return metrics.psnr(truth, test, data_range=float(truth.max()))

    def of_choice(kept: np.ndarray) -> float:
        return float(10 * np.log10(float(truth.max()) ** 2 / error(kept)))

    steps = list(denoise_steps(image, Reucid(patch_size="psf", n_stacks=1)))
    last = steps[-1]
    assert isinstance(last, StackStep)
    stack = Decomposition(last.singular_values, last.eigenpatches, last.noise_floor)
    error = error_of_choice(truth, *contributions(image, stack.eigenpatches))
    auto = list(denoise_steps(image, Reucid(n_stacks=1)))[-1]
    assert isinstance(auto, StackStep)
    result = {
        "input": psnr(image),
        "REUCID": psnr(last.image),
        "hindsight": of_choice(best_in_hindsight(error)),
        "plain rule": of_choice(plain_rule(image, stack, noise_floor(image, last.patch_size))),
        "auto": psnr(auto.image),
        "wide": psnr(denoise(image, Reucid(patch_size="wide", n_stacks=1))),
        "patch psf": float(last.patch_size),
        "patch auto": float(auto.patch_size),
    }
    if bm3d:
        result["BM3D"] = best_bm3d(truth, image, psnr)
    return result


if __name__ == "__main__":
    main()
