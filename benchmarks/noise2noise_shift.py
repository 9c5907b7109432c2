"""Benefit of applying a subpixel shift to the network's output, inside the loss.

    python -m benchmarks.noise2noise_shift [--epochs 60] [--seeds 2]

The second exposure of each pair is displaced by 0.25 and 0.5 pixels along both axes.  The shift is
(a) applied inside the loss, (b) corrected by resampling the targets, as for views that are rotated
against each other, (c) corrected before training by interpolation of the whole second exposure, or
(d) ignored.  PSNR, in dB, is that of the network applied to the first exposure alone, after the
same number of epochs; data_range is the maximum of the truth.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace

import numpy as np
from scipy.ndimage import fourier_shift
from scipy.ndimage import shift as spline

from benchmarks.pairs import READOUT, against_truth
from benchmarks.shared_data import shared
from napari_lowdose import Noise2Noise, denoise

MARGIN = 16  # pixels: a Fourier shift is periodic


def shifted_pair(truth: np.ndarray, fraction: float, seed: int = 0):
    peak = truth.mean() / (10 ** (-15.94 / 10) - READOUT**2)
    moved = np.fft.ifft2(fourier_shift(np.fft.fft2(truth), (fraction, fraction))).real
    rng = np.random.default_rng(seed)
    inner = (slice(MARGIN, -MARGIN),) * 2
    first, second = (
        (
            rng.poisson(np.maximum(scene[inner], 0) * peak) / peak
            + READOUT * rng.standard_normal(scene[inner].shape)
        ).astype(np.float32)
        for scene in (truth, moved)
    )
    return against_truth("", first, second, truth[inner])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="also (c) and (d)")
    given = parser.parse_args()
    print("| scene | shift px | seed | inside the loss | targets resampled | others |")
    print("|---|---|---|---|---|---|")
    for name in ("sim_stem/ws2_defects.tif", "sim_stem/si_110.tif", "nuclei/dsb_22.png"):
        truth = shared(name).astype(np.float64)
        truth /= truth.max()
        for fraction, seed in itertools.product((0.25, 0.5), range(given.seeds)):
            pair = shifted_pair(truth, fraction, seed)
            engine = Noise2Noise(preset="fast", epochs=given.epochs, use="first", seed=seed)
            affine = replace(engine, affine=((1, 0, fraction), (0, 1, fraction)))
            back = spline(pair.second, (-fraction, -fraction), order=3, mode="nearest")
            by = (fraction, fraction)
            trainings = [(engine, pair.second, by), (affine, pair.second, by)]
            if given.all:
                trainings += [(engine, back, (0, 0)), (engine, pair.second, (0, 0))]
            found = []
            for method, second, shift in trainings:
                model = method.train(pair.first, second, shift=shift)
                found.append(f"{pair.psnr(denoise(pair.first, model)):.2f}")
            print(f"| {name} | {fraction} | {seed} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
