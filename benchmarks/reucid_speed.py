"""Run time and memory of REUCID.

``python -m benchmarks.reucid_speed`` prints the seconds per frame on all cores (median of several
runs, in this process), and those of the plain transcription of the paper on one thread.
``--one-stack`` prints the time with a single stack, with known eigenpatches and with five stacks,
and that of the convolution against the same sum patch by patch.  ``--memory`` prints the increase
of peak memory at 4096 x 4096 pixels with a memory limit.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from napari_lowdose import Reucid, denoise
from napari_lowdose.blas import one_blas_thread
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.kernel import convolve
from napari_lowdose.reucid.prepared import standardise
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.terrain import patch_terrain


def scene(n: int, period: float = 14.0, sigma: float = 2.5) -> np.ndarray:
    """Return a noisy lattice of n x n pixels, in counts."""
    y, x = np.indices((n, n), dtype=np.float32)
    distance = ((y + period / 2) % period - period / 2) ** 2 + (x % period - period / 2) ** 2
    return np.random.default_rng(0).poisson(1 + 8 * np.exp(-distance / (2 * sigma**2))).astype("u2")


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of several runs, after a warm-up run."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def shortest_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest time of several runs: that of a quiet machine."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def one_thread_transcription(n: int, p: int) -> float:
    """Time the transcription in a separate process with one BLAS thread."""
    code = (
        "import time, numpy as np; from benchmarks.reucid_speed import scene; "
        "from benchmarks.transcription import transcription; "
        f"image = scene({n}); stacks = np.zeros(({n - p + 1}, {n - p + 1}), int); "
        f"start = time.perf_counter(); transcription(image, {p}, range(8), stacks); "
        "print(time.perf_counter() - start)"
    )
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-c", code]
    return float(
        subprocess.run(command, env={**os.environ, **one}, capture_output=True, check=True).stdout
    )


def one_stack(p: int) -> None:
    """Print the time of a single stack, of its parts, and of five stacks."""
    print(f"patch {p}; milliseconds, fastest of several runs")
    print("image        one stack  known eigenpatches  five stacks  convolution  patch by patch")
    for n, repeats in ((512, 100), (1024, 25), (4096, 5)):
        image = scene(n)
        one, five = (Reucid(patch_size=p, n_stacks=stacks) for stacks in (1, 5))
        known = one.learn(image)
        pixels = standardise(image)[2]
        times = [
            shortest_seconds(work, many)
            for work, many in (
                (partial(denoise, image, one), repeats),
                (partial(denoise, image, known), repeats),
                (partial(denoise, image, five), max(3, repeats // 10)),
            )
        ]
        with one_blas_thread():
            times += [
                shortest_seconds(partial(convolved, pixels, known.eigenpatches), repeats),
                shortest_seconds(partial(by_patches, pixels, known.eigenpatches), 3),
            ]
        whole, learnt, several, filtered, placed = (1e3 * seconds for seconds in times)
        print(
            f"{n:4d} x {n:4d} {whole:11.1f} {learnt:19.1f} {several:12.1f} {filtered:12.1f} "
            f"{placed:15.1f}",
            flush=True,
        )


def convolved(image: np.ndarray, eigenpatches: np.ndarray) -> np.ndarray:
    """Reconstruct as from a single stack, by one convolution."""
    return run_to_end(convolve(image, eigenpatches))


def by_patches(image: np.ndarray, eigenpatches: np.ndarray) -> np.ndarray:
    """Reconstruct as from several stacks, patch by patch."""
    p = eigenpatches.shape[-1]
    everywhere = np.ones([n - p + 1 for n in image.shape], bool)
    return run_to_end(project(image, eigenpatches, everywhere)) / patch_terrain(everywhere, p)


def memory(n: int, p: int, limit: int) -> None:
    """Print the increase of peak memory while one large frame is denoised."""
    denoise(scene(128), Reucid(patch_size=p))
    image = np.tile(scene(256), (n // 256, n // 256))  # the only large array so far
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    denoise(image, Reucid(patch_size=p, memory_limit=limit))
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(
        f"{n} x {n}, patch {p}, limit {limit / 2**30:.0f} GiB: peak memory grows by "
        f"{grown:.2f} GiB, {seconds:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--no-transcription", action="store_true")
    parser.add_argument("--one-stack", action="store_true")
    arguments = parser.parse_args()
    if arguments.memory:
        memory(4096, 23, 2**30)
        return
    if arguments.one_stack:
        one_stack(13)
        return
    print(f"{os.cpu_count()} cores; median seconds")
    print("image        patch    stacks   REUCID  transcription  ratio")
    for n, p, stacks, repeats in (
        (256, 11, 1, 15),
        (890, 11, 1, 7),
        (890, 11, 5, 5),
        (1024, 23, 1, 5),
        (1024, 23, 5, 3),
        (512, "auto", 1, 5),
        (4096, 23, 1, 1),
    ):
        image = scene(n)
        engine = Reucid(patch_size=p, n_stacks=stacks)
        seconds = median_seconds(partial(denoise, image, engine), repeats)
        row = f"{n:4d} x {n:4d}  {p!s:8s} {stacks:6d} {seconds:8.3f}"
        if p == 11 and stacks == 1 and not arguments.no_transcription:
            plain = one_thread_transcription(n, p)
            row += f" {plain:14.2f} {plain / seconds:6.0f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
