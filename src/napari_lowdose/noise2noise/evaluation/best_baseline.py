"""The best method without training, by the held-out tiles of the pair."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.engine import rescale_progress
from napari_lowdose.frames import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.baseline import Baseline
    from napari_lowdose.noise2noise.evaluation.validation import Evaluation, Validation

    Tiles = tuple[NDArray[np.float32], NDArray[np.float32]]

_MAX_PAIRS = 4  # pairs of a movie that the methods are compared on


class BestBaseline:
    """Compares methods without training with each other and with a network.

    All are compared on the same tiles.  Their differences are known much better than each gain,
    because the noise of the tiles is the same for all.

    Parameters
    ----------
    validation : Validation

    Attributes
    ----------
    best : Baseline or None
        The best one so far, which knows its results for the first pair compared.  None if the gain
        of none is known.
    gain : (float, float) or None
        95 % confidence interval of its PSNR gain, dB.
    """

    def __init__(self, validation: Validation) -> None:
        self._validation = validation
        with_tiles = np.unique(validation.of_pair)
        self._chosen = [int(with_tiles[k]) for k in evenly_spaced(len(with_tiles), _MAX_PAIRS)]
        self._tiles = np.isin(validation.of_pair, self._chosen)
        self.best: Baseline | None = None
        self.gain: tuple[float, float] | None = None
        self._best_tiles: Tiles | None = None

    def compare(
        self, baselines: Sequence[Baseline], exposures: NDArray[np.float32]
    ) -> Generator[float, None, None]:
        """Apply the methods, and keep the best.

        Parameters
        ----------
        baselines : sequence of Baseline
        exposures : (N, 2, Y, X) float32 array
            First and second exposure of each pair, normalised.

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
                    for exposure in exposures[pair]:
                        work = baseline.steps(exposure)
                        both.append((yield from rescale_progress(work, done / n, (done + 1) / n)))
                        done += 1
                    results[pair] = np.stack(both)
            except ValueError:  # for example exposures that are too small for a patch
                continue
            tiles = self._validation.tiles_of(results)
            gain = self._validation.gain(*tiles, chosen=self._tiles)
            if gain is not None and (self.best is None or self._difference(tiles) < 0):
                shown = self._chosen[0]
                known = tuple(zip(exposures[shown], results[shown], strict=True))
                self.best, self.gain, self._best_tiles = replace(baseline, known=known), gain, tiles

    def beats(self, evaluation: Evaluation | None) -> bool:
        """Whether the best of these methods is better than the network."""
        if self.best is None:
            return False
        return evaluation is None or self._difference(evaluation.tiles) >= 0

    def _difference(self, tiles: Tiles) -> float:
        """Return the error of other results minus that of the best, in units of the noise."""
        assert self._best_tiles is not None  # set with the best
        return self._validation.difference(tiles, self._best_tiles, self._tiles)
