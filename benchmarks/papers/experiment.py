"""Shared parts of the experiments: command-line arguments, training with loss curve, figures."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_lowdose import Noise2Noise, Noise2NoiseModel


def arguments(doc: str, epochs: float | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument(
        "--figure", type=Path, metavar="DIR", help="write the figure to this folder"
    )
    if epochs is not None:
        parser.add_argument("--epochs", type=float, default=epochs)
    return parser


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(*cells: str) -> None:
    row(*cells)
    print("|" + "---|" * len(cells))


@dataclass
class Training:
    """A trained network, its loss curve, and earlier states of the network."""

    model: Noise2NoiseModel
    epochs: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    held_out: list[tuple[float, float]] = field(default_factory=list)  # epoch, loss
    earlier: dict[float, Noise2NoiseModel] = field(default_factory=dict)


def train(engine: Noise2Noise, first, second, stops: Iterable[float] = ()) -> Training:
    """Train to the end; keep the network that Stop would return at each of the epochs `stops`."""
    found = Training(model=None)
    waiting = sorted(stops)
    for step in engine.training_steps(first, second):
        if np.isfinite(step.loss):
            found.epochs.append(step.epoch)
            found.loss.append(step.loss)
        if step.validation_loss is not None:
            found.held_out.append((step.epoch, step.validation_loss))
        found.model = step.model or found.model
        while waiting and found.model is not None and (step.epoch >= waiting[0] or step.last):
            found.earlier[waiting.pop(0)] = found.model
    return found


def quietly() -> None:
    """Suppress warnings about the pairs, which are simulated or described in the documentation."""
    warnings.filterwarnings("ignore", category=UserWarning, module="napari_lowdose")


def panel(axes: Axes, image: np.ndarray, title: str, limits: tuple[float, float] | None = None):
    low, high = limits if limits is not None else np.percentile(image, (0.5, 99.5))
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def spectrum(image: np.ndarray) -> np.ndarray:
    """Return the Fourier transform of a windowed, mean-free image, zero frequency at the centre."""
    window = np.outer(*(np.hanning(side) for side in image.shape))
    return np.fft.fftshift(np.fft.fft2((image - image.mean()) * window))


def lattice_spots(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the lattice spots in the spectrum of a scanned crystal with an unknown lattice.

    A spot has 12 times the local mean power, and lies outside the streak at the centre.  Scan noise
    shifts rows and so smears every spot along its column; the local mean therefore includes the
    column of the spot.

    Returns
    -------
    spots : bool array
        True at the spots.
    local_mean : array
        Mean power around each bin.
    """
    from scipy.ndimage import maximum_filter, median_filter

    power = np.abs(spectrum(image)) ** 2
    medians = [median_filter(power, size=size, mode="wrap") for size in ((21, 21), (31, 3))]
    around = np.maximum(*medians) / np.log(2)  # mean of an exponential distribution
    spot = (power > 12 * around) & (power == maximum_filter(power, size=7))
    middle = image.shape[1] // 2
    spot[:, middle - 3 : middle + 4] = False
    return spot & (power > 1e-8 * power.max()), around


def spectrum_panel(axes: Axes, image: np.ndarray, title: str, share: float = 1.0) -> None:
    """Draw the magnitude of the inner `share` of the spectrum, over four decades."""
    size = np.log10(np.abs(spectrum(image)) + 1e-12)
    rows, columns = (round(side * (1 - share) / 2) for side in size.shape)
    inner = size[rows : size.shape[0] - rows, columns : size.shape[1] - columns]
    panel(axes, inner, title, (size.max() - 4, size.max()))


def subplots(rows: int, columns: int, **more) -> tuple[Figure, np.ndarray]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    size = (3.0 * columns, 3.1 * rows)
    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **more)


def save(figure: Figure, directory: Path, name: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    figure.savefig(directory / f"{name}.png", dpi=90)
