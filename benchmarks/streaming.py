"""Memory and speed of streaming frames to zarr.

``python -m benchmarks.streaming [FRAMES]`` denoises a movie of 512 x 512 pixels with a small
network. The movie is never in memory as a whole.  The script prints memory and frames per second
during the run.
Before that it streams a movie through an engine that does nothing, and fails if memory grows.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_lowdose import Noise2Noise, Stream
from napari_lowdose.engine import Engine, Step
from napari_lowdose.samples import nuclei_pair

SIDE = 512


class Movie:
    """Exposures of one scene, simulated when they are read."""

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, n: int, truth: np.ndarray) -> None:
        self.shape = (n, *truth.shape)
        self._truth = truth

    def __getitem__(self, index: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng(index[0])
        noise = np.sqrt(self._truth + 1) * rng.standard_normal(self._truth.shape, np.float32)
        return self._truth + noise


@dataclass(frozen=True)
class Double(Engine):
    """Doubles the frame, so that the memory used is that of the stream."""

    def frame_steps(self, *frames: Any) -> Iterator[Step]:
        yield Step(fraction=1.0, message="done", image=np.asarray(2 * frames[0], np.float32))


def memory_growth(n: int = 2500, side: int = 128) -> float:
    """Return the growth of peak memory after the first quarter, MB: 120 if frames were kept."""

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        movie = Movie(n, np.full((side, side), 10, np.float32))
        for step in Stream(movie, Double(), Path(folder, "clean.zarr")):
            if step.index == (n // 4,) and step.image is not None:
                before = peak()
    return peak() - before


def main() -> None:
    growth = memory_growth()
    print(f"2500 frames of 128 x 128 pixels: memory grows by {growth:.1f} MB", flush=True)
    assert growth < 10
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
