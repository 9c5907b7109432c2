"""Fig. 5 of the pair paper: simulated WS2 with defects, one pair, 300 epochs.

    python -m benchmarks.papers.fig5 [--epochs 300] [--figure DIR]

The input PSNR is 15.94 dB as in the paper; data_range is the maximum of the truth.  The resolution
is measured in three ways:

seen
    The last shell of lattice spots, from the centre outwards, in which a spot is visible.  A spot
    is visible if its power in the Fourier transform of the Hann-windowed image is more than 12
    times the local mean (which noise alone exceeds in 6 of a million cases) and at least 1e-8 of
    the strongest.
right
    The finest lattice spot up to which all spots are within half of the true ones on average, in
    amplitude and phase: |F - F_true| < 0.5 |F_true| (RMS) for every shell of equal spacing.
FRC
    The frequency at which the Fourier ring correlation with the truth drops below 0.5.  Between the
    spots of a crystal only the defects correlate.
"""

from __future__ import annotations

import numpy as np

from benchmarks.pairs import stem_pair
from benchmarks.papers.experiment import (
    arguments,
    header,
    panel,
    quietly,
    row,
    save,
    spectrum,
    spectrum_panel,
    subplots,
    train,
)
from napari_lowdose import Noise2Noise, denoise, metrics

PIXEL = 0.1  # angstrom
LATTICE = 3.18  # angstrom, WS2
BEYOND = 12.0  # times the local mean power, for a visible spot
SHELL = 0.04  # 1/angstrom: spots of equal spacing


def reciprocal_basis(truth: np.ndarray) -> np.ndarray:
    """Return two lattice vectors of the spectrum of the truth, in bins: [[dy, dx], [dy, dx]]."""
    power = np.abs(spectrum(truth)) ** 2
    y, x = (np.arange(side) - side // 2 for side in truth.shape)
    radius = np.hypot(y[:, None], x)
    wanted = truth.shape[0] * PIXEL * 2 / (np.sqrt(3) * LATTICE)
    ring = np.where(np.abs(radius - wanted) < 2, power, 0)
    at = np.unravel_index(ring.argmax(), ring.shape)
    one = np.array([y[at[0]], x[at[1]]], float)
    turn = np.array([[0.5, np.sqrt(0.75)], [-np.sqrt(0.75), 0.5]])
    basis = np.stack([one, turn @ one])
    for reach in (1, 2, 4):  # refine the vectors with spots at increasing distances
        indices = [(h, k) for h in range(-reach, reach + 1) for k in range(-reach, reach + 1)]
        indices = np.array([index for index in indices if index != (0, 0)])
        found = np.array([_centroid(power, place) for place in indices @ basis])
        basis = np.linalg.lstsq(indices, found, rcond=None)[0]
    return basis


def _centroid(power: np.ndarray, place: np.ndarray) -> np.ndarray:
    middle = np.array(power.shape) // 2
    corner = np.rint(place + middle).astype(int) - 2
    around = power[corner[0] : corner[0] + 5, corner[1] : corner[1] + 5]
    y, x = np.mgrid[:5, :5]
    return np.array([(around * y).sum(), (around * x).sum()]) / around.sum() + corner - middle


def spots(shape: tuple[int, int], basis: np.ndarray) -> np.ndarray:
    """Return the positions of lattice spots, in bins from the centre, one per opposite pair."""
    reach = np.arange(-30, 31)
    places = np.array([(h, k) for h in reach for k in reach]) @ basis
    inside = np.abs(places).max(axis=1) < min(shape) / 2 - 12
    half = (places[:, 0] > 0.5) | ((np.abs(places[:, 0]) <= 0.5) & (places[:, 1] > 0.5))
    return places[inside & half]


def shells(places: np.ndarray, side: int) -> list[tuple[float, np.ndarray]]:
    """Return frequency (1/angstrom) and spots of each shell, from the centre outwards."""
    frequency = np.hypot(*places.T) / (side * PIXEL)
    shell = np.rint(frequency / SHELL).astype(int)
    members = [np.flatnonzero(shell == number) for number in np.unique(shell)]
    return [(float(frequency[each].mean()), each) for each in members]


def resolution_seen(image: np.ndarray, places: np.ndarray) -> float:
    power = np.abs(spectrum(image)) ** 2
    y, x = np.mgrid[-9:10, -9:10]
    around = (np.hypot(y, x) > 4) & (np.hypot(y, x) <= 9)
    middle = np.array(image.shape) // 2
    at = np.rint(places).astype(int) + middle
    squares = [power[row - 9 : row + 10, column - 9 : column + 10] for row, column in at]
    top = np.array([square[8:11, 8:11].max() for square in squares])
    # Mean of an exponential distribution from its median, so that other spots have no influence
    mean = np.array([np.median(square[around]) for square in squares]) / np.log(2)
    seen = (top > BEYOND * mean) & (top > 1e-8 * top.max())
    finest = np.nan
    for frequency, members in shells(places, image.shape[0]):
        if not seen[members].any():
            break
        finest = frequency
    return 1 / finest


def resolution_right(image: np.ndarray, truth: np.ndarray, places: np.ndarray) -> float:
    middle = np.array(truth.shape) // 2
    at = tuple((np.rint(places).astype(int) + middle).T)
    error = np.abs(spectrum(image)[at] - spectrum(truth)[at]) ** 2
    true = np.abs(spectrum(truth)[at]) ** 2
    finest = np.nan
    for frequency, members in shells(places, truth.shape[0]):
        if error[members].sum() > 0.25 * true[members].sum():
            break
        finest = frequency
    return 1 / finest


def main() -> None:
    given = arguments(__doc__, epochs=300).parse_args()
    quietly()
    pair = stem_pair("ws2_defects")
    training = train(Noise2Noise(preset="fast", epochs=given.epochs), pair.first, pair.second)
    one = denoise(pair.first, training.model)
    both = denoise((pair.first, pair.second), training.model)
    places = spots(pair.truth.shape, reciprocal_basis(pair.truth))
    header("image", "PSNR dB, paper", "ours", "resolution nm, paper", "seen", "right", "FRC")
    paper = {
        "truth": ("-", "0.092"),
        "input": ("15.94", "0.103"),
        "output, one": ("34.08", "0.092"),
    }
    images = {"truth": pair.truth, "input": pair.first, "output, one": one, "output, both": both}
    for name, image in images.items():
        known = name == "truth"
        printed = paper.get(name, ("-", "-"))
        frc = metrics.frc(image, pair.truth, pixel_size=PIXEL, threshold=0.5).resolution
        row(
            name, printed[0], "-" if known else f"{pair.psnr(image):.2f}", printed[1],
            f"{resolution_seen(image, places) / 10:.3f}",
            "-" if known else f"{resolution_right(image, pair.truth, places) / 10:.3f}",
            "-" if known else f"{frc / 10:.3f}",
        )  # fmt: skip
    if given.figure:
        draw(images, training, given.figure)


def draw(images: dict[str, np.ndarray], training, directory) -> None:
    figure, axes = subplots(3, 4)
    line = (
        int(  # a row of tungsten
            images["truth"][200:240].mean(axis=1).argmax()
        )
        + 200
    )
    for column, (name, image) in enumerate(images.items()):
        panel(axes[0, column], image[150:300, 150:300], name, (0, 0.8))
        axes[0, column].axhline(line - 150, color="tab:orange", lw=0.6)
        spectrum_panel(axes[1, column], image, f"Fourier transform, {name}", share=0.4)
    x = np.arange(150, 300) * PIXEL
    for column, name in enumerate(("input", "output, one", "output, both")):
        axes[2, column].plot(x, images[name][line, 150:300], lw=0.8, label=name)
        axes[2, column].plot(x, images["truth"][line, 150:300], "k", lw=0.8, label="truth")
        axes[2, column].set(xlabel="Å", ylim=(-0.3, 1.3))
        axes[2, column].legend(fontsize=7)
    axes[2, 3].plot(training.epochs, training.loss, lw=0.6, label="training")
    axes[2, 3].plot(*zip(*training.held_out, strict=True), label="held out")
    axes[2, 3].set(xlabel="epoch", title="1 - Pearson correlation", yscale="log")
    axes[2, 3].legend(fontsize=7)
    save(figure, directory, "fig5")


if __name__ == "__main__":
    main()
