"""Preview of the result during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.context import neighbours_within, with_neighbours
from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.baseline import Baseline
    from napari_lowdose.noise2noise.config import TrainingConfig
    from napari_lowdose.noise2noise.model import Noise2NoiseModel
    from napari_lowdose.noise2noise.prediction import Predictor

_LARGEST_PAIR = 2**20  # pixels; for larger frames the preview uses only the first exposure


class Preview:
    """One frame of the pair, denoised by the network at its current state.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        The training exposures.
    config : TrainingConfig
    context : int
        Number of frames before and after each frame that are input, too.

    Attributes
    ----------
    index : tuple of int
        Index of the frame along the leading axes.
    """

    def __init__(self, first: Any, second: Any, config: TrainingConfig, context: int = 0) -> None:
        leading = first.shape[:-2]
        index = config.preview or (0,) * len(leading)
        if len(index) != len(leading) or not all(map(_within, index, leading)):
            raise ValueError(
                f"preview must be the index of a frame within {tuple(leading)}, not {index}."
            )
        pair = first, second
        self._frames = [np.asarray(first[index])]
        # A shifted second output would have to be shifted back, so the preview does without it
        displaced = any(config.shift) or config.affine is not None
        if config.use == "both" and not displaced and self._frames[0].size <= _LARGEST_PAIR:
            self._frames.append(np.asarray(second[index]))
        self._context = context
        self._around = {
            other - index[0]: tuple(
                np.asarray(exposure[other, *index[1:]])
                for exposure, _ in zip(pair, self._frames, strict=False)
            )
            for other in (neighbours_within(index[0], leading[0], context) if leading else ())
        }
        self.index = index

    def steps(
        self, predictor: Predictor, model: Noise2NoiseModel
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Compute the preview; yields the fraction done and returns the image.

        Parameters
        ----------
        predictor : Predictor
            Applies the network at its current state.
        model : Noise2NoiseModel
            Provides normalisation and calibration; its weights are not used.

        Yields
        ------
        float
            Fraction done, 0 to 1.

        Returns
        -------
        (Y, X) float32 array
        """
        frames = NormalisedFrames.of(model, *self._frames)
        inputs = with_neighbours(frames, self._context, self._around)
        r1 = yield from predictor.steps(inputs[0])
        if len(self._frames) == 1:
            return frames.image(r1, model.single_calibration)
        r2 = yield from predictor.steps(inputs[1])
        return frames.image((r1 + r2) / np.float32(2), model.pair_calibration)

    def of_baseline(
        self, baseline: Baseline, exposures: Noise2NoiseModel
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Compute the picture that a method without training gives.

        Parameters
        ----------
        baseline : Baseline
        exposures : Noise2NoiseModel
            Provides the normalisation of the exposures.

        Yields
        ------
        float
            Fraction done, 0 to 1.

        Returns
        -------
        (Y, X) float32 array
        """
        frames = NormalisedFrames.of(exposures, *self._frames)
        results = []
        for exposure in frames.inputs:
            results.append((yield from baseline.steps(exposure)))
        return frames.image(np.mean(results, axis=0, dtype=np.float32), (1.0, 0.0))


def _within(index: int, length: int) -> bool:
    return 0 <= index < length
