"""Teach the classifier: agreement with picks and pairs, PSNR of unseen images, forgetting.

The person is simulated: of the pictures, they pick the one with the smallest squared error to the
truth, or, with another taste, the one with the fewest eigenpatches that is within 1 dB of it.  Two
picks on each of six images.  The noise is white, or blurred by a detector, which looks like
structure and is the hardest case of the shipped classifier (docs/training.md).
``python -m benchmarks.teaching``
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.scenes import scattered
from benchmarks.shared_data import shared, sim_stem
from napari_lowdose import metrics
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.classifier import choose, load_weights, utility
from napari_lowdose.reucid.teaching import (
    Decomposed,
    Survey,
    Taught,
    decompose_steps,
    teach,
    teach_from_pair,
)

if TYPE_CHECKING:
    from napari_lowdose.reucid import StackStep

SIDE = 128
TAUGHT_ON, TESTED_ON = range(6), range(20, 26)  # seeds
PICKS = 2  # on each image
BLUR = 1.0  # standard deviation of the detector's blur, pixels
NOISE = (0.08, 0.3)  # standard deviation relative to the maximum, log-uniform
TASTE = 1.0  # dB


def ws2(rng: np.random.Generator) -> np.ndarray:
    return crop(sim_stem()["ws2_defects"], rng)


def nuclei(rng: np.random.Generator) -> np.ndarray:
    image = shared("nuclei/dsb_00.png").astype(np.float32)
    return crop(image / image.max(), rng)


def spots(rng: np.random.Generator) -> np.ndarray:
    return scattered(2.0, (SIDE, SIDE), int(rng.integers(1 << 30)))


def crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y, x = (rng.integers(0, n - SIDE + 1) for n in image.shape[:2])
    return image[y : y + SIDE, x : x + SIDE]


def exposures(scene: Callable, seed: int, blur: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the truth and two exposures."""
    rng = np.random.default_rng(seed)
    truth = scene(rng)
    level = np.exp(rng.uniform(*np.log(NOISE)))
    noise = gaussian_filter(rng.normal(size=(2, *truth.shape)), (0, blur, blur))
    return truth, list(truth + level * noise / noise.std())


def picks(scene: Callable, blur: float, taste: float) -> Survey:
    """Return the answers of a simulated person."""
    survey = Survey()
    for seed in TAUGHT_ON:
        truth, (image, _) = exposures(scene, seed, blur)
        of = run_to_end(decompose_steps(image, f"image {seed}"))
        for _ in range(PICKS):
            question = survey.ask(of)
            db = [10 * np.log10(np.square(p - truth).mean()) for p in question.pictures]
            good = [n for n, value in enumerate(db) if value <= min(db) + taste]
            survey.answer(question, min(good, key=lambda n: question.counts[n]))
    return survey


def psnr_of(taught: Taught, scene: Callable, blur: float) -> np.ndarray:
    """Return the mean PSNR of unseen images: shipped, taught, best leading eigenpatches."""
    rows = []
    for seed in TESTED_ON:
        truth, (image, _) = exposures(scene, seed, blur)
        of = run_to_end(decompose_steps(image, "unseen"))
        kept = [by(of, w) for w in (load_weights("remove"), taught.networks["remove"])]
        kept += [np.arange(len(of.stack.kept)) < n for n in range(1, len(of.stack.kept) + 1)]
        db = [metrics.psnr(truth, of.reconstruct(k), data_range=1.0) for k in kept]
        rows.append([db[0], db[1], max(db[2:])])
    return np.mean(rows, axis=0)


def by(of: Decomposed, weights: dict[str, np.ndarray]) -> np.ndarray:
    stack: StackStep = of.stack
    return choose(utility(of.scanned, stack.singular_values, stack.noise_floor, weights))


def main() -> None:
    print("scene   noise    taught by     agreement (before, after, of)   shipped  taught  best"
          "   on shipped data  CPU s")  # fmt: skip
    for scene in (ws2, nuclei, spots):
        for blur in (0.0, BLUR):
            pairs = [exposures(scene, seed, blur)[1] for seed in TAUGHT_ON]
            ways = {
                "picks": lambda: teach(picks(scene, blur, 0.0)),  # noqa: B023
                "picks, taste": lambda: teach(picks(scene, blur, TASTE)),  # noqa: B023
                "pairs": lambda: teach_from_pair(*np.swapaxes(pairs, 0, 1)),  # noqa: B023
            }
            for name, way in ways.items():
                start = time.process_time()
                taught = way()
                took = time.process_time() - start
                agreement = taught.agreement
                before, after = taught.record["accuracy_on_shipped_data"]
                db = psnr_of(taught, scene, blur)
                print(f"{scene.__name__:7s} {'blurred' if blur else 'white':8s} {name:13s} "
                      f"{agreement.before:3d}, {agreement.after:3d} of {agreement.of:3d} {'':14s} "
                      f"{db[0]:7.2f} {db[1]:7.2f} {db[2]:5.2f}   {before:.3f} -> {after:.3f}  "
                      f"{took:5.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
