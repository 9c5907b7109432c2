"""Registration of drifting stacks of repeats: wrong peaks, above all hops by a unit cell.

    python -m benchmarks.stack_registration [--stacks 15]

Stacks of 8 counted frames of 256 x 256 pixels at 9 dB (data_range is the maximum of the truth).
The drift of each frame against the one before is uniform within the given reach along both axes.
*Pairs* registers each frame with the one before and adds the shifts up; *stack* is
`register_stack`.  A position is wrong if it is more than 1.5 pixels off.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
from scipy.ndimage import fourier_shift

from benchmarks.registration import EDGE, KINDS, moved, scene
from benchmarks.shared_data import sim_stem
from napari_lowdose.pairs.register import register_pair
from napari_lowdose.pairs.register_stack import register_stack
from napari_lowdose.pairs.subpixel_shift import shift_bound

FRAMES = 8
SIDE = 256  # px
DOSE = 9  # dB
WRONG = 1.5  # px
SPECIMENS = {"WS2, 26 defects": "ws2_defects", "Si, no defect": "si_110"}
DRIFTS = (3, 9)  # px per frame, at most: half a unit cell of Si is 14 px, of WS2 15 px


def drifting_stack(
    scene: np.ndarray, drift: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return counted frames (N, Y, X), and the true positions (N, 2) against the first."""
    positions = np.cumsum(rng.uniform(-drift, drift, (FRAMES, 2)), axis=0)
    positions -= positions[0]
    spectrum = np.fft.fft2(scene)
    middle = (np.array(scene.shape) - SIDE) // 2
    part = tuple(slice(start, start + SIDE) for start in middle)
    moved = [np.fft.ifft2(fourier_shift(spectrum, by)).real[part] for by in positions]
    level = 10 ** (DOSE / 10) * scene.mean() / scene.max() ** 2
    counts = rng.poisson(level * np.maximum(moved, 0)).astype(np.float32)
    return counts, positions


def by_pairs(frames: np.ndarray) -> np.ndarray:
    """Return the positions from the shifts between neighbours alone; NaN after a refusal."""
    steps = []
    for one, other in pairwise(frames):
        try:
            steps.append(register_pair(one, other)[2].shift)
        except ValueError:
            steps.append((np.nan, np.nan))
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def by_stack(frames: np.ndarray) -> np.ndarray:
    try:
        return register_stack(frames)[1].positions
    except ValueError:
        return np.full((FRAMES, 2), np.nan)


def blurred_cells(stacks: int) -> None:
    """Print the errors of a blurred cell, relative to the Cramer-Rao bound of a single pair."""
    image = scene(KINDS["blurred cell"][0])
    print("\n| blurred cell, photons | pairs: error / bound | stack: error / bound | wrong |")
    print("|--:|--:|--:|--:|")
    for photons in (100, 10, 3):
        rng = np.random.default_rng(photons)
        ratios: list[list[float]] = [[], []]
        wrong = 0
        for _ in range(stacks):
            positions = np.cumsum(rng.uniform(-3, 3, (FRAMES, 2)), axis=0)
            positions -= positions[0]
            y, x = rng.integers(EDGE, np.array(image.shape) - SIDE - EDGE + 1)
            part = np.s_[y : y + SIDE, x : x + SIDE]
            level = photons / image[part].mean()
            light = [level * moved(image, by)[part] for by in positions]
            frames = rng.poisson(light).astype(np.float32)
            bound = shift_bound(light[0], light[0], light[0])
            steps = np.diff(by_pairs(frames), axis=0) - np.diff(positions, axis=0)
            errors = [steps, (by_stack(frames) - positions)[1:]]
            wrong += int((~(np.abs(errors[1]) < WRONG)).any(axis=1).sum())
            for ratio, error in zip(ratios, errors, strict=True):
                right = (np.abs(error) < WRONG).all(axis=1)
                ratio += list((error[right] / bound).ravel())
        rms = [float(np.sqrt(np.mean(np.square(each)))) for each in ratios]
        n = stacks * (FRAMES - 1)
        print(f"| {photons} | {rms[0]:.2f} | {rms[1]:.2f} | {wrong} of {n} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=int, default=15)
    parser.add_argument("--parts", nargs="+", default=["crystals", "cells"])
    given = parser.parse_args()
    if "crystals" in given.parts:
        crystals(given.stacks)
    if "cells" in given.parts:
        blurred_cells(given.stacks)


def crystals(stacks: int) -> None:
    scenes = sim_stem()
    print("| specimen | drift (px/frame) | pairs: wrong | stack: wrong | RMS error (px) |")
    print("|---|--:|--:|--:|--:|")
    for name, file in SPECIMENS.items():
        for drift in DRIFTS:
            rng = np.random.default_rng([len(name), drift])
            wrong, errors = np.zeros(2, int), []
            for _ in range(stacks):
                frames, truth = drifting_stack(scenes[file].astype(float), drift, rng)
                for which, positions in enumerate((by_pairs(frames), by_stack(frames))):
                    error = np.abs(positions - truth)[1:]
                    right = (error < WRONG).all(axis=1)  # False for NaN
                    wrong[which] += (~right).sum()
                errors += list(error[right].ravel())
            n = stacks * (FRAMES - 1)
            rms = np.sqrt(np.mean(np.square(errors)))
            print(f"| {name} | {drift} | {wrong[0]} of {n} | {wrong[1]} of {n} | {rms:.3f} |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
