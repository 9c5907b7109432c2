"""Evaluate a network on held-out tiles: loss, gain and calibration of the intensities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_lowdose.noise2noise.evaluation.calibration import calibrate
from napari_lowdose.noise2noise.evaluation.gain_interval import gain_interval, scene_spectrum
from napari_lowdose.noise2noise.loss import pearson_loss
from napari_lowdose.noise2noise.network import size_multiple
from napari_lowdose.noise2noise.spline_shift import noise_left, spline_shift

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_lowdose.noise2noise.config import UNetConfig
    from napari_lowdose.noise2noise.prediction import Predictor
    from napari_lowdose.noise2noise.training_data import TrainingPairs

_CONTEXT = 24  # width of the surroundings of a tile that are also input to the network, pixels
_BATCH_SIZE = 32  # windows


@dataclass(frozen=True)
class Evaluation:
    """Quality of a network on held-out tiles.

    Attributes
    ----------
    loss : float
        1 - Pearson correlation, Eq. (4) of the pair paper, over both directions.
    pair_calibration, single_calibration : (slope, intercept)
        Map the mean of both outputs, or a single output, to normalised intensities, Eq. (9).
    value_range : (float, float)
        Minimum and maximum of the result on the tiles, normalised.
    gain : (float, float) or None
        95 % confidence interval of the PSNR gain, dB.  For channels of very different brightness,
        that of the channel with the lowest gain.  None if it is unknown.
    """

    loss: float
    pair_calibration: tuple[float, float]
    single_calibration: tuple[float, float]
    value_range: tuple[float, float]
    gain: tuple[float, float] | None


class Validation:
    """Held-out tiles and their surroundings.

    Parameters
    ----------
    pairs : TrainingPairs
    config : UNetConfig
    shift : (float, float)
        Shift of the second exposure against the first, (dy, dx) in pixels.
    use : "both" or "first"
        Whether the gain is that of the mean of both outputs, or of the first alone.
    """

    def __init__(
        self,
        pairs: TrainingPairs,
        config: UNetConfig,
        shift: tuple[float, float],
        use: Literal["both", "first"],
    ) -> None:
        self._use = use
        self._side = pairs.side
        tiles = _HeldOut.of(pairs, shift)
        level = pairs.level[[pair for pair, _, _ in tiles.corners]]
        self._levels = []
        for each in range(int(pairs.level.max()) + 1):
            of_level = pairs.level == each
            # Indexing copies, so not if there is only one level
            exposures = pairs.exposures if of_level.all() else pairs.exposures[of_level]
            second = exposures[:, 1]
            if pairs.view_map is not None:  # the nearest pixels, so that the noise stays white
                second = pairs.view_map.resample(second, order=0)
            spectrum = scene_spectrum(exposures[:, 0], second, pairs.side)
            self._levels.append((level == each, spectrum))
        # Rounded up to a size that the network accepts
        multiple = size_multiple(config)
        wanted = pairs.side + 2 * _CONTEXT
        window = -(-wanted // multiple) * multiple
        self._windows = torch.from_numpy(_windows(pairs, tiles, window))  # (n, 2, window, window)
        self._shifts = torch.from_numpy(tiles.shifts)
        self._shifted = bool(tiles.shifts.any())
        first, second = torch.split(self._windows, 1, dim=1)
        self._first, self._second = self._inner(self._moved(first)), self._inner(second)

    def evaluate(self, predictor: Predictor) -> Evaluation:
        """Evaluate a network; takes about as long as denoising a 512 x 512 frame."""
        r1, r2 = (
            torch.cat(
                [predictor.forward(batch).cpu() for batch in torch.split(windows, _BATCH_SIZE)]
            )
            for windows in torch.split(self._windows.to(predictor.device), 1, dim=1)
        )
        # With a subpixel shift, outputs and exposures are compared on the grid of the second
        r1, r2 = self._inner(self._moved(r1)), self._inner(r2)
        loss = pearson_loss(torch.cat([r1, r2]), torch.cat([self._second, self._first]))
        tiles = [each[:, 0].numpy() for each in (r1, r2, self._first, self._second)]
        pair_calibration = calibrate(*tiles)
        single_calibration = calibrate(tiles[0], None, tiles[2], tiles[3])
        slope, intercept = pair_calibration if self._use == "both" else single_calibration
        mean = slope * (tiles[0] + tiles[1]) / 2 + intercept
        return Evaluation(
            loss=float(loss),
            pair_calibration=pair_calibration,
            single_calibration=single_calibration,
            value_range=(float(mean.min()), float(mean.max())),
            gain=self._gain((slope, intercept), *tiles),
        )

    def _gain(
        self, intensities: tuple[float, float], *tiles: NDArray[np.float32]
    ) -> tuple[float, float] | None:
        """Return the confidence interval of the level (channel) with the lowest gain."""
        slope, intercept = intensities
        r1, r2, first, second = tiles
        r1, r2 = slope * r1 + intercept, slope * r2 + intercept
        intervals = [
            gain_interval(
                r1[these], r2[these], first[these], second[these], spectrum, use=self._use
            )
            for these, spectrum in self._levels
        ]
        known = [interval for interval in intervals if math.isfinite(interval.low)]
        if not known:
            return None
        worst = min(known, key=lambda interval: interval.low)
        # The shift smooths the noise of the first exposure; the gain is relative to unshifted noise
        more = 10 * math.log10(2 / (1 + self._noise_left)) if self._shifted else 0.0
        return worst.low + more, worst.high + more

    def _moved(self, images: Tensor) -> Tensor:
        return spline_shift(images, self._shifts) if self._shifted else images

    @cached_property
    def _noise_left(self) -> float:
        """Fraction of the variance of the noise that remains after the shifts."""
        shifts = {(float(dy), float(dx)) for dy, dx in self._shifts}
        return sum(map(noise_left, shifts)) / len(shifts)

    def _inner(self, windows: Tensor) -> Tensor:
        inner = slice(_CONTEXT, _CONTEXT + self._side)
        return windows[..., inner, inner]


class _HeldOut(NamedTuple):
    """Held-out tiles of the second exposures, and where they are in the first.

    Attributes
    ----------
    corners : list of (pair, y, x)
        Upper left corners in the second exposure.
    apart : (n, 2) array of int
        Position of the same scene in the first exposure, relative to that in the second, pixels.
    shifts : (n, 2) float32 array
        Remaining shift of the second exposure against the first, less than a pixel.
    """

    corners: list[tuple[int, int, int]]
    apart: NDArray[np.int_]
    shifts: NDArray[np.float32]

    @classmethod
    def of(cls, pairs: TrainingPairs, shift: tuple[float, float]) -> _HeldOut:
        """Return the tiles; an affine map is nearly a shift within each of them."""
        corners = np.array(pairs.tiles)[:, 1:]
        if pairs.view_map is None:
            shifts = np.full(corners.shape, shift, np.float32)
            return cls(pairs.tiles, np.zeros(corners.shape, int), shifts)
        centres = corners + (pairs.side - 1) / 2
        apart = np.rint(pairs.view_map.inverse.displacement(centres)).astype(int)
        shifts = (pairs.view_map.points(centres + apart) - centres).astype(np.float32)
        last = np.array(pairs.exposures.shape[-2:]) - pairs.side
        there = ((corners + apart >= 0) & (corners + apart <= last)).all(axis=1)
        there |= not there.any()  # in a tiny image
        known = [tile for tile, seen in zip(pairs.tiles, there, strict=True) if seen]
        return cls(known, apart[there], shifts[there])


def _windows(pairs: TrainingPairs, tiles: _HeldOut, window: int) -> NDArray[np.float32]:
    """Return the tiles and their surroundings; the image is reflected at its border."""
    shape = pairs.exposures.shape[-2:]
    found = []
    for (pair, *corner), apart in zip(tiles.corners, tiles.apart, strict=True):
        both = []
        for exposure, by in enumerate((apart, (0, 0))):
            rows, columns = (
                _reflected(np.arange(start - _CONTEXT, start - _CONTEXT + window), length)
                for start, length in zip(np.add(corner, by), shape, strict=True)
            )
            both.append(pairs.exposures[pair, exposure][rows[:, None], columns])
        found.append(both)
    return np.array(found)


def _reflected(index: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    """Return indices into a mirror-symmetric continuation of an axis."""
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)
