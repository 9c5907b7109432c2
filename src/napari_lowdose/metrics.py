"""Image quality metrics: with ground truth, with a second image, or of a single region.

All metrics are computed in float64, and the data range is never guessed.  scikit-image and SciPy
are imported on first use, to keep the import of this module fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.io.arrays import as_image
from napari_lowdose.parameters import is_finite, one_of, positive, whole_number

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
        :math:`R`, the range of possible values of the truth.  Values of the metric are only
        comparable for the same range.

    Returns
    -------
    float
        Decibels; infinite for identical images.

    Raises
    ------
    ValueError
        If the shapes differ, the images are empty or `data_range` is not
        positive and finite.

    References
    ----------
    Pair paper (Yang et al. 2023), Table 1.  REUCID paper (Mitchell, Sanvito & Jones 2025),
    Table 1.  Neither prints an equation; `skimage.metrics.peak_signal_noise_ratio` is used.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((8, 8))
    >>> round(psnr(truth, truth + 0.1, data_range=1.0), 6)
    20.0
    """
    from skimage.metrics import peak_signal_noise_ratio

    reference, image = _same_shape(truth=truth, test=test)
    with np.errstate(divide="ignore"):  # infinite for identical images
        return float(
            peak_signal_noise_ratio(  # type: ignore[no-untyped-call]
                reference, image, data_range=float(positive("data_range", data_range))
            )
        )


def ssim(truth: ArrayLike, test: ArrayLike, *, data_range: float) -> float:
    r"""Structural similarity index; 1 for identical images.

    `skimage.metrics.structural_similarity` with a sliding window of 7 by 7 pixels:

    .. math:: \mathrm{SSIM} = \left\langle
       \frac{(2 \mu_t \mu_x + c_1)(2 \sigma_{tx} + c_2)}
            {(\mu_t^2 + \mu_x^2 + c_1)(\sigma_t^2 + \sigma_x^2 + c_2)} \right\rangle,
       \quad c_1 = (0.01 R)^2,\; c_2 = (0.03 R)^2

    Parameters
    ----------
    truth, test : (..., Y, X) array, any dtype
        Images of the same shape, in the same units, at least 7 by 7 pixels.  For a stack of
        frames the mean over the frames is returned.
    data_range : float
        :math:`R`, the range of possible values of the truth.

    Returns
    -------
    float
        From -1 to 1.

    Raises
    ------
    ValueError
        If the shapes differ, an image is smaller than 7 by 7 pixels or
        `data_range` is not positive and finite.

    References
    ----------
    REUCID paper (Mitchell, Sanvito & Jones 2025), Table 1.
    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing 13, 600 (2004), Eq. (13).

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.random.default_rng(0).random((16, 16))
    >>> ssim(truth, truth, data_range=1.0)
    1.0
    """
    from skimage.metrics import structural_similarity

    reference, image = _same_shape(truth=truth, test=test)
    value_range = float(positive("data_range", data_range))
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
    r"""Image enhancement factor: ratio of the squared errors before and after denoising.

    .. math:: \mathrm{IEF} = \frac{\sum_i (n_i - t_i)^2}{\sum_i (x_i - t_i)^2}

    with the noisy image :math:`n`, the truth :math:`t` and the denoised image :math:`x`.
    Values above 1 mean less noise than before.  The REUCID paper defines the factor in words
    only ("the ratio of noise reduction to original noise level"); this is the usual equation.

    Parameters
    ----------
    truth, noisy, clean : array, any dtype
        Images of the same shape, in the same units.

    Returns
    -------
    float
        Infinite if `clean` equals the truth; NaN if `noisy` does too.

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
    from skimage.metrics import mean_squared_error

    reference, before, after = _same_shape(truth=truth, noisy=noisy, clean=clean)
    with np.errstate(divide="ignore", invalid="ignore"):
        error_before, error_after = (
            mean_squared_error(reference, image) for image in (before, after)
        )
        return float(error_before / error_after)


def survey_ief(
    truth: ArrayLike,
    noisy: ArrayLike,
    clean: ArrayLike,
    *,
    n_eigenpatches: int,
    c: float = SURVEY_CONSTANT,
    reading: Literal["printed", "penalty"] = "printed",
) -> float:
    r"""Image enhancement factor, modified to agree with the survey of the REUCID paper.

    With :math:`\alpha`, the number of eigenpatches in `clean`:

    .. math:: \text{printed: } \frac{\mathrm{IEF}}{c^{\alpha}}
       \qquad\qquad \text{penalty: } \mathrm{IEF} \cdot c^{\alpha}

    The paper prints the first form.  Because :math:`c = 0.64 < 1`, it multiplies the IEF by 1.56
    for every additional eigenpatch, and so favours many of them.  The second form is a penalty
    for every eigenpatch, and so favours few.

    Parameters
    ----------
    truth, noisy, clean : array, any dtype
        Images of the same shape, in the same units.
    n_eigenpatches : int
        :math:`\alpha`, the number of eigenpatches in `clean`.
    c : float
        Constant of the paper, from a least-squares fit.
    reading : {"printed", "penalty"}
        Form of the equation.

    Returns
    -------
    float
        Only comparable between reconstructions of the same noisy image.

    Raises
    ------
    ValueError
        If the shapes differ, `n_eigenpatches` is negative, `c` is not positive
        or `reading` is invalid.

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
    one_of("reading", reading, ("printed", "penalty"))
    factor = positive("c", c) ** whole_number("n_eigenpatches", n_eigenpatches, 0)
    plain = ief(truth, noisy, clean)
    return plain / factor if reading == "printed" else plain * factor


def rsd(region: ArrayLike) -> float:
    r"""Relative standard deviation of a uniform region, in percent.

    .. math:: \mathrm{RSD} = \frac{\sqrt{\sum_i (x_i - \bar x)^2 / (n - 1)}}{\bar x}
       \times 100\,\%

    Parameters
    ----------
    region : array, any dtype
        Pixels of a region with uniform true brightness.

    Returns
    -------
    float
        Percent; lower is smoother.  Subtract the camera offset first, because the mean includes
        it.

    Raises
    ------
    ValueError
        If the region has fewer than two pixels or a mean of 0.

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
        raise ValueError(f"RSD needs at least two pixels; the region has {pixels.size}.")
    mean = pixels.mean()
    if mean == 0:
        raise ValueError("RSD is not defined for a region whose mean is 0.")
    return float(pixels.std(ddof=1) / mean * 100)


@dataclass(frozen=True, eq=False)
class FourierRingCorrelation:
    """Result of `frc`.

    Attributes
    ----------
    frequencies : (k,) float64 array
        Centre of each ring in cycles per pixel, ascending, at most 0.5.
    correlation : (k,) float64 array
        From -1 to 1.
    resolution : float
        Inverse of the frequency at which the correlation first falls below `threshold`, in
        pixels or in the units of `pixel_size`.  Infinite if the first ring is already below it:
        the images have no detail in common.  NaN if no ring is below it: the images agree up to
        the Nyquist frequency, and the resolution is finer than two pixels.
    threshold : float
        Threshold of the crossing.
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
    r"""Fourier ring correlation of two images.

    .. math:: \mathrm{FRC}(q) = \frac{\operatorname{Re} \sum_{k \in q} F_1(k) F_2^*(k)}
       {\sqrt{\sum_{k \in q} |F_1(k)|^2 \sum_{k \in q} |F_2(k)|^2}}

    over rings :math:`q` in Fourier space, which are one frequency step of the shorter side wide.
    The rings are circles in cycles per pixel for images of any shape.  The mean is subtracted and
    a window is applied, so that the image borders do not correlate.

    Parameters
    ----------
    first, second : (Y, X) array, any dtype
        Two aligned images of the same scene with independent noise.  Two results computed from
        the same exposure are not independent.
    pixel_size : float, optional
        Pixel size in any unit.  If not given, `resolution` is in pixels.
    window : {"hann", "tukey"}
        Hann window, or Tukey window with 25 % taper, which uses more of the image but suppresses
        its borders less.
    threshold : float
        Correlation at the resolution limit.  By default the fixed threshold 1/7.

    Returns
    -------
    FourierRingCorrelation

    Raises
    ------
    ValueError
        If the shapes differ, the images are not two-dimensional, smaller than 8 by 8 pixels,
        constant or not finite, or `pixel_size`, `window` or `threshold` is invalid.

    Notes
    -----
    The window blurs the curve over two to three rings, so the resolution is overestimated by as
    much; larger images are more accurate.  In images of crystals the correlation is high at the
    lattice spots and low between them.  Look at the whole curve there, not at the first crossing.

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
    if not is_finite(threshold) or not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, not {threshold!r}.")
    size = 1.0 if pixel_size is None else positive("pixel_size", pixel_size)

    taper = _window(one.shape, window)
    spectra = [np.fft.fft2(_centred(image) * taper) for image in (one, two)]
    n_rings = min(one.shape) // 2
    radius = np.hypot(np.fft.fftfreq(one.shape[0])[:, None], np.fft.fftfreq(one.shape[1]))
    ring = np.rint(radius * min(one.shape)).astype(int).ravel()

    def ring_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # Skip ring 0 (the mean) and the corners beyond 0.5, where the rings are incomplete.
        sums: NDArray[np.float64] = np.bincount(ring, values.ravel()).astype(np.float64)
        return sums[1 : n_rings + 1]

    common = ring_sums((spectra[0] * spectra[1].conj()).real)
    power = np.sqrt(ring_sums(np.abs(spectra[0]) ** 2) * ring_sums(np.abs(spectra[1]) ** 2))
    correlation = np.divide(common, power, out=np.zeros_like(common), where=power > 0)
    frequencies = np.arange(1, n_rings + 1) / min(one.shape)
    crossing = first_below(frequencies, correlation, threshold)
    resolution = size / crossing if crossing else math.inf
    return FourierRingCorrelation(frequencies, correlation, resolution, threshold)


def first_below(
    frequencies: NDArray[np.float64],
    correlation: NDArray[np.float64],
    threshold: float | NDArray[np.float64],
) -> float:
    """Return the frequency at which a curve first falls below a threshold, between its points.

    Parameters
    ----------
    frequencies, correlation : (k,) float64 array
    threshold : float or (k,) float64 array

    Returns
    -------
    float
        0 if the first ring is below, NaN if none is.
    """
    excess = correlation - threshold
    below = np.flatnonzero(excess < 0)
    if below.size == 0:
        return math.nan
    at = int(below[0])
    if at == 0:
        return 0.0
    share = excess[at - 1] / (excess[at - 1] - excess[at])
    return float(frequencies[at - 1] + share * (frequencies[at] - frequencies[at - 1]))


def _window(shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    from scipy.signal import get_window

    kinds: dict[str, Any] = {"hann": "hann", "tukey": ("tukey", 0.25)}
    one_of("window", name, tuple(kinds))
    # Symmetric about the image centre, unlike the periodic form for spectral analysis.
    rows, columns = (get_window(kinds[name], n, fftbins=False) for n in shape)
    return np.outer(rows, columns)


def _centred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(image).all():
        raise ValueError("FRC needs finite pixels; an image has NaN or infinite values.")
    if image.min() == image.max():
        raise ValueError("FRC is not defined for a constant image.")
    centred: NDArray[np.float64] = image - image.mean()
    return centred


def _same_shape(**images: ArrayLike) -> list[NDArray[np.float64]]:
    arrays = {name: _real(image, name) for name, image in images.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The images must have the same shape: {found}.")
    if 0 in next(iter(shapes)):
        raise ValueError("The images are empty.")
    return list(arrays.values())


def _real(image: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return pixels as float64; raise an error for types that float64 cannot represent."""
    pixels = np.asarray(as_image(image, name))
    if pixels.dtype.kind not in "biuf":
        kind = "complex numbers" if pixels.dtype.kind == "c" else f"dtype {pixels.dtype}"
        raise ValueError(f"{name} has {kind}: compare real numbers, for example the modulus.")
    return pixels.astype(np.float64, copy=False)
