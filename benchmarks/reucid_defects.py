"""Contrast of defects after REUCID, relative to the true contrast.

``python -m benchmarks.reucid_defects [--draws 20]`` prints, for each kind of defect in the
simulated monolayers and for each input PSNR, the contrast of the defect to the neighbouring
regular sites, divided by the contrast in the truth.  1 is ideal; 0 means that the defect was
replaced by the regular lattice.  The values are means over noise draws with their standard errors.
`seen` is the contrast of the defects in the input, in standard errors of the disc: below 3 it
cannot be told from noise.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict

import numpy as np

from benchmarks.reucid_quality import noisy
from benchmarks.shared_data import ROOT, sim_stem
from napari_lowdose import Reucid, denoise
from training.noise import scale_for_psnr

RADIUS = 2.5  # pixels, of the disc over which the intensity of a site is averaged
LATTICE = {"ws2_defects": 3.18 / 0.1, "graphene_defects": 2.46 / 0.125}  # pixels


def neighbours(row: float, column: float, a: float) -> np.ndarray:
    """Return the six nearest equivalent sites in a hexagonal lattice, (6, 2)."""
    angle = np.arange(6) * np.pi / 3
    return np.stack([row + a * np.sin(angle), column + a * np.cos(angle)], axis=1)


def site(image: np.ndarray, row: float, column: float) -> float:
    """Return the mean intensity of the disc at a site."""
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    return float(image[(y - row) ** 2 + (x - column) ** 2 <= RADIUS**2].mean())


def sites(name: str, shape: tuple[int, int]) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return the positions of the defects of each kind, and of the regular sites around them."""
    listed = json.loads((ROOT / f"sim_stem/{name}.json").read_text())["defects_label_row_col_px"]
    everywhere = np.array([[row, column] for _, row, column in listed])
    found = defaultdict(list)
    for kind, row, column in listed:
        around = neighbours(row, column, LATTICE[name])
        inside = np.all((around > RADIUS) & (around < np.array(shape) - RADIUS - 1), axis=1)
        alone = [np.hypot(*(everywhere - site).T).min() > 4 for site in around]
        around = around[inside & alone]
        position = np.array([row, column])
        if len(around) >= 3 and np.all((position > RADIUS) & (position < np.array(shape) - 4)):
            found[kind].append((position, around))
    return found


def contrast(image: np.ndarray, places: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the intensity of each defect minus that of its regular neighbours."""
    return np.array(
        [site(image, *at) - np.mean([site(image, *n) for n in around]) for at, around in places]
    )


def engine_of(name: str) -> Reucid:
    """Return the engine of a column: a patch size, "alike" or "average"."""
    if name == "alike":
        return Reucid(stacks="alike")
    if name == "average":
        return Reucid(stacks="alike", deviations="average")
    return Reucid(patch_size=name, n_stacks=1)


def seen(truth: np.ndarray, db: float, at: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the mean contrast of defects in the input, in standard errors of their disc."""
    level = scale_for_psnr(truth, db)
    y, x = np.ogrid[-3:4, -3:4]
    n = np.count_nonzero(y**2 + x**2 <= RADIUS**2)
    errors = []
    for (position, _), value in zip(at, contrast(truth, at), strict=True):
        variance = site(truth, *position) * truth.max() / level.peak
        variance += (level.gaussian * truth.max()) ** 2
        errors.append(abs(value) / np.sqrt(variance / n))
    return float(np.mean(errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--levels", type=float, nargs="+", default=[9, 13, 16, 22])
    parser.add_argument("--patches", nargs="+", default=["psf", "alike", "average"])
    arguments = parser.parse_args()
    print(
        f"{'specimen':18s} {'defect':8s} {'n':>2s} {'contrast':>8s} {'input':>6s} {'seen':>5s}"
        + "".join(f"{patch:>16s}" for patch in ["noisy", *arguments.patches])
    )
    for name in LATTICE:
        truth = sim_stem()[name]
        places = sites(name, truth.shape)
        true = {kind: contrast(truth, at) for kind, at in places.items()}
        for db in arguments.levels:
            shares = defaultdict(list)
            for draw in range(arguments.draws):
                image = noisy(truth, db, 0.0, np.random.default_rng([draw, int(db)]))
                for patch in ["noisy", *arguments.patches]:
                    clean = image if patch == "noisy" else denoise(image, engine_of(patch))
                    for kind, at in places.items():
                        found = contrast(clean, at)
                        shares[kind, patch].append(found @ true[kind] / (true[kind] @ true[kind]))
            for kind, at in places.items():
                row = f"{name:18s} {kind:8s} {len(at):2d} {true[kind].mean():8.3f} {db:4.0f} dB"
                row += f" {seen(truth, db, at):5.1f}"
                for patch in ["noisy", *arguments.patches]:
                    s = np.array(shares[kind, patch])
                    row += f"   {s.mean():5.2f} +- {s.std(ddof=1) / np.sqrt(len(s)):.3f}"
                print(row, flush=True)


if __name__ == "__main__":
    main()
