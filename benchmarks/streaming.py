"""Memory and speed of streaming frames to zarr.

``python -m benchmarks.streaming [FRAMES]`` denoises a movie of 512 x 512 pixels with a small
network. The movie is never in memory as a whole.  The script prints memory and frames per second
during the run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from napari_lowdose import Noise2Noise, Stream
from napari_lowdose.samples import nuclei_pair

SIDE = 512


class Movie:
    """Exposures of one scene, simulated when they are read."""

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, n: int, truth: np.ndarray) -> None:
        self.shape = (n, SIDE, SIDE)
        self._truth = truth

    def __getitem__(self, index: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng(index[0])
        noise = np.sqrt(self._truth + 1) * rng.standard_normal(self._truth.shape, np.float32)
        return self._truth + noise


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first, second, truth = nuclei_pair(photons=10)
    model = Noise2Noise(preset="fast", epochs=2).train(first, second)
    process = psutil.Process()
    rows = sorted({max(1, round(n * share)) for share in (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1)})
    print("| frames | resident memory, MB | frames/s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = 0
        for step in Stream(Movie(n, truth), model, Path(folder, "clean.zarr")):
            done += step.image is not None
            if step.image is not None and done in rows:
                memory = process.memory_info().rss / 1e6
                print(f"| {done} | {memory:.0f} | {done / (time.perf_counter() - start):.1f} |")


if __name__ == "__main__":
    main()
