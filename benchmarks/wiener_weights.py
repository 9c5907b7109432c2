"""Wiener weights on the kept eigenpatches: PSNR and contrast of defects.

``python -m benchmarks.wiener_weights [--draws 5]`` weights each kept eigenpatch by
1 - floor**2 / s**2, s its singular value.  It prints the gain in PSNR over `LEVELS` on
``../shared/data/sim_stem``, and the contrast of defects, relative to the truth, with wide patches.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict

import numpy as np

from benchmarks.reucid_defects import LATTICE, contrast, sites
from benchmarks.reucid_quality import CROP, LEVELS, noisy
from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, StackStep, denoise_steps, metrics
from napari_lowdose.blas import one_blas_thread
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.kernel import convolve
from napari_lowdose.reucid.prepared import prepare


def without_and_with(image: np.ndarray, patch_size: str) -> tuple[np.ndarray, np.ndarray]:
    """Denoise without and with Wiener weights."""
    *_, step = denoise_steps(image, Reucid(patch_size=patch_size, n_stacks=1))  # type: ignore[arg-type]
    assert isinstance(step, StackStep) and step.image is not None
    prepared = prepare(image)
    weights = np.maximum(1 - step.noise_floor**2 / step.singular_values**2, 0)
    # The kernel is quadratic in the eigenpatches.
    eigenpatches = step.eigenpatches * np.sqrt(weights)[:, None, None].astype(np.float32)
    with one_blas_thread():
        result = run_to_end(convolve(prepared.image, eigenpatches[step.kept]))
    return step.image, prepared.rescale(result, "remove")


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    draws = parser.parse_args().draws
    gains = defaultdict(list)
    for whole in sim_stem().values():
        truth = whole[:CROP, :CROP]
        for db in LEVELS:
            image = noisy(truth, db, 0.0, np.random.default_rng([0, db, 0]))
            for patch_size in ("psf", "wide"):
                plain, weighted = (
                    metrics.psnr(truth, clean, data_range=float(truth.max()))
                    for clean in without_and_with(image, patch_size)
                )
                gains[patch_size].append(weighted - plain)
    for patch_size, gain in gains.items():
        print(f"{patch_size:5s} gain {np.mean(gain):5.2f} dB, {min(gain):5.2f} to {max(gain):4.2f}")
    print("contrast of defects, wide patches:    plain  weighted")
    for name in LATTICE:
        truth = sim_stem()[name]
        places = sites(name, truth.shape)
        for db in LEVELS[1:]:
            shares = defaultdict(list)
            for draw in range(draws):
                image = noisy(truth, db, 0.0, np.random.default_rng([draw, db]))
                for clean in without_and_with(image, "wide"):
                    for kind, at in places.items():
                        share = contrast(clean, at).mean() / contrast(truth, at).mean()
                        shares[kind].append(share)
            for kind, values in shares.items():
                plain, weighted = np.reshape(values, (draws, 2)).mean(axis=0)
                print(f"{name:18s} {db:2d} dB {kind:8s} {plain:10.2f} {weighted:9.2f}", flush=True)


if __name__ == "__main__":
    main()
