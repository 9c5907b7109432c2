"""Normalise frames for the network, and convert its output back to intensities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.valid_pixels import ValidPixels, standardise, valid_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


__all__ = [
    "Level",
    "Normalisation",
    "NormalisedFrames",
    "brightness_levels",
    "differ_in_brightness",
    "nearest_level",
]

_CONTRAST = 3.0  # ratio above which each frame is normalised separately
_BRIGHTNESS = 4.0  # difference of means, in standard deviations within a frame, likewise
_GAP = 1.5  # ratio of contrast between levels
_MOST_LEVELS = 8


class Level(NamedTuple):
    """Frames of about the same contrast: a channel, or all frames of a movie.

    Attributes
    ----------
    contrast : float
        Standard deviation of a frame of the first exposure.
    gain, offset : float
        Of the second exposure against the first.
    """

    contrast: float
    gain: float
    offset: float


def differ_in_brightness(means: NDArray[np.float64], deviations: NDArray[np.float64]) -> bool:
    """Return whether frames differ so much that a common normalisation would lose the dim ones.

    Parameters
    ----------
    means, deviations : (P,) arrays
        Mean and standard deviation of each frame.
    """
    return bool(
        deviations.max() > _CONTRAST * deviations.min()
        or np.ptp(means) > _BRIGHTNESS * np.median(deviations)
    )


def brightness_levels(deviations: NDArray[np.float64]) -> NDArray[np.int_]:
    """Group frames into brightness levels, separated by gaps in their contrast.

    Each channel is a level.  A movie that bleaches gradually is a single level.

    Parameters
    ----------
    deviations : (P,) array
        Standard deviation of each frame.

    Returns
    -------
    (P,) array of int
        The level of each frame, 0 for the faintest.

    Examples
    --------
    >>> import numpy as np
    >>> brightness_levels(np.array([90.0, 8.0, 100.0, 9.0])).tolist()
    [1, 0, 1, 0]
    """
    order = np.argsort(deviations)
    steps = np.diff(np.log(deviations[order]))
    largest = np.argsort(steps)[::-1][: _MOST_LEVELS - 1]
    rises = np.zeros(len(deviations), int)
    rises[1:][[k for k in largest if steps[k] > math.log(_GAP)]] = 1
    levels = np.empty(len(deviations), int)
    levels[order] = np.cumsum(rises)
    return levels


def nearest_level(levels: Sequence[Level], contrast: float, of_second: bool = False) -> Level:
    """Return the level of the most similar contrast.

    Parameters
    ----------
    levels : sequence of Level
    contrast : float
        Standard deviation of a frame.
    of_second : bool
        Whether the frame belongs to the second exposure.
    """
    known = [level.contrast * (level.gain if of_second else 1.0) for level in levels]
    apart = np.abs(np.log(np.maximum(contrast, np.finfo(float).tiny) / np.abs(known)))
    return levels[int(apart.argmin())]


class Normalisation(Protocol):
    """The fields of a `Noise2NoiseModel` that normalise its input and output.

    A protocol, because the model imports this module.
    """

    @property
    def offset(self) -> float: ...  # noqa: D102
    @property
    def scale(self) -> float: ...  # noqa: D102
    @property
    def match(self) -> GainMatch: ...  # noqa: D102
    @property
    def levels(self) -> tuple[Level, ...]: ...  # noqa: D102
    @property
    def value_range(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def normalise(self) -> bool: ...  # noqa: D102
    @property
    def outliers(self) -> Literal["remove", "keep"]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class NormalisedFrames:
    """One frame, or the two frames of a pair, normalised for the network.

    Attributes
    ----------
    inputs : tuple of (y, x) float32 arrays
        Input of the network: cropped to the image area, outliers replaced, the second in the
        units of the first.
    valid : ValidPixels
        The frames in their original units.
    model : Normalisation
    given : tuple of (Y, X) arrays
        The original frames, the second in the units of the first.
    offset, scale : float
        Normalisation of this frame.
    """

    inputs: tuple[NDArray[np.float32], ...]
    valid: ValidPixels
    model: Normalisation
    given: tuple[NDArray[Any], ...]
    offset: float
    scale: float

    @classmethod
    def of(
        cls,
        model: Normalisation,
        *frames: NDArray[Any],
        area: tuple[slice, slice] | None = None,
    ) -> NormalisedFrames:
        """Normalise one frame, or the two of a pair.

        Parameters
        ----------
        model : Normalisation
        *frames : (Y, X) arrays
        area : (slice, slice), optional
            Rows and columns to crop to; by default the image area.
        """
        valid = valid_pixels(*frames, area=area)
        offset, scale, match = model.offset, model.scale, model.match
        if model.levels:
            parts = [standardise(frame) for frame in valid.frames]
            first, second = parts[0], parts[-1]
            # Each frame has its own mean and contrast; only the gain comes from the training
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
            units = [valid.frames[0], *map(match.to_first, valid.frames[1:])]
            inputs = [_normalised(frame, offset, scale) for frame in units]
        given = (frames[0], *map(match.to_first, frames[1:]))
        return cls(tuple(inputs), valid, model, given, offset, scale)

    def normalised_alike(self, others: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float32], ...]:
        """Return the network's input for a neighbour of this frame, cropped alike."""
        return NormalisedFrames.of(self.model, *others, area=self.valid.area).inputs

    def units(self, slope_intercept: tuple[float, float]) -> tuple[float, float]:
        """Return slope and intercept from an output of the network to the units of the result."""
        slope, intercept = slope_intercept
        slope, intercept = slope * self.scale, intercept * self.scale + self.offset
        if self.model.normalise:
            unit, zero = self._normal
            slope, intercept = slope * unit, intercept * unit + zero
        return slope, intercept

    def image(
        self, output: NDArray[np.float32], slope_intercept: tuple[float, float]
    ) -> NDArray[np.float32]:
        """Convert an output of the network to the resulting image.

        Parameters
        ----------
        output : (y, x) float32 array
        slope_intercept : (float, float)
        """
        slope, intercept = self.units(slope_intercept)
        with np.errstate(over="ignore", invalid="ignore"):
            inside = output * np.float32(slope) + np.float32(intercept)
            if self.model.outliers == "keep":
                for given, outliers in zip(self.given, self.valid.outliers, strict=True):
                    inside[outliers] = self._as_result(given[self.valid.area][outliers])
            if inside.shape == self.given[0].shape:
                return inside
            whole = self._as_result(self.given[0])
        whole[self.valid.area] = inside
        return whole

    def unchanged(self) -> NDArray[np.float32]:
        """Return the first frame without denoising, in the units of the result."""
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
    with np.errstate(over="ignore"):  # far from the training images; the model warns
        return ((frame.astype(np.float64) - offset) / scale).astype(np.float32)
