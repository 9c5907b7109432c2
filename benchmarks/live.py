"""Live denoising without a screen: frame rates, latency, a change of the scene, and training.

    python -m benchmarks.live [rates] [cut] [training] [--repeats 3]

A camera in a thread of its own gives frames of simulated WS2 (uint16, 15.94 dB) at a fixed rate.
Latency is the time from the arrival of a frame to its denoised image.  PSNR is that of the shown
image against the noise-free scene, in dB; the data range is that of the scene.

All depends on what else the machine does.  The processor time is also given, which does not: that
of all threads per frame, and that of the thread that trains, which has a core for itself on a quiet
machine with two of them.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.pairs import READOUT
from benchmarks.shared_data import sim_stem
from napari_lowdose import LiveRun, Noise2Noise, Reucid, denoise
from napari_lowdose.noise2noise.device import few_threads
from napari_lowdose.run import denoise_frame

if TYPE_CHECKING:
    from napari_lowdose.engine import Engine
    from napari_lowdose.live import LiveStep
    from napari_lowdose.live.feed import Feed

OFFSET, ELECTRON = 100, 20  # grey levels of the camera, and of an electron
N_DRAWS = 24  # different frames of a scene, which the camera repeats


@dataclass(frozen=True, eq=False)
class Scene:
    """A noise-free scene and noisy frames of it, in grey levels."""

    truth: np.ndarray
    frames: list[np.ndarray]

    def psnr(self, image: np.ndarray) -> float:
        error = np.mean((image - self.truth) ** 2)
        return float(10 * np.log10((self.truth.max() - OFFSET) ** 2 / error))


def scene(name: str, n: int = 512, db: float = 15.94, seed: int = 0) -> Scene:
    """Return a simulated specimen, tiled to n x n pixels."""
    image = sim_stem()[name].astype(np.float64)
    repeats = -(-n // image.shape[0]), -(-n // image.shape[1])
    image = np.tile(image, repeats)[:n, :n]
    peak = image.mean() / (10 ** (-db / 10) - READOUT**2)  # electrons at the maximum
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(N_DRAWS):
        electrons = rng.poisson(image * peak) + READOUT * peak * rng.standard_normal(image.shape)
        frames.append(np.clip(np.rint(OFFSET + ELECTRON * electrons), 0, 65535).astype(np.uint16))
    return Scene(OFFSET + ELECTRON * peak * image, frames)


class Camera:
    """Source that gives frames of scenes, one scene after the other, at a fixed rate.

    Parameters
    ----------
    parts : sequence of (Scene, float)
        Scenes, and how long each is shown, in seconds.
    rate : float
        Frames per second.
    """

    pixel_size = None
    unit = None

    def __init__(self, parts: list[tuple[Scene, float]], rate: float) -> None:
        self.rate = rate
        self.scenes = [scene for scene, seconds in parts for _ in range(round(seconds * rate))]

    def start(self, feed: Feed) -> None:
        threading.Thread(target=self._run, args=(feed,), daemon=True).start()

    def stop(self) -> None:
        """Do nothing: the feed is closed."""

    def _run(self, feed: Feed) -> None:
        begun = time.perf_counter()
        for number, shown in enumerate(self.scenes):
            time.sleep(max(0.0, begun + number / self.rate - time.perf_counter()))
            feed.put(shown.frames[number % N_DRAWS].copy())
        feed.end()


def watch(camera: Camera, engine: Engine, train: Noise2Noise | None = None) -> list[LiveStep]:
    """Run until the camera ends; return all steps."""
    run = LiveRun(camera, engine)
    if train is not None:
        run.train(train)
    return list(run)


def rates(repeats: int) -> None:
    """Print frame rates and latencies."""
    print(" " * 32 + " shown/s  dropped  median ms  95 % ms  CPU ms  load")
    small, large = scene("ws2_defects"), scene("ws2_defects", 1024)
    with few_threads():
        network = Noise2Noise(use="first", epochs=10).train(small.frames[0], small.frames[1])
    cases = (
        ("512 x 512 at 30/s, REUCID", small, 30.0, Reucid()),
        ("512 x 512 at 30/s, wide patches", small, 30.0, Reucid(patch_size="wide")),
        ("512 x 512 at 30/s, network", small, 30.0, network),
        ("1024 x 1024 at 15/s, REUCID", large, 15.0, Reucid()),
    )
    for name, shown, rate, engine in cases:
        for _ in range(repeats):
            begun = time.process_time()
            steps = watch(Camera([(shown, 8.0)], rate), engine)
            processor = 1e3 * (time.process_time() - begun) / len(steps)
            latencies = [1e3 * step.latency for step in steps]
            seconds = steps[-1].finished - steps[0].frame.arrived
            print(
                f"{name:32s} {len(steps) / seconds:7.1f} {steps[-1].n_dropped:8d} "
                f"{np.median(latencies):10.0f} {np.quantile(latencies, 0.95):8.0f} "
                f"{processor:7.1f} {os.getloadavg()[0]:5.1f}",
                flush=True,
            )


def cut(repeats: int) -> None:
    """Print how many frames a change of the scene needs to be shown as well as decomposed anew.

    Decomposed anew with the patch size of the run, and with the patch size of the new scene.
    """
    print(f"{'512 x 512 at 30/s, within 0.2 dB of':40s} {'same patch':>18s} {'own patch':>18s}")
    names = (
        ("ws2_defects", "si_110"),
        ("ws2_defects", "sto_001"),
        ("ws2_defects", "graphene_defects"),
        ("graphene_defects", "ws2_defects"),
        ("vacuum", "ws2_defects"),
    )
    scenes = {name: scene(name) for pair in names for name in pair if name != "vacuum"}
    rng = np.random.default_rng(1)
    empty = [OFFSET + ELECTRON * rng.poisson(4.0, (512, 512)) for _ in range(N_DRAWS)]
    scenes["vacuum"] = Scene(np.zeros((512, 512)), [frame.astype(np.uint16) for frame in empty])
    engine = Reucid()
    for before, after in names:
        size = engine.learn(scenes[before].frames[0]).size
        shown = scenes[after]
        few = shown.frames[:6]
        same, own = (
            np.mean([shown.psnr(denoise(frame, engine.learn(frame, each))) for frame in few])
            for each in (size, None)
        )
        for _ in range(repeats):
            camera = Camera([(scenes[before], 3.0), (shown, 3.0)], 30.0)
            steps = [s for s in watch(camera, engine) if camera.scenes[s.frame.number] is shown]
            psnr = [shown.psnr(step.image) for step in steps]
            cells = ""
            for goal in (same, own):
                good = [s.frame.number for s, x in zip(steps, psnr, strict=True) if x > goal - 0.2]
                frames = f"{good[0] - len(camera.scenes) // 2} frames" if good else "never"
                cells += f" {frames:>10s}, {goal:5.2f}"
            print(f"{f'{before} -> {after}, first {psnr[0]:.2f} dB':40s}{cells}", flush=True)


def training(repeats: int) -> None:
    """Print the quality of a network that is trained beside the view."""
    shown = scene("ws2_defects")
    reucid = shown.psnr(denoise(shown.frames[0], Reucid()))
    print(f"training on two frames beside REUCID, {reucid:.2f} dB")
    print("seconds / of the processor  dB shown  dB of the network  latency ms  dropped  load")
    for _ in range(repeats):
        run = LiveRun(Camera([(shown, 400.0)], 15.0), Reucid())
        begun, told, latencies = time.perf_counter(), "", []
        due = {"clock": [10, 20], "processor": [10, 20, 25]}
        run.train()
        for step in run:
            latencies.append(1e3 * step.latency)
            now = {
                "clock": time.perf_counter() - begun,
                "processor": processor_seconds("live training"),
            }
            times = f"{now['clock']:7.1f} / {now['processor']:4.1f}"
            if (stage := step.message.split(":")[0]) != told:
                told = stage
                print(f"{times}  {step.engine}: {step.message}", flush=True)
            reached = [kind for kind, seconds in due.items() if seconds and now[kind] > seconds[0]]
            if not reached:
                continue
            for kind in reached:
                del due[kind][0]
            model, network = run.training.model, float("nan")
            if model is not None:
                frame = shown.frames[-1]
                network = shown.psnr(denoise_frame(model.for_live(), 0, (), (frame,)))
            print(
                f"{times} {shown.psnr(step.image):21.2f} {network:12.2f} "
                f"{np.median(latencies):14.0f}, {np.quantile(latencies, 0.95):.0f} "
                f"{step.n_dropped:6d} of {step.n_in} {os.getloadavg()[0]:5.1f}",
                flush=True,
            )
            if not due["processor"]:
                run.stop()


def processor_seconds(name: str) -> float:
    """Return the processor time of the thread of this name, where the system tells it."""
    for thread in threading.enumerate():
        if thread.name == name and hasattr(time, "pthread_getcpuclockid"):
            return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return 0.0


def main() -> None:
    parts = {"rates": rates, "cut": cut, "training": training}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name in arguments.parts or parts:
        parts[name](arguments.repeats)


if __name__ == "__main__":
    main()
