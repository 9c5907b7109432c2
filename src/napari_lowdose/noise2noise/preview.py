"""The picture that improves while the network is trained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.model import Noise2NoiseModel
    from napari_lowdose.noise2noise.noise2noise import Noise2Noise
    from napari_lowdose.noise2noise.prediction import Predictor

_BOTH = 2**20  # pixels: of larger frames the preview shows the first exposure alone


class Preview:
    """One frame of the pair, denoised by the network as it is.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
    engine : Noise2Noise

    Attributes
    ----------
    pass_seconds : float
        What one pass over one exposure took; 0 before the first.
    """

    def __init__(self, first: Any, second: Any, engine: Noise2Noise) -> None:
        leading = first.shape[:-2]
        index = engine.preview or (0,) * len(leading)
        if len(index) != len(leading) or not all(map(_within, index, leading)):
            raise ValueError(
                f"preview must be the index of a frame within {tuple(leading)}, not {index}."
            )
        self._frames = [np.asarray(first[index])]
        if engine.use == "both" and not any(engine.shift) and self._frames[0].size <= _BOTH:
            self._frames.append(np.asarray(second[index]))
        self.index = index
        self.pass_seconds = 0.0

    def steps(
        self, predictor: Predictor, model: Noise2NoiseModel
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Yield while working on it, and return the picture.

        Parameters
        ----------
        predictor : Predictor
            Of the network as it is.
        model : Noise2NoiseModel
            For normalisation and intensities; its weights are not looked at.
        """
        begun = time.perf_counter()
        frames = NormalisedFrames.of(model, *self._frames)
        r1 = yield from predictor.steps(frames.inputs[0])
        self.pass_seconds = time.perf_counter() - begun
        if len(self._frames) == 1:
            return frames.image(r1, model.one)
        r2 = yield from predictor.steps(frames.inputs[1])
        self.pass_seconds = (time.perf_counter() - begun) / 2
        return frames.image((r1 + r2) / np.float32(2), model.both)


def _within(index: int, length: int) -> bool:
    return 0 <= index < length
