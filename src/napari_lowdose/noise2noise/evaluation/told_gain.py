"""The gain as users are told it: for each channel, and with the reason if it cannot be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_lowdose.noise2noise.model import Noise2NoiseModel

__all__ = ["RESULT_BY", "ToldGain", "gain_record", "warn_of_no_gain"]

RESULT_BY = "result_by"  # in the record: name of the method of the result, if not the network


@dataclass(frozen=True)
class ToldGain:
    """Gain over one exposure, for the user.

    The interval is derived for independent noise on an unchanged scene.  Where the checks of the
    pair found something else, its width means nothing: the gain is then told as one number, with
    the reason.

    Attributes
    ----------
    channels : tuple of GainInterval
        One for each channel; a single one for a pair without channels.
    doubt : str
        Why the interval cannot be trusted, from the checks of the pair; empty if it can.
    by : tuple of str
        Name of the method that is better than the network of each channel; empty where none is.

    Examples
    --------
    >>> print(ToldGain((GainInterval(9.81, 10.63),)))
    9.8 to 10.6 dB
    >>> print(ToldGain((GainInterval(9.81, 10.63), GainInterval(14.0, 15.2))))
    channel 1: 9.8 to 10.6 dB, channel 2: 14.0 to 15.2 dB
    >>> print(ToldGain((GainInterval(8.2, 9.7),), "the noise is correlated"))
    about 9 dB; cannot be trusted: the noise is correlated
    """

    channels: tuple[GainInterval, ...]
    doubt: str = ""
    by: tuple[str, ...] = ()

    @property
    def least(self) -> GainInterval:
        """The interval of the channel that gains least, of those whose gain is known."""
        return min(self.channels, key=lambda each: (not each.known, each.low))

    @property
    def amount(self) -> str:
        """The gain without the doubt; empty if no gain is known."""
        if not any(each.known for each in self.channels):
            return ""
        each_told = [_about(each) if self.doubt else str(each) for each in self.channels]
        if len(each_told) == 1:
            return each_told[0]
        by = [f" by {name}" if name else "" for name in self.by or ("",) * len(each_told)]
        numbered = enumerate(zip(each_told, by, strict=True), start=1)
        return ", ".join(f"channel {n}: {told}{name}" for n, (told, name) in numbered)

    @property
    def reservation(self) -> str:
        """What follows the gain if it cannot be trusted; else empty."""
        return f"; cannot be trusted: {self.doubt}" if self.doubt else ""

    def __str__(self) -> str:
        """Format as '9.8 to 10.6 dB', or 'about 9 dB; cannot be trusted: ...'."""
        return f"{self.amount}{self.reservation}" if self.amount else "not known"

    def no_better_than(self, decibels: float) -> list[int]:
        """Return the numbers, from 1, of the channels that surely gain less than that."""
        return [
            n
            for n, each in enumerate(self.channels, start=1)
            if each.known and each.high < decibels
        ]

    def less(self, decibels: float) -> ToldGain:
        """Return the gain over something that is better than one exposure by `decibels`."""
        return replace(self, channels=tuple(each.plus(-decibels) for each in self.channels))

    def for_record(self) -> dict[str, Any]:
        """Return the JSON-ready entries of the record of a training.

        JSON has no infinity: None is an open end.
        """
        about: dict[str, Any] = {"gain_db": _json(self.least)}
        if len(self.channels) > 1:
            about["gain_db_of_channels"] = [_json(each) for each in self.channels]
        if any(self.by):
            about["gain_by"] = list(self.by)
        if self.doubt:
            about["gain_doubt"] = self.doubt
        return about

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> ToldGain | None:
        """Return the gain in the record of a training; None if it is not known."""
        if not (least := record.get("gain_db")):
            return None
        found = record.get("gain_db_of_channels") or [least]
        by = tuple(map(str, record.get("gain_by") or ()))
        return cls(tuple(map(_interval, found)), str(record.get("gain_doubt") or ""), by)


def gain_record(limits: Sequence[tuple[float, float] | None], doubt: str = "") -> dict[str, Any]:
    """Return the entries of the record of a training for the gain of each channel.

    Parameters
    ----------
    limits : sequence of (float, float) or None
        95 % confidence intervals, dB; None if a gain is unknown.
    doubt : str
        See `ToldGain`.
    """
    found = (GainInterval(*each) if each else GainInterval(-math.inf, math.inf) for each in limits)
    told = ToldGain(tuple(found), doubt)
    return told.for_record() if told.amount else {"gain_db": None}


def _about(gain: GainInterval) -> str:
    """Format without decimals: where the interval cannot be trusted, its width means nothing."""
    if not gain.known or math.isinf(gain.high):
        return str(gain)
    return f"about {(gain.low + gain.high) / 2:.0f} dB".replace("-0 ", "0 ")


def _json(gain: GainInterval) -> list[float | None]:
    return [limit if math.isfinite(limit) else None for limit in (gain.low, gain.high)]


def _interval(limits: list[float | None]) -> GainInterval:
    low, high = limits
    return GainInterval(
        -math.inf if low is None else float(low), math.inf if high is None else float(high)
    )


def warn_of_no_gain(model: Noise2NoiseModel) -> None:
    """Warn of each channel whose network is no better than what it was given."""
    told = ToldGain.of_record(model.record)
    if told is None or not model.channels:
        return
    without, what = 10 * math.log10(2), "the mean of its two exposures"
    if model.use == "first":
        without, what = 0.0, "its first exposure"
    for channel in told.no_better_than(without):
        warn(
            f"Channel {channel} gains nothing: its network is no better than {what} "
            f"({without:.1f} dB). Train for longer, or leave this channel as it is.",
            stacklevel=2,
        )
