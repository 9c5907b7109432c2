"""How good an image is: against the truth, against a second image, or by itself.

Everything is computed in float64 whatever the dtype of the images, and no range
is ever guessed.  scikit-image and SciPy are imported when they are needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.io.arrays import as_image

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FourierRingCorrelation", "frc", "ief", "psnr", "rsd", "ssim", "survey_ief"]

#: Least-squares constant of the REUCID paper's survey-aligned metric.
SURVEY_CONSTANT = 0.64


def psnr(truth: ArrayLike, test: ArrayLike, *, data_range: float) -> float:
    r"""Peak signal-to-noise ratio in decibels; higher is better.

    .. math:: \mathrm{PSNR} = 10 \log_{10} \frac{R^2}{\frac{1}{n}\sum_i (t_i - x_i)^2}

    Parameters
    ----------
    truth, test : array, any dtype
        Images of the same shape, in the same units.
    data_range : float
        :math:`R`, the span of values that the truth could have.  Two numbers
        are only comparable when they were computed with the same one.

    Returns
    -------
    float
        Decibels; infinite for identical images.

    Raises
    ------
    ValueError
        If the shapes differ, the images are empty or `data_range` is not
        positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((8, 8))
    >>> round(psnr(truth, truth + 0.1, data_range=1.0), 6)
    20.0
    """
    from skimage.metrics import peak_signal_noise_ratio

    reference, image = _same_shape(truth=truth, test=test)
    with np.errstate(divide="ignore"):  # identical images: infinite, as it should be
        return float(
            peak_signal_noise_ratio(  # type: ignore[no-untyped-call]
                reference, image, data_range=_positive_range(data_range)
            )
        )


def ssim(truth: ArrayLike, test: ArrayLike, *, data_range: float) -> float:
    r"""Structural similarity index; 1 for identical images.

    scikit-image's with its defaults, a sliding window of 7 by 7 pixels:

    .. math:: \mathrm{SSIM} = \left\langle
       \frac{(2 \mu_t \mu_x + c_1)(2 \sigma_{tx} + c_2)}
            {(\mu_t^2 + \mu_x^2 + c_1)(\sigma_t^2 + \sigma_x^2 + c_2)} \right\rangle,
       \quad c_1 = (0.01 R)^2,\; c_2 = (0.03 R)^2

    Parameters
    ----------
    truth, test : (..., Y, X) array, any dtype
        Images of the same shape, in the same units, at least 7 pixels high and
        wide.  Of a stack of frames the mean over the frames is returned.
    data_range : float
        :math:`R`, the span of values that the truth could have.

    Returns
    -------
    float
        From -1 to 1.

    Raises
    ------
    ValueError
        If the shapes differ, an image is smaller than 7 by 7 pixels or
        `data_range` is not positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.random.default_rng(0).random((16, 16))
    >>> ssim(truth, truth, data_range=1.0)
    1.0
    """
    from skimage.metrics import structural_similarity

    reference, image = _same_shape(truth=truth, test=test)
    value_range = _positive_range(data_range)
    if reference.ndim < 2 or min(reference.shape[-2:]) < 7:
        raise ValueError(
            f"SSIM needs images of at least 7 by 7 pixels, these have the shape {reference.shape}."
        )
    frames = np.ndindex(reference.shape[:-2])
    similarities = [
        structural_similarity(  # type: ignore[no-untyped-call]
            reference[at], image[at], data_range=value_range
        )
        for at in frames
    ]
    return float(np.mean(similarities))


def ief(truth: ArrayLike, noisy: ArrayLike, clean: ArrayLike) -> float:
    r"""Image enhancement factor: how many times less noise than before; above 1 is better.

    .. math:: \mathrm{IEF} = \frac{\sum_i (n_i - t_i)^2}{\sum_i (x_i - t_i)^2}

    with the noisy image :math:`n`, the truth :math:`t` and the denoised image
    :math:`x`.  The REUCID paper names the factor ("the ratio of noise reduction
    to original noise level") without an equation; this is the usual one.

    Parameters
    ----------
    truth, noisy, clean : array, any dtype
        Images of the same shape, in the same units.

    Returns
    -------
    float
        Infinite when `clean` is the truth; not a number when `noisy` is too.

    Raises
    ------
    ValueError
        If the shapes differ or the images are empty.

    References
    ----------
    REUCID paper (Mitchell, Sanvito & Jones 2025), "Restorative performance".

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((4, 4))
    >>> ief(truth, truth + 2, truth - 1)
    4.0
    """
    reference, before, after = _same_shape(truth=truth, noisy=noisy, clean=clean)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sum((before - reference) ** 2) / np.sum((after - reference) ** 2))


def survey_ief(
    truth: ArrayLike,
    noisy: ArrayLike,
    clean: ArrayLike,
    *,
    n_eigenpatches: int,
    c: float = SURVEY_CONSTANT,
    reading: Literal["printed", "penalty"] = "printed",
) -> float:
    r"""Image enhancement factor as edited by the REUCID paper to match its survey.

    With :math:`\alpha` the number of eigenpatches that made `clean`:

    .. math:: \text{printed: } \frac{\mathrm{IEF}}{c^{\alpha}}
       \qquad\qquad \text{penalty: } \mathrm{IEF} \cdot c^{\alpha}

    The paper prints the first.  Because :math:`c = 0.64 < 1`, dividing by
    :math:`c^{\alpha}` multiplies by 1.56 for every further eigenpatch: the
    metric rewards ever more of them unless each costs more than a third of the
    IEF.  The second reading takes the factor as a price for each eigenpatch,
    the opposite, and so stops at few.

    Parameters
    ----------
    truth, noisy, clean : array, any dtype
        Images of the same shape, in the same units.
    n_eigenpatches : int
        :math:`\alpha`, how many eigenpatches `clean` was rebuilt from.
    c : float
        The paper's least-squares constant.
    reading : {"printed", "penalty"}
        Which of the two equations.

    Returns
    -------
    float
        Only comparable between reconstructions of the same noisy image.

    Raises
    ------
    ValueError
        If the shapes differ, `n_eigenpatches` is negative, `c` is not positive
        or `reading` is neither of the two.

    References
    ----------
    REUCID paper (Mitchell, Sanvito & Jones 2025), "Informing a
    qualitatively-aligned metric".

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((4, 4))
    >>> images = truth, truth + 2, truth + 1
    >>> survey_ief(*images, n_eigenpatches=1)
    6.25
    >>> survey_ief(*images, n_eigenpatches=1, reading="penalty")
    2.56
    """
    if n_eigenpatches < 0:
        raise ValueError(f"n_eigenpatches is a count, it cannot be {n_eigenpatches}.")
    if not c > 0:
        raise ValueError(f"c must be positive, it is {c}.")
    if reading not in ("printed", "penalty"):
        raise ValueError(f'reading must be "printed" or "penalty", not {reading!r}.')
    factor = c**n_eigenpatches
    plain = ief(truth, noisy, clean)
    return plain / factor if reading == "printed" else plain * factor


def rsd(region: ArrayLike) -> float:
    r"""Relative standard deviation of a region that should be flat, in percent.

    .. math:: \mathrm{RSD} = \frac{\sqrt{\sum_i (x_i - \bar x)^2 / (n - 1)}}{\bar x}
       \times 100\,\%

    Parameters
    ----------
    region : array, any dtype
        The pixels of a region whose true brightness is the same everywhere.

    Returns
    -------
    float
        Percent; lower is smoother.  An offset of the camera changes it: take
        the offset off first.

    Raises
    ------
    ValueError
        If there are fewer than two pixels or their mean is 0.

    References
    ----------
    Pair paper (Yang et al. 2023), Eq. (10).

    Examples
    --------
    >>> rsd([9.0, 10.0, 11.0])
    10.0
    """
    pixels = _real(region, "the region")
    if pixels.size < 2:
        raise ValueError(f"RSD needs at least two pixels, the region has {pixels.size}.")
    mean = pixels.mean()
    if mean == 0:
        raise ValueError("RSD is not defined for a region whose mean is 0.")
    return float(pixels.std(ddof=1) / mean * 100)


@dataclass(frozen=True, eq=False)
class FourierRingCorrelation:
    """The correlation of two images, ring by ring in Fourier space.

    Attributes
    ----------
    frequencies : (k,) float64 array
        Middle of each ring, cycles per pixel, rising to at most 0.5.
    correlation : (k,) float64 array
        From -1 to 1.
    resolution : float
        The length whose frequency is where the correlation first falls below
        `threshold`, in pixels, or in the units of the pixel size that was
        given.  Infinite when already the first ring is below: the images share
        no detail of any size.  Not a number when no ring is below: the images
        agree down to the finest detail that the pixels can hold, two pixels,
        and the resolution cannot be told from them.
    threshold : float
    """

    frequencies: NDArray[np.float64]
    correlation: NDArray[np.float64]
    resolution: float
    threshold: float


def frc(
    first: ArrayLike,
    second: ArrayLike,
    *,
    pixel_size: float | None = None,
    window: Literal["hann", "tukey"] = "hann",
    threshold: float = 1 / 7,
) -> FourierRingCorrelation:
    r"""Fourier ring correlation: down to which detail do two images agree.

    .. math:: \mathrm{FRC}(q) = \frac{\operatorname{Re} \sum_{k \in q} F_1(k) F_2^*(k)}
       {\sqrt{\sum_{k \in q} |F_1(k)|^2 \sum_{k \in q} |F_2(k)|^2}}

    over the rings :math:`q` of Fourier space, one pixel of the shorter side's
    spectrum wide.  The rings are circles in cycles per pixel whatever the
    shape of the image.  The mean is taken off and a window applied, so that
    the image's borders do not correlate.

    Parameters
    ----------
    first, second : (Y, X) array, any dtype
        Two images of one scene with independent noise, aligned.  Two images
        denoised by the same method from one exposure are not independent.
    pixel_size : float, optional
        Side of a pixel in any unit, for `resolution`; in pixels without it.
    window : {"hann", "tukey"}
        Hann, or Tukey with a quarter of the side tapered, which keeps more of
        the image and lets more of the borders through.
    threshold : float
        The fixed 1/7 by default.

    Returns
    -------
    FourierRingCorrelation

    Raises
    ------
    ValueError
        If the shapes differ, the images are not two-dimensional, smaller than
        8 pixels, constant or not finite, or `pixel_size`, `window` or
        `threshold` is not usable.

    Notes
    -----
    The window smears the curve over two to three rings, so that a sharp cut-off
    is found that much too fine: large images tell it better.  On a crystal the
    correlation lives on the lattice's spots and falls between them: the first
    crossing then says little, look at the whole curve.

    References
    ----------
    Nieuwenhuizen et al., "Measuring image resolution in optical nanoscopy",
    Nature Methods 10, 557 (2013).

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).normal(size=(64, 48))
    >>> same = frc(scene, scene)
    >>> bool(np.allclose(same.correlation, 1)), same.resolution
    (True, nan)
    """
    one, two = _same_shape(first=first, second=second)
    if one.ndim != 2 or min(one.shape) < 8:
        raise ValueError(
            f"FRC needs two images of at least 8 by 8 pixels, these have the shape {one.shape}."
        )
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie between 0 and 1, it is {threshold}.")
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise ValueError(f"pixel_size must be positive, it is {pixel_size}.")

    taper = _window(one.shape, window)
    spectra = [np.fft.fft2(_centred(image) * taper) for image in (one, two)]
    n_rings = min(one.shape) // 2
    radius = np.hypot(np.fft.fftfreq(one.shape[0])[:, None], np.fft.fftfreq(one.shape[1]))
    ring = np.rint(radius * min(one.shape)).astype(int).ravel()

    def ring_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # Ring 0 is what is left of the mean; the corners beyond 0.5 are no full rings.
        sums: NDArray[np.float64] = np.bincount(ring, values.ravel()).astype(np.float64)
        return sums[1 : n_rings + 1]

    common = ring_sums((spectra[0] * spectra[1].conj()).real)
    power = np.sqrt(ring_sums(np.abs(spectra[0]) ** 2) * ring_sums(np.abs(spectra[1]) ** 2))
    correlation = np.divide(common, power, out=np.zeros_like(common), where=power > 0)
    frequencies = np.arange(1, n_rings + 1) / min(one.shape)
    crossing = _first_below(frequencies, correlation, threshold)
    size = 1.0 if pixel_size is None else pixel_size
    resolution = size / crossing if crossing else math.inf
    return FourierRingCorrelation(frequencies, correlation, resolution, threshold)


def _first_below(
    frequencies: NDArray[np.float64], correlation: NDArray[np.float64], threshold: float
) -> float:
    """Return the frequency of the first crossing, 0 if all is below, nan if nothing is."""
    below = np.flatnonzero(correlation < threshold)
    if below.size == 0:
        return math.nan
    at = int(below[0])
    if at == 0:
        return 0.0
    above, under = correlation[at - 1], correlation[at]
    share = (above - threshold) / (above - under)
    return float(frequencies[at - 1] + share * (frequencies[at] - frequencies[at - 1]))


def _window(shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    from scipy.signal import get_window

    kinds: dict[str, Any] = {"hann": "hann", "tukey": ("tukey", 0.25)}
    if name not in kinds:
        raise ValueError(f'window must be "hann" or "tukey", not {name!r}.')
    # Symmetric about the middle of the image, unlike the periodic form for spectra of signals.
    rows, columns = (get_window(kinds[name], n, fftbins=False) for n in shape)
    return np.outer(rows, columns)


def _centred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(image).all():
        raise ValueError("FRC needs finite pixels, an image has NaN or infinite ones.")
    if image.min() == image.max():
        raise ValueError("FRC is not defined for a constant image.")
    centred: NDArray[np.float64] = image - image.mean()
    return centred


def _same_shape(**images: ArrayLike) -> list[NDArray[np.float64]]:
    arrays = {name: _real(image, name) for name, image in images.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1:
        told = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The images must have the same shape: {told}.")
    if 0 in next(iter(shapes)):
        raise ValueError("The images are empty.")
    return list(arrays.values())


def _real(image: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return pixels as float64; refuse what float64 would silently lose."""
    pixels = np.asarray(as_image(image, name))
    if pixels.dtype.kind not in "biuf":
        kind = "complex numbers" if pixels.dtype.kind == "c" else f"dtype {pixels.dtype}"
        raise ValueError(f"{name} has {kind}: compare real numbers, for example the modulus.")
    return pixels.astype(np.float64, copy=False)


def _positive_range(data_range: float) -> float:
    if not 0 < data_range < math.inf:
        raise ValueError(f"data_range must be positive and finite, it is {data_range}.")
    return float(data_range)
