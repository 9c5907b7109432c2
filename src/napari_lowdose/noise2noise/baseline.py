"""Methods without training, in the place of the network of Eq. (3) of the pair paper.

Each exposure is denoised by itself, and the two results are averaged, as with a network.  The
held-out tiles therefore tell the gain of these methods, too, and a training that has not been long
enough need not make the result worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.application import NetworkApplication
from napari_lowdose.reucid import Reucid
from napari_lowdose.warned import without_warnings

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine, Neighbours
    from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames

_LARGEST_ALIKE = 2**20  # pixels, for which alike stacks take about 5 s on two cores


@dataclass(frozen=True)
class Baseline:
    """A method without training, in the place of the network R.

    Attributes
    ----------
    name : str
    engine : Engine or None
        It denoises a single exposure.  None for the exposure as it is.
    known : sequence of (exposure, result)
        Results that need not be computed again.
    """

    name: str
    engine: Engine | None
    known: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]] = field(
        default=(), repr=False, compare=False
    )

    def steps(
        self, frame: NDArray[np.float32], orientations: int = 1
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Denoise one exposure; yields the fraction done and returns the result.

        Parameters
        ----------
        frame : (Y, X) float32 array
            Normalised frame.
        orientations : int
            Not used: these methods do not depend on the orientation.

        Yields
        ------
        float
            Fraction done, 0 to 1.

        Returns
        -------
        (Y, X) float32 array

        Raises
        ------
        ValueError
            If the exposure cannot be denoised.
        """
        for exposure, result in self.known:
            if np.array_equal(exposure, frame):
                return result
        if self.engine is None:
            return frame
        result = frame
        steps: Any = self.engine.frame_steps(frame)
        for step in without_warnings(steps):  # the training has its own
            result = result if step.image is None else step.image
            yield step.fraction
        return result


MEAN = Baseline("the mean of the exposures", None)
REUCID = Baseline("REUCID", Reucid())
ALIKE = Baseline("REUCID (alike stacks)", Reucid(stacks="alike"))


def baseline_of(name: str) -> Baseline:
    """Return the method of this name."""
    return {each.name: each for each in (MEAN, REUCID, ALIKE)}[name]


def baselines(shape: tuple[int, ...]) -> tuple[list[Baseline], list[Baseline]]:
    """Return the methods to compare with a network for exposures of this shape.

    Returns
    -------
    fast : list of Baseline
        They take a fraction of a second.
    slow : list of Baseline
        Alike stacks, but only for single frames: a movie would take longer than with the network.

    Examples
    --------
    >>> [[baseline.name for baseline in each] for each in baselines((512, 512))]
    [['the mean of the exposures', 'REUCID'], ['REUCID (alike stacks)']]
    """
    alike = len(shape) == 2 and math.prod(shape) <= _LARGEST_ALIKE
    return [MEAN, REUCID], [ALIKE] if alike else []


@dataclass(frozen=True, eq=False)
class BaselineApplication(NetworkApplication):
    """Application of a baseline to the frames of an image or a pair.

    Parameters
    ----------
    model : Noise2NoiseModel
        The network that is not better.  Its normalisation is used, not its weights.
    baseline : Baseline
    in_stack : bool
        Whether the frames belong to a stack.
    """

    title = "Noise2Noise"

    baseline: Baseline = MEAN

    @property
    def _predictor(self) -> Baseline:
        return self.baseline

    @property
    def _method(self) -> str:
        return self.baseline.name

    @property
    def _calibrations(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (1.0, 0.0), (1.0, 0.0)  # the intensities are those of the exposures

    def _inputs(
        self, frames: NormalisedFrames, neighbours: Neighbours | None
    ) -> tuple[NDArray[np.float32], ...]:
        """Return the exposures alone: these methods use no neighbours."""
        return frames.inputs

    def _warn_if_unlike(self, frames: object) -> None:
        """Warn of nothing: these methods suit every image."""
