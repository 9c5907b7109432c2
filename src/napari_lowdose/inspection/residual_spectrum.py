"""Spectrum of the residual against that of the noise: white, and as strong as the noise is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.inspection.pixel_scale import PIXELS, PixelScale
from napari_lowdose.inspection.power_spectrum import Rings, power_of, windowed_transform
from napari_lowdose.inspection.residual import FALSE_ALARMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.inspection.residual import Residual

CORNERS = 0.45  # cycles per pixel; scenes have little power there
AXES = 2.5  # frequency steps: offsets of rows and columns lie on the axes
N_BANDS = 12
SHARED = 3.78  # samples that a Hann window in two dimensions correlates
SIGNIFICANT = 5.0  # standard errors
MEDIAN = 1.44  # standard error of the median of exponentially distributed powers, times root n
EXCESS = 1.1  # minimum power of a band: the noise is known to a few percent
MOST_PEAKS = 3
FINEST = 0.45  # PSF widths: the PSF, of standard deviation w / 4.5, passes 1 % of this period
SAME = 0.03  # relative difference of two periods that are given as one
APART = 3  # frequency steps between two peaks


@dataclass(frozen=True)
class Peak:
    """A periodic structure in the residual.

    Attributes
    ----------
    period : float
        In the unit of the scale.
    share : float
        Fraction of its amplitude in the raw image that was taken away.
    strength : float
        Power over that of the noise.
    resolved : bool
        Whether the PSF passes this period.  If not, it is no structure of the specimen but a
        disturbance, such as mains hum in a scan.
    """

    period: float
    share: float
    strength: float
    resolved: bool


@dataclass(frozen=True, eq=False)
class ResidualSpectrum:
    """Spectrum of the residual relative to that of the noise; see `residual_spectrum`.

    Attributes
    ----------
    frequency : (k,) float64 array
        1/unit.
    ratio : (k,) float64 array
        Power over that of the noise: 1 where nothing but noise, and all of it, was removed.
    error : (k,) float64 array
        Standard error of `ratio` if the residual is noise.
    level : float
        Ratio in the corners of the spectrum, where there is no scene: that of the noise to its
        model.
    excess : tuple of (float, float, float)
        Bands with significantly more power than noise, apart from peaks: lowest and highest
        frequency, and ratio.
    peaks : tuple of Peak
        Periodic structure, the strongest first, of different periods.
    scale : PixelScale
    """

    frequency: NDArray[np.float64]
    ratio: NDArray[np.float64]
    error: NDArray[np.float64]
    level: float
    excess: tuple[tuple[float, float, float], ...]
    peaks: tuple[Peak, ...]
    scale: PixelScale

    @property
    def mean(self) -> float:
        """Mean ratio over all frequencies: the removed share of the variance of the noise."""
        weights = self.frequency
        known = np.isfinite(self.ratio)
        return float(np.average(self.ratio[known], weights=weights[known]))

    @property
    def noise_left(self) -> float:
        """Frequency below which less than half of the power of the noise was removed; 0 if none."""
        smooth = scipy.ndimage.uniform_filter1d(np.nan_to_num(self.ratio, nan=1.0), 3)
        below = smooth < 0.5
        return float(self.frequency[np.argmin(below) - 1]) if below[0] and not below.all() else 0.0


def residual_spectrum(residual: Residual, *, scale: PixelScale = PIXELS) -> ResidualSpectrum:
    """Compare the spectrum of a residual with that of the noise.

    Noise that was left in the result lowers the power of the residual, structure that was taken
    away raises it.  Only the second is significant here.  Offsets of rows and columns, scan noise,
    are left out.

    Parameters
    ----------
    residual : Residual
    scale : PixelScale

    Returns
    -------
    ResidualSpectrum
        With about one false alarm in 200 images of noise.

    Examples
    --------
    >>> from napari_lowdose import PoissonGaussian
    >>> from napari_lowdose.engine import run_to_end
    >>> from napari_lowdose.inspection.residual import residual_steps
    >>> noise = PoissonGaussian(gain=0, offset=0, read_noise=2)
    >>> y, x = np.mgrid[:128, :128]
    >>> fringes = np.cos((3 * x + 4 * y) * 2 * np.pi / 50)
    >>> raw = noise.draw(fringes, np.random.default_rng(0))
    >>> compared = run_to_end(residual_steps(raw, fringes / 2, noise, 7))
    >>> (peak,) = residual_spectrum(compared).peaks
    >>> print(f"{peak.share:.1f} of the fringes of {peak.period:.0f} px was taken away")
    0.5 of the fringes of 10 px was taken away
    """
    shape = residual.normalised.shape[0], residual.normalised.shape[1]
    share_valid = float(np.mean(residual.valid)) or 1.0
    power = power_of(windowed_transform(residual.normalised)) / np.float32(share_valid)
    rings = Rings(shape, scale)
    down = np.abs(scipy.fft.fftfreq(shape[0])).astype(np.float32)[:, np.newaxis]
    along = scipy.fft.rfftfreq(shape[1]).astype(np.float32)[np.newaxis]
    off_axes = (down > AXES / shape[0]) & (along > AXES / shape[1])
    fine = (np.hypot(down, along) > CORNERS) & off_axes
    level = float(np.median(power[fine]) / np.log(2)) if fine.any() else 1.0
    ratio = rings.means(power, off_axes)
    n = rings.sums(off_axes.astype(np.float32))
    error = np.sqrt(2 * SHARED / np.maximum(n, 1))
    noise = max(level, 1.0)
    excess = _excess(power / np.float32(noise), off_axes, rings)
    # Against the power around it: a peak, and not a part of a broad excess.
    around = np.nan_to_num(scipy.ndimage.median_filter(ratio, 5), nan=1.0)
    peaks = _peaks(power, np.maximum(around, noise), off_axes, residual, rings, scale)
    return ResidualSpectrum(rings.frequency, ratio, error, level, excess, peaks, scale)


def _excess(
    ratio: NDArray[np.float32], off_axes: NDArray[np.bool_], rings: Rings
) -> tuple[tuple[float, float, float], ...]:
    """Return the bands of rings with significantly more power than noise, neighbours as one.

    The power is the median of each band: peaks of a lattice or of a disturbance do not count.
    """
    found: list[tuple[float, float, float]] = []
    k, n_bands = len(rings.frequency), min(N_BANDS, len(rings.frequency))
    ends = np.linspace(1, k + 1, n_bands + 1).astype(int).tolist()
    for first, last in pairwise(ends):
        values = ratio[(rings.index >= first) & (rings.index < last) & off_axes]
        if values.size < SHARED * SIGNIFICANT**2:  # too few for a normal distribution
            continue
        median = float(np.median(values) / np.log(2))
        if median < max(EXCESS, 1 + SIGNIFICANT * MEDIAN * np.sqrt(SHARED / values.size)):
            continue
        low, high = (first - 0.5) * rings.step, (last - 0.5) * rings.step
        if found and abs(found[-1][1] - low) < rings.step / 4:
            low, _, before = found.pop()
            median = max(before, median)
        found.append((low, high, median))
    return tuple(found)


def _peaks(
    power: NDArray[np.float32],
    around: NDArray[np.float64],
    off_axes: NDArray[np.bool_],
    residual: Residual,
    rings: Rings,
    scale: PixelScale,
) -> tuple[Peak, ...]:
    height, width = residual.normalised.shape
    down = scipy.fft.fftfreq(height, scale.height)[:, np.newaxis]
    along = scipy.fft.rfftfreq(width, scale.width)[np.newaxis]
    radius = np.hypot(down, along)
    background = np.interp(radius.ravel(), rings.frequency, around).reshape(radius.shape)
    strength = np.where(off_axes, power / background, 0).astype(np.float32)
    limit = float(np.log(np.count_nonzero(off_axes) / FALSE_ALARMS))
    if strength.max() < limit:
        return ()
    before = power_of(windowed_transform(residual.raw))
    found: list[Peak] = []

    def pixels(y: int, x: int) -> tuple[float, float]:
        """Return a frequency in cycles per pixel."""
        return min(y, height - y) / height, x / width

    while len(found) < MOST_PEAKS:
        y, x = (int(at) for at in np.unravel_index(strength.argmax(), strength.shape))
        if strength[y, x] < limit:
            break
        share = np.sqrt((power[y, x] - 1) / max(float(before[y, x]) - 1, 1e-6))
        period = 1 / float(radius[y, x])
        if all(abs(period / peak.period - 1) > SAME for peak in found):
            passed = float(np.hypot(*pixels(y, x))) * FINEST * residual.psf_width < 1
            found.append(Peak(period, float(min(share, 1.0)), float(strength[y, x]), passed))
        # Rows wrap around; the conjugate of a peak near the first column is beyond it.
        for row, column in ((y, x), (-y, -x)):
            rows = np.arange(row - APART, row + APART + 1) % height
            columns = slice(max(0, column - APART), max(0, column + APART + 1))
            strength[rows, columns] = 0
    return tuple(found)
