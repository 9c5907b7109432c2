"""PSNR of Noise2Noise against training time, compared with other methods.

    python -m benchmarks.noise2noise_quality [--careamics PYTHON] [--tk-r-em PYTHON] [--bm3d]

The pairs are simulated WS2 (the STEM case of the paper, input 15.94 dB), other specimens, and real
sCMOS frames.  Seconds are counted from the call; the first call includes the import of torch.
Methods that take a single image are also applied to the mean of the pair.  `PYTHON` is the
interpreter in the environment of that method, see benchmarks/rivals/.  PSNR is in dB; data_range is
the maximum of the truth, or the range of the reference for the sCMOS frames.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.pairs import NoisyPair, best_gain, eb3_pair, stem_pair
from napari_lowdose import Noise2Noise, TrainingStep, denoise, denoise_steps

RIVALS = Path(__file__).parent / "rivals"


def ours(pair: NoisyPair, seconds: float, **parameters) -> None:
    begun, n_steps, image, preview = time.perf_counter(), 0, None, None
    engine = Noise2Noise(preset="fast", time_budget=seconds, **parameters)
    gain = None
    for step in denoise_steps((pair.first, pair.second), engine):
        if isinstance(step, TrainingStep):
            n_steps, gain = step.n_steps, step.gain or gain
            if step.image is not None and preview is None:
                preview = time.perf_counter() - begun
            model = step.model
        image = image if step.image is None else step.image
    took = time.perf_counter() - begun
    one = denoise(pair.first, model)
    true = pair.psnr(image) - pair.psnr(pair.first)
    estimate = "-" if gain is None else f"{gain[0]:.1f} to {gain[1]:.1f}"
    print(
        f"| {pair.name} | this package | {took:.1f} ({n_steps} steps, preview {preview or 0:.1f}) "
        f"| {pair.psnr(image):.2f} | {pair.psnr(one):.2f} | {true:.1f} (estimated {estimate}) |",
        flush=True,
    )


def careamics(pair: NoisyPair, seconds: float, python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("first.npy", "second.npy", "out.npy")]
        np.save(paths[0], pair.first)
        np.save(paths[1], pair.second)
        script = str(RIVALS / "careamics_n2n.py")
        command = [python, script, *map(str, paths), "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        both, one = np.load(paths[2])
    timing = done.stdout.strip().splitlines()[-1]
    fitted = [best_gain(pair, image) for image in (both, one)]
    print(
        f"| {pair.name} | careamics | {seconds:.0f} ({timing}) "
        f"| {pair.psnr(both):.2f}; best gain {fitted[0]:.2f} "
        f"| {pair.psnr(one):.2f}; best gain {fitted[1]:.2f} | |",
        flush=True,
    )


def tk_r_em(pair: NoisyPair, python: str) -> None:
    for name, image in (("one", pair.first), ("mean", (pair.first + pair.second) / 2)):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, each) for each in ("image.npy", "out.npy")]
            np.save(paths[0], image)
            script = str(RIVALS / "tk_r_em_denoise.py")
            subprocess.run([python, script, *map(str, paths)], capture_output=True, check=True)
            result = np.load(paths[1])
        print(f"| {pair.name} | tk_r_em, {name} | - | {pair.psnr(result):.2f} | | |", flush=True)


def bm3d(pair: NoisyPair) -> None:
    from benchmarks.rivals.bm3d_best import best_bm3d

    best = best_bm3d((pair.first + pair.second) / 2, pair.psnr)
    print(f"| {pair.name} | BM3D, pair's mean, best sigma | - | {best.score:.2f} | | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--careamics", metavar="PYTHON")
    parser.add_argument("--tk-r-em", metavar="PYTHON")
    parser.add_argument("--bm3d", action="store_true")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 30, 60])
    parser.add_argument("--others", action="store_true", help="also other specimens, 30 s each")
    arguments = parser.parse_args()
    print("| pair | method | seconds | both exposures | one exposure | gain over one exposure |")
    print("|---|---|---|---|---|---|")
    ws2, eb3, eb3_low = stem_pair("ws2_defects"), eb3_pair(), eb3_pair(low_pass=0.3)
    for pair in (ws2, eb3):
        mean = (pair.first + pair.second) / 2
        print(f"| {pair.name} | none (mean of the pair) | 0 | {pair.psnr(mean):.2f} "
              f"| {pair.psnr(pair.first):.2f} | |")  # fmt: skip
        for seconds in arguments.seconds if pair is ws2 else [30, 60]:
            ours(pair, seconds)
    image = denoise((eb3.first, eb3.second), Noise2Noise(preset="fast", time_budget=30))
    print(f"| scmos_eb3 below 0.3 cycles/px | this package | 30 | {eb3_low.psnr(image):.2f} | | |")
    for pair in (ws2, eb3):
        if arguments.careamics:
            careamics(pair, 60, arguments.careamics)
        if arguments.bm3d:
            bm3d(pair)
    if arguments.tk_r_em:
        for pair in (ws2, stem_pair("si_110")):
            tk_r_em(pair, arguments.tk_r_em)
    if arguments.others or arguments.tk_r_em:
        for name in ("si_110", "sto_001", "graphene_defects", "au_decahedron"):
            ours(stem_pair(name), 30)


if __name__ == "__main__":
    main()
