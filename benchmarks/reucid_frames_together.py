"""PSNR of a frame of a drifting movie against the number of frames whose patches are grouped.

    python -m benchmarks.reucid_frames_together

Simulated specimens of 256 x 256 pixels drift by (1.3, 0.7) pixels per frame.  PSNR, in dB, is that
of the middle one of five frames, mean over draws; data_range is the maximum of the truth.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import shift

from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid

FRAMES = 5
DRIFT = np.array([1.3, 0.7])  # pixels per frame
DRAWS = 3
SPECIMENS = ("ws2_defects", "si_110", "graphene_defects")


def drifting(scene: np.ndarray, psnr: float) -> np.ndarray:
    """Return the expected counts of a movie with this PSNR."""
    counts = 10 ** (psnr / 10) * scene.mean() / scene.max() ** 2
    moved = [shift(scene, DRIFT * t, order=3, mode="wrap") for t in range(FRAMES)]
    return counts * np.clip(np.stack(moved)[:, 20:276, 20:276], 0, None)


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(truth.max() ** 2 / np.mean((image - truth) ** 2)))


def main() -> None:
    print("| specimen | input | deviations | alone | 3 together | 5 together |")
    print("|---|---|---|---|---|---|")
    middle = FRAMES // 2
    for name in SPECIMENS:
        scene = sim_stem()[name].astype(float)
        for dose in (9, 13, 16):
            truth = drifting(scene, dose)
            for deviations in ("keep", "average"):
                found = np.empty((DRAWS, 3))
                for draw in range(DRAWS):
                    movie = np.random.default_rng(draw).poisson(truth)
                    for column, n in enumerate((1, 3, 5)):
                        engine = Reucid(
                            patch_size="psf", stacks="alike", deviations=deviations,
                            frames_together=n,
                        )  # fmt: skip
                        others = engine.neighbours(middle, FRAMES)
                        around = {t - middle: (movie[t],) for t in others}
                        steps = list(engine.frame_steps(movie[middle], neighbours=around))
                        found[draw, column] = psnr(steps[-1].image, truth[middle])
                row = " | ".join(f"{each:.2f}" for each in found.mean(axis=0))
                print(f"| {name} | {dose} dB | {deviations} | {row} |", flush=True)


if __name__ == "__main__":
    main()
