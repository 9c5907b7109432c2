"""Noise as low-dose microscopes have it, put on a noise-free image.

Four kinds, each by itself and together in `add_noise`: shot noise (Poisson, of
the electrons or photons per pixel), white Gaussian noise of the readout, scan
noise (an offset per row, and a 1/f drift that follows the scan) and detector
noise that is blurred, so that neighbouring pixels share it.

All standard deviations are shares of the truth's maximum, as in the REUCID paper
("Gaussian noise with a standard deviation of 5 % of the maximum beam current").

References
----------
Mitchell, Sanvito & Jones 2025 (REUCID), Fig. 5: doses of 100 to 10,000
electrons per square angstrom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAUSSIAN = 0.05  # standard deviation of the readout noise, share of the maximum (the paper's)


@dataclass(frozen=True)
class NoiseLevel:
    """How noisy: pass both to `add_noise`.

    Attributes
    ----------
    peak : float
        Electrons or photons to expect where the truth is brightest.
    gaussian : float
        Standard deviation of the white Gaussian noise, share of the maximum.
    """

    peak: float
    gaussian: float


def peak_electrons(truth: NDArray[np.float32], *, dose: float, pixel_size: float) -> float:
    """Return the electrons to expect in the brightest pixel.

    Parameters
    ----------
    truth : (Y, X) array
        Fraction of the beam that reaches the detector.
    dose : float
        Electrons per square angstrom.
    pixel_size : float
        Angstrom.

    Examples
    --------
    >>> peak_electrons(np.full((2, 2), 0.05, np.float32), dose=1000, pixel_size=0.2)
    2.0
    """
    return round(dose * pixel_size**2 * float(truth.max()), 6)


def add_noise(
    truth: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    peak: float,
    gaussian: float = GAUSSIAN,
    row: float = 0.0,
    drift: float = 0.0,
    blurred: float = 0.0,
    blur_sigma: float = 1.2,
) -> NDArray[np.float32]:
    """Return a noisy recording of the truth, in the truth's units.

    Parameters
    ----------
    truth : (Y, X) float32 array
        Noise-free and not negative.
    rng : numpy.random.Generator
        Source of chance.
    peak : float
        Electrons or photons to expect where the truth is brightest
        (`peak_electrons`, `scale_for_psnr`); infinity for no shot noise.
    gaussian, row, drift, blurred : float
        Standard deviations of the white, row-wise, drifting and blurred noise,
        as shares of the truth's maximum.
    blur_sigma : float
        Correlation of the blurred noise: the Gaussian it is blurred by, pixels.

    Returns
    -------
    (Y, X) float32 array
        Values may be negative: nothing is cut off.

    Raises
    ------
    ValueError
        If the truth has negative values or no positive ones.

    Examples
    --------
    >>> truth = np.full((64, 64), 0.02, np.float32)
    >>> noisy = add_noise(truth, np.random.default_rng(0), peak=4)
    >>> abs(float(noisy.mean()) - 0.02) < 0.001
    True
    """
    top = float(truth.max())
    noisy = shot_noise(truth, rng, peak=peak)
    if gaussian:
        noisy += top * gaussian * rng.standard_normal(truth.shape, np.float32)
    if row or drift:
        noisy += top * scan_noise(truth.shape, rng, row=row, drift=drift)
    if blurred:
        noisy += top * blurred_noise(truth.shape, rng, sd=blurred, blur_sigma=blur_sigma)
    return noisy


def shot_noise(
    truth: NDArray[np.float32], rng: np.random.Generator, *, peak: float
) -> NDArray[np.float32]:
    """Count electrons: a Poisson number with mean ``peak * truth / truth.max()``, scaled back."""
    top = float(truth.max())
    if not top > 0 or float(truth.min()) < 0:
        raise ValueError("A noise-free image needs values of zero or more, and some above zero.")
    if math.isinf(peak):
        return truth.astype(np.float32)
    scale = peak / top
    return cast("NDArray[np.float32]", (rng.poisson(truth * scale) / scale).astype(np.float32))


def scan_noise(
    shape: tuple[int, ...], rng: np.random.Generator, *, row: float = 0.0, drift: float = 0.0
) -> NDArray[np.float32]:
    """Return what the scan adds, as shares of the maximum: (Y, X).

    `row` is the standard deviation of an offset that each row has for itself;
    `drift` that of 1/f noise in the order in which the beam visits the pixels,
    row after row.  Add ``truth.max()`` times this to a truth to have the target
    of a denoiser that is told to keep scan noise.
    """
    noise = np.zeros(shape, np.float32)
    if row:
        noise += row * rng.standard_normal((shape[0], 1), np.float32)
    if drift:
        pixels = shape[0] * shape[1]
        frequency = np.fft.rfftfreq(pixels)
        frequency[0] = np.inf
        spectrum = rng.normal(size=(2, len(frequency))) / np.sqrt(frequency)
        pink = np.fft.irfft(spectrum[0] + 1j * spectrum[1], pixels)
        noise += (drift / pink.std() * pink).reshape(shape).astype(np.float32)
    return noise


def blurred_noise(
    shape: tuple[int, ...], rng: np.random.Generator, *, sd: float, blur_sigma: float
) -> NDArray[np.float32]:
    """Return Gaussian noise blurred by a Gaussian, then scaled to the wanted standard deviation."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), blur_sigma, mode="wrap")
    # A blur by sigma leaves 1 / (2 sqrt(pi) sigma) of the standard deviation in two dimensions;
    # measured rather than taken from there, since narrow kernels on a pixel grid differ.
    return cast("NDArray[np.float32]", np.float32(sd / noise.std()) * noise)


def scale_for_psnr(
    truth: NDArray[np.float32], target_db: float, *, gaussian: float = GAUSSIAN
) -> NoiseLevel:
    """Find the dose at which Poisson and Gaussian noise leave a wanted PSNR.

    With `data_range` the truth's maximum (its minimum taken as 0), the mean
    squared error to expect, in units of the maximum squared, is
    ``mean / (max * peak) + gaussian**2``; this is solved for the peak.

    Parameters
    ----------
    truth : (Y, X) float32 array
        Noise-free.
    target_db : float
        PSNR of the noisy image, dB.
    gaussian : float
        Standard deviation of the Gaussian noise, share of the maximum.  Where
        it makes more than half of the noise that the target allows (above 23 dB
        for `GAUSSIAN`), it is reduced to half, and shot noise makes the other half.

    Returns
    -------
    NoiseLevel
        `peak` and `gaussian` for `add_noise`.

    Examples
    --------
    >>> level = scale_for_psnr(np.full((8, 8), 3.0, np.float32), 20)
    >>> round(level.peak, 1), level.gaussian
    (133.3, 0.05)
    """
    allowed = 10 ** (-target_db / 10)
    gaussian = min(gaussian, math.sqrt(allowed / 2))
    share = float(truth.mean(dtype=np.float64)) / float(truth.max())
    return NoiseLevel(peak=share / (allowed - gaussian**2), gaussian=gaussian)
