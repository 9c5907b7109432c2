"""How wide a patch is: as the PSF (the paper), or wider where that denoises better.

On a crystal a patch of several PSF widths averages over more repeats, on an aperiodic
specimen it has too much to describe.  Which of the two an image is, the image itself
tells: Stein's estimate of the error needs the noise variance, but not the truth.

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

WIDTHS = 3  # PSF widths in a wide patch, and as many times the components
CROP = 256  # pixels: the part of the image that "auto" tries both patches on
MARGIN = 3.0  # dB that the wide patch must promise: what it gains on a crystal that is perfect
SMALLEST_CROP = 2  # wide patches side by side: with fewer there is nothing to learn from
PROBE = 0.1  # standard deviations of the noise, the perturbation that Monte-Carlo SURE adds


def wide_patch(psf_width: int) -> int:
    """Return the width of a wide patch: three PSF widths, odd, at most 49 pixels."""
    return max(psf_width, min(WIDTHS * psf_width // 2 * 2 + 1, WIDEST_GRAM))


def choose_patch_size(
    images: Iterable[NDArray[np.float32]],
    wanted: Literal["auto", "psf", "wide"],
    n_components: int,
    scan_noise: Literal["remove", "keep"],
    seed: int,
) -> Generator[float, None, tuple[int, bool]]:
    """Find the width of a patch, one for all images.

    Parameters
    ----------
    images : iterable of (m, n) float32 array
        With their constant taken off; frames of one movie, or a single image.
    wanted : "auto", "psf" or "wide"
    n_components : int
        Rank for a patch as wide as the PSF.
    scan_noise : "remove" or "keep"
    seed : int

    Yields
    ------
    float
        The fraction that is done.

    Returns
    -------
    patch_size : int
        Odd, pixels; from the median of the PSF widths.
    is_wide : bool
        Whether it is a wide patch, which wants `WIDTHS` times as many components.
    """
    widths, crops = [], []
    largest = MAX_WIDTH * WIDTHS
    for image in images:
        widths.append(psf_width_of_image(image))
        crops.append(_middle(image).copy())
        largest = min(largest, largest_patch(image.shape))
        yield 0.0
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
        begin, middle, end = (0.1 + 0.9 * (number + part) / len(crops) for part in (0, 0.22, 1))
        search = _risk(crop, psf, n_components, scan_noise, seed)
        risk, variance = yield from rescale_progress(search, begin, middle)
        search = _risk(crop, wide, n_components * WIDTHS, scan_noise, seed, variance)
        risk_wide, _ = yield from rescale_progress(search, middle, end)
        smallest = 1e-3 * variance  # an estimate may come out negative
        narrow += max(risk, smallest)
        broad += max(risk_wide, smallest)
    if crops and 10 * np.log10(narrow / broad) > MARGIN:
        return wide, True
    return psf, False


def _risk(
    image: NDArray[np.float32],
    patch_size: int,
    n_components: int,
    scan_noise: Literal["remove", "keep"],
    seed: int,
    variance: float | None = None,
) -> Generator[float, None, tuple[float, float]]:
    r"""Estimate the mean squared error of denoising `image`, without the truth.

    .. math:: \langle (J(I) - I)^2 \rangle - \sigma^2
              + 2 \sigma^2 \langle b \cdot (J(I + \epsilon b) - J(I)) \rangle / \epsilon

    with random signs b.  The eigenpatches are found anew for the second image, so that
    the noise that they learnt by heart counts; the choice among them stays.

    Returns
    -------
    risk, variance : float
        The noise variance is the one given, or read off the noise floor of this SVD.
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
    """Return `value` as the width of a patch: odd, at least 3."""
    width = whole_number(name, value, 1)
    if width < 3 or width % 2 == 0:
        raise ValueError(
            f"{name} is {width}, but a patch has a middle pixel: use an odd number of at least 3, "
            f"for example {max(3, width + 1)}."
        )
    return width
