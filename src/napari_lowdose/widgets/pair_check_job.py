"""The checks of a pair, as steps for the job runner."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.widgets.suitable import no_partner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_lowdose.noise2noise.pair_checks import PairNote


@dataclass(frozen=True, kw_only=True)
class PairCheckStep(Step):
    """The pair has been looked at.

    Attributes
    ----------
    notes : tuple of PairNote
    exposures : mapping from str to float
        What `about_exposures` tells of the first exposure; empty if it cannot be used.
    """

    notes: tuple[PairNote, ...]
    exposures: dict[str, float] = field(default_factory=dict)


def pair_check_steps(
    first: Any,
    second: Any,
    shift: tuple[float, float],
    files: Mapping[str, str | None] | None = None,
) -> Iterator[PairCheckStep]:
    """Yield what there is to say of a pair, of which a few frames are read (dask) only now.

    Parameters
    ----------
    first, second : (..., Y, X) array
    shift : (float, float)
        (dy, dx) of the second against the first that is known already, pixels.
    files : mapping from str to str, optional
        Names of the layers, and the files that they come from.
    """
    from napari_lowdose.noise2noise.exposure_statistics import about_exposures
    from napari_lowdose.noise2noise.pair_checks import PairNote, check_pair

    results = [name for name, path in (files or {}).items() if _is_result_file(path)]
    notes = [PairNote("refuse", no_partner(name), "result") for name in results]
    notes += [
        # What a script may want, a person in front of two layers has most likely mistaken
        replace(note, level="refuse") if note.kind == "smooth" else note
        for note in check_pair(first, second, shift)
    ]
    notes.sort(key=lambda note: note.level != "refuse")
    unusable = any(note.kind in ("unusable", "shape") for note in notes)
    about = {} if unusable else about_exposures(np.asarray(first[(0,) * (first.ndim - 2)]))
    found = PairCheckStep(fraction=0.5, message="pair checked", notes=tuple(notes), exposures=about)
    yield found
    # While the notes are read: the first preview should not wait for this
    from napari_lowdose.noise2noise.training import warm_up

    warm_up()
    yield replace(found, fraction=1.0)


def _is_result_file(path: str | None) -> bool:
    """Whether a TIFF says that it was denoised by this package."""
    from napari_lowdose.io.tiff import read_tiff

    if path is None or Path(path).suffix.lower() not in (".tif", ".tiff"):
        return False
    with suppress(OSError, ValueError):  # a folder, or pixels that only another reader knows
        return any("engine" in record for record in read_tiff(path).history)
    return False
