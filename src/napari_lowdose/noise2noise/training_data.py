"""The pairs that a network is trained on: normalised, gain matched, some tiles held out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.gain_matching import GainMatch, match_gain
from napari_lowdose.noise2noise.held_out import held_out_tiles
from napari_lowdose.noise2noise.scene_spectrum import SceneSpectrum, scene_spectrum
from napari_lowdose.steps import frame_name

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
    exposures = _read(first, second, every, match)
    one, two = exposures[:, 0], exposures[:, 1]
    side = held_out_side(one.shape[-2:])
    share = min(_SHARE, _MOST_TILES * side**2 / one.size)
    tiles = held_out_tiles(one, two, side, share, seed)
    seen = np.ones(one.shape, bool)
    for pair, y, x in tiles:
        seen[pair, y : y + side, x : x + side] = False
    spectrum = scene_spectrum(one, two, side)
    offset, scale = normalisation or _normalisation(exposures)
    exposures -= np.float32(offset)
    exposures /= np.float32(scale)
    return TrainingPairs(exposures, seen, tiles, side, offset, scale, match, spectrum)


def held_out_side(shape: tuple[int, ...]) -> int:
    """Return the side of a held-out tile: smaller in images that would hold too few of 32."""
    return min(_SIDE, max(8, min(shape) // 8 // 8 * 8))


def _read(first: Any, second: Any, every: int, match: GainMatch) -> NDArray[np.float32]:
    """Return (P, 2, Y, X): one pair of every so many, in the units of the first."""
    leading = first.shape[:-2]
    n_frames = math.prod(leading)
    chosen = range(0, n_frames, every)
    # Read frame by frame into its place: of a long movie there is no memory for two
    exposures = np.empty((len(chosen), 2, *first.shape[-2:]), np.float32)
    for pair, number in zip(exposures, chosen, strict=True):
        index = np.unravel_index(number, leading)
        frames = [np.asarray(exposure[index]) for exposure in (first, second)]
        for name, frame in zip(("first", "second"), frames, strict=True):
            if not np.isfinite(frame).all():
                of_frame = f" in {frame_name(number, leading)}" if n_frames > 1 else ""
                raise ValueError(
                    f"the {name} exposure has NaN or infinite pixels{of_frame}: fill them in or "
                    "crop them away first."
                )
        pair[0], pair[1] = frames[0], match.to_first(frames[1])
    return exposures


def _normalisation(exposures: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and standard deviation of the exposures."""
    by_frame = exposures.reshape(-1, *exposures.shape[-2:])
    means = np.array([frame.mean(dtype=np.float64) for frame in by_frame])
    means = means.reshape(-1, 2)
    within = np.mean([frame.var(dtype=np.float64) for frame in by_frame])
    variance = float(within + means.var(axis=0).mean())
    return float(means.mean()), math.sqrt(variance) or 1.0
