"""Whether a network fits an image that a person did not choose for it, for the job runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lowdose.noise2noise import Noise2NoiseModel

_CONTRAST = 3.0  # times the standard deviation of the training, or a third of it


@dataclass(frozen=True, kw_only=True)
class NetworkFitStep(Step):
    """A frame has been compared with the exposures that a network was trained on.

    Attributes
    ----------
    why_not : str
        In what the two differ; empty if the network fits.
    """

    why_not: str


def network_fit_steps(
    model: Noise2NoiseModel, image: Any, pixel_size_note: str
) -> Iterator[NetworkFitStep]:
    """Yield whether `model` fits `image`, of which a frame is read (dask) only now.

    Parameters
    ----------
    model : Noise2NoiseModel
    image : (..., Y, X) array
    pixel_size_note : str
        What is to be said of the pixel size, if anything.
    """
    from napari_lowdose.noise2noise.exposure_statistics import about_exposures, unlike

    frame = np.asarray(image[(0,) * (image.ndim - 2)])
    known = model.record.get("exposures", {})
    differs = [pixel_size_note, *(sentence for _, sentence in unlike(known, frame))]
    if not known:
        differs.append("nothing is known of the exposures that this network was trained on.")
    elif known["std"]:
        ratio = about_exposures(frame)["std"] / known["std"]
        if not 1 / _CONTRAST < ratio < _CONTRAST:
            differs.append(
                f"this image has {ratio:.2g} times the contrast of the exposures that the network "
                "was trained on."
            )
    why_not = next(filter(None, differs), "")
    yield NetworkFitStep(fraction=1, message="network compared", why_not=why_not)
