"""Gain of neighbouring frames as context, on the beamsplitter movie.

``python -m benchmarks.noise2noise_context [movie] [cut] [--steps N] [--photons P] [--frames N]``
prints one table for each name, by default both.  The movie is that of Fig. 8
(`benchmarks.papers.fig8`), found and aligned by `split_frame`; PSNR in dB against the noise-free
first view, in one orientation.  `change kept` is the regression of the change between frames on
the true change.

movie
    For each number of frames before and after: trained for the same number of steps on every 12th
    pair and on all pairs.  `ends`: mean of the first and the last frame.  `alone`: a frame that is
    given without its neighbours.
cut
    The movie is cut to its own mirror image upside down, and to nuclei, and trained on all frames.
    PSNR of the two frames beside the cut, of the others, and of the two frames if their
    neighbours beyond the cut are given to the network (`bleeding`).
"""

from __future__ import annotations

import argparse
import warnings
from unittest.mock import patch

import numpy as np

from benchmarks.papers.fig8 import change_kept
from napari_lowdose import Noise2Noise, Noise2NoiseModel, denoise, metrics, samples, split_frame
from napari_lowdose.noise2noise import context as context_module
from napari_lowdose.pairs.noise_model import expected_photons
from napari_lowdose.samples.beamsplitter import EDGE
from napari_lowdose.samples.chloroplasts import flowing_chloroplasts
from napari_lowdose.samples.nuclei import nuclei

CONTEXTS = (0, 1, 2)
SPLITTER = samples.Beamsplitter()
Movie = np.ndarray


def views(scene: np.ndarray, photons: float) -> tuple[Movie, Movie, Movie, tuple[float, float]]:
    """Return both views of a movie, the truth of the first, and the subpixel shift."""
    camera, clean = SPLITTER.record(expected_photons(scene, photons=photons), 0)
    first, second, layout = split_frame(camera.astype(np.float32))
    return first, second, layout.split(clean)[0], layout.fraction


def scene_of(n_frames: int) -> np.ndarray:
    return flowing_chloroplasts(n_frames, (192 + 2 * EDGE, 192 + 2 * EDGE))


def psnr(truth: Movie, movie: Movie) -> np.ndarray:
    top = float(truth.max()) - SPLITTER.offset
    each = zip(truth, movie, strict=True)
    return np.array([metrics.psnr(t, m, data_range=top) for t, m in each])


def trained(
    first: Movie, second: Movie, shift: tuple[float, float], context: int, every: int, steps: int
) -> Noise2NoiseModel:
    n_pixels = len(range(0, len(first), every)) * first[0].size
    epochs = steps / max(1, round(n_pixels / (16 * 64**2)))  # of the fast preset
    engine = Noise2Noise("fast", epochs=epochs, every=every, shift=shift, context=context)
    return engine.train(first, second)


def movie(photons: float, n_frames: int, steps: int, contexts: tuple[int, ...]) -> None:
    print("| trained on | before and after | PSNR | ends | change kept | one view | alone | told |")
    print("|---|---|---|---|---|---|---|---|")
    first, second, truth, shift = views(scene_of(n_frames), photons)
    for every in (12, 1):
        for context in contexts:
            model = trained(first, second, shift, context, every, steps)
            both, one = denoise((first, second), model), denoise(first, model)
            at = n_frames // 2 + 5  # not trained on
            alone = denoise((first[at : at + 1], second[at : at + 1]), model)
            found, (low, high) = psnr(truth, both), model.record["gain_db"]
            told = f"{low:.1f} to {high:.1f}" if high is not None else f"at least {low:.1f}"
            name = "all pairs" if every == 1 else f"every {every}th"
            print(
                f"| {name} | {context} | {found.mean():.2f} | {found[[0, -1]].mean():.2f} | "
                f"{change_kept(both, truth):.3f} | {psnr(truth, one).mean():.2f} | "
                f"{psnr(truth[at : at + 1], alone)[0]:.2f} | {told} |",
                flush=True,
            )


def cut(photons: float, n_frames: int, steps: int, contexts: tuple[int, ...]) -> None:
    print("| cut to | before and after | beside the cut | other frames | bleeding |")
    print("|---|---|---|---|---|")
    half = n_frames // 2
    scene = scene_of(n_frames)
    still = nuclei(scene.shape[1:], seed=11)
    others = {
        "upside down": scene[half:, ::-1],
        "nuclei": np.repeat(still[None] / still.mean() * scene.mean(), n_frames - half, axis=0),
    }
    for name, other in others.items():
        first, second, truth, shift = views(np.concatenate([scene[:half], other]), photons)
        for context in contexts:
            model = trained(first, second, shift, context, 1, steps)
            found = psnr(truth, denoise((first, second), model))
            beside = np.zeros(n_frames, bool)
            beside[half - 1 : half + 1] = True
            near = slice(half - 1 - context, half + 1 + context)
            with patch.object(context_module, "is_of_use", return_value=True):
                bled = psnr(truth[near], denoise((first[near], second[near]), model))
            bled = bled[context : context + 2]
            print(
                f"| {name} | {context} | {found[beside].mean():.2f} | {found[~beside].mean():.2f} "
                f"| {bled.mean():.2f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", choices=["movie", "cut", []], default=["movie", "cut"])
    parser.add_argument("--photons", type=float, default=12.0)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--contexts", type=int, nargs="+", default=CONTEXTS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, table in (("movie", movie), ("cut", cut)):
        if name in given.tables:
            print(f"\n{name}")
            table(given.photons, given.frames, given.steps, tuple(given.contexts))


if __name__ == "__main__":
    main()
