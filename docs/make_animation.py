"""Draw the animated picture of the README: REUCID building up, and a pair learning.

python docs/make_animation.py

Both parts are drawn from the package's own sample, whose truth is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter1d

from napari_lowdose import Noise2Noise, Reucid, StackStep, TrainingStep, denoise_steps, metrics
from napari_lowdose.samples import stem_low_dose, stem_pair

TARGET = Path(__file__).parent / "images" / "animation.gif"
SIDE = 256  # of an image, pixels
TOP, GAP = 44, 8
BACKGROUND, INK, LINE = (18,) * 3, (235,) * 3, (90,) * 3
KEPT, NOISE, CURVE = (80, 190, 110), (215, 85, 80), (90, 160, 230)
FIRST, BETWEEN, LAST = 1200, 600, 3500  # milliseconds
EPOCHS = (1, 2, 4, 8, 16, 32)


def main() -> None:
    frames = [*reucid(), *noise2noise()]
    images, durations = [picture for picture, _ in frames], [duration for _, duration in frames]
    # One palette for all frames: with one each, the greys would flicker
    palette = Image.new("P", (1, 1))
    greys = [(grey,) * 3 for grey in np.linspace(0, 255, 64).round().astype(int).tolist()]
    palette.putpalette([value for colour in (*greys, KEPT, NOISE, CURVE) for value in colour])
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    indexed[0].save(
        TARGET, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=True
    )
    print(f"{TARGET}: {len(images)} frames, {TARGET.stat().st_size / 1e6:.2f} MB")


def reucid() -> Iterator[tuple[Image.Image, int]]:
    """Draw the sum of the first eigenpatches that are kept, one more in each frame."""
    noisy, truth = stem_low_dose()
    engine = Reucid(patch_size="psf", n_stacks=1)
    *_, last = denoise_steps(noisy, engine)
    assert isinstance(last, StackStep)
    kept = np.flatnonzero(last.kept)
    for n in range(1, len(kept) + 1):
        so_far = np.isin(np.arange(len(last.kept)), kept[:n])
        step = dataclasses.replace(last, kept=so_far)
        image = engine.rebuild(noisy, [step])
        text = f"REUCID, {n} of {len(kept)} useful patterns"
        canvas = Canvas(
            "One image: built from its own patterns", ("raw", noisy), (text, image), truth
        )
        canvas.eigenpatches(last, so_far)
        yield canvas.picture, FIRST if n == 1 else LAST if n == len(kept) else BETWEEN


def noise2noise() -> Iterator[tuple[Image.Image, int]]:
    """Draw the results of longer and longer trainings, which begin alike."""
    first, second, truth = stem_pair()
    shown = [("mean of both exposures", 0, (first + second) / 2)]
    for epochs in EPOCHS:
        engine = Noise2Noise(preset="fast", epochs=epochs, fallback=False)
        steps = list(denoise_steps((first, second), engine))
        shown.append((f"Noise2Noise, epoch {epochs}", epochs, steps[-1].image))
    training = [step for step in steps if isinstance(step, TrainingStep)]
    points = [(step.epoch, step.loss) for step in training if np.isfinite(step.loss)]
    for text, epochs, image in shown:
        canvas = Canvas(
            "Two exposures: one predicts the other", ("first of them", first), (text, image), truth
        )
        canvas.loss(np.array(points), epochs)
        end = epochs == EPOCHS[-1]
        yield canvas.picture, FIRST if epochs == 0 else LAST if end else BETWEEN


class Canvas:
    """A frame: the noisy image, the result so far, and a panel beside them."""

    def __init__(
        self,
        title: str,
        noisy: tuple[str, np.ndarray],
        result: tuple[str, np.ndarray],
        truth: np.ndarray,
    ) -> None:
        size = 3 * SIDE + 4 * GAP, SIDE + TOP + GAP
        self.picture = Image.new("RGB", size, BACKGROUND)
        self.draw = ImageDraw.Draw(self.picture)
        top = float(truth.max())
        self.text(GAP, 4, title, 15)
        for column, (name, image) in enumerate((noisy, result)):
            left = GAP + column * (SIDE + GAP)
            grey = np.clip(image / (0.8 * top), 0, 1) * 255
            self.picture.paste(Image.fromarray(grey.astype(np.uint8)), (left, TOP))
            psnr = metrics.psnr(truth, image, data_range=top)
            self.text(left, 25, f"{name}, {psnr:.1f} dB", 12)
        self.left = 2 * SIDE + 3 * GAP

    def text(self, x: float, y: float, text: str, size: int) -> None:
        font = ImageFont.load_default(size)
        self.draw.text((x, y), text, fill=INK, font=font)

    def eigenpatches(self, step: StackStep, so_far: np.ndarray) -> None:
        """Draw the eigenpatches; a frame says what the classifier thinks of those used so far."""
        self.text(self.left, 25, "its patterns: useful, or noise", 12)
        side = SIDE // 5
        for n in range(min(25, len(step.kept))):
            x, y = self.left + n % 5 * side, TOP + n // 5 * side
            patch = step.eigenpatches[n]
            grey = 128 + 127 * patch / np.abs(patch).max()
            tile = Image.fromarray(grey.astype(np.uint8)).resize((side - 8, side - 8), 0)
            self.picture.paste(tile, (x + 3, y + 3))
            colour = NOISE if not step.kept[n] else KEPT if so_far[n] else None
            if colour is not None:
                self.draw.rectangle((x + 1, y + 1, x + side - 4, y + side - 4), None, colour, 2)

    def loss(self, points: np.ndarray, epochs: float) -> None:
        """Draw the loss against the epochs so far, smoothed."""
        self.text(self.left, 25, "loss while it learns", 12)
        self.draw.rectangle((self.left, TOP, self.left + SIDE, TOP + SIDE), None, LINE)
        epoch, loss = points[:, 0], gaussian_filter1d(points[:, 1], 2, mode="nearest")
        x = self.left + 4 + (SIDE - 8) * epoch / epoch.max()
        y = TOP + 20 + (SIDE - 40) * (loss.max() - loss) / np.ptp(loss)
        line = list(zip(x[epoch <= epochs].tolist(), y[epoch <= epochs].tolist(), strict=True))
        if len(line) > 1:
            self.draw.line(line, CURVE, 2)


if __name__ == "__main__":
    main()
