"""The best method without training, by the held-out tiles of the pair."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.engine import rescale_progress

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.baseline import Baseline
    from napari_lowdose.noise2noise.evaluation.validation import Evaluation, Validation
    from napari_lowdose.noise2noise.training_data import TrainingPairs

_MAX_PAIRS = 4  # pairs of a movie that the methods are compared on


class BestBaseline:
    """Compares methods without training with each other and with a network.

    All are compared on the same tiles, so that differences are known better than each gain: the
    noise of the tiles is the same for all.

    Parameters
    ----------
    pairs : TrainingPairs
    validation : Validation

    Attributes
    ----------
    best : Baseline or None
        The best one so far; None if the gain of none is known.
    gain : (float, float) or None
        95 % confidence interval of its PSNR gain, dB.
    results : (2, Y, X) float32 array or None
        Its results for both exposures of the first pair compared, normalised.
    """

    def __init__(self, pairs: TrainingPairs, validation: Validation) -> None:
        self._pairs, self._validation = pairs, validation
        with_tiles = np.unique(validation.of_pair)
        spread = np.linspace(0, len(with_tiles) - 1, min(_MAX_PAIRS, len(with_tiles)))
        self._chosen = [int(with_tiles[round(k)]) for k in spread]
        self._tiles = np.isin(validation.of_pair, self._chosen)
        self.best: Baseline | None = None
        self.gain: tuple[float, float] | None = None
        self.results: NDArray[np.float32] | None = None

    def compare(self, baselines: Sequence[Baseline]) -> Generator[float, None, None]:
        """Apply the methods, and keep the best.

        Yields
        ------
        float
            Fraction done, 0 to 1.
        """
        n = len(baselines) * len(self._chosen) * 2
        for number, baseline in enumerate(baselines):
            results, done = {}, number * len(self._chosen) * 2
            try:
                for pair in self._chosen:
                    both = []
                    for exposure in self._pairs.exposures[pair]:
                        work = baseline.steps(exposure)
                        both.append((yield from rescale_progress(work, done / n, (done + 1) / n)))
                        done += 1
                    results[pair] = np.stack(both)
            except ValueError:  # for example exposures that are too small for a patch
                continue
            tiles = self._validation.tiles_of(results)
            gain = self._validation.gain(*tiles, chosen=self._tiles)
            if gain is not None and (self.gain is None or gain[0] > self.gain[0]):
                self.best, self.gain = baseline, gain
                self.results = results[self._chosen[0]]

    def beats(self, evaluation: Evaluation | None) -> bool:
        """Whether the best of these methods is better than the network."""
        if self.gain is None:
            return False
        if evaluation is None:
            return True
        network = self._validation.gain(*evaluation.tiles, chosen=self._tiles)
        return network is not None and not math.isnan(network[0]) and network[0] < self.gain[0]
