"""The pairs that a network is trained on: normalised, gain matched, some tiles held out."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.brightness_levels import (
    Level,
    brightness_levels,
    differ_in_brightness,
)
from napari_lowdose.noise2noise.evaluation.held_out import held_out_tiles
from napari_lowdose.noise2noise.evaluation.scene_spectrum import SceneSpectrum, scene_spectrum
from napari_lowdose.noise2noise.gain_matching import GainMatch, evenly_spread, match_standardised
from napari_lowdose.noise2noise.usable_pairs import UsablePairs, usable_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.usable_pairs import FrameChoice

_SHARE = 0.1  # of the pixels that are held out, of an image of 512 x 512 pixels
_MOST_TILES = 64  # more would say no more, and take longer
_SIDE = 32  # of a held-out tile, pixels; smaller in small images


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """Pairs of exposures in the network's units.

    Attributes
    ----------
    exposures : (P, 2, Y, X) float32 array
        First and second of each pair: offset taken off, divided by the scale, the second
        brought into the units of the first before.
    seen : (P, Y, X) bool array
        False in the held-out tiles, and at outliers.
    tiles : list of (pair, y, x)
        Upper left corners of the held-out tiles.
    side : int
        Of a held-out tile.
    offset, scale : float
        Of the normalisation: one for all pairs, frames and tiles, unless there are `levels`.
    match : GainMatch
    level : (P,) array of int
        The level of each pair.
    spectra : list of SceneSpectrum
        Of each level: where the scene lies, for tiles of `side`.
    levels : tuple of Level
        Of frames that differ so much in brightness that each is normalised by its own mean and
        standard deviation; empty if one normalisation does for all.
    choice : FrameChoice
        Which frames were left out.
    n_outliers : int
    """

    exposures: NDArray[np.float32]
    seen: NDArray[np.bool_]
    tiles: list[tuple[int, int, int]]
    side: int
    offset: float
    scale: float
    match: GainMatch
    level: NDArray[np.int_]
    spectra: list[SceneSpectrum]
    levels: tuple[Level, ...]
    choice: FrameChoice
    n_outliers: int

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.exposures)


def training_pairs(
    first: Any,
    second: Any,
    every: int,
    seed: int,
    normalisation: tuple[float, float] | None,
    frame_by_frame: bool | None = None,
) -> TrainingPairs:
    """Read, match and normalise the pairs to train on.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        NumPy or lazy; leading axes are pairs.
    every : int
        Take one pair of so many.
    seed : int
        Of the choice of tiles to hold out.
    normalisation : (float, float), optional
        Offset and scale of a network that is trained further; else they are measured.
    frame_by_frame : bool, optional
        Whether that network normalises each frame by itself; else it is decided here.

    Raises
    ------
    ValueError
        If no pair can be trained on.

    Warns
    -----
    UserWarning
        If some cannot.
    """
    pairs = usable_pairs(first, second, every)
    if pairs.choice:
        warnings.warn(f"Left out of the training: {pairs.choice}.", UserWarning, stacklevel=2)
    if n := pairs.n_outliers:
        warnings.warn(
            f"{n} outlier pixel{'s' if n > 1 else ''}, which neither scene nor noise explains, "
            f"{'were' if n > 1 else 'was'} left out of the training.",
            UserWarning,
            stacklevel=2,
        )
    means, deviations = pairs.means[:, 0], pairs.deviations[:, 0]
    if frame_by_frame is None:
        frame_by_frame = normalisation is None and differ_in_brightness(means, deviations)
    if frame_by_frame:
        level, levels, match = _normalise_each(pairs)
        brightest = float(np.median(means[level == level.max()]))
        offset, scale = normalisation or (brightest, levels[-1].contrast)
    else:
        level, levels = np.zeros(len(pairs), int), ()
        offset, scale, match = _normalise_all(pairs, normalisation)
    side = held_out_side(pairs.exposures.shape[-2:])
    share = min(_SHARE, _MOST_TILES * side**2 / pairs.sound.size)
    tiles, spectra = [], []
    seen = pairs.sound
    for each in range(int(level.max()) + 1):
        of_level = np.flatnonzero(level == each)
        alike = pairs.exposures if len(of_level) == len(pairs) else pairs.exposures[of_level]
        found = held_out_tiles(alike[:, 0], alike[:, 1], side, share, seed)
        tiles += [(int(of_level[pair]), y, x) for pair, y, x in found]
        spectra.append(scene_spectrum(alike[:, 0], alike[:, 1], side))
    for pair, y, x in tiles:
        seen[pair, y : y + side, x : x + side] = False
    return TrainingPairs(
        pairs.exposures, seen, tiles, side, offset, scale, match, level, spectra, levels,
        pairs.choice, pairs.n_outliers,
    )  # fmt: skip


def held_out_side(shape: tuple[int, ...]) -> int:
    """Return the side of a held-out tile: smaller in images that would hold too few of 32."""
    return min(_SIDE, max(8, min(shape) // 8 // 8 * 8))


def _normalise_all(
    pairs: UsablePairs, normalisation: tuple[float, float] | None
) -> tuple[float, float, GainMatch]:
    """Normalise all frames alike, in place; return offset and scale, and the second's gain."""
    match = _match(pairs, range(len(pairs)))
    means, deviations = pairs.means.copy(), pairs.deviations.copy()
    means[:, 1] = (means[:, 1] - match.offset) / match.gain
    deviations[:, 1] /= match.gain
    if normalisation is None:
        variance = float((deviations**2).mean() + means.var(axis=0).mean())
        normalisation = float(means.mean()), math.sqrt(variance) or 1.0
    offset, scale = normalisation
    for exposures, mean, deviation in zip(pairs.exposures, means, deviations, strict=True):
        exposures *= (deviation / scale).astype(np.float32)[:, None, None]
        exposures += ((mean - offset) / scale).astype(np.float32)[:, None, None]
    return offset, scale, match


def _normalise_each(
    pairs: UsablePairs,
) -> tuple[NDArray[np.int_], tuple[Level, ...], GainMatch]:
    """Normalise each frame by itself, in place; return the level of each, all levels, and the gain.

    The first exposure is so already.  The second keeps its contrast against the first.
    """
    contrasts = pairs.deviations[:, 0]
    level = brightness_levels(contrasts)
    members = [np.flatnonzero(level == each) for each in range(int(level.max()) + 1)]
    matches = [_match(pairs, [int(pair) for pair in of_level]) for of_level in members]
    known = [match.gain for match in matches if math.isfinite(match.error)]
    gains = [
        match.gain if math.isfinite(match.error) or not known else float(np.median(known))
        for match in matches
    ]
    for exposures, (one, two), at in zip(pairs.exposures, pairs.deviations, level, strict=True):
        exposures[1] *= np.float32(two / (gains[at] * one))
    levels = tuple(
        Level(
            contrast=float(np.exp(np.log(contrasts[of_level]).mean())),
            gain=gain,
            offset=float((pairs.means[of_level, 1] - gain * pairs.means[of_level, 0]).mean()),
        )
        for of_level, gain in zip(members, gains, strict=True)
    )
    return level, levels, matches[-1]


def _match(pairs: UsablePairs, chosen: Sequence[int]) -> GainMatch:
    """Match the gain of some pairs, or of some of them where they are many."""
    some = evenly_spread(len(chosen), pairs.exposures.shape)
    return match_standardised(pairs.of(chosen[k]) for k in some)
