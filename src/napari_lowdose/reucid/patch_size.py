"""Choice of the patch size: the PSF width, as in the paper, or a wider patch.

On a crystal a patch of several PSF widths averages over more repeats.  On an aperiodic specimen
it has too much structure for the same rank.  The choice is made from the image itself with
Stein's unbiased risk estimate (SURE), which needs the noise variance but no ground truth.

References
----------
S. Ramani, T. Blu and M. Unser, "Monte-Carlo SURE", IEEE Trans. Image Process. 17, 1540
(2008).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy

from napari_lowdose.engine import rescale_progress
from napari_lowdose.parameters import whole_number
from napari_lowdose.reucid.classifier import choose, utility
from napari_lowdose.reucid.eigenpatches import WIDEST_GRAM, randomised_svd
from napari_lowdose.reucid.kernel import convolve, kernel
from napari_lowdose.reucid.patch_gram import patch_gram
from napari_lowdose.reucid.patch_stacks import largest_patch
from napari_lowdose.reucid.psf_width import MAX_WIDTH, psf_width_of_image

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from napari_lowdose.reucid.classifier_file import Weights

WIDTHS = 3  # width of a wide patch in PSF widths; also the factor on the number of components
# Size of the crop on which "auto" tries both patch sizes: in PSF widths, and at least in pixels
CROP_WIDTHS, SMALLEST_SIDE = 23, 192
# Minimum estimated gain for a wide patch, dB.  The gain on a perfect crystal is more than 3 dB, and
# the estimate is up to 1 dB lower; on other specimens it is less than 2 dB.
MARGIN = 2.5
SMALLEST_CROP = 2  # minimum size of a crop in wide patches; smaller ones have too few repeats
PROBE = 0.1  # perturbation of Monte-Carlo SURE, in standard deviations of the noise
TRIAL_WIDTH = 7  # PSF width in the trials, pixels; the classifier is less sure of smaller patches
TRIAL_ITERATIONS = 4  # power iterations: the risk hardly depends on the weakest eigenpatches


def wide_patch(psf_width: int) -> int:
    """Return the width of a wide patch: three PSF widths, odd, at most 49 pixels."""
    return max(psf_width, min(WIDTHS * psf_width // 2 * 2 + 1, WIDEST_GRAM))


def choose_patch_size(
    images: Iterable[NDArray[np.float32]],
    wanted: Literal["auto", "psf", "wide"],
    n_components: int,
    weights: Weights,
    seed: int,
) -> Generator[float, None, tuple[int, bool]]:
    """Find one patch width for all images.

    Parameters
    ----------
    images : iterable of (m, n) float32 array
        Frames of one movie or a single image, without their mean.
    wanted : "auto", "psf" or "wide"
    n_components : int
        Rank of the SVD for a patch of the PSF width.
    weights : dict of arrays
        Weights of the classifier for the images scanned along rows.
    seed : int

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    patch_size : int
        Width in pixels, odd, from the median PSF width.
    is_wide : bool
        True for a wide patch, which needs `WIDTHS` times as many components.
    """
    widths, crops = [], []
    largest = MAX_WIDTH * WIDTHS
    for image in images:
        widths.append(psf_width_of_image(image))
        crops.append(_middle(image, CROP_WIDTHS * MAX_WIDTH).copy())
        largest = min(largest, largest_patch(image.shape))
        yield 0.0
    # The lower median: one frame with an unusual structure does not decide for the movie.
    psf = min(sorted(widths)[(len(widths) - 1) // 2], largest)
    yield 0.1
    wide = min(wide_patch(psf), largest)
    if wanted == "psf" or wide <= psf:
        return psf, False
    if wanted == "wide":
        return wide, True
    crops = [_middle(crop, max(CROP_WIDTHS * psf, SMALLEST_SIDE)) for crop in crops]
    crops = [crop for crop in crops if min(crop.shape) >= SMALLEST_CROP * wide]
    narrow, broad = 0.0, 0.0
    for number, crop in enumerate(crops):
        search = estimate_risks(crop, psf, wide, n_components, weights, seed)
        begin, end = (0.1 + 0.9 * (number + part) / len(crops) for part in (0, 1))
        risk, risk_wide = yield from rescale_progress(search, begin, end)
        narrow += risk
        broad += risk_wide
    if crops and 10 * np.log10(narrow / broad) > MARGIN:
        return wide, True
    return psf, False


def estimate_risks(
    crop: NDArray[np.float32],
    psf: int,
    wide: int,
    n_components: int,
    weights: Weights,
    seed: int,
) -> Generator[float, None, tuple[float, float]]:
    """Estimate the mean squared errors with patches of the PSF width and with wide ones.

    The crop is resampled to a PSF width of `TRIAL_WIDTH` pixels.  Both errors become smaller, but
    their ratio hardly changes, and the SVD of wide patches takes a fraction of the time.
    """
    if psf > TRIAL_WIDTH:
        factor = TRIAL_WIDTH / psf
        crop = _downsample(crop, factor)
        psf, wide = TRIAL_WIDTH, round(factor * wide) // 2 * 2 + 1
    # The trial with wide patches takes longer: they have more pixels and components.
    search = _risk(crop, psf, n_components, weights, seed)
    risk, variance = yield from rescale_progress(search, 0.0, 0.22)
    search = _risk(crop, wide, n_components * WIDTHS, weights, seed, variance)
    risk_wide, _ = yield from rescale_progress(search, 0.22, 1.0)
    smallest = 1e-3 * variance  # the estimates may be negative
    return max(risk, smallest), max(risk_wide, smallest)


def _downsample(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Remove the highest frequencies, so that white noise stays white, unlike by interpolation."""
    shape = [round(factor * n) for n in image.shape]
    spectrum = scipy.fft.fftshift(scipy.fft.fft2(image))
    first = [n // 2 - m // 2 for n, m in zip(image.shape, shape, strict=True)]
    low = spectrum[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    smaller = scipy.fft.ifft2(scipy.fft.ifftshift(low)).real
    return np.asarray(smaller * (smaller.size / image.size), np.float32)


def _risk(
    image: NDArray[np.float32],
    patch_size: int,
    n_components: int,
    weights: Weights,
    seed: int,
    variance: float | None = None,
) -> Generator[float, None, tuple[float, float]]:
    r"""Estimate the mean squared error of denoising `image` without ground truth (SURE).

    .. math:: \langle (J(I) - I)^2 \rangle - \sigma^2 + 2 \sigma^2 \langle \nabla \cdot J \rangle

    J is the convolution with the kernel K of the kept eigenpatches.  Its divergence is K(0), plus
    the part from eigenpatches that follow the noise, which is overfitting.  The latter is
    estimated as in Monte-Carlo SURE from a perturbation of the image by random signs b, but by
    perturbation theory instead of a second SVD.  The choice of eigenpatches is not repeated.

    Returns
    -------
    risk, variance : float
        The noise variance is the given one, or by default the mean power of the image that all
        eigenpatches leave.  Unlike the noise floor of the SVD, in which the pixels at the border
        count less because fewer patches cover them, it suits uneven noise.
    """
    p = patch_size
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), image.shape)
    gram = yield from rescale_progress(patch_gram(image, p), 0.0, 0.3)
    gram /= np.prod([n - p + 1 for n in image.shape])  # per patch
    single = gram.astype(np.float32)

    def apply_gram(z: NDArray[np.float64]) -> Generator[float, None, NDArray[np.float64]]:
        yield 0.0
        return np.asarray(single @ z.astype(np.float32), np.float64)

    rank = min(n_components, p * p)
    svd = randomised_svd(apply_gram, p * p, rank, seed, TRIAL_ITERATIONS)
    values, vectors = yield from rescale_progress(svd, 0.3, 0.7)
    rest = max(float(np.trace(gram)) - float(np.square(values).sum()), 0.0)
    floor = float(np.sqrt(rest / (p * p - rank))) if rank < p * p else float(values[-1])
    eigenpatches = vectors.reshape(-1, p, p).astype(np.float32)
    kept = choose(utility(eigenpatches, values, floor, weights))
    if variance is None:
        with_itself = _correlation(image, image, p)
        explained = float(np.vdot(kernel(eigenpatches), with_itself))
        total = float(with_itself[p - 1, p - 1])
        variance = max(total - explained, 1e-9 * total) / (1 - min(rank / p**2, 0.99))

    of_kept = kernel(eigenpatches[kept])
    clean = yield from rescale_progress(convolve(image, eigenpatches[kept]), 0.7, 0.9)
    residual = float(np.square(clean - image).mean(dtype=np.float64))

    signs_with_image = _correlation(signs, image, p)
    change = signs_with_image + signs_with_image[::-1, ::-1]  # of the autocorrelation
    turned = _turn(vectors, np.square(values), kept, floor**2, _stationary_gram(change), variance)
    # The kernel of v + turned differs from that of v by the cross-correlations of the two.
    cross = kernel(eigenpatches[kept] + turned) - of_kept - kernel(turned)
    divergence = float(of_kept[p - 1, p - 1]) + float(np.vdot(cross, signs_with_image))
    yield 1.0
    return residual + variance * (2 * divergence - 1), variance


def _turn(
    vectors: NDArray[np.float64],
    eigenvalues: NDArray[np.float64],
    kept: NDArray[np.bool_],
    floor: float,
    change: NDArray[np.float32],
    variance: float,
) -> NDArray[np.float32]:
    """Return the change of the kept eigenpatches per unit of a perturbation of the image.

    Only their change out of the space that they span matters: towards the dropped ones, and
    towards all others, whose eigenvalue is that of the noise.

    Parameters
    ----------
    vectors : (k, p * p) float64 array
        Eigenpatches.
    eigenvalues : (k,) float64 array
    kept : (k,) bool array
    floor : float
        Eigenvalue of the noise.
    change : (p * p, p * p) float32 array
        Change of the Gram matrix per unit of the perturbation.
    variance : float
        Noise variance of the image.
    """
    epsilon = PROBE * np.sqrt(variance)
    moved = vectors[kept] @ change  # (kept, p * p)
    coupling = moved @ vectors.T  # with each of the eigenpatches
    outside = moved - coupling @ vectors
    length = np.linalg.norm(outside, axis=1)
    outside /= np.maximum(length, np.finfo(np.float32).tiny)[:, None]

    def angle(coupling: NDArray[Any], gap: NDArray[Any]) -> NDArray[Any]:
        # Of two levels: finite also if they cross, unlike the coupling divided by the gap
        rotation = np.arctan2(2 * epsilon * np.abs(coupling), np.abs(gap)) / 2
        return np.asarray(np.sign(coupling) * np.sign(gap) * rotation / epsilon)

    towards = angle(coupling, eigenvalues[kept, None] - eigenvalues)[:, ~kept] @ vectors[~kept]
    towards += angle(length, eigenvalues[kept] - floor)[:, None] * outside
    side = math.isqrt(vectors.shape[1])
    return towards.reshape(-1, side, side).astype(np.float32)


def _correlation(
    first: NDArray[np.float32], second: NDArray[np.float32], patch_size: int
) -> NDArray[np.float32]:
    """Return the mean of first[x] second[x + lag], for lags from 1 - p to p - 1 in y and x."""
    shape = [scipy.fft.next_fast_len(n + patch_size - 1, real=True) for n in first.shape]
    product = scipy.fft.rfft2(first, shape).conj() * scipy.fft.rfft2(second, shape)
    lags = np.arange(1 - patch_size, patch_size)
    pairs = np.outer(*(n - np.abs(lags) for n in first.shape))
    return np.asarray(scipy.fft.irfft2(product, shape)[np.ix_(lags, lags)] / pairs, np.float32)


def _stationary_gram(correlation: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (p * p, p * p) Gram matrix per patch, as if no patch were at a border."""
    p = (len(correlation) + 1) // 2
    # [a, b, c, d] is the correlation at the lag (c - a, d - b).
    windows = np.lib.stride_tricks.sliding_window_view(correlation, (p, p))[::-1, ::-1]
    return windows.reshape(p * p, p * p)


def _middle(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    y, x = (max(0, (n - side) // 2) for n in image.shape)
    return image[y : y + side, x : x + side]


def odd_width(name: str, value: Any) -> int:
    """Return `value` as a patch width: an odd integer of at least 3."""
    width = whole_number(name, value, 1)
    if width < 3 or width % 2 == 0:
        raise ValueError(
            f"{name} is {width}, but a patch has a middle pixel: use an odd number of at least 3, "
            f"for example {max(3, width + 1)}."
        )
    return width
