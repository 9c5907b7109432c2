"""Selection by the survey-aligned metric of the REUCID paper.

``python -m benchmarks.survey_ief`` prints, for each simulated specimen and input PSNR, how many
leading eigenpatches maximise the IEF (and thus minimise the squared error), and how many maximise
the survey-aligned IEF: as printed in the paper (IEF / c**alpha, c = 0.64), and with the factor read
as a penalty on every further eigenpatch (IEF * c**alpha).
"""

from __future__ import annotations

import numpy as np

from benchmarks.reucid_quality import CROP, LEVELS, noisy
from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, StackStep, denoise_steps, metrics
from training.labels import contributions


def main() -> None:
    print(f"{'specimen':18s} {'input':>6s} {'IEF':>5s} {'printed':>8s} {'penalty':>8s}   PSNR, dB")
    for name, whole in sim_stem().items():
        truth = whole[:CROP, :CROP]
        for db in LEVELS:
            image = noisy(truth, db, 0.0, np.random.default_rng(db))
            last = list(denoise_steps(image, Reucid(patch_size="psf", n_stacks=1)))[-1]
            assert isinstance(last, StackStep)
            offset, parts = contributions(image, last.eigenpatches)
            prefixes = offset + np.cumsum(parts, axis=0)
            scores = {"IEF": [metrics.ief(truth, image, clean) for clean in prefixes]}
            for reading in ("printed", "penalty"):
                scores[reading] = [
                    metrics.survey_ief(truth, image, clean, n_eigenpatches=n, reading=reading)
                    for n, clean in enumerate(prefixes, 1)
                ]
            best = {reading: int(np.argmax(score)) for reading, score in scores.items()}
            psnr = [
                f"{metrics.psnr(truth, prefixes[i], data_range=1.0):.2f}" for i in best.values()
            ]
            print(
                f"{name:18s} {db:3d} dB {best['IEF'] + 1:5d} {best['printed'] + 1:8d} "
                f"{best['penalty'] + 1:8d}   {' / '.join(psnr)}"
            )


if __name__ == "__main__":
    main()
