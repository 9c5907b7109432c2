"""Contrast of defects after Noise2Noise, relative to the true contrast.

    python -m benchmarks.noise2noise_defects [--trainings 5] [--seconds 30]

For each kind of defect in simulated WS2 and graphene, the contrast to the neighbouring regular
sites is divided by the contrast in the truth; 1 is ideal.  The table lists the mean over several
trainings, each on a different pair (input 15.94 dB), with its standard error.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from benchmarks.pairs import stem_pair
from benchmarks.reucid_defects import LATTICE, contrast, sites
from napari_lowdose import Noise2Noise, denoise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainings", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    print("| specimen | defect | sites | share of the true contrast |")
    print("|---|---|---|---|")
    for name in LATTICE:
        shares = defaultdict(list)
        for seed in range(given.trainings):
            pair = stem_pair(name, seed=seed)
            engine = Noise2Noise(preset="fast", time_budget=given.seconds, seed=seed)
            clean = denoise((pair.first, pair.second), engine)
            places = sites(name, pair.truth.shape)
            for kind, found in places.items():
                true = contrast(pair.truth, found)
                # Regression through the origin over the defects of a kind: a ratio per defect would
                # be unstable for weak ones
                shares[kind].append(float(contrast(clean, found) @ true / (true @ true)))
        for kind, values in shares.items():
            error = np.std(values, ddof=1) / np.sqrt(len(values))
            print(f"| {name} | {kind} | {len(places[kind])} "
                  f"| {np.mean(values):.3f} ± {error:.3f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
