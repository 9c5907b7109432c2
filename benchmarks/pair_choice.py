"""Which eigenpatches to keep: the classifier, the second exposure, and the best in hindsight.

PSNR (dB) of the mean of two exposures, simulated from specimens with known truth, by REUCID with
the eigenpatches that its classifier chooses, with those of the first exposure that the second one
confirms (`chosen_by_pair`), and with the choice that minimises the squared error to the truth.
``python -m benchmarks.pair_choice``
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.shared_data import shared, sim_stem
from napari_lowdose import Reucid, denoise, metrics
from napari_lowdose.reucid.teaching import chosen_by_pair
from napari_lowdose.reucid.teaching.error_of_choice import best_in_hindsight
from napari_lowdose.reucid.teaching.from_pair import error_by_pair

PEAKS = (2, 10, 50)  # electrons or photons at the maximum, in each exposure
ROW = 0.08  # standard deviation of the row noise, relative to the maximum
CROP = 256
DRAWS = 1


def scenes() -> dict[str, np.ndarray]:
    """Return noise-free scenes, with a maximum of 1."""
    stem = sim_stem()
    nuclei = shared("nuclei/dsb_00.png").astype(np.float32)[..., :512]
    names = ("ws2_defects", "si_110", "graphene_defects")
    return {name: stem[name] for name in names} | {"nuclei": nuclei / nuclei.max()}


def main() -> None:
    print(f"{'scene':17s} {'peak':>5s} {'rows':>5s} {'mean':>6s} {'CNN':>6s} {'CNN,1st':>7s} "
          f"{'pair':>6s} {'best':>6s}   kept by CNN, pair, best")  # fmt: skip
    gains = []
    for name, scene in scenes().items():
        truth = scene[:CROP, :CROP]
        for row in (0.0, ROW):
            for peak in PEAKS:
                rows = [one(truth, peak, row, seed) for seed in range(DRAWS)]
                psnr = np.mean([r[0] for r in rows], axis=0)
                kept = np.mean([r[1] for r in rows], axis=0)
                gains.append(psnr[1:] - psnr[1])
                print(f"{name:17s} {peak:5d} {row:5.2f} {psnr[0]:6.2f} {psnr[1]:6.2f} "
                      f"{psnr[2]:7.2f} {psnr[3]:6.2f} {psnr[4]:6.2f}   "
                      f"{kept[0]:.0f}, {kept[1]:.0f}, {kept[2]:.0f}", flush=True)  # fmt: skip
    mean = np.mean(gains, axis=0)
    print(f"mean gain over the CNN: pair {mean[2]:+.2f} dB, best {mean[3]:+.2f} dB")


def one(truth: np.ndarray, peak: float, row: float, seed: int) -> tuple[list[float], list[int]]:
    """Return PSNR and numbers of kept eigenpatches of one draw."""
    rng = np.random.default_rng(seed)
    rows = row * rng.normal(size=(2, len(truth), 1))  # another one in each exposure
    first, second = rng.poisson(peak * truth, (2, *truth.shape)) / peak + rows
    mean = (first + second) / 2
    by_cnn = Reucid().learn(mean)  # as `Reucid(n_stacks=1)`
    by_pair = chosen_by_pair(first, second)
    kept = Reucid().learn(first, by_pair.size).stack.kept  # the patch size of the mean
    cnn_first = replace(by_pair, stack=replace(by_pair.stack, kept=kept))
    error = error_by_pair(mean, truth, by_pair.stack.eigenpatches).whole
    best = replace(by_pair, stack=replace(by_pair.stack, kept=best_in_hindsight(error)))
    engines = (by_cnn, cnn_first, by_pair, best)
    images = [mean, *(denoise(mean, engine) for engine in engines)]
    psnr = [metrics.psnr(truth, image, data_range=1.0) for image in images]
    return psnr, [int(engine.stack.kept.sum()) for engine in (by_cnn, by_pair, best)]


if __name__ == "__main__":
    main()
