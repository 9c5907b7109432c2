"""Fig. 6 of the REUCID paper: residuals of REUCID and BM3D.

    python -m benchmarks.papers.reucid_fig6 [--no-bm3d] [--figure DIR]

Simulated specimens at an input of 13 dB are used (the benchmark image of the paper is one of
Lobato et al. and not published with it).  The residual is the noisy image minus the result.
`structure` is the share of the true image in the residual: the regression of the residual on the
mean-free truth, minus that of the noise.  0 is ideal; 0.1 means that a tenth of the contrast was
removed.  `like noise` is the correlation of the residual with the true noise; 1 is ideal.  The
data_range of the PSNR is the maximum of the truth.
"""

from __future__ import annotations

import numpy as np

from benchmarks.papers.experiment import arguments, header, panel, row, save, subplots
from benchmarks.reucid_quality import noisy
from benchmarks.rivals.bm3d_best import best_bm3d
from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, denoise, metrics

DECIBELS = 13
SPECIMENS = ("si_110", "ws2_defects", "au_decahedron")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--no-bm3d", action="store_true")
    given = parser.parse_args()
    header("specimen", "method", "PSNR dB", "structure", "like noise")
    shown = []
    for name in SPECIMENS:
        truth = sim_stem()[name][:256, :256].astype(np.float64)
        image = noisy(truth.astype(np.float32), DECIBELS, 0.0, np.random.default_rng(0))

        def psnr(test: np.ndarray, truth: np.ndarray = truth) -> float:
            return metrics.psnr(truth, test, data_range=float(truth.max()))

        results = {
            "REUCID, psf": denoise(image, Reucid(patch_size="psf")),
            "REUCID, auto": denoise(image, Reucid()),
        }
        if not given.no_bm3d:
            results["BM3D, best sigma"] = best_bm3d(image, psnr).image
        centred = truth - truth.mean()
        for method, clean in results.items():
            residual, noise = image - clean, image - truth
            structure = ((residual - noise) * centred).sum() / (centred**2).sum()
            like = np.corrcoef(residual.ravel(), noise.ravel())[0, 1]
            row(name, method, f"{psnr(clean):.2f}", f"{structure:+.3f}", f"{like:.3f}")
        shown.append((name, image, results))
    if given.figure:
        figure, axes = subplots(2 * len(shown), 1 + len(shown[0][2]))
        for number, (name, image, results) in enumerate(shown):
            above, below = axes[2 * number], axes[2 * number + 1]
            limits = tuple(np.percentile(results["REUCID, psf"], (0.5, 99.5)))
            panel(above[0], image[:128, :128], f"{name}, {DECIBELS} dB", limits)
            below[0].set_axis_off()
            for column, (method, clean) in enumerate(results.items(), 1):
                panel(above[column], clean[:128, :128], method, limits)
                spread = 2.5 * float(np.std(image - clean))
                panel(below[column], (image - clean)[:128, :128], "residual", (-spread, spread))
        save(figure, given.figure, "reucid_fig6")


if __name__ == "__main__":
    main()
