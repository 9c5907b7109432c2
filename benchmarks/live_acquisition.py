"""What live denoising costs the acquisition, and memory in the long run.

``python -m benchmarks.live_acquisition [speed] [memory] [disk]`` measures
- the images per second of a multi-dimensional acquisition with the demonstration camera of
  Micro-Manager, 512 x 512 pixels: alone, with a reader, a running REUCID and a recording.  They
  take turns.  The camera is simulated on the same cores, unlike a real one;
- the growth of memory over 20,000 frames of 512 x 512 pixels with a running REUCID, after the
  first 500;
- the time to append a frame to a recording.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from napari_lowdose import LiveRun, Reucid
from napari_lowdose.live.camera import CameraSource
from napari_lowdose.live.feed import Feed
from napari_lowdose.live.growing_zarr import GrowingZarr

if TYPE_CHECKING:
    from napari_lowdose.engine import Engine

SIDE = 512
ROUNDS, FRAMES = 40, 50
RATE = 60.0  # frames/s of the source in the long run


def speed() -> None:
    import useq
    from pymmcore_plus import CMMCorePlus

    core = CMMCorePlus()
    core.loadSystemConfiguration("MMConfig_demo.cfg")
    core.setExposure(10)
    plan = useq.MDASequence(time_plan={"interval": 0, "loops": FRAMES})
    reucid = Reucid().for_live()
    with denoising(core, reucid) as run:  # it is decomposed now, and not in the first turn
        core.snapImage()
        while not run.buffer.frames():
            time.sleep(0.01)
    print(f"| acquisition, {ROUNDS} x {FRAMES} images | {' | '.join(TURNS)} |")
    print("|---" * (1 + len(TURNS)) + "|")
    for hardware in (False, True):
        core.mda.engine.use_hardware_sequencing = hardware
        intervals = {name: np.concatenate(found) for name, found in turns(core, plan, reucid)}
        cells = []
        for found in intervals.values():
            mean, median = 1000 * found.mean(), 1000 * np.median(found)
            slower = [
                f"{100 * (value / 1000 / alone - 1):+.1f} %"
                for value, alone in (
                    (mean, intervals["alone"].mean()),
                    (median, np.median(intervals["alone"])),
                )
            ]
            cells.append(f"{1000 / mean:.1f}/s, {median:.2f} ms ({', '.join(slower)})")
        kind = "sequence of the camera" if hardware else "image by image"
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


TURNS = ("alone", "frames are handed over", "REUCID runs", "REUCID and a recording")


def turns(core: Any, plan: Any, engine: Engine) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield the intervals between images, in seconds, of each kind of turn."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in TURNS}
    for _ in range(ROUNDS):
        found["alone"].append(acquire(core, plan))
        source, feed = CameraSource(core), Feed()
        source.start(feed)
        found["frames are handed over"].append(acquire(core, plan))
        source.stop()
        with denoising(core, engine):
            found["REUCID runs"].append(acquire(core, plan))
        with tempfile.TemporaryDirectory() as folder, denoising(core, engine) as run:
            run.record(Path(folder, "movie.zarr"))
            found["REUCID and a recording"].append(acquire(core, plan))
            assert run.stop_recording() == f"{FRAMES} frames"
    yield from found.items()


def acquire(core: Any, plan: Any) -> np.ndarray:
    """Return the intervals between the images of an acquisition, in seconds."""
    times: list[float] = []

    def note(*_: Any) -> None:
        times.append(time.perf_counter())

    core.mda.events.frameReady.connect(note)
    core.mda.run(plan)
    core.mda.events.frameReady.disconnect(note)
    return np.diff(times)


@contextmanager
def denoising(core: Any, engine: Engine) -> Iterator[LiveRun]:
    """Denoise in another thread what the camera takes."""
    source = CameraSource(core)
    run = LiveRun(source, engine)
    thread = threading.Thread(target=lambda: [None for _ in run])
    thread.start()
    time.sleep(0.05)
    yield run
    run.stop()
    thread.join()


def memory(n: int = 20_000) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    scene = 20 + 15 * np.cos(x / 3) * np.cos(y / 4)
    exposures = [rng.poisson(scene).astype(np.uint16) for _ in range(16)]
    process, marks = psutil.Process(), {}

    def camera() -> Iterator[np.ndarray]:
        begun = time.perf_counter()
        for number, pixels in enumerate(itertools.islice(itertools.cycle(exposures), n)):
            if number % 500 == 0:
                marks[number] = process.memory_info().rss / 2**20
            time.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            yield pixels.copy()
        marks[n] = process.memory_info().rss / 2**20

    run = LiveRun(camera(), Reucid())
    begun = time.perf_counter()
    n_denoised = sum(step.image is not None for step in run)
    seconds = time.perf_counter() - begun
    after = [marks[number] for number in marks if number >= 500]
    print(
        f"{run.feed.n_in} frames in {seconds:.0f} s, {n_denoised} denoised: {marks[500]:.0f} MiB "
        f"after 500 frames, {max(after):.0f} MiB at most, {marks[n]:.0f} MiB in the end"
    )
    print("MiB every 2000 frames:", *(f"{marks[k]:.0f}" for k in sorted(marks) if k % 2000 == 0))
    growth, peak = marks[n] - marks[500], max(after) - marks[500]
    print(f"growth after the first 500: {growth:.1f} MiB, at most {peak:.1f} MiB")


def disk() -> None:
    print("| frame | median, ms | 95 %, ms | longest, ms |\n|---|---|---|---|")
    rng = np.random.default_rng(0)
    for side, dtype in ((512, "uint16"), (512, "float32"), (1024, "uint16"), (2048, "uint16")):
        exposures = [rng.poisson(20, (side, side)).astype(dtype) for _ in range(4)]
        seconds = []
        with tempfile.TemporaryDirectory() as folder:
            movie = GrowingZarr.create(Path(folder, "movie.zarr"), (side, side), dtype)
            for pixels in itertools.islice(itertools.cycle(exposures), 300):
                begun = time.perf_counter()
                movie.append(pixels)
                seconds.append(time.perf_counter() - begun)
            movie.close()
        median, most, longest = 1000 * np.percentile(seconds, (50, 95, 100))
        print(f"| {side} x {side} {dtype} | {median:.1f} | {most:.1f} | {longest:.1f} |")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("disk", "speed", "memory"):
        {"speed": speed, "memory": memory, "disk": disk}[name]()
