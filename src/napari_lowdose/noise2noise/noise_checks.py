"""Checks of the noise of a pair: two aligned exposures must differ in independent noise only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_lowdose.noise2noise.gain_matching import match_gain
from napari_lowdose.pairs.agreement import derived_exposure
from napari_lowdose.pairs.block_statistics import block_means, block_sums, z_score
from napari_lowdose.pairs.fixed_pattern import covariance_spike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Frame = NDArray[np.float32]

__all__ = ["PairNote", "check_noise"]

_BLOCKS = 16  # along each side; the scatter of the blocks gives the standard errors
_SIGNIFICANT = 5.0  # standard errors
_MIN_REGION = 24  # minimum side of a region that may have moved by itself, pixels
_SLOPE_SMOOTHING = 1.5  # standard deviation of the smoothing before slopes are taken, pixels
_ABOVE_CHANCE = 4.0  # ratio of a slope's power in the difference to that expected by chance
_SIGNIFICANT_LINES = 8.0  # standard errors; lines that hold the same object are not independent
_CELL = 4  # side of the cells whose means are searched for structure, pixels
_MIN_SHIFT = 0.3  # smaller shifts do no harm, pixels
_MIN_LINE_SHIFT = 0.4  # the same for lines, pixels (root mean square)
_CORRELATED = 0.12  # minimum correlation of neighbours in the difference that is reported
_COMMON_NOTE, _COMMON_WARN = 0.05, 0.25  # common noise, as a fraction of the noise variance
# Kinds of notes that contradict what the estimate of the gain assumes: independent noise on an
# unchanged scene.
_DOUBTS = {
    "shift": "the second exposure is shifted against the first",
    "drift": "the second exposure has drifted since the map between the two was measured",
    "scan drift": "the scene drifted within the scan",
    "distorted": "the second exposure is rotated or magnified",
    "moved": "the two exposures differ by more than noise",
    "reversed": "the contrast of the second exposure is reversed",
    "smooth": "one exposure seems to be denoised or averaged",
    "common noise": "the two exposures share noise or a pattern",
    "correlated noise": "the noise is correlated between pixels",
    "lines": "the lines of the scan are displaced",
}
# Common noise, as a fraction of the scene's variance.  Below it, exposures almost without noise
# share fine detail of the scene.
_COMMON_TO_SCENE = 0.03
_MOVED = 0.15  # correlation of the cells of the difference
_UNEQUAL = 2.0  # ratio of the brightness, or of the noise variance, that is reported
_COSTS_QUALITY = ("correlated noise", "pixels", "gain", "noise", "fraction")
_DENOISED = 100.0  # ratio of the noise variance above which one exposure is not raw


@dataclass(frozen=True)
class PairNote:
    """Result of a check of a pair.

    Attributes
    ----------
    level : {"refuse", "warn", "note"}
        "refuse" if training would be useless, "warn" if the result may be misleading, "note" for
        information.
    message : str
        One sentence for the user.
    kind : str
        "shape", "unusable", "same", "frames", "different", "turned", "reversed", "shift", "drift",
        "scan drift", "distorted", "moved", "lines", "dependent", "common noise",
        "correlated noise", "pixels", "gain", "noise" or "smooth".
    shift : (float, float), optional
        If registering helps: shift of the second exposure against the first, (dy, dx) in pixels.
    """

    level: Literal["refuse", "warn", "note"]
    message: str
    kind: str
    shift: tuple[float, float] | None = None

    @property
    def harm(self) -> int:
        """What the finding does to the result; the least number is the worst.

        0 prevents the training, 1 makes the result wrong, 2 costs quality, 3 is a remark.
        """
        if self.level == "refuse":
            return 0
        if self.kind in _COSTS_QUALITY:
            return 2
        return 1 if self.level == "warn" else 3

    @property
    def doubt(self) -> str:
        """Why the estimated gain of this pair cannot be trusted; empty if it can."""
        return _DOUBTS.get(self.kind, "")


def check_noise(first: Frame, second: Frame, contrast_ratio: float) -> Iterator[PairNote]:
    """Check that two aligned exposures differ in independent noise only.

    Parameters
    ----------
    first, second : (Y, X) float32 arrays
        Standardised exposures of the same field.
    contrast_ratio : float
        Standard deviation of the second exposure divided by that of the first, before they were
        standardised.

    Yields
    ------
    PairNote
    """
    match = match_gain(first, second)
    gain = match.gain * contrast_ratio
    if math.isfinite(match.error) and not 1 / _UNEQUAL <= gain <= _UNEQUAL:
        yield PairNote(
            "note",
            f"The second exposure is {gain:.2g} times as bright as the first. Their brightness "
            "is matched; the fainter one limits the result.",
            "gain",
        )
    second = match.to_first(second)
    difference = second - first
    difference -= difference.mean(dtype=np.float64)
    power = float(np.square(difference, dtype=np.float64).mean())
    if power == 0:
        return
    if made := derived_exposure(first, second):
        other = "first" if made == "second" else "second"
        yield PairNote(
            "refuse",
            f"The {made} exposure holds the noise of the {other}, like the mean or the sum of "
            "both: choose two independent exposures.",
            "dependent",
        )
        return
    share = _first_share(first, second)
    if not 1 / (1 + _UNEQUAL) <= share <= _UNEQUAL / (1 + _UNEQUAL):
        worse, better = ("first", "second") if share > 0.5 else ("second", "first")
        ratio = max(share, 1 - share) / max(min(share, 1 - share), 1e-3)
        if ratio > _DENOISED:
            yield PairNote(
                "warn",
                f"The {better} exposure has hardly any noise compared with the {worse}: it seems "
                "to be denoised or averaged. Choose two raw exposures.",
                "smooth",
            )
            return
        yield PairNote(
            "note",
            f"The {worse} exposure has {ratio:.2g} times the noise variance of the other: the mean "
            "of both results is hardly better than the better one.",
            "noise",
        )
    if _has_structure(difference) or _local_shift(first + second, difference) > _MIN_SHIFT:
        yield PairNote(
            "warn",
            "The two exposures differ by more than noise: the specimen or the illumination has "
            "changed, and the result will blur both states.",
            "moved",
        )
    elif lines := _displaced_lines(first + second, difference):
        name, rms = lines
        yield PairNote(
            "warn",
            f"The {name} of the two exposures are displaced against each other, by about {rms:.1f} "
            "px (root mean square), as by vibrations or drift during a scan: this will blur the "
            "result.",
            "lines",
        )
    else:
        # After a movement the difference shows the scene, whose neighbours are always correlated
        yield from _check_correlated(difference, power)
    yield from _check_common(first, second, power / 2)


def _first_share(first: Frame, second: Frame) -> float:
    """Return the first exposure's fraction of the noise variance, from the finest detail."""
    a, b = _second_difference(first), _second_difference(second)
    power = float(np.vdot(a - b, a - b))
    return min(max(float(np.vdot(a, a - b)) / power, 0.0), 1.0) if power else 0.5


def _second_difference(frame: Frame) -> Frame:
    """Return the differences of neighbours along both axes: mostly noise, of 4 times the variance.

    Any scene that is a sum of a function of y and a function of x cancels.
    """
    fine: Frame = frame[1:, 1:] - frame[1:, :-1] - frame[:-1, 1:] + frame[:-1, :-1]
    return fine


def _has_structure(difference: Frame) -> bool:
    """Return whether the difference has structure along both axes, unlike the rows of a scan."""
    means = block_means(difference, _CELL)
    power = float((means**2).mean())
    # Two cells apart: correlated noise may extend into the next cell
    along = [float((means[2:] * means[:-2]).mean()), float((means[:, 2:] * means[:, :-2]).mean())]
    return min(along) > max(_MOVED, _SIGNIFICANT / math.sqrt(means.size)) * power


def _local_shift(both: Frame, difference: Frame) -> float:
    """Return the root-mean-square shift of regions of the scene, pixels; 0 if insignificant.

    A region that moves leaves its slope times the shift in the difference.  The expected power of
    that product for noise alone is subtracted.  It is larger for correlated noise.
    """
    from scipy.ndimage import gaussian_filter

    n = min(_BLOCKS, min(both.shape) // _MIN_REGION)
    square = difference**2
    power = float(square.mean(dtype=np.float64))
    shared = 1.0
    for axis in (0, 1):
        for lag in (1, 2):
            common = float(_lagged_product(difference, lag, axis).mean(dtype=np.float64))
            shared *= 1 + 2 * max(0.0, common / power)
    found, by_chance, steepness = 0.0, 0.0, 0.0
    for order in ((1, 0), (0, 1)):
        slope = gaussian_filter(both / 2, _SLOPE_SMOOTHING, order=order)
        found += float((block_sums(slope * difference, n) ** 2).sum())
        by_chance += shared * float((slope**2 * square).sum(dtype=np.float64))
        steepness += float((block_sums(slope**2, n) ** 2).sum()) / 2
    return math.sqrt((found - by_chance) / steepness) if found > _ABOVE_CHANCE * by_chance else 0.0


def _displaced_lines(both: Frame, difference: Frame) -> tuple[str, float] | None:
    """Return which lines are displaced along themselves, and the root-mean-square shift in pixels.

    As `_local_shift`, with single lines as the regions: in larger ones their shifts cancel.
    """
    from scipy.ndimage import gaussian_filter

    square = difference**2
    power = float(square.mean(dtype=np.float64))
    for axis, name in ((1, "rows"), (0, "columns")):
        slope = gaussian_filter(both / 2, _SLOPE_SMOOTHING, order=(1 - axis, axis))
        slope -= slope.mean(axis=axis, keepdims=True)  # without offsets of whole lines
        shared = 1.0
        for lag in (1, 2):
            common = float(_lagged_product(difference, lag, axis).mean(dtype=np.float64))
            shared += 2 * max(0.0, common / power)
        steep = (slope**2).sum(axis=axis, dtype=np.float64)
        found = float(((slope * difference).sum(axis=axis, dtype=np.float64) ** 2).sum())
        by_chance = shared * float((slope**2 * square).sum(dtype=np.float64))
        # By chance it scatters like chi-square, with few degrees of freedom if few lines are steep
        n_lines = float(steep.sum() ** 2 / (steep**2).sum())
        above = 1 + max(1.0, _SIGNIFICANT_LINES * math.sqrt(2 / n_lines))
        if found > above * by_chance:
            rms = math.sqrt((found - by_chance) / float((steep**2).sum()))
            if rms > _MIN_LINE_SHIFT:
                return name, rms
    return None


def _check_correlated(difference: Frame, power: float) -> Iterator[PairNote]:
    """Check whether the noise of neighbouring pixels is correlated."""
    along = [
        float(_lagged_product(difference, 1, axis).mean(dtype=np.float64)) / power
        for axis in (0, 1)
    ]
    least = max(_CORRELATED, _SIGNIFICANT * 2 / math.sqrt(difference.size))
    if min(along) > least:
        yield PairNote(
            "warn",
            f"The noise of neighbouring pixels is correlated ({sum(along) / 2:.2f}): the images "
            "were interpolated or averaged, or the detector spreads its signal. The network may "
            "take such noise for detail; use raw images if possible.",
            "correlated noise",
        )
    elif max(along) > least:
        lines = "columns" if along[0] > along[1] else "rows"
        yield PairNote(
            "note",
            f"The noise of neighbouring pixels is correlated along the {lines} ({max(along):.2f}), "
            "as in a fast scan: some of it may remain in the result.",
            "correlated noise",
        )


def _lagged_product(frame: Frame, lag: int, axis: int) -> Frame:
    """Return the product of each pixel and the one `lag` pixels further along an axis."""
    if axis:
        frame = frame.T
    return frame[: len(frame) - lag] * frame[lag:]


def _check_common(first: Frame, second: Frame, noise: float) -> Iterator[PairNote]:
    """Check whether the two exposures share noise, or a fixed pattern of the sensor."""
    spike, covariance = covariance_spike(first[None], second[None], _BLOCKS)
    share = float(spike.sum()) / noise
    if z_score(spike) < _SIGNIFICANT or share < _COMMON_NOTE:
        return
    if share > _COMMON_WARN and spike.sum() > _COMMON_TO_SCENE * covariance.sum():
        yield PairNote(
            "warn",
            f"The two exposures share noise ({_percent(share)} of its variance), or detail of "
            "single pixels. Noise from a common exposure, or a fixed pattern of the sensor, will "
            "be taken for the scene and remain in the result.",
            "common noise",
        )
    else:
        yield PairNote(
            "note",
            f"The two exposures share a faint pattern of single pixels ({_percent(share)} of the "
            "noise variance), from the sensor or the scene: it will remain in the result.",
            "common noise",
        )


def _percent(share: float) -> str:
    return f"{min(share, 9.99):.0%}"
