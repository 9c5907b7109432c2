"""A frame, or a pair, as the network takes it, and its output back as the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.noise2noise.brightness_levels import nearest_level
from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.sound_pixels import SoundPixels, sound_pixels
from napari_lowdose.noise2noise.standardised import standardised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.model import Noise2NoiseModel

__all__ = ["NormalisedFrames"]


@dataclass(frozen=True, eq=False)
class NormalisedFrames:
    """One frame, or the two of a pair, normalised as the network was trained.

    Attributes
    ----------
    inputs : tuple of (y, x) float32 arrays
        For the network: cut to the image area, outliers replaced, the second in the units of
        the first.
    sound : SoundPixels
    model : Noise2NoiseModel
    given : tuple of (Y, X) arrays
        The frames as they came, the second in the units of the first.
    offset, scale : float
        Of this frame's normalisation.
    """

    inputs: tuple[NDArray[np.float32], ...]
    sound: SoundPixels
    model: Noise2NoiseModel
    given: tuple[NDArray[Any], ...]
    offset: float
    scale: float

    @classmethod
    def of(cls, model: Noise2NoiseModel, *frames: NDArray[Any]) -> NormalisedFrames:
        """Normalise one frame, or the two of a pair.

        Parameters
        ----------
        model : Noise2NoiseModel
        *frames : (Y, X) arrays
        """
        sound = sound_pixels(*frames)
        offset, scale, match = model.offset, model.scale, model.match
        if model.levels:
            parts = [standardised(frame) for frame in sound.frames]
            first, second = parts[0], parts[-1]
            if first.deviation:
                level = nearest_level(model.levels, first.deviation)
                offset, scale = first.mean, first.deviation
            else:  # the shutter was closed
                level = nearest_level(model.levels, second.deviation, of_second=True)
                offset = (second.mean - level.offset) / level.gain
                scale = second.deviation / level.gain or model.scale
            match = GainMatch(level.gain, level.offset)
            inputs = [first.image]
            if len(parts) == 2:
                inputs.append(second.image * np.float32(second.deviation / (level.gain * scale)))
        else:
            units = [sound.frames[0], *map(match.to_first, sound.frames[1:])]
            inputs = [_normalised(frame, offset, scale) for frame in units]
        given = (frames[0], *map(match.to_first, frames[1:]))
        return cls(tuple(inputs), sound, model, given, offset, scale)

    def units(self, slope_intercept: tuple[float, float]) -> tuple[float, float]:
        """Return slope and intercept that bring an output to what the person gets."""
        slope, intercept = slope_intercept
        slope, intercept = slope * self.scale, intercept * self.scale + self.offset
        if self.model.normalise:
            unit, zero = self._normal
            slope, intercept = slope * unit, intercept * unit + zero
        return slope, intercept

    def image(
        self, output: NDArray[np.float32], slope_intercept: tuple[float, float]
    ) -> NDArray[np.float32]:
        """Return the image that an output of the network is.

        Parameters
        ----------
        output : (y, x) float32 array
        slope_intercept : (float, float)
        """
        slope, intercept = self.units(slope_intercept)
        with np.errstate(over="ignore", invalid="ignore"):
            inside = output * np.float32(slope) + np.float32(intercept)
            if self.model.outliers == "keep":
                for given, outliers in zip(self.given, self.sound.outliers, strict=True):
                    inside[outliers] = self._as_result(given[self.sound.area][outliers])
            if inside.shape == self.given[0].shape:
                return inside
            whole = self._as_result(self.given[0])
        whole[self.sound.area] = inside
        return whole

    def unchanged(self) -> NDArray[np.float32]:
        """Return the frame as it is, in the units of a result."""
        return self._as_result(self.given[0])

    @property
    def _normal(self) -> tuple[float, float]:
        """Slope and intercept from intensities to the paper's normalised result."""
        model = self.model
        low, high = ((limit - model.offset) / model.scale for limit in model.value_range)
        width = (high - low) or 1.0
        unit = 1 / (self.scale * width)
        return unit, -(low + self.offset / self.scale) / width

    def _as_result(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return pixels of the input in the units of the result."""
        if not self.model.normalise:
            return pixels.astype(np.float32)
        unit, zero = self._normal
        return (pixels.astype(np.float64) * unit + zero).astype(np.float32)


def _normalised(frame: NDArray[Any], offset: float, scale: float) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # so far from those of the training: it is warned of
        return ((frame.astype(np.float64) - offset) / scale).astype(np.float32)
