"""Simulate low-dose exposures with the noise model of the pair paper, Eq. (1).

References
----------
Yang et al. 2023 (the pair paper), Eq. (1), section 3.1 and Table 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.io.arrays import as_image
from napari_lowdose.parameters import finite_numbers, is_finite, positive, whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def simulate_pair(
    truth: ArrayLike,
    *,
    photons: float | None = None,
    maximum: float | None = None,
    gaussian_variance: float | None = None,
    read_noise: float | None = None,
    ratio: float = 0.5,
    offset: float | tuple[float, float] = 0.0,
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    r"""Simulate two low-dose exposures of one scene with independent noise, Eq. (1).

    .. math:: \hat I = P\left\{ p \frac{S}{\langle S \rangle} \right\} + \mathcal{N}

    :math:`S` is the noise-free scene, :math:`P` a Poisson distributed number of
    photons (or electrons), and :math:`\mathcal{N}` Gaussian readout noise of
    variance :math:`\mu^2`.

    Parameters
    ----------
    truth : (..., Y, X) array
        Noise-free scene in any unit, not negative.  A stack of frames is
        scaled as a whole, so that dark frames stay dark.
    photons : float, optional
        :math:`p`, the expected photons per pixel, averaged over the scene.
    maximum : float, optional
        Expected photons in the brightest pixel, instead of `photons`.
        By default, `truth` is already in photons.
    gaussian_variance : float, optional
        :math:`\mu^2`, photons squared.  No Gaussian noise by default.
    read_noise : float, optional
        Standard deviation of the Gaussian noise, photons, instead of
        `gaussian_variance`.
    ratio : float
        Share of the light in the first exposure, between 0 and 1: 0.6 for a
        60:40 beamsplitter.  `photons` and `maximum` apply to an even split: the
        ratio redistributes the light.
    offset : float or (float, float)
        Constant that the camera adds to every pixel, photons; one for both
        exposures, or one for each.
    seed : int
        Seed of the noise.  The same seed gives the same pair.

    Returns
    -------
    first, second : (..., Y, X) float32 arrays
        Photons plus offset.  Pixels that are negative due to Gaussian noise are
        not clipped.

    Raises
    ------
    ValueError
        If the truth has negative, NaN or infinite pixels, is empty or zero
        everywhere, or a parameter is out of range.

    See Also
    --------
    expected_photons : The same scene without noise.

    Notes
    -----
    The paper contradicts itself in three places.  This function uses the
    physically consistent reading:

    - Eq. (1) of the paper adds the scene to the Poisson number,
      :math:`S + P\{...\}`, so that part of the light would have no noise.
      Here the scene enters once.
    - :math:`\mu^2` is a variance in the text and a standard deviation in
      Table 1.  Here it is a variance.
    - :math:`p` is the mean in Eq. (1).  In Table 1, however, "100
      photons/pixel" corresponds to brightest pixels of :math:`\lambda = 3`,
      here ``maximum=3``, and 500 and 5000 correspond to 14 and 139.
      :math:`\mu^2` is 0.1 of that maximum.  The first case of the table is
      therefore ``simulate_pair(truth, maximum=3, gaussian_variance=0.3)``.

    Examples
    --------
    >>> truth = np.tile([1.0, 3.0], (128, 64))
    >>> first, second = simulate_pair(truth, photons=100, read_noise=2)
    >>> [round(float(first[:, column::2].mean())) for column in (0, 1)]
    [50, 150]
    >>> difference = first - second  # half its variance is photons + 2²
    >>> round(float(difference[:, ::2].var() / 2))
    54

    A beamsplitter of 60:40 before a camera with an offset of 100:

    >>> first, second = simulate_pair(truth, photons=20, ratio=0.6, offset=100)
    >>> round(float(first.mean())), round(float(second.mean()))
    (124, 116)
    """
    if not is_finite(ratio) or not 0 < ratio < 1:
        raise ValueError(f"The splitting ratio must be between 0 and 1, not {ratio!r}.")
    deviation = _read_noise(gaussian_variance, read_noise)
    scene = _scaled(truth, photons, maximum)
    shares = (2 * ratio, 2 * (1 - ratio))
    offsets = finite_numbers(offset if np.ndim(offset) else (offset, offset)) or ()
    if len(offsets) != 2:
        raise ValueError(f"offset is a number, or one for each exposure, not {offset!r}.")
    seeds = np.random.SeedSequence(whole_number("seed", seed, 0)).spawn(2)
    first, second = (
        exposure(scene * share, np.random.default_rng(each), read_noise=deviation, offset=added)
        for share, added, each in zip(shares, offsets, seeds, strict=True)
    )
    return first, second


def expected_photons(
    truth: ArrayLike, *, photons: float | None = None, maximum: float | None = None
) -> NDArray[np.float32]:
    """Scale a scene to photons as `simulate_pair` does, without noise.

    Parameters
    ----------
    truth : (..., Y, X) array
        Noise-free scene in any unit, not negative.
    photons, maximum : float, optional
        Mean, or brightest pixel, of the scaled scene; as in `simulate_pair`.

    Returns
    -------
    (..., Y, X) float32 array
        Expected photons per pixel of one exposure, for an even split of the light.

    Raises
    ------
    ValueError
        As in `simulate_pair`.

    Examples
    --------
    >>> expected_photons([[1, 3], [2, 2]], photons=100)
    array([[ 50., 150.], [100., 100.]], dtype=float32)
    """
    return _scaled(truth, photons, maximum).astype(np.float32)


def exposure(
    photons: NDArray[Any],
    rng: np.random.Generator,
    *,
    read_noise: float = 0.0,
    offset: float = 0.0,
) -> NDArray[np.float32]:
    """Simulate one exposure of a scene in photons.

    Parameters
    ----------
    photons : array
        Expected photons in each pixel.
    rng : numpy.random.Generator
        Random number generator.
    read_noise : float
        Standard deviation of the Gaussian noise, photons.
    offset : float
        Constant that the camera adds to every pixel, photons.

    Returns
    -------
    float32 array of the same shape
        Photons plus offset.
    """
    image = rng.poisson(photons).astype(np.float32)
    if read_noise:
        image += np.float32(read_noise) * rng.standard_normal(image.shape, np.float32)
    image += np.float32(offset)
    return image


def _read_noise(gaussian_variance: float | None, read_noise: float | None) -> float:
    """Return the standard deviation of the Gaussian noise, from either parameter."""
    if gaussian_variance is not None and read_noise is not None:
        raise ValueError("Give either gaussian_variance or read_noise, not both.")
    given = gaussian_variance if gaussian_variance is not None else (read_noise or 0.0)
    if not is_finite(given) or given < 0:
        raise ValueError(f"The Gaussian noise must be finite and at least 0, not {given!r}.")
    return math.sqrt(given) if gaussian_variance is not None else given


def _scaled(
    truth: ArrayLike, photons: float | None, maximum: float | None
) -> NDArray[np.floating[Any]]:
    """Check a scene and scale it to photons."""
    scene = np.asarray(as_image(truth, "the truth"))
    if scene.dtype.kind not in "biuf":
        raise ValueError(f"The truth has dtype {scene.dtype}, which is not an intensity per pixel.")
    if scene.size == 0:
        raise ValueError(f"The truth is empty: its shape is {scene.shape}.")
    if scene.dtype != np.float32:  # float32 scenes stay small; integers would overflow
        scene = scene.astype(np.float64)
    if not np.isfinite(scene).all():
        raise ValueError("The truth has NaN or infinite pixels: fill them in first.")
    if scene.min() < 0:
        raise ValueError(
            f"The truth has negative pixels (minimum {scene.min():.3g}), but light is never "
            "negative: subtract the minimum, or clip it at zero."
        )
    if photons is not None and maximum is not None:
        raise ValueError("Give either photons (the mean) or maximum, not both.")
    light = photons if photons is not None else maximum
    if light is None:
        return scene
    light = positive("the photons per pixel", light)
    reference = float(scene.mean(dtype=np.float64) if photons is not None else scene.max())
    if reference == 0:
        raise ValueError("The truth is zero everywhere and cannot be scaled to photons.")
    return scene * (light / reference)
