"""Where two exposures agree best: the shift between them, if any, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frame = NDArray[np.float32]
    Blocks = NDArray[np.float64]

__all__ = ["Agreement", "agreement", "aligned", "block_sums", "cells", "in_errors"]

_BLOCKS = 16  # along each side: their scatter is the error of every statistic
_SURE = 5.0  # standard errors
_SURE_ANYWHERE = 6.5  # the same where a million lags were tried
_STRONGER = 1.2  # times: contrast reversed, and no lattice beside itself
_REACH = 0.25  # of the frame: the largest shift that is looked for
_BACKGROUND = 2.0  # periods per frame: all that is slower is background
_SMOOTH = 1.0  # pixels
_BORDER = 8  # pixels mirrored, and cut off, where a fraction of a pixel is shifted
_LEAST_FRACTION = 0.05  # pixels
_CELL = 4  # pixels: side of the cells in whose means structure is looked for
_LEAST_SHIFT = 0.3  # pixels: less does no harm worth a warning
_LEAST_FIELD = 16  # pixels: the least side of the field that both show


@dataclass(frozen=True)
class Agreement:
    """Where the two agree best.

    `found` is None where they agree nowhere.  `off` says that it is surely not where it was
    said to be.
    """

    found: tuple[float, float] | None
    off: bool = False
    reversed: bool = False


def agreement(one: Frame, two: Frame, said: tuple[float, float], refine: bool = True) -> Agreement:
    """Find where two frames agree best."""
    here = (round(said[0]), round(said[1]))
    pair = aligned(one, two, here)
    if min(pair[0].shape) < _LEAST_FIELD:
        return Agreement(said)
    correlation = _Correlation.of(*pair)
    if correlation.scatter == 0:
        return Agreement(None)
    agreed, most = float(correlation.values[0, 0]), float(correlation.values.max())
    surely = max(abs(agreed) / correlation.scatter, abs(correlation.in_errors((0, 0))))
    if agreed < 0 and surely > _SURE and -agreed > _STRONGER * most:
        return Agreement(said, reversed=True)
    row, column = np.unravel_index(int(correlation.values.argmax()), pair[0].shape)
    best = (_signed(int(row), pair[0].shape[0]), _signed(int(column), pair[0].shape[1]))
    if not (agreed > 0 and surely > _SURE) and _coarse_agreement(*pair) < _SURE:
        anywhere = max(most / correlation.scatter, correlation.in_errors(best))
        if anywhere < _SURE_ANYWHERE:
            return Agreement(None)
    if best != (0, 0):
        if most - agreed > _SURE_ANYWHERE * correlation.error_between(best, (0, 0)):
            found = (float(here[0] + best[0]), float(here[1] + best[1]))
            # Cut to the common field, so that the taper lies on the same part of both
            again = agreement(one, two, found, refine=False) if refine else Agreement(found)
            return Agreement(again.found or found, off=True)
    peak = correlation.peak((0, 0))
    if peak is None:
        return Agreement(said)
    found = (here[0] + peak.dy, here[1] + peak.dx)
    distance = math.hypot(found[0] - said[0], found[1] - said[1])
    if refine and distance < _SURE * peak.error:
        return Agreement(said)
    return Agreement(found, off=distance > _LEAST_SHIFT)


def aligned(one: Frame, two: Frame, shift: tuple[float, float]) -> tuple[Frame, Frame]:
    """Cut both to the common field; the rest of a pixel by Fourier, which keeps noise white."""
    whole = [round(axis) for axis in shift]
    for axis, by in enumerate(whole):
        n = one.shape[axis] - abs(by)
        one = np.take(one, range(max(-by, 0), max(-by, 0) + n), axis)
        two = np.take(two, range(max(by, 0), max(by, 0) + n), axis)
    rest = [axis - by for axis, by in zip(shift, whole, strict=True)]
    if math.hypot(*rest) > _LEAST_FRACTION:
        from scipy.ndimage import fourier_shift

        mirrored = np.pad(two, _BORDER, mode="symmetric")
        moved = np.fft.ifft2(fourier_shift(np.fft.fft2(mirrored), [-axis for axis in rest])).real
        two = moved[2 * _BORDER : -2 * _BORDER, 2 * _BORDER : -2 * _BORDER].astype(np.float32)
        one = one[_BORDER:-_BORDER, _BORDER:-_BORDER]
    return one, two


@dataclass(frozen=True)
class _Peak:
    """Top of the correlation, to a fraction of a pixel, and its error."""

    dy: float
    dx: float
    error: float


@dataclass(frozen=True)
class _Correlation:
    """The cross-correlation of two frames, tapered and without smooth background.

    `scatter` is what it has by chance, or a lattice beside its peak.
    """

    values: Frame
    scatter: float
    spectra: tuple[NDArray[Any], NDArray[Any]]
    filtered: tuple[Frame, Frame]

    @classmethod
    def of(cls, one: Frame, two: Frame) -> _Correlation:
        from scipy.fft import irfft2, rfft2

        shape = one.shape
        taper = np.outer(np.hanning(shape[0]), np.hanning(shape[1])).astype(np.float32)
        passed = _band_pass(shape)
        a, b = (rfft2(frame * taper) * passed for frame in (one, two))
        values = irfft2(a.conj() * b, s=shape)
        near = np.logical_and.outer(*(np.abs(np.fft.fftfreq(n)) <= _REACH for n in shape))
        scatter = 1.4826 * float(np.median(np.abs(values[near])))  # the peak does not count
        values[~near] = 0  # farther shifts leave too little in common
        return cls(values, scatter, (a, b), (irfft2(a, s=shape), irfft2(b, s=shape)))

    def in_errors(self, lag: tuple[int, int]) -> float:
        """Return the correlation at a lag, in the standard errors that blocks tell."""
        one, two = self.filtered
        return in_errors(block_sums(one * np.roll(two, (-lag[0], -lag[1]), (0, 1)), _BLOCKS))

    def _noise(self, at: tuple[float, float]) -> NDArray[Any]:
        """Return what the noise does to it, mode by mode: what differs once they are aligned."""
        a, b = self.spectra
        rows, columns = _wave_numbers(self.values.shape)
        power = np.abs(a) ** 2
        gain = math.sqrt(float((np.abs(b) ** 2).sum() / power.sum()))
        aligned = b * np.exp(1j * (rows * at[0] + columns * at[1]))
        difference = np.abs(aligned - gain * a) ** 2
        noise: NDArray[Any] = (
            power * difference * _multiplicity(self.values.shape) / self.values.size**2
        )
        return noise

    def error_between(self, best: tuple[int, int], other: tuple[int, int]) -> float:
        """Return the standard error of the difference between two lags."""
        top = self._top(best)
        rows, columns = _wave_numbers(self.values.shape)
        moved = rows * (best[0] - other[0]) + columns * (best[1] - other[1])
        return math.sqrt(float((self._noise(top or best) * (2 - 2 * np.cos(moved))).sum()))

    def _curvature(self, at: tuple[int, int]) -> list[tuple[float, float]]:
        """Return slope and curvature along both axes."""
        found = []
        for step in ((1, 0), (0, 1)):
            before, middle, after = (
                float(self.values[at[0] + n * step[0], at[1] + n * step[1]]) for n in (-1, 0, 1)
            )
            found.append(((after - before) / 2, 2 * middle - before - after))
        return found

    def _top(self, at: tuple[int, int]) -> tuple[float, float] | None:
        """Return the top near a lag; None where there is none within a pixel."""
        along = self._curvature(at)
        if any(curvature <= 0 or abs(slope) > curvature for slope, curvature in along):
            return None
        (dy, cy), (dx, cx) = along
        return at[0] + dy / cy, at[1] + dx / cx

    def peak(self, at: tuple[int, int]) -> _Peak | None:
        """Return the top near a lag, with its error."""
        top = self._top(at)
        if top is None:
            return None
        noise, waves = self._noise(top), _wave_numbers(self.values.shape)
        errors = [
            math.sqrt(float((noise * np.sin(wave) ** 2).sum())) / curvature
            for wave, (_, curvature) in zip(waves, self._curvature(at), strict=True)
        ]
        return _Peak(*top, math.hypot(*errors))


def _wave_numbers(shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return radians per pixel along both axes of a half spectrum."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    return 2 * np.pi * rows, 2 * np.pi * columns


def _multiplicity(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return how often each column of a half spectrum is in the whole one."""
    twice = np.full(shape[1] // 2 + 1, 2.0)
    twice[0] = 1
    if shape[1] % 2 == 0:
        twice[-1] = 1
    return twice


def _coarse_agreement(one: Frame, two: Frame) -> float:
    """Return the correlation of all that is coarse, in its standard error under white noise."""
    means = [cells(frame, 2 * _CELL) for frame in (one, two)]
    a, b = (mean - mean.mean() for mean in means)
    power = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / math.sqrt(power) * math.sqrt(a.size) if power else 0.0


def cells(frame: Frame, side: int) -> NDArray[np.float64]:
    """Return the means over cells of a frame."""
    rows, columns = (length // side for length in frame.shape)
    cut = frame[: rows * side, : columns * side].reshape(rows, side, columns, side)
    means: NDArray[np.float64] = cut.mean(axis=(1, 3), dtype=np.float64)
    return means


def block_sums(image: NDArray[Any], n: int) -> Blocks:
    """Sum over n by n blocks of an image."""
    sums: Any = image
    for axis in (1, 0):  # rows are contiguous: along them first
        length = image.shape[axis]
        sums = np.add.reduceat(sums, np.arange(n) * length // n, axis=axis, dtype=np.float64)
    blocks: Blocks = sums.ravel()
    return blocks


def _band_pass(shape: tuple[int, ...]) -> Frame:
    """Return the transfer that takes off a smooth background, and some of the noise."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    background = np.exp(-0.5 * (frequency * min(shape) / _BACKGROUND) ** 2)
    passed: Frame = ((1 - background) * np.exp(-2 * (np.pi * _SMOOTH * frequency) ** 2)).astype(
        np.float32
    )
    return passed


def _signed(index: int, length: int) -> int:
    """Return the lag at an index of a circular correlation."""
    return index - length if index > length // 2 else index


def in_errors(blocks: Blocks) -> float:
    """Return the mean of the blocks in its standard errors."""
    deviation = float(blocks.std(ddof=1))
    if deviation == 0:
        return 0.0
    return float(blocks.mean()) / deviation * math.sqrt(len(blocks))
