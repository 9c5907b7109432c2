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

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.engine import rescale_progress
from napari_lowdose.parameters import whole_number
from napari_lowdose.reucid.classifier import choose, load_weights, utility
from napari_lowdose.reucid.eigenpatches import WIDEST_GRAM, decompose
from napari_lowdose.reucid.patch_stacks import largest_patch
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.psf_width import MAX_WIDTH, psf_width_of_image
from napari_lowdose.reucid.terrain import patch_terrain

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

WIDTHS = 3  # width of a wide patch in PSF widths; also the factor on the number of components
CROP = 256  # size of the crop on which "auto" tries both patch sizes, pixels
MARGIN = 3.0  # minimum estimated gain for a wide patch, dB: its gain on a perfect crystal
SMALLEST_CROP = 2  # minimum size of a crop in wide patches; smaller ones have too few repeats
PROBE = 0.1  # perturbation of Monte-Carlo SURE, in standard deviations of the noise


def wide_patch(psf_width: int) -> int:
    """Return the width of a wide patch: three PSF widths, odd, at most 49 pixels."""
    return max(psf_width, min(WIDTHS * psf_width // 2 * 2 + 1, WIDEST_GRAM))


def choose_patch_size(
    images: Iterable[NDArray[np.float32]],
    wanted: Literal["auto", "psf", "wide"],
    n_components: int,
    scan_noise: str,
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
    scan_noise : "remove", "keep" or "columns"
        With "columns" the images are transposed.
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
        crops.append(_middle(image).copy())
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
    crops = [crop for crop in crops if min(crop.shape) >= SMALLEST_CROP * wide]
    narrow, broad = 0.0, 0.0
    for number, crop in enumerate(crops):
        # The trial with wide patches takes longer: they have more pixels and components.
        begin, middle, end = (0.1 + 0.9 * (number + part) / len(crops) for part in (0, 0.22, 1))
        search = _risk(crop, psf, n_components, scan_noise, seed)
        risk, variance = yield from rescale_progress(search, begin, middle)
        search = _risk(crop, wide, n_components * WIDTHS, scan_noise, seed, variance)
        risk_wide, _ = yield from rescale_progress(search, middle, end)
        smallest = 1e-3 * variance  # the estimate may be negative
        narrow += max(risk, smallest)
        broad += max(risk_wide, smallest)
    if crops and 10 * np.log10(narrow / broad) > MARGIN:
        return wide, True
    return psf, False


def _risk(
    image: NDArray[np.float32],
    patch_size: int,
    n_components: int,
    scan_noise: str,
    seed: int,
    variance: float | None = None,
) -> Generator[float, None, tuple[float, float]]:
    r"""Estimate the mean squared error of denoising `image` without ground truth (SURE).

    .. math:: \langle (J(I) - I)^2 \rangle - \sigma^2
              + 2 \sigma^2 \langle b \cdot (J(I + \epsilon b) - J(I)) \rangle / \epsilon

    with random signs b.  The eigenpatches are recomputed for the perturbed image, so that the
    estimate includes overfitting to the noise.  The choice of eigenpatches is not repeated.

    Returns
    -------
    risk, variance : float
        The noise variance is the given one, or by default that of the noise floor of the SVD.
    """
    everywhere = np.ones([n - patch_size + 1 for n in image.shape], bool)
    terrain = patch_terrain(everywhere, patch_size)

    svd = decompose(image, everywhere, patch_size, n_components, seed=seed)
    values, patches, floor = yield from rescale_progress(svd, 0.0, 0.4)
    kept = choose(utility(patches, values, floor, load_weights(scan_noise)))
    clean = yield from rescale_progress(project(image, patches[kept], everywhere), 0.4, 0.5)
    if variance is None:
        variance = floor**2 / everywhere.size

    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), image.shape)
    epsilon = np.float32(PROBE * np.sqrt(variance))
    probed = np.asarray(image + epsilon * signs, np.float32)
    svd = decompose(probed, everywhere, patch_size, n_components, seed=seed)
    _, patches, _ = yield from rescale_progress(svd, 0.5, 0.9)
    changed = yield from rescale_progress(project(probed, patches[kept], everywhere), 0.9, 1.0)

    residual = np.square(clean / terrain - image).mean(dtype=np.float64)
    divergence = (signs * ((changed - clean) / terrain)).mean(dtype=np.float64) / epsilon
    return float(residual + variance * (2 * divergence - 1)), variance


def _middle(image: NDArray[np.float32]) -> NDArray[np.float32]:
    y, x = (max(0, (n - CROP) // 2) for n in image.shape)
    return image[y : y + CROP, x : x + CROP]


def odd_width(name: str, value: Any) -> int:
    """Return `value` as a patch width: an odd integer of at least 3."""
    width = whole_number(name, value, 1)
    if width < 3 or width % 2 == 0:
        raise ValueError(
            f"{name} is {width}, but a patch has a middle pixel: use an odd number of at least 3, "
            f"for example {max(3, width + 1)}."
        )
    return width
