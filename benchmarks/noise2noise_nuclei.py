"""Section 3.1 and Table 1 of the pair paper: nuclei at three photon levels.

    python -m benchmarks.noise2noise_nuclei [--images 3] [--seconds 20] [--network-seconds 120]

The noise is either that of the paper (lambda_max 3, 14, 139; Gaussian variance 0.1 lambda_max), or
scaled such that the input has the PSNR of the paper's table.  A network is trained on one pair per
image, or on pairs of 20 images and applied to 6 others.  It is applied to one exposure, as in the
paper, and to both.  PSNR is in dB; data_range is lambda_max.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.pairs import best_gain, nuclei_pair
from napari_lowdose import Noise2Noise, denoise

PAPER = {3: (7.39, 18.71), 14: (10.39, 24.60), 139: (16.89, 29.53)}  # input and output, dB
TEST = range(20, 26)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--network-seconds", type=float, default=120)
    arguments = parser.parse_args()
    print("| lambda_max | noise | trained on | input | one | both | gain, one | gain, both "
          "| best gain and offset, both | paper |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for maximum, (paper_input, paper_output) in PAPER.items():
        for scaled in (None, paper_input):
            row = f"| {maximum} | {'as the text' if scaled is None else 'scaled'}"
            paper = f"{paper_output - paper_input:.1f}"
            pairs = [nuclei_pair(number, maximum, scaled) for number in TEST]
            own = []
            for pair in pairs[: arguments.images]:
                engine = Noise2Noise(preset="fast", time_budget=arguments.seconds)
                model = engine.train(pair.first, pair.second)
                own.append(scores(pair, model))
            print(format_row(row, "its own pair", own, paper), flush=True)
            many = [nuclei_pair(number, maximum, scaled, seed=number) for number in range(20)]
            first = np.stack([pair.first for pair in many])
            second = np.stack([pair.second for pair in many])
            engine = Noise2Noise(preset="fast", time_budget=arguments.network_seconds)
            model = engine.train(first, second)
            print(
                format_row(row, "20 other pairs", [scores(p, model) for p in pairs], paper),
                flush=True,
            )


def scores(pair, model) -> tuple[float, ...]:
    both = denoise((pair.first, pair.second), model)
    one = denoise(pair.first, model)
    return pair.psnr(pair.first), pair.psnr(one), pair.psnr(both), best_gain(pair, both)


def format_row(row: str, trained_on: str, found: list[tuple[float, ...]], paper: str) -> str:
    noisy, one, both, fitted = np.mean(found, axis=0)
    return (
        f"{row} | {trained_on} ({len(found)} images) | {noisy:.2f} | {one:.2f} | {both:.2f} "
        f"| {one - noisy:.1f} | {both - noisy:.1f} | {fitted:.2f} | {paper} |"
    )


if __name__ == "__main__":
    main()
