"""The estimate of the PSF width, as steps for the job runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.reucid.psf_width import psf_width
from napari_lowdose.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class PsfWidthStep(Step):
    """The PSF width is known.

    Attributes
    ----------
    psf_width : int
        Pixels.
    """

    psf_width: int


def psf_width_steps(frame: Any) -> Iterator[PsfWidthStep]:
    """Yield the estimate for one (Y, X) frame, which is read (dask) only now."""
    width = psf_width(np.asarray(frame))
    yield PsfWidthStep(fraction=1, message=f"PSF width {width} px", psf_width=width)
