"""Training data: pairs of exposures, normalised and gain matched, and held-out tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.context import frames_around
from napari_lowdose.noise2noise.gain_matching import GainMatch, evenly_spread, match_standardised
from napari_lowdose.noise2noise.normalised_frames import (
    Level,
    brightness_levels,
    differ_in_brightness,
)
from napari_lowdose.noise2noise.usable_pairs import UsablePairs, usable_pairs
from napari_lowdose.pairs.view_map import ViewMap
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.usable_pairs import FrameChoice
    from napari_lowdose.noise2noise.valid_pixels import Standardised
    from napari_lowdose.pairs.view_map import Matrix

_HELD_OUT = 0.1  # fraction of the pixels, at most
_MAX_TILES = 64  # more would hardly narrow the confidence interval, and take longer
_SIDE = 32  # maximum side of a held-out tile, pixels


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """Pairs of exposures in the network's units.

    Attributes
    ----------
    exposures : (N, 2, Y, X) float32 array
        First and second exposure of each pair, ``(pixels - offset) / scale``.  The second is
        converted to the units of the first before.  Pairs that are only context come last.
    seen : (N, Y, X) bool array
        Pixels used for training: False in held-out tiles and at outliers.
    tiles : list of (pair, y, x)
        Upper left corners of the held-out tiles.
    side : int
        Side of a held-out tile, pixels.
    offset, scale : float
        Normalisation, the same for all pairs unless there are `levels`.
    match : GainMatch
    level : (N,) array of int
        The level of each pair.
    levels : tuple of Level
        Brightness levels, if the frames differ so much that each is normalised by its own mean
        and standard deviation.  Empty if all frames share one normalisation.
    choice : FrameChoice
        Frames that were left out.
    n_outliers : int
    around : (P, F) array of int
        For each pair to train on, the frames that are input to the network: itself in the middle.
    view_map : ViewMap or None
        Map from the pixels of the first exposures to those of the second, if it is not a shift.
    """

    exposures: NDArray[np.float32]
    seen: NDArray[np.bool_]
    tiles: list[tuple[int, int, int]]
    side: int
    offset: float
    scale: float
    match: GainMatch
    level: NDArray[np.int_]
    levels: tuple[Level, ...]
    choice: FrameChoice
    n_outliers: int
    around: NDArray[np.int_]
    view_map: ViewMap | None = None

    def __len__(self) -> int:
        """Return the number of pairs to train on."""
        return len(self.around)

    def in_units(self, low: float, high: float) -> tuple[float, float]:
        """Return a range of normalised intensities in the units of the first exposure."""
        return low * self.scale + self.offset, high * self.scale + self.offset


def training_pairs(
    first: Any,
    second: Any,
    every: int,
    seed: int,
    normalisation: tuple[float, float] | None,
    frame_by_frame: bool | None = None,
    *,
    one_scene: bool = False,
    context: int = 0,
    affine: Matrix | None = None,
) -> TrainingPairs:
    """Read, match and normalise the pairs to train on.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        NumPy or lazy; leading axes are pairs.
    every : int
        Train on every n-th pair.
    seed : int
        Seed of the choice of held-out tiles.
    normalisation : (float, float), optional
        Offset and scale of the network that is continued.  By default they are measured.
    frame_by_frame : bool, optional
        Whether the continued network normalises each frame separately.  By default this depends
        on how much the frames differ.
    one_scene : bool
        Whether all pairs show the same pixels, as divisions of one image do.  Tiles are then held
        out of all of them.
    context : int
        Number of frames before and after each that are input, too.
    affine : 2 x 3 matrix, optional
        Map from the first exposure to the second.

    Raises
    ------
    ValueError
        If no pair is usable.

    Warns
    -----
    UserWarning
        If pairs or pixels are left out.
    """
    pairs = usable_pairs(first, second, every, context)
    view_map = None if affine is None else ViewMap(affine).counted_from(pairs.corner)
    if pairs.choice:
        warn(f"Excluded from training: {pairs.choice}.", stacklevel=2)
    if n := pairs.n_outliers:
        warn(
            f"{n} outlier pixel{'s were' if n > 1 else ' was'} excluded from training: neither "
            "scene nor noise explains such values.",
            stacklevel=2,
        )
    means, deviations = pairs.means[:, 0], pairs.deviations[:, 0]
    if frame_by_frame is None:
        frame_by_frame = normalisation is None and differ_in_brightness(means, deviations)
    if frame_by_frame:
        level, levels, match = _normalise_each(pairs, view_map)
        # Normalisation of the record and of the value range; the frames have their own
        brightest = float(np.median(means[level == level.max()]))
        offset, scale = normalisation or (brightest, levels[-1].contrast)
    else:
        level, levels = np.zeros(len(pairs), int), ()
        offset, scale, match = _normalise_all(pairs, normalisation, view_map)
    side = held_out_side(pairs.exposures.shape[-2:])
    of_pair = np.arange(len(pairs)) < pairs.n_chosen  # and not of the context only
    different = pairs.valid[:1] if one_scene else pairs.valid[: pairs.n_chosen]
    share = min(_HELD_OUT, _MAX_TILES * side**2 / different.size)
    tiles = []
    seen = pairs.valid
    for each in range(int(level.max()) + 1):  # so that every channel has held-out tiles
        of_level = np.flatnonzero((level == each) & of_pair)[: 1 if one_scene else None]
        # Indexing copies, so not if there is only one level
        alike = pairs.exposures if len(of_level) == len(pairs) else pairs.exposures[of_level]
        found = held_out_tiles(alike[:, 0], alike[:, 1], side, share, seed)
        tiles += [(int(of_level[pair]), y, x) for pair, y, x in found]
    for pair, y, x in tiles:
        of_scene = slice(None) if one_scene else pair
        seen[of_scene, y : y + side, x : x + side] = False
    around = frames_around(pairs, first.shape[:-2], context)
    return TrainingPairs(
        pairs.exposures, seen, tiles, side, offset, scale, match, level, levels,
        pairs.choice, pairs.n_outliers, around, view_map,
    )  # fmt: skip


def held_out_tiles(
    first: NDArray[Any], second: NDArray[Any], side: int, share: float = _HELD_OUT, seed: int = 0
) -> list[tuple[int, int, int]]:
    """Choose the tiles to hold out.

    A random tenth of the image may miss most of its detail, for example the
    cells in a sparse field.  The tiles are therefore sorted by contrast and
    divided into as many classes as tiles are needed, and one tile is drawn from
    each class.  The estimated gain stays unbiased, and its scatter is smaller
    than its confidence interval.

    Parameters
    ----------
    first, second : (P, Y, X) or (Y, X) arrays
        The exposures, the second in the units of the first.
    side : int
        Side of a tile, pixels.  The tiles lie on a grid that starts at the corner.
    share : float
        Fraction of the tiles to hold out.
    seed : int
        Seed of the random choice.

    Returns
    -------
    list of (frame, y, x)
        Frame and upper left corner of each tile, in order.  Frame is 0 for a single
        frame.  At least 3 tiles if the image has 6 or more.

    Raises
    ------
    ValueError
        If a frame is smaller than a tile.

    Examples
    --------
    >>> import numpy as np
    >>> first, second = np.random.default_rng(0).normal(size=(2, 512, 512))
    >>> corners = held_out_tiles(first, second, side=32)
    >>> len(corners), all(y % 32 == x % 32 == 0 for _, y, x in corners)
    (26, True)
    """
    height, width = (length // side for length in first.shape[-2:])
    if not height * width:
        raise ValueError(f"exposures of shape {first.shape} hold no tile of {side} pixels.")
    contrast = []
    frame_shape = (-1, *first.shape[-2:])
    for one, two in zip(first.reshape(frame_shape), second.reshape(frame_shape), strict=True):
        both = np.add(one, two, dtype=np.float64)
        tiles = both[: height * side, : width * side].reshape(height, side, width, side)
        contrast.append(tiles.var(axis=(1, 3)))
    ranked = np.argsort(np.ravel(contrast), kind="stable")
    n = max(round(share * ranked.size), min(3, ranked.size // 2))
    rng = np.random.default_rng(seed)
    chosen = sorted(int(rng.choice(alike)) for alike in np.array_split(ranked, n)) if n else []
    found = []
    for index in chosen:
        frame, tile = divmod(index, height * width)
        row, column = divmod(tile, width)
        found.append((frame, row * side, column * side))
    return found


def held_out_side(shape: tuple[int, ...]) -> int:
    """Return the side of a held-out tile, in pixels: at most 32, smaller in small images."""
    return min(_SIDE, max(8, min(shape) // 8 // 8 * 8))


def _normalise_all(
    pairs: UsablePairs, normalisation: tuple[float, float] | None, view_map: ViewMap | None
) -> tuple[float, float, GainMatch]:
    """Normalise all frames alike, in place; return offset, scale and gain match."""
    match = _match(pairs, range(len(pairs)), view_map)
    means, deviations = pairs.means.copy(), pairs.deviations.copy()
    means[:, 1] = (means[:, 1] - match.offset) / match.gain
    deviations[:, 1] /= match.gain
    if normalisation is None:
        # Variance of all pixels: that within the frames plus that of their means
        variance = float((deviations**2).mean() + means.var(axis=0).mean())
        normalisation = float(means.mean()), math.sqrt(variance) or 1.0
    offset, scale = normalisation
    for exposures, mean, deviation in zip(pairs.exposures, means, deviations, strict=True):
        exposures *= (deviation / scale).astype(np.float32)[:, None, None]
        exposures += ((mean - offset) / scale).astype(np.float32)[:, None, None]
    return offset, scale, match


def _normalise_each(
    pairs: UsablePairs, view_map: ViewMap | None
) -> tuple[NDArray[np.int_], tuple[Level, ...], GainMatch]:
    """Normalise each frame by itself, in place.

    The first exposure already has a standard deviation of 1.  The second is scaled by its measured
    gain, not by its own standard deviation, which contains a different amount of noise.

    Returns
    -------
    level : (P,) array of int
        The level of each pair.
    levels : tuple of Level
    match : GainMatch
        Gain match of the brightest level.
    """
    contrasts = pairs.deviations[:, 0]
    level = brightness_levels(contrasts)
    members = [np.flatnonzero(level == each) for each in range(int(level.max()) + 1)]
    matches = [_match(pairs, [int(pair) for pair in of_level], view_map) for of_level in members]
    # A channel too dim to measure its gain takes the median of the others
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


def _match(pairs: UsablePairs, chosen: Sequence[int], view_map: ViewMap | None) -> GainMatch:
    """Match the gain of the chosen pairs, or of evenly spread ones if there are many."""
    some = evenly_spread(len(chosen), pairs.exposures.shape)
    of_some = (pairs.of(chosen[k]) for k in some)
    if view_map is not None:
        of_some = (_on_same_pixels(*pair, view_map) for pair in of_some)
    return match_standardised(of_some)


def _on_same_pixels(
    first: Standardised, second: Standardised, view_map: ViewMap
) -> tuple[Standardised, Standardised]:
    """Return the pair with the second frame moved to the pixels of the first.

    Each pixel is that of the nearest place, because the noise of interpolated pixels is correlated,
    which would count as scene.
    """
    return first, second._replace(image=view_map.resample(second.image, order=0))
