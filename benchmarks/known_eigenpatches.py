"""Known eigenpatches: when they still fit, and what they cost in quality.

``python -m benchmarks.known_eigenpatches`` learns the eigenpatches of the first frame of a
specimen, and prints the largest `KnownEigenpatches.change` over 100 frames in which the specimen
drifts by a third of the field, the smallest one of another specimen at the same dose, and those of
another dose.  PSNR is that of the last frame, with its own eigenpatches and with those of the
first.
"""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.shared_data import shared, sim_stem
from napari_lowdose import Reucid, denoise
from napari_lowdose.metrics import psnr
from napari_lowdose.reucid.known_eigenpatches import MAX_CHANGE

DOSES = (0.5, 2, 8, 32)  # electrons or photons per pixel
FIELD, DRIFT, FRAMES = 192, 64, 100
NUCLEI = ("dsb_01", "dsb_07", "dsb_16")


def frame(specimen: np.ndarray, dose: float, time: float, seed: int) -> np.ndarray:
    """Return a noisy frame of a drifting specimen; `time` from 0 to 1."""
    y, x = round(DRIFT * time), round(DRIFT * time / 2)
    expected = dose * specimen / specimen.mean()
    field = expected[y : y + FIELD, x : x + FIELD]
    return np.random.default_rng(seed).poisson(field).astype(np.uint16)


def main() -> None:
    warnings.simplefilter("ignore")
    specimens = sim_stem() | {name: shared(f"nuclei/{name}.png") / 255 for name in NUCLEI}
    print(f"a change above {MAX_CHANGE:.2f} means another scene; PSNR in dB")
    print(
        "                    dose  drifting   another  dose x0.5  x0.67   x1.5     x2  own   known"
    )
    for name, specimen in specimens.items():
        for dose in DOSES:
            known = Reucid(patch_size="psf").learn(frame(specimen, dose, 0, 0))
            drifting = [
                known.change(frame(specimen, dose, time, seed))
                for seed, time in enumerate(np.linspace(0, 1, FRAMES), 1)
            ]
            others = [
                known.change(frame(other, dose, 0, 1))
                for key, other in specimens.items()
                if key != name
            ]
            doses = [
                known.change(frame(specimen, dose * factor, 0, 1)) for factor in (0.5, 0.67, 1.5, 2)
            ]
            last = frame(specimen, dose, 1, 1)
            truth = dose * specimen / specimen.mean()
            truth = truth[DRIFT : DRIFT + FIELD, DRIFT // 2 : DRIFT // 2 + FIELD]
            own, with_known = (
                psnr(truth, denoise(last, engine), data_range=np.ptp(truth))
                for engine in (Reucid(patch_size=known.size[0], n_stacks=1), known)
            )
            print(
                f"{name:18s} {dose:5g} {max(drifting):9.2f} {min(others):9.2f}  "
                + "".join(f"{change:7.2f}" for change in doses)
                + f" {own:6.1f} {with_known:6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
