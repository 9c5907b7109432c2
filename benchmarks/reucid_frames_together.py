"""PSNR of a frame of a movie against the number of frames whose patches are grouped.

``python -m benchmarks.reucid_frames_together [drift] [cut] [bleaching] [particle] [time]`` prints
one table for each name, by default all.  PSNR in dB of one of five frames, mean over `DRAWS` draws;
the `data_range` is the maximum of the truth.  Poisson noise, 256 x 256 pixels.

drift
    The middle frame; simulated specimens drift by (1.3, 0.7) pixels per frame.  Also with
    ``deviations="average"``.
cut
    The frame before a cut to another specimen: two frames of the first, three of the second, with
    the same number of electrons in the brightest pixel.
bleaching
    As `drift` at 9 and 16 dB, with a brightness that falls by a factor in each frame.
particle
    A bright disc that moves by more than its width in each frame.  Mean of the result at its other
    places above that elsewhere, RMS error at both, all relative to its height, and the share of
    its height that is left.
time
    Seconds and peak memory of a frame.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import shift

from benchmarks.shared_data import ROOT, shared, sim_stem
from napari_lowdose import Reucid, metrics
from napari_lowdose.reucid.stack_step import StackStep

FRAMES, MIDDLE = 5, 2
DRIFT = np.array([1.3, 0.7])  # pixels per frame
DRAWS = 3
TOGETHER = (1, 3, 5)
SIZE = 256
SPECIMENS = ("ws2_defects", "si_110", "graphene_defects")


def counts_of(scene: np.ndarray, db: float) -> np.ndarray:
    """Return the expected electrons of a scene at an input PSNR of `db`."""
    return 10 ** (db / 10) * scene.mean() / scene.max() ** 2 * scene


def drifting(scene: np.ndarray, db: float, fading: float = 1.0) -> np.ndarray:
    """Return the expected electrons of a movie, whose middle frame has an input PSNR of `db`."""
    distances = np.arange(FRAMES) - MIDDLE
    moved = np.stack([shift(scene, DRIFT * t, order=3, mode="grid-wrap") for t in distances])
    counts = counts_of(scene, db).max() / scene.max() * np.clip(moved[:, :SIZE, :SIZE], 0, None)
    return counts * fading ** distances[:, np.newaxis, np.newaxis]


def denoised(movie: np.ndarray, frame: int, n: int, **parameters: object) -> np.ndarray:
    """Denoise one frame, with patches of the PSF width."""
    engine = Reucid(stacks="alike", frames_together=n, **parameters)
    around = {t - frame: (movie[t],) for t in engine.neighbours(frame, len(movie))}
    image = None
    for step in engine.frame_steps(movie[frame], neighbours=around):
        if isinstance(step, StackStep):
            image = step.image
    return image


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    return float(metrics.psnr(truth, image, data_range=float(truth.max())))


def row(name: str, truth: np.ndarray, frame: int, **parameters: object) -> None:
    """Print the mean PSNR of one frame for each number of frames together."""
    found = [
        [psnr(truth[frame], denoised(movie, frame, n, **parameters)) for n in TOGETHER]
        for movie in (np.random.default_rng(draw).poisson(truth) for draw in range(DRAWS))
    ]
    cells = " | ".join(f"{mean:.2f}" for mean in np.mean(found, axis=0))
    print(f"| {name} | {cells} |", flush=True)


def heading(*names: str) -> None:
    columns = [*names, *("alone" if n == 1 else f"{n} together" for n in TOGETHER)]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def drift(specimens: Sequence[str] = SPECIMENS) -> None:
    heading("specimen", "input", "deviations")
    for name in specimens:
        for db in (9, 13, 16):
            truth = drifting(sim_stem()[name].astype(float), db)
            for deviations in ("keep", "average"):
                row(f"{name} | {db} dB | {deviations}", truth, MIDDLE, deviations=deviations)


def cut() -> None:
    heading("from", "to", "input")
    nuclei = shared(f"nuclei/{sorted((ROOT / 'nuclei').glob('*.png'))[0].name}").astype(float)
    scenes = {name: scene.astype(float) for name, scene in sim_stem().items()}
    scenes["nuclei"] = nuclei / nuclei.max()
    for one, other in (
        ("ws2_defects", "si_110"),
        ("si_110", "graphene_defects"),
        ("graphene_defects", "ws2_defects"),
        ("nuclei", "ws2_defects"),
        ("si_110", "nuclei"),
    ):
        for db in (9, 16):
            peak = counts_of(scenes[one], db).max()
            pair = [peak * scenes[k][:SIZE, :SIZE] / scenes[k].max() for k in (one, other)]
            row(f"{one} | {other} | {db} dB", np.stack([pair[k] for k in (0, 0, 1, 1, 1)]), 1)


def bleaching() -> None:
    heading("specimen", "input", "per frame")
    for name in SPECIMENS[:2]:
        for db in (9, 16):
            for fading in (1.0, 0.98, 0.95, 0.9, 0.8):
                truth = drifting(sim_stem()[name].astype(float), db, fading)
                row(f"{name} | {db} dB | {fading}", truth, MIDDLE)


def particle() -> None:
    print("| electrons | frames | ghost | error at its other places | elsewhere | height left |")
    print("|---|---|---|---|---|---|")
    y, x = np.mgrid[:128, :128]
    inside = np.stack([np.hypot(y - 64, x - 24 - 20 * t) < 6 for t in range(FRAMES)])
    others = inside.any(axis=0) & ~inside[MIDDLE]
    never = np.roll(others, 40, axis=0)
    for background, height in ((0.3, 1.0), (1.0, 2.0), (2.0, 6.0)):
        truth = background + height * inside
        for n in TOGETHER:
            ghost, errors, left = [], [], []
            for draw in range(2 * DRAWS):
                movie = np.random.default_rng(draw).poisson(truth)
                image = denoised(movie, MIDDLE, n, patch_size=9) - background
                ghost.append(image[others].mean() - image[never].mean())
                errors.append([np.mean(image[area] ** 2) for area in (others, never)])
                left.append(image[inside[MIDDLE]].mean())
            rms = np.sqrt(np.mean(errors, axis=0)) / height
            print(
                f"| {background:g} + {height:g} | {n} | {np.mean(ghost) / height:+.3f} | "
                f"{rms[0]:.3f} | {rms[1]:.3f} | {np.mean(left) / height:.2f} |",
                flush=True,
            )


def timing() -> None:
    print("| frames | s | MB |\n|---|---|---|")
    movie = np.random.default_rng(0).poisson(drifting(sim_stem()["ws2_defects"].astype(float), 16))
    movie = np.tile(movie, (1, 2, 2))
    for n in TOGETHER:
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            denoised(movie, MIDDLE, n)
            seconds.append(time.perf_counter() - begun)
        tracemalloc.start()
        denoised(movie, MIDDLE, n)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"| {n} | {min(seconds):.1f} | {peak:.0f} |", flush=True)


def main() -> None:
    tables = {
        "drift": drift,
        "cut": cut,
        "bleaching": bleaching,
        "particle": particle,
        "time": timing,
    }
    for name in sys.argv[1:] or tables:
        print(f"\n{name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tables[name]()


if __name__ == "__main__":
    main()
