"""Draw the figures of the README and the documentation from the package's own sample image.

python docs/make_figures.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from napari_lowdose import Noise2Noise, Reucid, StackStep, TrainingStep, denoise_steps, metrics
from napari_lowdose.reucid.kernel import transfer_function
from napari_lowdose.samples import PIXEL_SIZE, stem_low_dose, stem_pair

mpl.use("Agg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).parent / "images"


def show(axes: plt.Axes, image: np.ndarray, title: str, limits: tuple[float, float]) -> None:
    axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def scale_bar(axes: plt.Axes, pixels: int) -> None:
    length = 10 / PIXEL_SIZE  # 1 nm
    axes.plot([8, 8 + length], [pixels - 10] * 2, color="white", lw=3)
    axes.text(8, pixels - 16, "1 nm", color="white", fontsize=8)


def before_after(noisy: np.ndarray, truth: np.ndarray, last: StackStep) -> None:
    """Draw input, result, what was taken away, and the truth."""
    assert last.image is not None
    top = float(truth.max())

    def psnr(image: np.ndarray) -> str:
        return f"{metrics.psnr(truth, image, data_range=top):.1f} dB"

    limits = (0.0, 0.8 * top)  # the heavy dopants saturate, the lattice shows
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
    show(axes[0], noisy, f"low-dose input, {psnr(noisy)}", limits)
    show(axes[1], last.image, f"REUCID, {psnr(last.image)}", limits)
    show(axes[2], noisy - last.image, "what was taken away", (-top / 2, top / 2))
    show(axes[3], truth, "the specimen without noise", limits)
    scale_bar(axes[0], len(noisy))
    figure.savefig(IMAGES / "before_after.png", dpi=110)


def stages(noisy: np.ndarray, last: StackStep) -> None:
    """Draw the eigenpatches with their singular values and verdicts."""
    shown = min(25, len(last.kept))
    figure = plt.figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.5, 1])
    for number, axes in enumerate(left.subplots(3, 9).flat):
        axes.set_axis_off()
        if number >= shown:
            continue
        patch = last.eigenpatches[number]
        axes.imshow(patch, cmap="gray", interpolation="nearest")
        verdict = "kept" if last.kept[number] else "noise"
        axes.set_title(
            f"{number}: {last.utilities[number]:.2f}\n{verdict}",
            fontsize=7,
            color="tab:green" if last.kept[number] else "tab:red",
        )
    left.suptitle("eigenpatches, their utility and the verdict", fontsize=9)
    axes = right.subplots()
    numbers = np.arange(len(last.kept))
    for kept, color, label in ((True, "tab:green", "kept"), (False, "tab:red", "noise")):
        chosen = last.kept == kept
        axes.semilogy(numbers[chosen], last.singular_values[chosen], "o", c=color, label=label)
    axes.axhline(last.noise_floor, color="gray", ls="--", label="noise floor")
    axes.set(xlabel="eigenpatch", ylabel="singular value")
    axes.legend(fontsize=8)
    figure.savefig(IMAGES / "reucid_stages.png", dpi=110)


def linear_filter(noisy: np.ndarray, truth: np.ndarray, last: StackStep) -> None:
    """Draw the transfer function of one stack, and what alike stacks add."""
    top = float(truth.max())
    alike = list(denoise_steps(noisy, Reucid(stacks="alike")))[-1]
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.5), layout="constrained")
    frequency, gain, highest = transfer_function(last.kernel, PIXEL_SIZE)
    axes[0].plot(frequency, gain, label="mean over directions")
    axes[0].plot(frequency, highest, label="highest direction")
    axes[0].set(xlabel="spatial frequency, 1/angstrom", ylabel="gain")
    axes[0].set_title("random stacks: one linear filter", fontsize=9)
    axes[0].legend(fontsize=8)
    for panel, image, name in (
        (axes[1], last.image, "random stacks"),
        (axes[2], alike.image, "alike stacks"),
        (axes[3], truth, "the specimen without noise"),
    ):
        psnr = metrics.psnr(truth, image, data_range=top)
        title = name if image is truth else f"{name}, {psnr:.1f} dB"
        show(panel, image, title, (0.0, 0.8 * top))
    scale_bar(axes[1], len(noisy))
    figure.savefig(IMAGES / "reucid_filter.png", dpi=100)


def noise2noise(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> None:
    """Draw a pair, the result, where the exposures disagree, and the loss while training."""
    top = float(truth.max())

    def psnr(image: np.ndarray) -> str:
        return f"{metrics.psnr(truth, image, data_range=top):.1f} dB"

    steps = list(denoise_steps((first, second), Noise2Noise(preset="fast", time_budget=30)))
    training = [step for step in steps if isinstance(step, TrainingStep)]
    last = steps[-1]
    limits = (0.0, 0.8 * top)
    figure, axes = plt.subplots(1, 5, figsize=(15, 3.3), layout="constrained")
    show(axes[0], first, f"first of the pair, {psnr(first)}", limits)
    show(axes[1], last.image, f"Noise2Noise, {psnr(last.image)}", limits)
    show(axes[2], last.disagreement, "disagreement, 10 times brighter", (0, 0.08 * top))
    show(axes[3], truth, "the specimen without noise", limits)
    scale_bar(axes[0], len(first))
    epochs = [step.epoch for step in training]
    axes[4].plot(epochs, [step.loss for step in training], lw=0.7, label="training")
    judged = [step for step in training if step.validation_loss is not None]
    axes[4].plot(
        [step.epoch for step in judged], [s.validation_loss for s in judged], label="held out"
    )
    gain = [limit for limit in judged[-1].gain or () if np.isfinite(limit)]
    told = " to ".join(f"{limit:.1f}" for limit in gain)
    true = metrics.psnr(truth, last.image, data_range=top) - metrics.psnr(
        truth, first, data_range=top
    )
    axes[4].set(xlabel="epoch", ylabel="1 - Pearson correlation")
    axes[4].set_title(f"gain told: {told} dB, true: {true:.1f} dB", fontsize=9)
    axes[4].legend(fontsize=8)
    figure.savefig(IMAGES / "noise2noise_before_after.png", dpi=110)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    noisy, truth = stem_low_dose()
    last = list(denoise_steps(noisy, Reucid(patch_size="psf", n_stacks=1)))[-1]
    assert isinstance(last, StackStep)
    before_after(noisy, truth, last)
    stages(noisy, last)
    linear_filter(noisy, truth, last)
    noise2noise(*stem_pair())


if __name__ == "__main__":
    main()
