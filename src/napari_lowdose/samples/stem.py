"""STEM images of a MoS2 monolayer with known defects, at any dose.

The noise-free image was simulated with abTEM (``python -m training.ship`` in the repository).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.noise_model import simulate_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXEL_SIZE = 0.12
"""Pixel size of the sample image, angstrom."""

READOUT = 0.05
"""Standard deviation of the Gaussian noise, as a fraction of the maximum."""


@dataclass(frozen=True)
class Defect:
    """Point defect of the sample.

    Attributes
    ----------
    kind : str
        "vacancy S" (one of two), "vacancy S2", "vacancy Mo", "Se on S", "W on Mo" or "V on Mo".
    row, col : float
        Position in the image, pixels.
    """

    kind: str
    row: float
    col: float


def stem_low_dose(
    psnr_db: float | None = None, dose: float = 8000.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a low-dose STEM image of a MoS2 monolayer, with and without noise.

    A noise-free simulation (annular dark field, 80 kV) with Poisson noise of
    the electrons and Gaussian noise of 5 % of the maximum, as in the REUCID
    paper [1]_.

    Parameters
    ----------
    psnr_db : float, optional
        PSNR of the noisy image, dB, relative to the maximum of the noise-free image.  It sets
        the dose.
    dose : float
        Electrons per square angstrom; ignored if `psnr_db` is given.
    seed : int
        Seed of the noise.

    Returns
    -------
    noisy, truth : (256, 256) float32 arrays
        Electrons per pixel on the detector.  Values of the noisy image may be negative.

    Raises
    ------
    ValueError
        If the dose is not positive, or no dose gives this PSNR.

    References
    ----------
    .. [1] Mitchell, Sanvito & Jones 2025 (REUCID), Fig. 5.

    Examples
    --------
    >>> noisy, truth = stem_low_dose(psnr_db=16)
    >>> noisy.shape, noisy.dtype
    ((256, 256), dtype('float32'))
    >>> mean_squared_error = np.mean((noisy - truth) ** 2)
    >>> round(float(10 * np.log10(truth.max() ** 2 / mean_squared_error)), 1)
    16.1
    """
    share, _ = _simulation()  # fraction of the beam
    top = float(share.max())
    if psnr_db is not None:
        allowed = 10 ** (-psnr_db / 10) - READOUT**2  # variance that remains for shot noise
        if not allowed > 0:
            limit = -20 * math.log10(READOUT)
            raise ValueError(
                f"No dose gives this sample {psnr_db:g} dB: its readout noise alone leaves "
                f"{limit:.1f} dB. Ask for less."
            )
        dose = float(share.mean(dtype=np.float64)) / (top**2 * allowed * PIXEL_SIZE**2)
    truth = _electrons(dose)
    rng = np.random.default_rng(seed)
    readout = READOUT * float(truth.max()) * rng.standard_normal(truth.shape)
    return (rng.poisson(truth) + readout).astype(np.float32), truth


def stem_pair(
    dose: float = 20000.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return two exposures of the MoS2 monolayer at half the dose each, with and without noise.

    Each exposure has the noise of `stem_low_dose`: Poisson noise of the electrons and Gaussian
    noise of 5 % of the maximum.  At the default dose the PSNR of each is about 16 dB, as in Fig. 5
    of the pair paper.

    Parameters
    ----------
    dose : float
        Total dose of both exposures, electrons per square angstrom.
    seed : int
        Seed of the noise.

    Returns
    -------
    first, second, truth : (256, 256) float32 arrays
        Electrons per pixel on the detector in one exposure.  Values of the noisy images may be
        negative.

    Raises
    ------
    ValueError
        If the dose is not positive.

    Examples
    --------
    >>> first, second, truth = stem_pair()
    >>> one, both = (np.mean((image - truth) ** 2) for image in (first, (first + second) / 2))
    >>> round(float(one / both), 1)
    2.0
    """
    truth = _electrons(dose / 2)
    # The dose is already in `truth`, so `simulate_pair` gets no number of photons.
    first, second = simulate_pair(truth, read_noise=READOUT * float(truth.max()), seed=seed)
    return first, second, truth


def defects() -> tuple[Defect, ...]:
    """Return the point defects of the sample, for example to check that denoising keeps them.

    Returns
    -------
    tuple of Defect

    Examples
    --------
    >>> sorted({defect.kind for defect in defects()})
    ['Se on S', 'V on Mo', 'W on Mo', 'vacancy Mo', 'vacancy S', 'vacancy S2']
    """
    return tuple(Defect(**defect) for defect in _simulation()[1]["defects"])


def _electrons(dose: float) -> NDArray[np.float32]:
    """Return the noise-free image at a dose, electrons per pixel."""
    if not (dose > 0 and math.isfinite(dose)):
        raise ValueError(f"The dose must be a positive number of electrons per Å², not {dose}.")
    share, _ = _simulation()
    return (share * (dose * PIXEL_SIZE**2)).astype(np.float32)


@cache
def _simulation() -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return the noise-free image as a fraction of the beam, and its metadata."""
    import tifffile

    folder = files(__package__)
    about: dict[str, Any] = json.loads(
        folder.joinpath("mos2_defects.json").read_text(encoding="utf-8")
    )
    with as_file(folder.joinpath("mos2_defects.tif")) as path:
        counts = tifffile.imread(path)
    return counts * about["beam_fraction_per_count"], about
