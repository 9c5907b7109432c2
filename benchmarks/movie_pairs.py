"""The pairs of one movie: each frame and the next, or even against odd frames.

    python -m benchmarks.movie_pairs [--steps 150]

Crops of 256 x 256 pixels, eight frames, trainings of the same number of steps.  *two frames* trains
on the first pair alone.  Gains are in dB over one frame, against the truth, or for the real frames
against the mean of the other twelve, whose noise is subtracted; *told* is the interval that the
training tells.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.shared_data import shared, sim_stem
from napari_lowdose import MoviePairs, Noise2Noise, Noise2NoiseModel, denoise, movie_pairs

SIDE, N_FRAMES = 256, 8
CROP, BATCH = 128, 4


def scenes() -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Return movies, what their frames show, and the number of frames this is the mean of."""
    rng = np.random.default_rng(0)
    found = {}
    for name, scene in (
        ("WS2, simulated", sim_stem()["ws2_defects"]),
        ("nuclei, simulated", shared("nuclei/dsb_22.png")),
    ):
        scene = scene[:SIDE, :SIDE].astype(float)
        truth = 10 ** (13 / 10) * scene.mean() / scene.max() ** 2 * scene  # 13 dB
        found[name] = rng.poisson(truth, (N_FRAMES, SIDE, SIDE)), truth, 0
    frames = shared("repeats/scmos_eb3_20x512x512.tif")[:, 128 : 128 + SIDE, 128 : 128 + SIDE]
    found["EB3, sCMOS"] = frames[:N_FRAMES], frames[N_FRAMES:].mean(0), len(frames) - N_FRAMES
    return found


def measured_gain(frames: np.ndarray, clean: np.ndarray, truth: np.ndarray, n: int) -> float:
    """Return the gain of denoised frames; the truth is known, or the mean of n other frames."""
    noisy, left = (float(np.mean((each - truth) ** 2)) for each in (frames.astype(float), clean))
    of_truth = noisy / (n + 1) if n else 0.0  # the noise of the mean
    return 10 * float(np.log10((noisy - of_truth) / (left - of_truth)))


def interval(model: Noise2NoiseModel) -> str:
    low, high = model.record["gain_db"] or (None, None)
    return " to ".join("?" if each is None else f"{each:.1f}" for each in (low, high))


def training(steps: int, n_pairs: int) -> Noise2Noise:
    """Return a training of this many steps, whatever the number of pairs."""
    epochs = steps * BATCH * CROP**2 / (n_pairs * SIDE**2)
    return Noise2Noise(epochs=epochs, crop_size=CROP, batch_size=BATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150, help="of each training")
    steps = parser.parse_args().steps
    print("| movie | pairs | gain | told | steps |\n|---|---|---|---|---|")
    for name, (frames, truth, n) in scenes().items():
        for label, pairs, given in (
            ("two frames", "neighbours", frames[:2]),
            ("each frame and the next", "neighbours", frames),
            ("even against odd", "even-odd", frames),
        ):
            n_pairs = len(movie_pairs(given, pairs)[0])  # type: ignore[arg-type]
            engine = training(steps, n_pairs)
            model = MoviePairs(engine, pairs).train(given)  # type: ignore[arg-type]
            clean = denoise(frames, replace(model, orientations=1))
            row = f"{measured_gain(frames, clean, truth, n):.1f} | {interval(model)}"
            print(f"| {name} | {label} | {row} | {model.record['n_steps']} |", flush=True)


if __name__ == "__main__":
    main()
