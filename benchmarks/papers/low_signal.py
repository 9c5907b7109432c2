"""Bias at very low signals, a caveat of the pair paper.

    python -m benchmarks.papers.low_signal [--epochs 200] [--image 22] [--figure DIR]

One pair of nuclei at the paper's 100 photons (lambda_max 3, Gaussian variance 0.3) is used.  For
each bin of the true signal, the table lists the mean output for one exposure minus the mean of the
truth, in photons and relative to the truth, for several training times.  The deviation of the
input is due to chance: its expectation is zero.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from benchmarks.pairs import nuclei_pair
from benchmarks.papers.experiment import (
    arguments,
    header,
    quietly,
    row,
    save,
    subplots,
    train,
)
from napari_lowdose import Noise2Noise, denoise

MAXIMUM = 3
EDGES = (0, 0.1, 0.2, 0.4, 0.8, 1.5, 3.01)  # photons


def main() -> None:
    parser = arguments(__doc__, epochs=200)
    parser.add_argument("--image", type=int, default=0)
    given = parser.parse_args()
    quietly()
    pair = nuclei_pair(given.image, MAXIMUM)
    stops = [given.epochs / by for by in (40, 10, 4, 1)]
    training = train(
        Noise2Noise(preset="fast", epochs=given.epochs, use="first"), pair.first, pair.second, stops
    )
    images = {"input": pair.first} | {
        f"{epoch:g} epochs": denoise(pair.first, model) for epoch, model in training.earlier.items()
    }
    bins = [
        (low, high)
        for low, high in pairwise(EDGES)
        if np.any((pair.truth >= low) & (pair.truth < high))
    ]
    inside = [(pair.truth >= low) & (pair.truth < high) for low, high in bins]
    header("output of", "PSNR dB", *(f"{low:g} to {min(high, 3):g}" for low, high in bins))
    row("pixels", "", *(int(each.sum()) for each in inside))
    ratios = {}
    for name, image in images.items():
        bias = [
            (float((image - pair.truth)[each].mean()), float(pair.truth[each].mean()))
            for each in inside
        ]
        ratios[name] = [1 + off / true for off, true in bias]
        row(name, f"{pair.psnr(image):.2f}", *(f"{o:+.3f} ({o / t:+.0%})" for o, t in bias))
    if given.figure:
        figure, axes = subplots(1, 1)
        middle = [float(pair.truth[each].mean()) for each in inside]
        for name, ratio in ratios.items():
            axes[0, 0].semilogx(middle, ratio, "o-", ms=3, lw=0.9, label=name)
        axes[0, 0].axhline(1, color="k", lw=0.5)
        axes[0, 0].set(xlabel="true signal, photons", ylabel="mean output / truth")
        axes[0, 0].legend(fontsize=7)
        save(figure, given.figure, "low_signal")


if __name__ == "__main__":
    main()
