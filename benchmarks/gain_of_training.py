"""Coverage of the gain interval of a training, on the training pair, and where it is doubted.

    python -m benchmarks.gain_of_training [--pairs 20] [--steps 150] [--faults]

A network is trained on each simulated pair.  The told interval is compared with the true gain of
what the user looks at, the whole denoised pair, and with that on the held-out tiles alone before
the interval is widened.  With --faults, pairs break an assumption of the estimate: correlated or
common noise, displaced lines, movement.  There the interval may be wrong, and the gain has to be
told with a doubt.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks.scenes import Image, lattice, scattered
from napari_lowdose import Noise2Noise, denoise
from napari_lowdose.noise2noise import training
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain

SIDE, MARGIN = 192, 8
PHOTONS = 10
ENGINE = Noise2Noise(preset="fast", device="cpu", batch_size=4, crop_size=64, fallback=False)
SHAPE = (SIDE + 2 * MARGIN,) * 2
SCENES = {
    "lattice": PHOTONS * (0.3 + 4 * lattice(2.0, 12.0, SHAPE)),
    "spots": PHOTONS * (0.3 + 2 * scattered(2.5, SHAPE)),
}
Y, X = np.mgrid[:SIDE, :SIDE] + float(MARGIN)
Draw = Callable[[Image, np.random.Generator], Image]


def good(scene: Image, rng: np.random.Generator) -> Image:
    return rng.poisson(scene[MARGIN:-MARGIN, MARGIN:-MARGIN]).astype(float)


def correlated(scene: Image, rng: np.random.Generator) -> Image:
    clean = scene[MARGIN:-MARGIN, MARGIN:-MARGIN]
    noise = rng.poisson(clean) - clean
    spread = gaussian_filter(noise, 0.6)
    return clean + spread * noise.std() / spread.std()


def displaced_lines(scene: Image, rng: np.random.Generator) -> Image:
    shifts = rng.normal(0, 0.8, (SIDE, 1))
    return rng.poisson(np.maximum(map_coordinates(scene, [Y, X + shifts], order=3), 0)).astype(
        float
    )


def moved(scene: Image, rng: np.random.Generator) -> Image:
    swing = 0.7 * rng.choice([-1, 1]) * np.sin(2 * np.pi * X / SIDE)
    where = [Y + swing, X + swing]
    return rng.poisson(np.maximum(map_coordinates(scene, where, order=3), 0)).astype(float)


def fault(name: str, scene: Image, rng: np.random.Generator) -> tuple[Image, Image]:
    """Return a pair with a fault."""
    if name == "common noise":
        clean = scene[MARGIN:-MARGIN, MARGIN:-MARGIN]
        common = rng.normal(0, np.sqrt(0.15 * clean.mean()), clean.shape)
        return good(scene, rng) + common, good(scene, rng) + common
    if name == "moved":
        return good(scene, rng), moved(scene, rng)
    draw: Draw = {"correlated noise": correlated, "displaced lines": displaced_lines}[name]
    return draw(scene, rng), draw(scene, rng)


def trained(
    first: Image, second: Image, truth: Image, steps: int, seed: int
) -> tuple[float, ToldGain | None, tuple[float, float]]:
    """Train; return true gain of the result, the gain told, and the interval of the tiles."""
    narrow = [(np.nan, np.nan)]
    widen = training.widened_gain

    def remembered(gain, *others):
        narrow.append(gain)
        return widen(gain, *others)

    with patch.object(training, "widened_gain", remembered):
        epochs = steps / max(1, round(truth.size / (4 * 64**2)))
        engine = Noise2Noise(**{**vars(ENGINE), "epochs": epochs, "seed": seed})
        model = engine.train(first, second)
    error = np.mean((denoise((first, second), model) - truth) ** 2)
    noise = (np.mean((first - truth) ** 2) + np.mean((second - truth) ** 2)) / 2
    return 10 * np.log10(noise / error), ToldGain.of_record(model.record), narrow[-1]


def inside(gain: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= gain <= limits[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--faults", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    faults = ["correlated noise", "common noise", "displaced lines", "moved"]
    print(
        "| pair | true gain, dB | held-out tiles contain it | told interval | doubted | example |"
    )
    print("|---|---|---|---|---|---|")
    for name, scene in SCENES.items():
        for problem in faults if arguments.faults else [""]:
            found = []
            for seed in range(arguments.pairs):
                rng = np.random.default_rng(seed)
                pair = (
                    fault(problem, scene, rng) if problem else (good(scene, rng), good(scene, rng))
                )
                truth = scene[MARGIN:-MARGIN, MARGIN:-MARGIN]
                found.append(trained(*pair, truth, arguments.steps, seed))
            told = [each for _, each, _ in found if each is not None]
            n_inside = sum(
                each is not None and inside(gain, (each.least.low, each.least.high))
                for gain, each, _ in found
            )
            print(
                f"| {name}{', ' if problem else ''}{problem} "
                f"| {np.mean([gain for gain, _, _ in found]):.1f} "
                f"| {sum(inside(gain, tiles) for gain, _, tiles in found)} | {n_inside} "
                f"| {sum(bool(each.doubt) for each in told)} of {len(found)} | {told[0]} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
