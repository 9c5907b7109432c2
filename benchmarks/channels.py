"""Channels of different brightness: one network, one loss per channel, or one network per channel.

    python -m benchmarks.channels [--steps 400] [--seeds 1]

Pairs of (C, Y, X): nuclei and simulated WS2, 256 x 256 pixels, with Poisson noise and a read noise
of one electron.  The dim channel has a mean of 10 electrons per pixel, the other 1, 10 or 100 times
as many.  All methods take the same number of steps in all, so about the same time; networks are
applied in one orientation.  PSNR in dB; the data range is the maximum of the truth.

"one loss" computes the Pearson correlation of Eq. (4) for each channel of a batch by itself, and
averages; it exists here only.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.shared_data import shared
from napari_lowdose import Noise2Noise, Noise2NoiseModel, denoise, metrics
from napari_lowdose.noise2noise import training
from napari_lowdose.noise2noise.crops import Crops
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain

DIM = 10  # electrons per pixel
SIDE, BATCH, CROP = 256, 8, 64
ENGINE = Noise2Noise(preset="fast", device="cpu", batch_size=BATCH, crop_size=CROP, fallback=False)


def truths(bright: str, ratio: float) -> np.ndarray:
    """Return the noise-free channels, the bright one first."""
    nuclei = shared("nuclei/dsb_01.png").astype(float)[:SIDE, :SIDE]
    crystal = shared("sim_stem/ws2_defects.tif").astype(float)[:SIDE, :SIDE]
    scenes = [nuclei / nuclei.mean() + 0.3, crystal / crystal.mean() + 0.1]
    if bright != "nuclei":
        scenes.reverse()
    level = (ratio * DIM, DIM)
    return np.stack(
        [mean * scene / scene.mean() for mean, scene in zip(level, scenes, strict=True)]
    )


def one_network(first: np.ndarray, second: np.ndarray, engine: Noise2Noise) -> Noise2NoiseModel:
    """Train without regard to channels."""
    network, config = engine._configs()
    *_, last = training.training_steps(first, second, network, config, None, 0.0)
    return last.model


def one_loss(first: np.ndarray, second: np.ndarray, engine: Noise2Noise) -> Noise2NoiseModel:
    """Train one network with a correlation for each channel."""
    with loss_per_channel(len(first)):
        return one_network(first, second, engine)


def per_channel(first: np.ndarray, second: np.ndarray, engine: Noise2Noise) -> Noise2NoiseModel:
    """Train a network for each channel, as the package does."""
    return replace(engine, channel_axis=0).train(first, second)


METHODS: dict[str, Callable[..., Noise2NoiseModel]] = {
    "one network": one_network,
    "one network, one loss per channel": one_loss,
    "one network per channel": per_channel,
}


@contextmanager
def loss_per_channel(n: int) -> Iterator[None]:
    """Draw equally many crops of each channel, and average the losses of the channels."""
    draw, pearson_loss = training.draw_crops, training.pearson_loss

    def draw_of_each(exposures, seen, shift, batch_size, *others) -> Crops:
        each = [
            draw(exposures[k : k + 1], seen[k : k + 1], shift, batch_size // n, *others)
            for k in range(n)
        ]
        return Crops(*(torch.cat(parts) for parts in zip(*each, strict=True)))

    def loss_of_each(*batch: torch.Tensor) -> torch.Tensor:
        parts = zip(*(each.chunk(n) for each in batch), strict=True)
        return torch.stack([pearson_loss(*part) for part in parts]).mean()

    with (
        patch.object(training, "draw_crops", draw_of_each),
        patch.object(training, "pearson_loss", loss_of_each),
    ):
        yield


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| bright channel | brightness | method | bright: PSNR before, after | dim | told gain |")
    print("|---|---|---|---|---|---|")
    for bright, ratio in (("nuclei", 1), ("nuclei", 10), ("nuclei", 100), ("WS2", 100)):
        truth = truths(bright, ratio)
        for seed in range(arguments.seeds):
            rng = np.random.default_rng(seed)
            first, second = (rng.poisson(truth) + rng.normal(0, 1, truth.shape) for _ in range(2))
            epochs = arguments.steps * BATCH * CROP**2 / truth.size
            for name, train in METHODS.items():
                model = train(first, second, replace(ENGINE, epochs=epochs, seed=seed))
                clean = denoise((first, second), replace(model, orientations=1))
                cells = [
                    f"{psnr(truth[k], first[k]):.1f}, {psnr(truth[k], clean[k]):.1f}"
                    for k in (0, 1)
                ]
                told = ToldGain.of_record(model.record)
                print(
                    f"| {bright} | {ratio}:1 | {name} | {' | '.join(cells)} | {told} |", flush=True
                )


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    """Return the PSNR in dB."""
    return metrics.psnr(truth, image, data_range=float(truth.max()))


if __name__ == "__main__":
    main()
