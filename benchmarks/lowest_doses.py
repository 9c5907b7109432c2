"""REUCID at the doses of its paper, 100 to 10,000 electrons per square angstrom.

``python -m benchmarks.lowest_doses`` prints, for specimens of ``training/`` (Si [110] as in Fig. 5
of the paper; the others are held out from the training), the expected number of electrons in the
brightest pixel, the PSNR of input and result, and the difference to the best choice in hindsight.
The noise is Poisson noise and Gaussian noise of 5 % of the maximum, in three draws; `data_range` is
the maximum.
"""

from __future__ import annotations

import numpy as np

from napari_lowdose import Reucid, StackStep, denoise_steps, metrics
from napari_lowdose.reucid.teaching.error_of_choice import best_in_hindsight
from training.labels import contributions, error_of_choice
from training.noise import add_noise, peak_electrons
from training.specimens import specimen

DOSES = (100, 500, 1_000, 10_000)  # electrons per square angstrom
CROP = 256
DRAWS = 3


def main() -> None:
    print("specimen          e-/A^2  e- at maximum   input  REUCID  below hindsight")
    for name in ("si_110", "mos2_defects", "lao_sto", "atoms_on_carbon"):
        found = specimen(name)
        truth = found.image[:CROP, :CROP]
        top = float(truth.max())
        for dose in DOSES:
            peak = peak_electrons(truth, dose=dose, pixel_size=found.pixel_size)
            rows = []
            for draw in range(DRAWS):
                image = add_noise(truth, np.random.default_rng([draw, dose]), peak=peak)
                last = list(denoise_steps(image, Reucid(patch_size="psf", n_stacks=1)))[-1]
                assert isinstance(last, StackStep)
                error = error_of_choice(truth, *contributions(image, last.eigenpatches))
                best = 10 * np.log10(top**2 / error(best_in_hindsight(error)))
                psnr = [metrics.psnr(truth, each, data_range=top) for each in (image, last.image)]
                rows.append((*psnr, best - psnr[1]))
            before, after, below = np.mean(rows, axis=0)
            print(
                f"{name:16s} {dose:7d} {peak:14.3f} {before:7.2f} {after:7.2f} {below:16.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
