"""What the held-out tiles say of a network: its loss, its gain, its intensities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_lowdose.noise2noise.evaluation.calibration import restore
from napari_lowdose.noise2noise.evaluation.gain_interval import gain_interval
from napari_lowdose.noise2noise.loss import pearson_loss
from napari_lowdose.noise2noise.network import period
from napari_lowdose.noise2noise.spline_shift import spline_shift

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_lowdose.noise2noise.config import Preset
    from napari_lowdose.noise2noise.prediction import Predictor
    from napari_lowdose.noise2noise.training_data import TrainingPairs

_CONTEXT = 24  # pixels around a tile that the network sees as well
_AT_ONCE = 32  # windows in a batch


@dataclass(frozen=True)
class Verdict:
    """What the held-out tiles say.

    Attributes
    ----------
    loss : float
        1 - Pearson correlation, Eq. (4), of both directions.
    both, one : (slope, intercept)
        That bring the mean of both outputs, or a single output, to normalised intensities.
    value_range : (float, float)
        Least and greatest normalised intensity of the result there.
    gain : (float, float) or None
        95 % interval of the gain, dB; of frames that differ much in brightness, of the channel
        that gains least.
    """

    loss: float
    both: tuple[float, float]
    one: tuple[float, float]
    value_range: tuple[float, float]
    gain: tuple[float, float] | None


class Validation:
    """The held-out tiles with their surroundings.

    Parameters
    ----------
    pairs : TrainingPairs
    preset : Preset
    shift : (float, float)
        Of second against first, pixels.
    use : "both" or "first"
        Whose gain is wanted.
    """

    def __init__(
        self,
        pairs: TrainingPairs,
        preset: Preset,
        shift: tuple[float, float],
        use: Literal["both", "first"],
    ) -> None:
        self._use = use
        self._side = pairs.side
        level = pairs.level[[pair for pair, _, _ in pairs.tiles]]
        self._levels = [(level == each, spectrum) for each, spectrum in enumerate(pairs.spectra)]
        wanted = pairs.side + 2 * _CONTEXT
        window = -(-wanted // period(preset)) * period(preset)
        self._windows = torch.from_numpy(_windows(pairs, window))  # (n, 2, window, window)
        self._shift = torch.tensor([shift], dtype=torch.float32)
        self._shifted = any(shift)
        first, second = torch.split(self._windows, 1, dim=1)
        self._first, self._second = self._inner(self._moved(first)), self._inner(second)

    def judge(self, predictor: Predictor) -> Verdict:
        """Return what the held-out tiles say of a network; costs about one 512 x 512 frame."""
        r1, r2 = (
            torch.cat([predictor.forward(batch).cpu() for batch in torch.split(windows, _AT_ONCE)])
            for windows in torch.split(self._windows.to(predictor.device), 1, dim=1)
        )
        # A fraction of a pixel between the exposures: all is compared where the second lies
        r1, r2 = self._inner(self._moved(r1)), self._inner(r2)
        loss = pearson_loss(torch.cat([r1, r2]), torch.cat([self._second, self._first]))
        tiles = [each[:, 0].numpy() for each in (r1, r2, self._first, self._second)]
        both = restore(*tiles)
        one = restore(tiles[0], None, tiles[2], tiles[3])
        slope, intercept = both if self._use == "both" else one
        mean = slope * (tiles[0] + tiles[1]) / 2 + intercept
        return Verdict(
            loss=float(loss),
            both=both,
            one=one,
            value_range=(float(mean.min()), float(mean.max())),
            gain=self._gain((slope, intercept), *tiles),
        )

    def _gain(
        self, intensities: tuple[float, float], *tiles: NDArray[np.float32]
    ) -> tuple[float, float] | None:
        """Return the gain of the level, or channel, that gains least."""
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
        # Shifted, the first has less noise than it had: the gain counts from what it had.
        more = 10 * math.log10(2 / (1 + self._noise_left())) if self._shifted else 0.0
        return worst.low + more, worst.high + more

    def _noise_left(self) -> float:
        """Return what the shift leaves of the variance of white noise."""
        impulse = torch.zeros(1, 1, 33, 33)
        impulse[0, 0, 16, 16] = 1
        return float((spline_shift(impulse, self._shift) ** 2).sum())

    def _moved(self, images: Tensor) -> Tensor:
        if not self._shifted:
            return images
        return spline_shift(images, self._shift.expand(len(images), 2))

    def _inner(self, windows: Tensor) -> Tensor:
        inner = slice(_CONTEXT, _CONTEXT + self._side)
        return windows[..., inner, inner]


def _windows(pairs: TrainingPairs, window: int) -> NDArray[np.float32]:
    """Cut the tiles with their surroundings; beyond the border the image is reflected."""
    height, width = pairs.exposures.shape[-2:]
    found = []
    for pair, y, x in pairs.tiles:
        rows, columns = (
            _reflected(np.arange(start - _CONTEXT, start - _CONTEXT + window), length)
            for start, length in ((y, height), (x, width))
        )
        found.append(pairs.exposures[pair][:, rows[:, None], columns])
    return np.stack(found)


def _reflected(index: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    """Return indices into a mirror-symmetric continuation of an axis."""
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)
