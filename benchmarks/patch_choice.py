"""The choice of the patch size "auto": estimated and true gain of wide patches, and its time.

``python -m benchmarks.patch_choice`` adds noise to ``../shared/data/sim_stem`` as in
`benchmarks.reucid_quality`.  It prints the gain of a wide patch in PSNR, as estimated without the
truth and as it is.  ``--seconds`` adds the time of "psf" and of "auto".
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

from benchmarks.reucid_quality import CROP, LEVELS, noisy
from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, denoise
from napari_lowdose.blas import one_blas_thread
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.classifier import load_weights
from napari_lowdose.reucid.patch_size import MARGIN, estimate_risks, wide_patch
from napari_lowdose.reucid.prepared import prepare
from napari_lowdose.reucid.psf_width import psf_width_of_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", action="store_true")
    timed = parser.parse_args().seconds
    warnings.simplefilter("ignore")
    print(f"{'':22s} patches  estimate  true gain  choice" + "  seconds psf, auto" * timed)
    for name, whole in sim_stem().items():
        truth = whole[:CROP, :CROP]
        for db in LEVELS:
            image = noisy(truth, db, 0.0, np.random.default_rng([0, db, 0]))
            pixels = prepare(image).image
            psf = psf_width_of_image(pixels)
            wide = wide_patch(psf)
            with one_blas_thread():
                risk, risk_wide = run_to_end(
                    estimate_risks(pixels, psf, wide, 25, load_weights("remove"), 0)
                )
            errors, seconds = [], []
            for mode in ("psf", "wide", "auto"):
                start = time.perf_counter()
                clean = denoise(image, Reucid(patch_size=mode, n_stacks=1))
                seconds.append(time.perf_counter() - start)
                errors.append(np.square(clean - truth).mean())
            estimate = 10 * np.log10(risk / risk_wide)
            row = (
                f"{name:16s} {db:2d} dB {psf:3d} {wide:3d} {estimate:9.2f} "
                f"{10 * np.log10(errors[0] / errors[1]):10.2f}  "
                f"{'wide' if estimate > MARGIN else 'psf':6s}"
            )
            print(row + f" {seconds[0]:11.3f} {seconds[2]:6.3f}" * timed, flush=True)


if __name__ == "__main__":
    main()
