"""The pairs that a network is trained on: normalised, gain matched, some tiles held out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.gain_matching import GainMatch, match_gain
from napari_lowdose.noise2noise.held_out import held_out_tiles
from napari_lowdose.noise2noise.scene_spectrum import SceneSpectrum, scene_spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        False in the held-out tiles.
    tiles : list of (pair, y, x)
        Upper left corners of the held-out tiles.
    side : int
        Of a held-out tile.
    offset, scale : float
        Of the normalisation: one for all pairs, frames and tiles.
    match : GainMatch
    spectrum : SceneSpectrum
        Where the scene lies, for tiles of `side`.
    """

    exposures: NDArray[np.float32]
    seen: NDArray[np.bool_]
    tiles: list[tuple[int, int, int]]
    side: int
    offset: float
    scale: float
    match: GainMatch
    spectrum: SceneSpectrum

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.exposures)


def training_pairs(
    first: Any, second: Any, every: int, seed: int, normalisation: tuple[float, float] | None
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
    """
    match = match_gain(first, second)
    one, two = (_every(exposure, every) for exposure in (first, second))
    two = match.to_first(two)
    side = held_out_side(one.shape[-2:])
    share = min(_SHARE, _MOST_TILES * side**2 / one.size)
    tiles = held_out_tiles(one, two, side, share, seed)
    seen = np.ones(one.shape, bool)
    for pair, y, x in tiles:
        seen[pair, y : y + side, x : x + side] = False
    spectrum = scene_spectrum(one, two, side)
    offset, scale = normalisation or _normalisation(one, two)
    exposures = np.stack([one, two], axis=1)
    exposures -= np.float32(offset)
    exposures /= np.float32(scale)
    return TrainingPairs(exposures, seen, tiles, side, offset, scale, match, spectrum)


def held_out_side(shape: tuple[int, ...]) -> int:
    """Return the side of a held-out tile: smaller in images that would hold too few of 32."""
    return min(_SIDE, max(8, min(shape) // 8 // 8 * 8))


def _every(exposure: Any, every: int) -> NDArray[np.float32]:
    """Return (P, Y, X) float32: the first pair of every so many."""
    leading = exposure.shape[:-2]
    chosen = range(0, math.prod(leading), every)
    frames = [np.asarray(exposure[np.unravel_index(k, leading)]) for k in chosen]
    return np.stack(frames).astype(np.float32)


def _normalisation(one: NDArray[np.float32], two: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and standard deviation of the exposures."""
    offset = (one.mean(dtype=np.float64) + two.mean(dtype=np.float64)) / 2
    variance = (one.var(dtype=np.float64) + two.var(dtype=np.float64)) / 2
    return float(offset), math.sqrt(variance) or 1.0
