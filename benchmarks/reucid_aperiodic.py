"""Patch size "auto" on aperiodic scenes.

``python -m benchmarks.reucid_aperiodic`` prints the PSNR with "psf", "wide" and "auto" patches for
scenes without repetition: confocal images against the mean of 50, nuclei with simulated noise, and
a simulated gold particle.  The `data_range` is the range of the reference.
"""

from __future__ import annotations

import numpy as np
from skimage.io import imread

from benchmarks.reucid_quality import noisy
from benchmarks.shared_data import ROOT, shared, sim_stem
from napari_lowdose import Reucid, StackStep, denoise_steps, metrics


def scenes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return reference and noisy image by name."""
    found = {}
    for name in ("BPAE_B", "BPAE_G", "BPAE_R", "mice"):
        pair = [
            shared(f"fluor_noisy_avg/fmd_confocal_{name}_{kind}.tif") for kind in ("avg50", "noisy")
        ]
        found[f"confocal {name}"] = tuple(image.astype(np.float32) for image in pair)
    for number in (0, 3, 7, 12, 17, 22):
        truth = imread(ROOT / f"nuclei/dsb_{number:02d}.png").astype(np.float32)
        truth = truth / truth.max()
        for db in (13, 22):
            image = noisy(truth, db, 0.0, np.random.default_rng([number, db]))
            found[f"nuclei {number:02d}, {db} dB"] = truth, image
    truth = sim_stem()["au_decahedron"]
    for db in (9, 13, 16, 22):
        found[f"gold particle, {db} dB"] = truth, noisy(truth, db, 0.0, np.random.default_rng(db))
    return found


def main() -> None:
    print(f"{'scene':22s} {'input':>7s} {'psf':>14s} {'wide':>14s} {'auto':>7s}  auto - psf, dB")
    differences = []
    for name, (truth, image) in scenes().items():
        found = {}
        for patch in ("psf", "wide", "auto"):
            last = list(denoise_steps(image, Reucid(patch_size=patch, n_stacks=1)))[-1]
            assert isinstance(last, StackStep)
            psnr = metrics.psnr(truth, last.image, data_range=float(np.ptp(truth)))
            found[patch] = psnr, last.patch_size
        differences.append(found["auto"][0] - found["psf"][0])
        before = metrics.psnr(truth, image, data_range=float(np.ptp(truth)))
        cells = "".join(f"{psnr:7.2f} ({p:2d} px)" for psnr, p in list(found.values())[:2])
        print(
            f"{name:22s} {before:7.2f} {cells} {found['auto'][0]:7.2f}  {differences[-1]:+.2f}",
            flush=True,
        )
    print(f"worst difference of 'auto' to 'psf': {min(differences):+.2f} dB")


if __name__ == "__main__":
    main()
