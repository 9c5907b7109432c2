"""Power spectrum of an image, in two dimensions and as a mean over all directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.inspection.pixel_scale import PIXELS, PixelScale
from napari_lowdose.io.arrays import as_frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PICTURE = 256  # largest side of the spectrum in two dimensions, pixels


@dataclass(frozen=True, eq=False)
class PowerSpectrum:
    """Power spectrum of an image; see `power_spectrum`.

    Attributes
    ----------
    frequency : (k,) float64 array
        Centre of each ring, 1/unit, up to the lower Nyquist frequency.
    power : (k,) float64 array
        Mean of each ring, grey levels squared: white noise has its variance at every frequency.
    picture : (m, n) float32 array
        Common logarithm of the power in two dimensions, zero frequency in the middle.
    extent : (float, float)
        Frequencies at the end of the rows and of the columns of `picture`, 1/unit.
    """

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]
    picture: NDArray[np.float32]
    extent: tuple[float, float]


class Rings:
    """Rings of spatial frequency, in the half plane of `scipy.fft.rfft2`.

    Parameters
    ----------
    shape : (int, int)
        Of the image.
    scale : PixelScale

    Attributes
    ----------
    frequency : (k,) float64 array
        Centre of each ring, 1/unit; ring 0, the mean, is left out.
    step : float
        Width of a ring, 1/unit.
    index : (m, n // 2 + 1) int32 array
        Number of the ring of each frequency.
    """

    def __init__(self, shape: tuple[int, int], scale: PixelScale = PIXELS) -> None:
        height, width = shape
        self.step = max(1 / (height * scale.height), 1 / (width * scale.width))
        down = scipy.fft.fftfreq(height, scale.height).astype(np.float32)
        along = scipy.fft.rfftfreq(width, scale.width).astype(np.float32)
        self.index = np.rint(np.hypot(down[:, np.newaxis], along) / self.step).astype(np.int32)
        self._n = int(scale.nyquist / self.step)
        self.frequency: NDArray[np.float64] = np.arange(1.0, self._n + 1) * self.step
        # All but the first and, if it is at Nyquist, the last column stand for two.
        self._twice = np.full(len(along), 2, np.float32)
        self._twice[0] = 1
        if width % 2 == 0:
            self._twice[-1] = 1

    def sums(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the sum over each ring, both halves of the plane."""
        weighted = (values * self._twice).ravel()
        total = np.bincount(self.index.ravel(), weighted, minlength=self._n + 1)
        return np.asarray(total[1 : self._n + 1], np.float64)

    def means(
        self, values: NDArray[np.floating], mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return the mean over each ring; NaN where the mask leaves nothing of it."""
        part = np.ones_like(values) if mask is None else mask.astype(values.dtype)
        n = self.sums(part)
        means: NDArray[np.float64] = np.full(len(n), np.nan)
        np.divide(self.sums(values * part), n, out=means, where=n > 0)
        return means


def windowed_transform(image: ArrayLike) -> NDArray[np.complex64]:
    """Return the Fourier transform (half plane) of an image without its mean, with a Hann window.

    It is scaled such that white noise of variance 1 has the mean power 1.

    Parameters
    ----------
    image : (Y, X) array
    """
    pixels = np.array(image, np.float32)
    pixels -= pixels.mean(dtype=np.float64)
    for axis, n in enumerate(pixels.shape):
        window = scipy.signal.get_window("hann", n, fftbins=False)
        window /= np.sqrt(np.mean(window**2))
        pixels *= np.expand_dims(window.astype(np.float32), 1 - axis)
    transform: NDArray[np.complex64] = scipy.fft.rfft2(pixels, overwrite_x=True)
    transform /= np.float32(np.sqrt(pixels.size))
    return transform


def power_of(transform: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return the squared modulus."""
    return np.asarray(transform.real**2 + transform.imag**2, np.float32)


def power_spectrum(image: ArrayLike, *, scale: PixelScale = PIXELS) -> PowerSpectrum:
    """Return the power spectrum of an image.

    The mean is subtracted and a Hann window applied, so that the borders of the image make no
    cross.

    Parameters
    ----------
    image : (Y, X) array
        Finite pixels, any real dtype, at least 8 by 8.
    scale : PixelScale
        Of the frequencies.

    Returns
    -------
    PowerSpectrum

    Raises
    ------
    ValueError
        If the image is not a single frame or smaller than 8 by 8 pixels.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 3, (128, 128))
    >>> spectrum = power_spectrum(noise, scale=PixelScale.of(0.5, "nm"))
    >>> print(f"{spectrum.power.mean():.0f} up to {spectrum.frequency[-1]:.0f}/nm")
    9 up to 1/nm
    """
    pixels = np.asarray(as_frame(image))
    if min(pixels.shape) < 8:
        raise ValueError(
            f"A spectrum needs at least 8 by 8 pixels, and this image has the shape {pixels.shape}."
        )
    power = power_of(windowed_transform(pixels))
    shape = pixels.shape[0], pixels.shape[1]
    rings = Rings(shape, scale)
    extent = 0.5 / scale.height, 0.5 / scale.width
    return PowerSpectrum(rings.frequency, rings.means(power), _picture(power, shape), extent)


def _picture(power: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the whole plane from its half, at most `PICTURE` pixels wide, as a logarithm."""
    height, width = shape
    right = scipy.fft.fftshift(power, axes=0)[:, : (width + 1) // 2]
    # Opposite frequencies have the same power; an even number of rows has only one Nyquist row.
    left = np.roll(right[::-1], 1 - height % 2, axis=0)[:, :0:-1]
    plane = np.concatenate([left, right], axis=1)
    rows, columns = (max(1, n // PICTURE) for n in plane.shape)
    # The maximum of each block: a mean would hide the peaks of a lattice.
    cut = plane[: plane.shape[0] // rows * rows, : plane.shape[1] // columns * columns]
    blocks = cut.reshape(cut.shape[0] // rows, rows, cut.shape[1] // columns, columns)
    small = blocks.max(axis=(1, 3))
    least = float(np.percentile(small, 1)) or np.finfo(np.float32).tiny
    return np.asarray(np.log10(np.maximum(small, least)), np.float32)
