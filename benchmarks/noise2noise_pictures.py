"""What is seen during a training, second by second, and the pace beside a busy program.

    python -m benchmarks.noise2noise_pictures [--seconds 60] [--busy]

For simulated WS2 and silicon (input 15.94 dB) and for real sCMOS frames: the PSNR of the picture
that is shown after some seconds, the first of which includes the import of PyTorch, and the method
that it is by; if the result is not by the network, also the PSNR of the network.  With ``--busy``
instead: the optimiser steps of 20 s, alone and beside a process that computes without end, in turn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

from benchmarks.pairs import NoisyPair, eb3_pair, stem_pair
from napari_lowdose import Noise2Noise, TrainingStep, denoise, denoise_steps

MARKS = (1, 2, 5, 10, 20, 30, 60)  # seconds


def pictures(pair: NoisyPair, seconds: float) -> None:
    """Print the PSNR of the picture that is shown at each mark."""
    begun, shown = time.perf_counter(), []
    by, model = "REUCID", None
    for step in denoise_steps((pair.first, pair.second), Noise2Noise(time_budget=seconds)):
        model = step.model or model
        if isinstance(step, TrainingStep) and step.n_steps:
            by = "network" if step.instead is None else step.instead.name
        elif isinstance(step, TrainingStep) and step.instead is not None:
            by = step.instead.name
        if step.image is not None:
            shown.append((time.perf_counter() - begun, pair.psnr(step.image), by))
    print(f"| {pair.name} | first after {shown[0][0]:.2f} s", end="")
    for mark in (each for each in MARKS if each <= seconds):
        before = [each for each in shown if each[0] <= mark + 0.05] or [(0, float("nan"), "-")]
        print(f" | {mark} s: {before[-1][1]:.2f} ({before[-1][2]})", end="")
    print(f" | end, {shown[-1][0]:.1f} s: {shown[-1][1]:.2f}", end="")
    if by != "network":
        network = denoise((pair.first, pair.second), model)
        print(f"; the network {pair.psnr(network):.2f}", end="")
    print(" |", flush=True)


def compute(number: int = 0) -> None:
    """Keep one core busy."""
    while True:
        number = (number + 1) % 1000003


def steps(pair: NoisyPair, seconds: float = 20.0) -> int:
    """Return the optimiser steps of a training of some seconds."""
    engine = Noise2Noise(time_budget=seconds, fallback=False)
    *_, last = engine.training_steps(pair.first, pair.second)
    return last.n_steps


def busy(pair: NoisyPair) -> None:
    """Print the steps alone and beside a busy process."""
    steps(pair, 5.0)
    for _ in range(3):
        alone = steps(pair)
        other = multiprocessing.get_context("spawn").Process(target=compute, daemon=True)
        other.start()
        time.sleep(1.0)
        beside = steps(pair)
        other.kill()
        other.join()
        print(f"| {alone} steps alone | {beside} beside a busy process | {beside / alone:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    if options.busy:
        busy(stem_pair("ws2_defects"))
        return
    for pair in (stem_pair("ws2_defects"), stem_pair("si_110"), eb3_pair()):
        pictures(pair, options.seconds)


if __name__ == "__main__":
    main()
