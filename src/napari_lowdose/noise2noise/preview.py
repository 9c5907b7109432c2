"""The picture that improves while the network is trained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.noise2noise import Noise2Noise
    from napari_lowdose.noise2noise.prediction import Predictor
    from napari_lowdose.noise2noise.training_data import TrainingPairs
    from napari_lowdose.noise2noise.validation import Verdict

_BOTH = 2**20  # pixels: of larger frames the preview shows the first exposure alone


class Preview:
    """One frame of the pair, denoised by the network as it is.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
    pairs : TrainingPairs
        For their normalisation.
    engine : Noise2Noise

    Attributes
    ----------
    pass_seconds : float
        What one pass over one exposure took; 0 before the first.
    """

    def __init__(self, first: Any, second: Any, pairs: TrainingPairs, engine: Noise2Noise) -> None:
        leading = first.shape[:-2]
        index = engine.preview or (0,) * len(leading)
        if len(index) != len(leading) or not all(map(_within, index, leading)):
            raise ValueError(
                f"preview must be the index of a frame within {tuple(leading)}, not {index}."
            )
        frames = [np.asarray(first[index])]
        if engine.use == "both" and not any(engine.shift) and frames[0].size <= _BOTH:
            frames.append(pairs.match.to_first(np.asarray(second[index])))
        self._pairs, self._both = pairs, len(frames) == 2
        self._exposures = [
            ((frame.astype(np.float64) - pairs.offset) / pairs.scale).astype(np.float32)
            for frame in frames
        ]
        self.index = index
        self.pass_seconds = 0.0

    def images(
        self, predictor: Predictor, verdict: Verdict
    ) -> Iterator[NDArray[np.float32] | None]:
        """Yield None while working on it, and in the end the picture in the input's units."""
        begun = time.perf_counter()
        outputs = []
        for exposure in self._exposures:
            part = predictor.steps(exposure)
            while True:
                try:
                    next(part)
                except StopIteration as stop:
                    outputs.append(stop.value)
                    break
                yield None
        self.pass_seconds = (time.perf_counter() - begun) / len(outputs)
        slope, intercept = verdict.both if self._both else verdict.one
        scale, offset = self._pairs.scale, self._pairs.offset
        mean = sum(outputs) / np.float32(len(outputs))
        yield mean * np.float32(slope * scale) + np.float32(intercept * scale + offset)


def _within(index: int, length: int) -> bool:
    return 0 <= index < length
