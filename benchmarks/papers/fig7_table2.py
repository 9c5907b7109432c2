"""Fig. 7 and Table 2 of the pair paper: a USAF target at 100, 500 and 5000 photons/pixel.

    python -m benchmarks.papers.fig7_table2 [--epochs 200] [--figure DIR]

The target is simulated (usaf.py), with one pair per level.  Gaussian noise is added to the shot
noise until the bare glass has the RSD, Eq. (10), of the paper's input.  `resolved` is the finest
element whose bars are resolved by Rayleigh's criterion along single lines of pixels, with all
coarser ones resolved as well, in line pairs per mm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.papers.experiment import (
    arguments,
    header,
    panel,
    quietly,
    row,
    save,
    subplots,
    train,
)
from benchmarks.papers.usaf import FLAT, Element, elements, target
from napari_lowdose import Noise2Noise, denoise, metrics, simulate_pair

if TYPE_CHECKING:
    import numpy as np

PAPER = {100: (16.45, 0.78), 500: (4.57, 0.87), 5000: (1.53, 0.54)}  # RSD in %: input, output


def resolved(image: np.ndarray) -> str:
    finest = None
    for element in sorted(elements(), key=lambda each: each.frequency):
        if not element.resolved(image):
            break
        finest = element
    return "none" if finest is None else label(finest)


def label(element: Element) -> str:
    return f"{element.group}-{element.number} ({element.frequency:.0f}/mm)"


def main() -> None:
    given = arguments(__doc__, epochs=200).parse_args()
    quietly()
    scene = target()
    header("photons", "RSD % input, paper", "input", "output, paper", "output, one", "both",
           "resolved: truth", "input", "output, one", "both", "PSNR dB input", "one",
           "both")  # fmt: skip
    shown = []
    for photons, (paper_input, paper_output) in PAPER.items():
        truth = scene * (photons / scene.mean())
        glass = truth[FLAT].mean()
        variance = max((paper_input / 100 * glass) ** 2 - glass, 0)
        first, second = simulate_pair(truth, gaussian_variance=variance)
        model = train(Noise2Noise(preset="fast", epochs=given.epochs), first, second).model
        one, both = denoise(first, model), denoise((first, second), model)
        images = (first, one, both)
        rsd = [f"{metrics.rsd(image[FLAT]):.2f}" for image in images]
        psnr = [metrics.psnr(truth, image, data_range=float(truth.max())) for image in images]
        row(photons, paper_input, rsd[0], paper_output, *rsd[1:], resolved(truth),
            *map(resolved, images), *(f"{each:.2f}" for each in psnr))  # fmt: skip
        shown.append((photons, truth, first, one))
    if given.figure:
        draw(shown, given.figure)


def draw(shown: list, directory) -> None:
    figure, axes = subplots(len(shown), 4)
    line = next(each for each in elements() if (each.group, each.number) == (8, 6))
    at = round(line.y + 2.5 * line.width)
    for axis, (photons, truth, first, one) in zip(axes, shown, strict=True):
        limits = (0, 1.15 * float(truth.max()))
        panel(axis[0], first, f"{photons} photons/pixel", limits)
        panel(axis[1], one, "output, one exposure", limits)
        panel(axis[2], one[:140, 240:340], "groups 8 and 9", limits)
        axis[0].add_patch(_box())
        columns = slice(int(line.x) - 8, int(line.x + 14 * line.width))
        for image, style, label in ((first, "0.7", "noisy"), (one, "tab:blue", "output"),
                                    (truth, "k", "truth")):  # fmt: skip
            axis[3].plot(image[at, columns], style, lw=0.9, label=label)
        axis[3].set_title(f"across {label(line)}", fontsize=9)
        axis[3].legend(fontsize=7)
    save(figure, directory, "fig7")


def _box():
    from matplotlib.patches import Rectangle

    rows, columns = FLAT
    return Rectangle((columns.start, rows.start), 100, 100, fill=False, color="gold", lw=1)


if __name__ == "__main__":
    main()
