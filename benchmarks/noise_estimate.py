"""Noise estimated from one image, against the truth.

``python -m benchmarks.noise_estimate [--draws 3]`` prints gain and read noise relative to the
truth for simulated specimens and nuclei, and for real movies the noise of a frame relative to that
of the difference of two frames, at the quartiles of its intensity.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.reucid_quality import noisy
from benchmarks.shared_data import ROOT, shared, sim_stem
from napari_lowdose import estimate_noise
from training.noise import scale_for_psnr

LEVELS = (9, 13, 16, 22)
MOVIES = ("scmos_eb3_20x512x512", "stem_abf_5x512x256", "tem_thon_8x512x256")


def simulated(draws: int) -> None:
    scenes = sim_stem()
    for path in sorted((ROOT / "nuclei").glob("*.png"))[::3]:
        truth = shared(f"nuclei/{path.name}").astype(np.float32)
        scenes[path.stem] = truth / truth.max()
    print(f"{'gain / read noise, of the truth':34s}" + "".join(f"{db:>14d} dB" for db in LEVELS))
    for name, truth in scenes.items():
        cells = ""
        for db in LEVELS:
            level = scale_for_psnr(truth, db)
            found = []
            for draw in range(draws):
                noise = estimate_noise(noisy(truth, db, 0.0, np.random.default_rng([draw, db])))
                found.append([noise.gain * level.peak, noise.read_noise / level.gaussian])
            gain, read = np.mean(found, axis=0)
            cells += f"    {gain:5.2f} / {read:5.2f}"
        print(f"{name:20s} {truth.shape[0]:4d} px{cells}", flush=True)


def real() -> None:
    print("\nstandard deviation of the noise, estimated from one frame / from two frames")
    for name in MOVIES:
        movie = shared(f"repeats/{name}.tif")[:2].astype(np.float64)
        noise = estimate_noise(movie[0])
        level = gaussian_filter(movie.mean(0), 3)
        difference = np.diff(movie, axis=0)[0]
        difference -= gaussian_filter(difference, 3)  # drift
        edges = np.percentile(level, [0, 25, 50, 75, 100])
        cells = ""
        for low, high in pairwise(edges):
            part = (level >= low) & (level <= high)
            measured = np.sqrt(np.var(difference[part]) / 2)
            cells += f"  {np.sqrt(noise.variance(level[part]).mean()) / measured:5.2f}"
        print(f"{name:28s}{cells}   {'; '.join(note.split(',')[0] for note in noise.notes)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulated(arguments.draws)
        real()


if __name__ == "__main__":
    main()
