"""Fig. 9 of the pair paper: noise that remains in an empty region of a fluorescence image.

    python -m benchmarks.papers.fig9 [--epochs 150] [--figure DIR]

The image shows nuclei from the samples of the package, with a maximum of 200 grey levels (8 bit), 4
grey levels per photon, and read noise such that the empty region has the standard deviation of the
paper's input, 14.4.  The region is the darkest and smoothest square of 48 x 48 pixels in the
noise-free image.  The remaining slope of the truth in the region is listed in the row `truth`.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

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
from napari_lowdose import Noise2Noise, denoise, metrics, samples, simulate_pair

PAPER = (14.4, 0.4)
BRIGHTEST = 200.0  # grey levels
GREY = 4.0  # grey levels per photon
SIDE = 48  # side of the region, pixels


def main() -> None:
    given = arguments(__doc__, epochs=150).parse_args()
    quietly()
    scene = samples.nuclei_pair()[2].astype(np.float64)
    truth = scene / scene.max() * BRIGHTEST
    region = darkest(truth)
    variance = PAPER[0] ** 2 / GREY**2 - truth[region].mean() / GREY  # photons squared
    first, second = (
        each * np.float32(GREY) for each in simulate_pair(truth / GREY, gaussian_variance=variance)
    )
    model = train(Noise2Noise(preset="fast", epochs=given.epochs), first, second).model
    one, both = denoise(first, model), denoise((first, second), model)
    header("image", "standard deviation, paper", "ours", "mean", "PSNR dB")
    printed = {"input": PAPER[0], "output, one": PAPER[1]}
    images = {"input": first, "output, one": one, "output, both": both, "truth": truth}
    for name, image in images.items():
        psnr = metrics.psnr(truth, image, data_range=BRIGHTEST)
        row(name, printed.get(name, "-"), f"{image[region].std(ddof=1):.2f}",
            f"{image[region].mean():.1f}", "-" if name == "truth" else f"{psnr:.2f}")  # fmt: skip
    if given.figure:
        draw(images, region, given.figure)


def darkest(truth: np.ndarray) -> tuple[slice, slice]:
    mean = uniform_filter(truth, SIDE)
    spread = np.sqrt(np.maximum(uniform_filter(truth**2, SIDE) - mean**2, 0))
    half = SIDE // 2
    inner = (mean + 10 * spread)[half + 8 : -half - 8, half + 8 : -half - 8]
    y, x = np.unravel_index(inner.argmin(), inner.shape)
    return slice(y + 8, y + 8 + SIDE), slice(x + 8, x + 8 + SIDE)


def draw(images: dict[str, np.ndarray], region: tuple[slice, slice], directory) -> None:
    from matplotlib.patches import Rectangle

    figure, axes = subplots(2, 4)
    for column, (name, image) in enumerate(images.items()):
        panel(axes[0, column], image, name, (0, 120))
        corner = (region[1].start, region[0].start)
        box = Rectangle(corner, SIDE, SIDE, fill=False, color="tab:blue")
        axes[0, column].add_patch(box)
        panel(axes[1, column], image[180:310, 180:310], "", (0, 120))
    save(figure, directory, "fig9")


if __name__ == "__main__":
    main()
