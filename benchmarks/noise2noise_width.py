"""PSNR against processor time for several widths of the fast network.

    python -m benchmarks.noise2noise_width [--widths 16 24] [--steps 700]

Simulated WS2 (input 15.94 dB) and real sCMOS frames, one thread.  The processor time of the thread
does not depend on what else the machine does.  PSNR is that of the mean of both outputs, in one
orientation and after the best gain and offset, as these are not what is compared.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch

from benchmarks.pairs import NoisyPair, eb3_pair, stem_pair
from napari_lowdose import Noise2Noise
from napari_lowdose.engine import run_to_end
from napari_lowdose.noise2noise import training
from napari_lowdose.noise2noise.prediction import Predictor

MARKS = (60, 120, 200, 300, 450, 700, 1000, 1400)  # steps


def best_fit(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the image after the best gain and offset."""
    slope, intercept = np.polyfit(image.ravel(), np.ravel(truth), 1)
    return slope * image + intercept


def curve(pair: NoisyPair, width: int, n_steps: int) -> None:
    """Train, and print a row at each mark."""
    engine = Noise2Noise(preset="fast", width=width, epochs=1e6, fallback=False, device="cpu")
    begun, seconds = time.thread_time(), 0.0
    take_step = training._Training._take_step

    def counted(self: training._Training) -> None:
        nonlocal begun, seconds
        begun = time.thread_time()
        take_step(self)
        seconds += time.thread_time() - begun
        if self.state.step in MARKS:
            predictor = Predictor(self.state.averaged_network, self.device)
            both = [run_to_end(predictor.steps(one[None])) for one in self.pairs.exposures[0]]
            psnr = pair.psnr(best_fit(np.mean(both, axis=0), pair.truth))
            each = 1e3 * seconds / self.state.step
            print(
                f"| {pair.name} | {width} | {self.state.step} | {seconds:.1f} | {each:.0f} "
                f"| {psnr:.2f} |",
                flush=True,
            )

    training._Training._take_step = counted
    try:
        for step in engine.training_steps(pair.first, pair.second):
            if step.n_steps >= n_steps:
                break
    finally:
        training._Training._take_step = take_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 24])
    parser.add_argument("--steps", type=int, default=700)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| pair | width | steps | processor time s | ms per step | PSNR dB |")
    print("|---|---|---|---|---|---|")
    for pair in (stem_pair("ws2_defects"), eb3_pair()):
        for width in given.widths:
            curve(pair, width, given.steps)


if __name__ == "__main__":
    main()
