"""Benefit of applying a subpixel shift to the network's output, inside the loss.

    python -m benchmarks.noise2noise_shift [--epochs 100]

The second exposure of each pair is displaced by 0, 0.25 and 0.5 pixels along both axes.  The shift
is (a) applied inside the loss, (b) corrected before training by interpolation of the second
exposure (cubic spline), or (c) ignored.  PSNR, in dB, is that of the network applied to the first
exposure alone, after the same number of epochs; data_range is the maximum of the truth.
"""

from __future__ import annotations

import argparse

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
    parser.add_argument("--epochs", type=float, default=100)
    given = parser.parse_args()
    print("| scene | shift px | inside the loss | interpolated | ignored |")
    print("|---|---|---|---|---|")
    for name in ("sim_stem/ws2_defects.tif", "nuclei/dsb_22.png"):
        truth = shared(name).astype(np.float64)
        truth /= truth.max()
        for fraction in (0.0, 0.25, 0.5):
            pair = shifted_pair(truth, fraction)
            engine = Noise2Noise(preset="fast", epochs=given.epochs, use="first")
            back = spline(pair.second, (-fraction, -fraction), order=3, mode="nearest")
            trainings = {
                "inside": (pair.second, (fraction, fraction)),
                "interpolated": (back, (0, 0)),
                "ignored": (pair.second, (0, 0)),
            }
            found = []
            for second, shift in trainings.values():
                model = engine.train(pair.first, second, shift=shift)
                found.append(f"{pair.psnr(denoise(pair.first, model)):.2f}")
            print(f"| {name} | {fraction} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
