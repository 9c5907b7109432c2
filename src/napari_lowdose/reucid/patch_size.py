"""How wide a patch is: as the PSF (the paper), or wider where that denoises better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_lowdose.reucid.eigenpatches import WIDEST_GRAM
from napari_lowdose.reucid.psf_width import psf_width

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray

WIDTHS = 3  # PSF widths in a wide patch, and as many times the components


def wide_patch(psf_width: int) -> int:
    """Return the width of a wide patch: three PSF widths, odd, at most 49 pixels."""
    return max(psf_width, min(WIDTHS * psf_width // 2 * 2 + 1, WIDEST_GRAM))


def choose_patch_size(
    image: NDArray[np.float32],
    wanted: Literal["auto", "psf", "wide"],
    n_components: int,
    scan_noise: Literal["remove", "keep"],
) -> Generator[float, None, tuple[int, int]]:
    psf = psf_width(image)
    yield 0.5
    if wanted == "psf":
        return psf, n_components
    return wide_patch(psf), n_components * WIDTHS
