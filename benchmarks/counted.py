"""One counted image: REUCID, its alike stacks, or Noise2Noise on its divided counts.

    python -m benchmarks.counted [--seconds 40]

Crops of 256 x 256 pixels with Poisson noise.  PSNR is in dB, one draw; data_range is the maximum
of the truth.  *whole* gives the whole image at half its intensity to the network, in place of both
halves.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np

from benchmarks.shared_data import shared, sim_stem
from napari_lowdose import Noise2Noise, Reucid, Thinned, denoise
from napari_lowdose.engine import run_to_end
from napari_lowdose.image_or_pair import image_or_pair

DOSES = (9, 13, 16)  # PSNR of the counts, dB


def counted(scene: np.ndarray, dose: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return counts with this PSNR, and their expected values."""
    expected = 10 ** (dose / 10) * scene.mean() / scene.max() ** 2 * scene
    return np.random.default_rng(seed).poisson(expected), expected


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(truth.max() ** 2 / np.mean((image - truth) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40, help="of each training")
    given = parser.parse_args()
    scenes = {
        "WS2": sim_stem()["ws2_defects"],
        "Si": sim_stem()["si_110"],
        "graphene": sim_stem()["graphene_defects"],
        "nuclei": shared("nuclei/dsb_22.png"),
    }
    columns = "specimen", "counts", "REUCID", "balanced", "strongest", "counted", "whole", "steps"
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|---|")
    for name, scene in scenes.items():
        for dose in DOSES:
            counts, truth = counted(scene[:256, :256].astype(float), dose)
            engines = (
                Reucid(patch_size="psf"),
                Reucid(stacks="alike"),
                Reucid(stacks="alike", deviations="average"),
            )
            found = [psnr(denoise(counts, engine), truth) for engine in engines]
            engine = Thinned(Noise2Noise(time_budget=given.seconds))
            network = run_to_end(engine.prepare(image_or_pair(counts, engine)))
            image = [step.image for step in network.frame_steps(counts)][-1]
            whole = dataclasses.replace(network.model, orientations=8)
            found += [psnr(image, truth), psnr(2 * denoise(counts / 2, whole), truth)]
            row = " | ".join(f"{each:.2f}" for each in found)
            steps = network.model.record["n_steps"]
            print(f"| {name} | {dose} dB | {row} | {steps} |", flush=True)


if __name__ == "__main__":
    main()
