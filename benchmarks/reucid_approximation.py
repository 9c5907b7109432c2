"""Loss of quality through the approximate SVD of a patch stack.

``python -m benchmarks.reucid_approximation`` prints, for one to twenty stacks, the PSNR with the
SVD of all patches (``exact=True``) and of 16384 patches per stack, the largest difference between
the two results relative to the range of the truth, and the seconds of each.  The same eigenpatches
are kept.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.reucid_quality import noisy
from benchmarks.shared_data import sim_stem
from napari_lowdose import Reucid, denoise, metrics


def main() -> None:
    print(f"{'specimen':18s} {'stacks':>6s} {'exact':>10s} {'sampled':>10s} {'difference':>11s}")
    for name in ("ws2_defects", "si_110"):
        truth = sim_stem()[name]
        image = noisy(truth, 13, 0.0, np.random.default_rng(0))
        for n_stacks in (1, 2, 5, 10, 20):
            row, results = f"{name:18s} {n_stacks:6d}", []
            for exact in (True, False):
                engine = Reucid(patch_size=13, n_stacks=n_stacks, keep=6, exact=exact)
                start = time.perf_counter()
                results.append(denoise(image, engine))
                seconds = time.perf_counter() - start
                psnr = metrics.psnr(truth, results[-1], data_range=1.0)
                row += f"  {psnr:.2f} dB {seconds:5.2f} s"
            print(f"{row}  {np.abs(results[0] - results[1]).max():.1e}", flush=True)


if __name__ == "__main__":
    main()
