"""The tests of a residual in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lowdose.inspection.noise_curve import NoiseCurve
    from napari_lowdose.inspection.removed_places import Places
    from napari_lowdose.inspection.residual_spectrum import ResidualSpectrum

SLIGHT = 0.1  # fraction of an amplitude below which structure is weakened, and not removed
STRONG = 2.0  # power relative to noise from which on there is more structure than noise in it
UNTOUCHED = 0.01  # power of the noise below which nothing was removed
LISTED = 3  # places named in the text

NOTHING = "Nothing was removed: the result is the raw image."
NOISE = "What was removed looks like noise."
WEAKENED = "What was removed looks like noise, apart from structure that is slightly weaker now."
REMOVED = "Structure was removed"
INVENTED = "The result shows structure that the raw image contradicts"
UNKNOWN = (
    "These tests cannot tell noise from structure in this image, because neighbouring pixels share "
    "their noise (a resampled, smoothed or compressed image?): use the pixels as recorded."
)

Finding = Literal["noise", "weakened", "removed", "invented", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What the tests of a residual say.

    Attributes
    ----------
    finding : {"noise", "weakened", "removed", "invented", "unknown"}
    headline : str
        One sentence.
    sentences : tuple of str
        One for each test.
    """

    finding: Finding
    headline: str
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        """Return headline and sentences, each on its own line."""
        return "\n".join([self.headline, *self.sentences])


def verdict(
    spectrum: ResidualSpectrum, places: Places, curve: NoiseCurve, *, correlated: bool
) -> Verdict:
    """Say in words whether what was removed is noise.

    Parameters
    ----------
    spectrum : ResidualSpectrum
    places : Places
    curve : NoiseCurve
    correlated : bool
        Whether the noise of neighbouring pixels is correlated.

    Returns
    -------
    Verdict
    """
    sentences = (
        *_about_places(places),
        *_about_spectrum(spectrum),
        _about_correlation(places),
        _about_curve(curve),
    )
    if correlated:
        return Verdict("unknown", UNKNOWN, sentences)
    lost = [place.share for place in places.removed]
    lost += [peak.share for peak in spectrum.peaks if peak.resolved]
    strong = [place.excess for place in places.removed] + [band[2] for band in spectrum.excess]
    if max(lost, default=0.0) >= SLIGHT or max(strong, default=0.0) >= STRONG:
        return Verdict("removed", f"{REMOVED}{_where(places, spectrum)}.", sentences)
    if places.n_invented:
        return Verdict("invented", f"{INVENTED} in {_count(places.n_invented)}.", sentences)
    if lost or strong:
        return Verdict("weakened", WEAKENED, sentences)
    return Verdict("noise", NOISE if spectrum.mean > UNTOUCHED else NOTHING, sentences)


def _where(places: Places, spectrum: ResidualSpectrum) -> str:
    if places.removed:
        along = " along edges," if any(place.kind == "edges" for place in places.removed) else ""
        return f"{along} in {_count(places.n_removed)}"
    lattice = [peak.period for peak in spectrum.peaks if peak.resolved]
    if lattice:
        return f": a lattice of period {lattice[0]:.3g} {spectrum.scale.unit}"
    low, high, _ = spectrum.excess[0]
    return f" all over the image, between {_band(low, high, spectrum.scale.unit)}"


def _about_places(places: Places) -> Iterator[str]:
    if not places.places:
        yield f"No place of the image has lost structure ({places.n_tested} tiles tested)."
        return
    for place in places.places[:LISTED]:
        y0, y1, x0, x1 = place.box
        at = f"At y {y0} to {y1}, x {x0} to {x1} px"
        if place.kind == "invented":
            yield f"{at} the result shows structure that the raw image contradicts."
        elif place.kind == "pixel":
            yield f"{at}: a single pixel that sticks out was removed (a hot pixel?)."
        else:
            along = "along edges, " if place.kind == "edges" else ""
            yield f"{at}: {along}{place.share:.0%} of the contrast was taken away."
    if (more := places.n_removed + places.n_invented + places.n_pixels - LISTED) > 0:
        yield f"There {'is' if more == 1 else 'are'} {more} more place{'s' * (more != 1)}."


def _about_spectrum(spectrum: ResidualSpectrum) -> Iterator[str]:
    unit = spectrum.scale.unit
    for peak in spectrum.peaks:
        if peak.resolved:
            yield (
                f"A lattice of period {peak.period:.3g} {unit} is in the residual: "
                f"{peak.share:.0%} of its amplitude was taken away."
            )
    if periods := [f"{peak.period:.3g}" for peak in spectrum.peaks if not peak.resolved]:
        yield (
            f"A periodic disturbance of {', '.join(periods)} {unit}, finer than the PSF, was "
            "removed (mains hum, vibration?)."
        )
    for low, high, ratio in spectrum.excess:
        yield (
            f"Between {_band(low, high, unit)} the residual has {ratio:.2f} times the power of the "
            "noise."
        )
    if not spectrum.peaks and not spectrum.excess:
        yield (
            "The spectrum of the residual is nowhere stronger than that of the noise "
            f"({spectrum.mean:.0%} of its power was removed)."
        )
    if spectrum.noise_left:
        yield (
            f"Below {spectrum.noise_left:.3g}/{unit} more than half of the noise is left in the "
            "result, as details of this size cannot be distinguished from it."
        )


def _about_correlation(places: Places) -> str:
    mean = float(places.correlation.mean())
    return (
        f"At the scale of the PSF, the residual correlates with the result by {mean:.2f}; noise "
        "that is left in the result adds to this."
    )


def _about_curve(curve: NoiseCurve) -> str:
    low, high = float(curve.ratio.min()), float(curve.ratio.max())
    text = f"From dark to bright, its variance is {low:.2f} to {high:.2f} of that of the noise"
    if high > 1.25 and curve.ratio[-1] > 1.25 * np.median(curve.ratio):
        return (
            f"{text}: in the brightest parts more than noise was removed, or the noise is higher."
        )
    return f"{text}."


def _band(low: float, high: float, unit: str) -> str:
    return f"{low:.3g} and {high:.3g} per {unit}"


def _count(n: int) -> str:
    return f"{n} place" + "s" * (n != 1)
