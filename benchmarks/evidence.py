"""Reliability of `evidence` and `survival` on the sample STEM image, whose truth is known.

``python -m benchmarks.evidence [--draws 10]`` prints, for each input PSNR and with estimated noise:

- if the result is the truth: pixels beyond 2 standard errors, and outlined places per image;
- how often a painted atom is outlined, and a removed atom found in the residual;
- the places found in the results of REUCID and of a median filter of 15 pixels;
- the surviving share of a bright atom whose contrast is halved.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from napari_lowdose import Reucid, denoise, evidence, samples, survival
from napari_lowdose.engine import Engine, Step
from napari_lowdose.imaging.local_contrast import LocalContrast

ATOM = 2.0  # pixels, standard deviation
BORDER = 24  # pixels


@dataclass(frozen=True)
class Median(Engine):
    """Median filter."""

    width: int = 15

    def frame_steps(self, frame: Any) -> Iterator[Step]:
        image = scipy.ndimage.median_filter(np.asarray(frame, np.float32), self.width)
        yield Step(fraction=1.0, message="filtered", image=image)


ENGINES = {
    "psf": Reucid(patch_size="psf"),
    "wide": Reucid(patch_size="wide"),
    "median": Median(),
}


def spot(shape: tuple[int, ...], y: int, x: int) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * ATOM**2))


def sites(truth: np.ndarray) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Return the brightest regular atom, the darkest place, and the height of the atom."""
    inside = np.full(truth.shape, np.nan)
    inside[BORDER:-BORDER, BORDER:-BORDER] = 1
    for defect in samples.stem.defects():  # regular sites only
        rows, columns = np.indices(truth.shape)
        inside[np.hypot(rows - defect.row, columns - defect.col) < BORDER] = np.nan
    contrast = LocalContrast(np.ones(truth.shape, bool), 4.5 * ATOM)(truth)
    atom = np.unravel_index(np.nanargmax(contrast * inside), truth.shape)
    place = np.unravel_index(np.nanargmin(contrast * inside), truth.shape)
    one = spot(truth.shape, *atom)
    height = contrast[atom] / LocalContrast(np.ones(truth.shape, bool), 4.5 * ATOM)(one)[atom]
    return atom, place, float(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--levels", type=float, nargs="+", default=[9, 13, 16, 20])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of contrast that cannot be seen, at the lowest dose
    print("input    beyond 2   false    atom      atom      places found in result     survival")
    print("           s.e.     places   painted   removed   " + "  ".join(ENGINES) + "  (each)")
    for db in arguments.levels:
        beyond, false, painted, removed = [], [], [], []
        found = {name: [] for name in ENGINES}
        shares = {name: [] for name in ENGINES}
        for seed in range(arguments.draws):
            image, truth = samples.stem_low_dose(psnr_db=db, seed=seed)
            atom, place, height = sites(truth)
            true = evidence(image, truth)
            beyond.append(np.mean(np.abs(true.residual) > 2))
            false.append(true.n_unsupported + true.n_removed)
            known = {"noise": true.noise, "psf_width": true.psf_width}
            added = evidence(image, truth + height * spot(truth.shape, *place), **known)
            painted.append(added.unsupported[place])
            missing = evidence(image, truth - height * spot(truth.shape, *atom), **known)
            removed.append(missing.removed[atom])
            for name, engine in ENGINES.items():
                of_result = evidence(image, denoise(image, engine), **known)
                found[name].append((of_result.n_unsupported, of_result.n_removed))
                try:
                    share = survival(image, engine, atom, -0.5, 2, true.noise).share
                except ValueError:  # the atom does not stand out of the noise
                    share = np.nan
                shares[name].append(share)
        counts = "  ".join(
            "{:.1f}+{:.1f}".format(*np.mean(found[name], axis=0)) for name in ENGINES
        )
        kept = "  ".join(
            f"{np.nanmean(s):.2f}±{np.nanstd(s) / np.sqrt(np.isfinite(s).sum()):.2f}"
            if np.isfinite(s).any()
            else "-"
            for s in shares.values()
        )
        print(
            f"{db:4.0f} dB   {np.mean(beyond):6.1%}   {np.mean(false):6.2f}"
            f"   {np.mean(painted):7.0%}   {np.mean(removed):7.0%}   {counts}   {kept}",
            flush=True,
        )


if __name__ == "__main__":
    main()
