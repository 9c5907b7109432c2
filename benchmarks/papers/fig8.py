"""Fig. 8 of the pair paper: a movie of moving chloroplasts, trained on every 12th frame.

    python -m benchmarks.papers.fig8 [--epochs 200] [--frames 48] [--figure DIR]

The beamsplitter movie of the package (drawn, 24 frames/s) is split by `split_frame`; the subpixel
shift is applied inside the loss.  Then every frame is denoised independently.  The PSNR is measured
against the noise-free first view; data_range is its maximum without the camera offset.  `change
kept` is the regression of the change between frames on the true change: 1 is ideal, less means
motion blur.  The mean of 5 frames is listed for comparison.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from benchmarks.papers.experiment import (
    arguments,
    header,
    panel,
    quietly,
    row,
    save,
    subplots,
)
from napari_lowdose import Noise2Noise, denoise, metrics, samples, split_frame

EVERY = 12  # frames, half a second as in the paper
PHOTONS = (12, 500)  # of the sample, and the lower level of the paper; --photons 5000 is the higher


def change_kept(movie: np.ndarray, truth: np.ndarray) -> float:
    found, true = (np.diff(each.astype(float), axis=0) for each in (movie, truth))
    return float((found * true).sum() / (true * true).sum())


def main() -> None:
    parser = arguments(__doc__, epochs=200)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--photons", type=float, nargs="+", default=PHOTONS)
    given = parser.parse_args()
    quietly()
    splitter = samples.Beamsplitter()
    header("photons", "movie", "PSNR dB, mean", "worst frame", "trained frames", "other frames",
           "change kept")  # fmt: skip
    shown, found = [], []
    for photons in given.photons:
        camera, clean = samples.beamsplitter_movie(given.frames, photons, splitter)
        first, second, layout = split_frame(camera.astype(np.float32))
        truth = layout.split(clean)[0]
        found.append((photons, layout.shift))
        top = float(truth.max()) - splitter.offset
        engine = Noise2Noise(preset="fast", epochs=given.epochs, every=EVERY, shift=layout.fraction)
        model = engine.train(first, second)
        movies = {
            "one view": first,
            "mean of 5 frames": uniform_filter1d(first, 5, axis=0, mode="nearest"),
            "output, one view": denoise(first, model),
            "output, both": denoise((first, second), model),
        }
        trained = np.arange(given.frames) % EVERY == 0
        for name, movie in movies.items():
            psnr = np.array(
                [metrics.psnr(t, m, data_range=top) for t, m in zip(truth, movie, strict=True)]
            )
            row(f"{photons:g}", name, f"{psnr.mean():.2f}", f"{psnr.min():.2f}",
                f"{psnr[trained].mean():.2f}", f"{psnr[~trained].mean():.2f}",
                f"{change_kept(movie, truth):.3f}")  # fmt: skip
        shown.append((photons, truth, movies))
    print(f"\nshift of the views: true {splitter.shift}; found", end="")
    print(*(f" {dy:.3f}, {dx:.3f} ({photons:g} photons)" for photons, (dy, dx) in found), sep=";")
    if given.figure:
        draw(shown, given.figure)


def draw(shown: list, directory) -> None:
    figure, axes = subplots(len(shown), 4)
    for axis, (photons, truth, movies) in zip(axes, shown, strict=True):
        at = len(truth) // 2 + 5  # not trained on
        limits = tuple(np.percentile(truth, (0.1, 99.9)))
        for place, name in zip(
            axis, ("one view", "mean of 5 frames", "output, both"), strict=False
        ):
            panel(place, movies[name][at], f"{photons:g} photons: {name}", limits)
        panel(axis[3], truth[at], "truth", limits)
    save(figure, directory, "fig8")


if __name__ == "__main__":
    main()
