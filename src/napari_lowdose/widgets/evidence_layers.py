# mypy: allow-untyped-calls
"""Layers that show which structure of a result the data support."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_lowdose.engine import Step
from napari_lowdose.evidence import Evidence, evidence
from napari_lowdose.widgets.result_job import ResultJob

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTLINE = "red"
OUTLINE_WIDTH = 1  # pixels
LIMIT = 5.0  # standard errors at the ends of the contrast limits


class EvidenceJob(ResultJob):
    """Computes the evidence for the frame in view of a result, and adds it as three layers.

    The structure that the data do not support is outlined; significance and residual are hidden.
    """

    title = "Evidence"
    _found: Evidence

    def steps(self) -> Iterator[Step]:
        """Compare the frame with its input."""
        yield Step(fraction=0.0, message="estimating the noise")
        # A copy: the layers may be changed meanwhile, and lazy data are read here.
        self._found = evidence(np.array(self.frame), np.array(self.denoised))
        yield Step(fraction=1.0, message="done")

    def show(self) -> str:
        """Add significance, residual and outlines."""
        found, name = self._found, self.result.name
        limits = {"contrast_limits": (-LIMIT, LIMIT), "colormap": "gray", "visible": False}
        self.add(Image, found.significance, f"{name} significance", **limits)
        self.add(Image, found.residual, f"{name} residual, standard errors", **limits)
        outline = self.add(
            Labels,
            found.unsupported.astype(np.uint8),
            f"{name} not supported by the data",
            colormap=DirectLabelColormap(color_dict={None: "transparent", 1: OUTLINE}),
        )
        outline.contour = OUTLINE_WIDTH
        outline.editable = False
        return f"{found}."
