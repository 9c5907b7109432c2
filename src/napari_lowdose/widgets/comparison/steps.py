"""Denoise a part of an image with several engines, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine


@dataclass(frozen=True, kw_only=True)
class ComparisonStep(Step):
    """A `Step` of one of the engines.

    Attributes
    ----------
    number : int
        Of the engine, from 0.
    raw : (h, w) array or None
        The part itself, with the first step.
    """

    number: int = 0
    raw: NDArray[Any] | None = None


def comparison_steps(part: Any, engines: Sequence[Engine]) -> Iterator[ComparisonStep]:
    """Denoise a part of an image with several engines.

    Parameters
    ----------
    part : (h, w) array
        NumPy or dask; lazy pixels are read here.
    engines : sequence of Engine

    Yields
    ------
    ComparisonStep
        With the interim images and the messages of each engine.

    Raises
    ------
    ValueError
        If an engine refuses the image.
    """
    image = np.asarray(part)
    yield ComparisonStep(fraction=0, message="", raw=image)
    for number, engine in enumerate(engines):
        for step in Run(image, engine):
            yield ComparisonStep(
                number=number,
                fraction=(number + step.fraction) / len(engines),
                message=step.message,
                image=step.image,
            )
