"""Write the sample image of the package: a MoS2 monolayer with known defects.

Run ``python -m training.ship``; the first run simulates the image with abTEM.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile

import napari_lowdose.samples
from training import structures
from training.specimens import STEM, specimen

NAME = "mos2_defects"
FULL_SCALE = 60_000  # below 65,535, so that the brightest pixel does not look saturated


def ship(folder: Path = Path(napari_lowdose.samples.__file__).parent) -> None:
    """Write ``mos2_defects.tif`` (uint16, ImageJ, in nm) and ``mos2_defects.json``."""
    made, recipe = specimen(NAME), STEM[NAME]
    step = float(made.image.max()) / FULL_SCALE
    tifffile.imwrite(
        folder / f"{NAME}.tif",
        np.round(made.image / step).astype(np.uint16),
        imagej=True,
        compression="zlib",
        resolution=(10 / made.pixel_size, 10 / made.pixel_size),
        metadata={"axes": "YX", "unit": "nm"},
    )
    defects = []
    for kind, x, y in structures.molybdenum_disulfide_with_defects().defects:
        row = (y - recipe.origin[1]) / made.pixel_size
        column = (x - recipe.origin[0]) / made.pixel_size
        if 0 <= row <= made.image.shape[0] - 1 and 0 <= column <= made.image.shape[1] - 1:
            defects.append({"kind": kind, "row": round(row, 1), "col": round(column, 1)})
    description = {
        "what": recipe.what,
        "beam_fraction_per_count": step,
        "pixel_size_angstrom": made.pixel_size,
        "beam_energy_kV": recipe.energy,
        "convergence_semi_angle_mrad": recipe.convergence,
        "detector_mrad": list(recipe.detector),
        "source_size_angstrom": recipe.source_size,
        "made_by": "python -m training.ship (abTEM, ASE)",
        "defects": defects,
    }
    (folder / f"{NAME}.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    ship()
