"""The pairs of one movie: each frame and the next, or even against odd frames.

    python -m benchmarks.movie_pairs [--steps 150]

Crops of 256 x 256 pixels, eight frames, trainings of the same number of steps.  *two frames* trains
on the first pair alone.  PSNR is the mean over the denoised frames, in dB, against the truth, or of
the real frames against the mean of the other twelve; `told` is the interval of the gain over one
frame.  *both* is the gain that would be told for the mean of the two results of a pair.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.shared_data import shared, sim_stem
from napari_lowdose import MoviePairs, Noise2Noise, Noise2NoiseModel, denoise, movie_pairs

SIDE, N_FRAMES = 256, 8
CROP, BATCH = 128, 4


def scenes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return movies, and what their frames show."""
    rng = np.random.default_rng(0)
    found = {}
    for name, scene in (
        ("WS2, simulated", sim_stem()["ws2_defects"]),
        ("nuclei, simulated", shared("nuclei/dsb_22.png")),
    ):
        scene = scene[:SIDE, :SIDE].astype(float)
        truth = 10 ** (13 / 10) * scene.mean() / scene.max() ** 2 * scene  # 13 dB
        found[name] = rng.poisson(truth, (N_FRAMES, SIDE, SIDE)), truth
    frames = shared("repeats/scmos_eb3_20x512x512.tif")[:, 128 : 128 + SIDE, 128 : 128 + SIDE]
    found["EB3, sCMOS"] = frames[:N_FRAMES], frames[N_FRAMES:].mean(0)
    return found


def psnr(movie: np.ndarray, truth: np.ndarray) -> float:
    errors = [np.mean((frame - truth) ** 2) for frame in movie.astype(float)]
    return float(np.mean(10 * np.log10((truth.max() - truth.min()) ** 2 / np.array(errors))))


def interval(model: Noise2NoiseModel) -> str:
    low, high = model.record["gain_db"] or (None, None)
    return " to ".join("?" if each is None else f"{each:.1f}" for each in (low, high))


def training(steps: int, n_pairs: int, **options: Any) -> Noise2Noise:
    """Return a training of this many steps, whatever the number of pairs."""
    epochs = steps * BATCH * CROP**2 / (n_pairs * SIDE**2)
    return Noise2Noise(epochs=epochs, crop_size=CROP, batch_size=BATCH, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150, help="of each training")
    steps = parser.parse_args().steps
    columns = "movie", "pairs", "one frame", "denoised", "gain", "told", "both", "steps"
    print(f"| {' | '.join(columns)} |\n|---|---|---|---|---|---|---|---|")
    for name, (frames, truth) in scenes().items():
        noisy = psnr(frames, truth)
        for label, pairs, given in (
            ("two frames", "neighbours", frames[:2]),
            ("each frame and the next", "neighbours", frames),
            ("even against odd", "even-odd", frames),
        ):
            exposures: Any = movie_pairs(given, pairs)  # type: ignore[arg-type]
            engine = training(steps, len(exposures[0]))
            model = MoviePairs(engine, pairs).train(given)  # type: ignore[arg-type]
            clean = psnr(denoise(frames, replace(model, orientations=1)), truth)
            both = engine.train(*exposures)
            row = f"{noisy:.2f} | {clean:.2f} | {clean - noisy:.1f} | {interval(model)}"
            print(
                f"| {name} | {label} | {row} | {interval(both)} | {model.record['n_steps']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
