"""Evaluate a network on held-out tiles: loss, gain and calibration of the intensities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_lowdose.noise2noise.evaluation.calibration import calibrate
from napari_lowdose.noise2noise.evaluation.gain_interval import (
    error_difference,
    gain_interval,
    scene_spectrum,
)
from napari_lowdose.noise2noise.loss import pearson_loss
from napari_lowdose.noise2noise.network import size_multiple
from napari_lowdose.noise2noise.spline_shift import noise_left, spline_shift

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    tiles : tuple of two (n, side, side) float32 arrays
        Outputs for the first and the second exposure on the tiles, calibrated.
    """

    loss: float
    pair_calibration: tuple[float, float]
    single_calibration: tuple[float, float]
    value_range: tuple[float, float]
    gain: tuple[float, float] | None
    tiles: tuple[NDArray[np.float32], NDArray[np.float32]]


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
        self._tiles = _HeldOut.of(pairs, shift)
        self._window = _window(pairs.side, config)
        self.of_pair = np.array([pair for pair, _, _ in self._tiles.corners], int)
        level = pairs.level[self.of_pair]
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
        # (n, 2, F, window, window): the frames around a pair are channels of the input
        channels = [
            self._cut({pair: pairs.exposures[k] for pair, k in enumerate(of_channel)})
            for of_channel in pairs.around.T
        ]
        self._windows = torch.from_numpy(np.stack(channels, axis=2))
        self.n_pixels = self._windows[:, :, 0].numel()  # that `evaluate` applies the network to
        self._shifts = torch.from_numpy(self._tiles.shifts)
        self._shifted = bool(self._tiles.shifts.any())
        middle = pairs.around.shape[1] // 2
        first, second = torch.split(self._windows[:, :, middle], 1, dim=1)
        self._first, self._second = self._inner(self._moved(first)), self._inner(second)

    def evaluate(self, predictor: Predictor) -> Evaluation:
        """Evaluate a network; takes about as long as denoising a 512 x 512 frame."""
        r1, r2 = (
            torch.cat(
                [predictor.forward(batch).cpu() for batch in torch.split(windows, _BATCH_SIZE)]
            )
            for windows in self._windows.to(predictor.device).unbind(1)
        )
        # With a subpixel shift, outputs and exposures are compared on the grid of the second
        r1, r2 = self._inner(self._moved(r1)), self._inner(r2)
        loss = pearson_loss(torch.cat([r1, r2]), torch.cat([self._second, self._first]))
        tiles = [each[:, 0].numpy() for each in (r1, r2, self._first, self._second)]
        pair_calibration = calibrate(*tiles)
        single_calibration = calibrate(tiles[0], None, tiles[2], tiles[3])
        slope, intercept = pair_calibration if self._use == "both" else single_calibration
        mean = slope * (tiles[0] + tiles[1]) / 2 + intercept
        of_first, of_second = (
            np.float32(slope) * each + np.float32(intercept) for each in tiles[:2]
        )
        return Evaluation(
            loss=float(loss),
            pair_calibration=pair_calibration,
            single_calibration=single_calibration,
            value_range=(float(mean.min()), float(mean.max())),
            gain=self.gain(of_first, of_second),
            tiles=(of_first, of_second),
        )

    def tiles_of(
        self, results: Mapping[int, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the results of another method on the tiles.

        Parameters
        ----------
        results : mapping of (2, Y, X) float32 arrays
            Its results for both exposures, normalised, by the number of the pair.

        Returns
        -------
        tuple of two (n, side, side) float32 arrays
            NaN on the tiles of other pairs.
        """
        windows = torch.from_numpy(self._cut(results))
        first, second = torch.split(windows, 1, dim=1)
        r1, r2 = self._inner(self._moved(first)), self._inner(second)
        return r1[:, 0].numpy(), r2[:, 0].numpy()

    def gain(
        self,
        r1: NDArray[np.float32],
        r2: NDArray[np.float32],
        chosen: NDArray[np.bool_] | None = None,
    ) -> tuple[float, float] | None:
        """Return the confidence interval of the level (channel) with the lowest gain.

        Parameters
        ----------
        r1, r2 : (n, side, side) float32 arrays
            Results for the first and the second exposure on the tiles.
        chosen : (n,) bool array, optional
            The tiles to use; all by default.

        Returns
        -------
        (float, float) or None
            dB; None if it is unknown.
        """
        first, second = self._first[:, 0].numpy(), self._second[:, 0].numpy()
        use_all = np.ones(len(first), bool) if chosen is None else chosen
        intervals = [
            gain_interval(
                r1[these], r2[these], first[these], second[these], spectrum, use=self._use
            )
            for of_level, spectrum in self._levels
            if (these := of_level & use_all).any()
        ]
        known = [interval for interval in intervals if interval.known]
        if not known:
            return None
        worst = min(known, key=lambda interval: interval.low)
        if self._shifted:
            worst = worst.over_unshifted(self._noise_left)
        return worst.low, worst.high

    def difference(
        self,
        ours: tuple[NDArray[np.float32], NDArray[np.float32]],
        others: tuple[NDArray[np.float32], NDArray[np.float32]],
        chosen: NDArray[np.bool_],
    ) -> float:
        """Compare two methods on chosen tiles; see `error_difference`.

        Parameters
        ----------
        ours, others : tuple of two (n, side, side) float32 arrays
            Results of each for the first and the second exposure on the tiles.
        chosen : (n,) bool array

        Returns
        -------
        float
            The mean over the levels.
        """
        first, second = self._first[:, 0].numpy(), self._second[:, 0].numpy()
        found = [
            error_difference(
                (ours[0][these], ours[1][these]),
                (others[0][these], others[1][these]),
                first[these], second[these], spectrum, use=self._use,
            )
            for of_level, spectrum in self._levels
            if (these := of_level & chosen).any()
        ]  # fmt: skip
        return sum(found) / len(found)

    def _cut(self, images: Mapping[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the tiles with their surroundings, (n, 2, window, window)."""
        found = []
        for (pair, y, x), (dy, dx) in zip(self._tiles.corners, self._tiles.apart, strict=True):
            if pair in images:
                one, other = images[pair]
                windows = [
                    _window_at(one, y + dy, x + dx, self._window),
                    _window_at(other, y, x, self._window),
                ]
            else:
                windows = [np.full((self._window, self._window), np.nan, np.float32)] * 2
            found.append(np.stack(windows))
        return np.stack(found)

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


def _window(side: int, config: UNetConfig) -> int:
    """Return the side of a tile with its surroundings, a size that the network accepts."""
    multiple = size_multiple(config)
    return -(-(side + 2 * _CONTEXT) // multiple) * multiple


def _window_at(image: NDArray[np.float32], y: int, x: int, window: int) -> NDArray[np.float32]:
    """Return a tile and its surroundings; the image is reflected at its border."""
    rows, columns = (
        _reflected(np.arange(start - _CONTEXT, start - _CONTEXT + window), length)
        for start, length in zip((y, x), image.shape, strict=True)
    )
    return image[rows[:, None], columns]


def _reflected(index: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    """Return indices into a mirror-symmetric continuation of an axis."""
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)
