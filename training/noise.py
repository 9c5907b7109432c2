"""Simulation of the noise of low-dose microscopes.

There are four kinds of noise, which `add_noise` combines: shot noise (Poisson statistics of the
electrons or photons per pixel), white Gaussian readout noise, scan noise (an offset per row, and
1/f drift along the scan), and blurred detector noise, which is correlated between neighbouring
pixels.

All standard deviations are relative to the maximum of the truth, as in the REUCID paper
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

GAUSSIAN = 0.05  # standard deviation of the readout noise in the paper, relative to the maximum


@dataclass(frozen=True)
class NoiseLevel:
    """Arguments of `add_noise` for a noise level.

    Attributes
    ----------
    peak : float
        Expected electrons or photons in the brightest pixel.
    gaussian : float
        Standard deviation of the white Gaussian noise, relative to the maximum.
    """

    peak: float
    gaussian: float


def peak_electrons(truth: NDArray[np.float32], *, dose: float, pixel_size: float) -> float:
    """Return the expected number of electrons in the brightest pixel.

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
    """Add noise to an image.

    Parameters
    ----------
    truth : (Y, X) float32 array
        Noise-free image, not negative.
    rng : numpy.random.Generator
        Random number generator.
    peak : float
        Expected electrons or photons in the brightest pixel (`peak_electrons`,
        `scale_for_psnr`); infinity for no shot noise.
    gaussian, row, drift, blurred : float
        Standard deviations of the white, row, drift and blurred noise, relative to the maximum of
        the truth.
    blur_sigma : float
        Standard deviation of the Gaussian that blurs the blurred noise, pixels.

    Returns
    -------
    (Y, X) float32 array
        In units of the truth.  Values may be negative; they are not clipped.

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
    """Return Poisson counts with mean ``peak * truth / truth.max()``, scaled back to the truth."""
    top = float(truth.max())
    if not top > 0 or float(truth.min()) < 0:
        raise ValueError("A noise-free image must not be negative, and not be zero everywhere.")
    if math.isinf(peak):
        return truth.astype(np.float32)
    scale = peak / top
    return cast("NDArray[np.float32]", (rng.poisson(truth * scale) / scale).astype(np.float32))


def scan_noise(
    shape: tuple[int, ...], rng: np.random.Generator, *, row: float = 0.0, drift: float = 0.0
) -> NDArray[np.float32]:
    """Return scan noise (Y, X), relative to the maximum.

    `row` is the standard deviation of an independent offset per row, `drift` that of 1/f noise
    along the scan, row after row.  For a denoiser that keeps scan noise, the target is the truth
    plus ``truth.max()`` times this noise.
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
    """Return Gaussian noise blurred by a Gaussian, scaled to the standard deviation `sd`."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), blur_sigma, mode="wrap")
    # In theory the blur reduces the standard deviation to 1 / (2 sqrt(pi) sigma), but narrow
    # kernels on a pixel grid differ from that, so it is measured.
    return cast("NDArray[np.float32]", np.float32(sd / noise.std()) * noise)


def scale_for_psnr(
    truth: NDArray[np.float32], target_db: float, *, gaussian: float = GAUSSIAN
) -> NoiseLevel:
    """Find the dose at which an image with Poisson and Gaussian noise has a given PSNR.

    The `data_range` of the PSNR is the maximum of the truth.  The expected mean squared error, in
    units of the maximum squared, is ``mean / (max * peak) + gaussian**2``.  This is solved for the
    peak.

    Parameters
    ----------
    truth : (Y, X) float32 array
        Noise-free image.
    target_db : float
        PSNR of the noisy image, dB.
    gaussian : float
        Standard deviation of the Gaussian noise, relative to the maximum.  If it contributes more
        than half of the allowed error (above 23 dB for `GAUSSIAN`), it is reduced to half, and
        shot noise contributes the other half.

    Returns
    -------
    NoiseLevel

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
