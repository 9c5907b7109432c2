"""Test images outside the repository."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile

ROOT = Path(__file__).parents[1].parent / "shared" / "data"


def shared(relative: str) -> np.ndarray:
    """Read ``../shared/data/<relative>``; exit with a message if it is missing."""
    path = ROOT / relative
    if not path.exists():
        sys.exit(f"skipped: {path} is missing")
    if path.suffix == ".png":
        from skimage.io import imread

        return imread(path)
    return tifffile.imread(path)


def sim_stem() -> dict[str, np.ndarray]:
    """Return the simulated specimens, noise-free, with a maximum of 1."""
    names = ("ws2_defects", "si_110", "sto_001", "graphene_defects", "au_decahedron")
    images = {name: shared(f"sim_stem/{name}.tif").astype(np.float32) for name in names}
    return {name: image / image.max() for name, image in images.items()}
