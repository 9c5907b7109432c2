"""Evidence for the structure of a denoised image, from the noise of the raw image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.imaging.image_area import image_area
from napari_lowdose.imaging.image_checks import check_image, check_pixels
from napari_lowdose.imaging.local_contrast import LocalContrast
from napari_lowdose.imaging.outliers import find_outliers
from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian, checked_noise
from napari_lowdose.io.arrays import as_frame
from napari_lowdose.parameters import positive, whole_number
from napari_lowdose.reucid.noise_estimate import estimate_noise
from napari_lowdose.reucid.psf_width import psf_width as estimate_psf_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST = 16  # minimum height and width, pixels
SITE_SHARE = 0.7  # minimum difference of the site alone, relative to that with its surroundings
VISIBLE = 2.0  # minimum contrast of a structure of the result, standard errors
FALSE_ALARMS = 0.05  # expected number of an image at the default threshold, both signs


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence for the structure of a denoised image; see `evidence`.

    Attributes
    ----------
    significance : (Y, X) float32 array
        Contrast of each pixel of the result to its surroundings, in standard errors that the
        noise of the raw image gives to this contrast.  Between -2 and 2 the structure cannot be
        distinguished from noise.
    unsupported : (Y, X) bool array
        Pixels where the result has a structure that the raw image contradicts significantly.
    removed : (Y, X) bool array
        Pixels where the raw image has a structure that the result has not, or only in part, and
        the difference is significant.
    residual : (Y, X) float32 array
        Contrast of raw image minus result, in the same standard errors.  Positive where the
        result is too dark, negative where it is too bright.  A faithful result gives noise of
        variance 1 or less.
    noise : PoissonGaussian
        Noise of the raw image.
    threshold : float
        Standard errors from which on a contrast counts as significant.
    psf_width : int
        Pixels.
    """

    significance: NDArray[np.float32]
    unsupported: NDArray[np.bool_]
    removed: NDArray[np.bool_]
    residual: NDArray[np.float32]
    noise: PoissonGaussian
    threshold: float
    psf_width: int

    @property
    def n_unsupported(self) -> int:
        """Number of connected regions of `unsupported`."""
        return _n_regions(self.unsupported)

    @property
    def n_removed(self) -> int:
        """Number of connected regions of `removed`."""
        return _n_regions(self.removed)

    def __str__(self) -> str:
        """Return the numbers of regions, in one sentence."""
        return (
            f"{_places(self.n_unsupported)} with structure that the data do not support, "
            f"{_places(self.n_removed)} where structure is missing from the result "
            f"(beyond {self.threshold:.1f} standard errors)"
        )


def evidence(
    image: Any,
    result: Any,
    noise: PoissonGaussian | None = None,
    *,
    threshold: float | None = None,
    psf_width: int | None = None,
) -> Evidence:
    r"""Compare a denoised image with the raw image, in standard errors of the noise.

    The contrast :math:`C` of each pixel is the Gaussian mean of a site as wide as the PSF minus
    that of its surroundings (see `napari_lowdose.imaging.local_contrast.LocalContrast`).  The
    noise of the raw image :math:`y`, of variance :math:`v(x)` at the level of the result
    :math:`x`, gives it the standard error :math:`s = \sqrt{C^2[v(x)]}`.  Then

    .. math:: \text{significance} = C[x] / s, \qquad \text{residual} = C[y - x] / s

    and pixels whose residual exceeds the threshold differ.  A region of them is unsupported if at
    its strongest pixel the significance is above 2, with the opposite sign to the residual: the
    result has a structure that the raw image has not.  Otherwise the result has less structure
    than the raw image: it was removed.

    Parameters
    ----------
    image : (Y, X) array
        Raw image with finite pixels, any real dtype.  Outliers and pixels outside the image area,
        such as an info bar, are not used.  For a pair, its first exposure.
    result : (Y, X) array
        Denoised image, in the grey levels of `image`.
    noise : PoissonGaussian, optional
        Noise of `image`; by default that of `estimate_noise`.
    threshold : float, optional
        Standard errors from which on a contrast counts as significant.  By default, a true result
        exceeds it anywhere in the image in one of 20 images: 4.9 for 256 x 256 pixels.
    psf_width : int, optional
        Width of the structures to compare, pixels; by default that of `image`.

    Returns
    -------
    Evidence

    Raises
    ------
    ValueError
        If an image is not a single frame, has NaN or infinite pixels, is constant or smaller than
        16 pixels, if the shapes differ, or a parameter is out of range.

    Notes
    -----
    Offsets of whole rows are not compared: they are scan noise, which REUCID removes.  A result
    that follows the noise does not contradict the raw image, so it is not marked as unsupported.
    Its significance is low instead.

    Examples
    --------
    An atom is painted into a true image:

    >>> import numpy as np
    >>> from napari_lowdose import PoissonGaussian
    >>> y, x = np.mgrid[:96, :96]
    >>> truth = 50 + 40 * np.sin(x / 3) * np.sin(y / 3)
    >>> image = np.random.default_rng(0).poisson(truth)
    >>> painted = truth + 60 * np.exp(-((x - 40) ** 2 + (y - 52) ** 2) / 8)
    >>> found = evidence(image, painted, PoissonGaussian(gain=1, offset=0, read_noise=0))
    >>> print(bool(found.unsupported[52, 40]), found.n_unsupported)
    True 1
    """
    raw, denoised = (
        checked_frame(given, name) for given, name in ((image, "the image"), (result, "the result"))
    )
    if raw.shape != denoised.shape:
        raise ValueError(
            f"The image has shape {raw.shape} and the result {denoised.shape}: give a result of "
            "this image."
        )
    noise = checked_noise(noise)
    if threshold is not None:
        threshold = positive("threshold", threshold)
    if psf_width is not None:
        psf_width = whole_number("psf_width", psf_width, 1)
    noise = noise or estimate_noise(image)
    width = psf_width or estimate_psf_width(raw)
    valid = valid_pixels(raw)
    limit = threshold or float(scipy.stats.norm.isf(FALSE_ALARMS / 2 / np.count_nonzero(valid)))

    contrast = LocalContrast(valid, width)
    # A strong difference changes the contrast of its surroundings, too, with the opposite sign.
    # The mean of the site alone does not.
    site_mean = LocalContrast(valid, width, surroundings=False)
    difference = np.where(valid, raw - denoised, 0)
    # Offsets of rows are scan noise.  Their mean has less bias than the median, but a strong
    # difference would darken the rest of its rows: it is left out.
    rough = difference - np.median(difference, axis=1, keepdims=True)
    strong = np.abs(site_mean.z_score(rough, noise, denoised)) > limit
    compared = valid & ~scipy.ndimage.binary_dilation(strong, iterations=width // 2 + 1)
    rows = np.sum(difference, axis=1, where=compared) / np.maximum(compared.sum(axis=1), 1)
    difference -= rows[:, np.newaxis]
    error = contrast.standard_error(noise, denoised)
    residual = contrast.z_score(difference, noise, denoised, error)
    site = site_mean.z_score(difference, noise, denoised)
    significance = contrast(denoised) / error
    outside = np.ones_like(valid)
    outside[image_area(raw)] = False
    significance[outside] = residual[outside] = 0
    differs = (np.abs(residual) > limit) & (
        np.sign(residual) * site > SITE_SHARE * np.abs(residual)
    )
    has_structure = -np.sign(residual) * significance > VISIBLE
    unsupported = _regions_by_peak(differs, residual, has_structure)
    return Evidence(
        significance.astype(np.float32),
        unsupported,
        differs & ~unsupported,
        residual.astype(np.float32),
        noise,
        limit,
        width,
    )


def valid_pixels(frame: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of the pixels within the image area that are no outliers.

    Parameters
    ----------
    frame : (Y, X) array
    """
    area = image_area(frame)
    valid = np.zeros(frame.shape, bool)
    valid[area] = ~find_outliers(frame[area])
    return valid


def checked_frame(given: Any, name: str) -> NDArray[np.float64]:
    """Return a single frame as float64; raise a ValueError if its pixels are unsuitable.

    Parameters
    ----------
    given : array-like
    name : str
        Name of the argument in error messages.
    """
    frame = np.asarray(as_frame(given, name))
    try:
        check_image(frame)
        check_pixels(frame, SMALLEST)
    except ValueError as error:
        raise ValueError(str(error).replace("the image", name, 1)) from None
    return frame.astype(np.float64, copy=False)


def _regions_by_peak(
    mask: NDArray[np.bool_], residual: NDArray[np.float64], condition: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the regions of one sign of `mask` whose strongest pixel fulfils a condition."""
    chosen = np.zeros_like(mask)
    for sign in (-1, 1):
        labels, n = scipy.ndimage.label(mask & (sign * residual > 0), np.ones((3, 3)))
        if n:
            at = scipy.ndimage.maximum_position(sign * residual, labels, range(1, n + 1))
            fulfilled = np.concatenate([[False], condition[tuple(np.transpose(at))]])
            chosen |= fulfilled[labels]
    return chosen


def _n_regions(mask: NDArray[np.bool_]) -> int:
    _, n = scipy.ndimage.label(mask, np.ones((3, 3)))
    return int(n)


def _places(n: int) -> str:
    return f"{n} place" + "s" * (n != 1)
