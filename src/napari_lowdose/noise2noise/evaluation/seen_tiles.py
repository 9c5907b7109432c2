"""Gain where the network was trained, for users who look at the training pair itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_lowdose.noise2noise.evaluation.validation import Validation
from napari_lowdose.noise2noise.training_data import held_out_tiles

if TYPE_CHECKING:
    from napari_lowdose.noise2noise.config import UNetConfig
    from napari_lowdose.noise2noise.prediction import Predictor
    from napari_lowdose.noise2noise.training_data import TrainingPairs


def widened_gain(
    gain: tuple[float, float],
    predictor: Predictor,
    pairs: TrainingPairs,
    config: UNetConfig,
    shift: tuple[float, float],
    use: Literal["both", "first"],
    seed: int,
) -> tuple[float, float]:
    """Widen an interval from held-out tiles so that it holds for the training pair, too.

    In the training area the result is better, because the network has seen the pixels, and a
    site that is unlike all others.  There the estimate is too high, for the same reason: the
    network has seen the noise of the partner as well.  So the truth lies in between.

    Parameters
    ----------
    gain : (float, float)
        95 % confidence interval from the held-out tiles, dB.
    predictor : Predictor
        Applies the network.
    pairs, config, shift, use
        As for `Validation`.
    seed : int
        Seed of the choice of tiles.

    Returns
    -------
    (float, float)
        The lower limit of `gain`, and the higher of both upper limits.
    """
    trained = slice(len(pairs))  # the others are only context
    share = len(pairs.tiles) * pairs.side**2 / pairs.seen[trained].size
    first, second = pairs.exposures[trained, 0], pairs.exposures[trained, 1]
    drawn = held_out_tiles(first, second, pairs.side, share, seed + 1)
    side = pairs.side
    tiles = [
        (pair, y, x)
        for pair, y, x in drawn
        if pairs.seen[pair, y : y + side, x : x + side].mean() > 0.5
    ]
    missing = set(np.unique(pairs.level[trained])) - {
        int(pairs.level[pair]) for pair, _, _ in tiles
    }
    if not tiles or missing:
        return gain
    seen = Validation(replace(pairs, tiles=tiles), config, shift, use).evaluate(predictor).gain
    return gain if seen is None else (gain[0], max(gain[1], seen[1]))
