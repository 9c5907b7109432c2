"""Figs. 2 to 4 and Table 1 of the pair paper: nuclei at three photon levels.

    python -m benchmarks.papers.fig3_table1 [--epochs 3] [--pairs 12] [--figure DIR]

One network per level is trained on pairs of other images, as in the paper (which had 200 pairs),
and applied to test images.  lambda_max is 3, 14 and 139, with Gaussian noise of variance 0.1
lambda_max.  In a second run the noise is scaled such that the input has the PSNR of the paper's
table, which the noise in its text does not give (see `simulate_pair`).  PSNR is in dB, with
data_range lambda_max, averaged over the test images.  `grey levels` are those of the noise-free
image as 8-bit camera counts, Fig. 2.
"""

from __future__ import annotations

import numpy as np

from benchmarks.noise2noise_nuclei import PAPER, TEST
from benchmarks.pairs import NoisyPair, nuclei_pair
from benchmarks.papers.experiment import (
    Training,
    arguments,
    header,
    panel,
    quietly,
    row,
    save,
    subplots,
    train,
)
from napari_lowdose import Noise2Noise, denoise

PHOTONS = {3: 100, 14: 500, 139: 5000}  # photons for lambda_max 3, 14, 139 of the paper


def main() -> None:
    parser = arguments(__doc__, epochs=3)
    parser.add_argument("--pairs", type=int, default=12, help="number of training pairs")
    given = parser.parse_args()
    quietly()
    header("photons", "grey levels", "noise", "input, paper", "input", "output, paper",
           "output, one", "both", "gain, paper", "gain, one", "both")  # fmt: skip
    for maximum, (paper_input, paper_output) in PAPER.items():
        for scaled in (None, paper_input):
            seen = [nuclei_pair(n, maximum, scaled, seed=n) for n in range(given.pairs)]
            unseen = [nuclei_pair(n, maximum, scaled) for n in TEST]
            first, second = (
                np.stack([getattr(pair, each) for pair in seen]) for each in ("first", "second")
            )
            stops = np.geomspace(given.epochs / 20, given.epochs, 6) if given.figure else ()
            training = train(Noise2Noise(preset="fast", epochs=given.epochs), first, second, stops)
            one = [denoise(pair.first, training.model) for pair in unseen]
            both = [denoise((pair.first, pair.second), training.model) for pair in unseen]
            noisy, single, double = (
                np.mean([pair.psnr(image) for pair, image in zip(unseen, images, strict=True)])
                for images in ([pair.first for pair in unseen], one, both)
            )
            levels = len(np.unique(np.rint(unseen[2].truth)))
            row(PHOTONS[maximum], levels, "as the text" if scaled is None else "scaled",
                paper_input, f"{noisy:.2f}", paper_output, f"{single:.2f}", f"{double:.2f}",
                f"{paper_output - paper_input:.1f}", f"{single - noisy:.1f}",
                f"{double - noisy:.1f}")  # fmt: skip
            if given.figure:
                name = f"fig3_{PHOTONS[maximum]}_{'text' if scaled is None else 'scaled'}"
                draw(seen[0], unseen[2], one[2], training, given.figure, name)


def draw(
    seen: NoisyPair, unseen: NoisyPair, clean: np.ndarray, training: Training, directory, name: str
) -> None:
    top = float(unseen.truth.max())
    part = (slice(200, 328),) * 2
    figure, axes = subplots(2, 3)
    panel(axes[0, 0], np.rint(unseen.truth)[part], "noiseless, counted (Fig. 2)", (0, top))
    panel(axes[0, 1], unseen.first[part], f"input, {unseen.psnr(unseen.first):.1f} dB", (0, top))
    panel(axes[0, 2], clean[part], f"output, one, {unseen.psnr(clean):.1f} dB", (0, top))
    line = (264, part[1])
    for image, style, label in (
        (unseen.first, "0.7", "noisy"), (clean, "tab:blue", "output"), (unseen.truth, "k", "truth")
    ):  # fmt: skip
        axes[1, 0].plot(image[line], style, lw=0.9, label=label)
    axes[1, 0].set(xlabel="pixel", ylabel="photons", title="row through the middle")
    axes[1, 1].plot(training.epochs, training.loss, lw=0.6, label="training")
    axes[1, 1].plot(*zip(*training.held_out, strict=True), label="held out")
    axes[1, 1].set(xlabel="epoch", title="1 - Pearson correlation", yscale="log")
    for pair, label in ((seen, "training image"), (unseen, "test image")):
        found = [pair.psnr(denoise(pair.first, model)) for model in training.earlier.values()]
        axes[1, 2].plot(list(training.earlier), found, "o-", ms=3, label=label)
    axes[1, 2].set(xlabel="epoch", title="PSNR of one exposure, dB")
    for each in axes[1]:
        each.legend(fontsize=7)
    save(figure, directory, name)


if __name__ == "__main__":
    main()
