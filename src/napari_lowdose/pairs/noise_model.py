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

    with the noise-free scene :math:`S`, a Poisson number :math:`P` of photons
    (or electrons), and Gaussian noise :math:`\mathcal{N}` of variance
    :math:`\mu^2` from the readout.

    Parameters
    ----------
    truth : (..., Y, X) array
        The scene without noise, in any unit, not negative.  A stack of frames
        is exposed as one: dark frames stay dark.
    photons : float, optional
        :math:`p`: photons to expect per pixel, the mean over the scene.
    maximum : float, optional
        Instead of `photons`: photons to expect in the brightest pixel.
        With neither, `truth` is taken to be photons already.
    gaussian_variance : float, optional
        :math:`\mu^2`, photons squared.  None for no Gaussian noise.
    read_noise : float, optional
        Instead of `gaussian_variance`: the standard deviation, photons.
    ratio : float
        Share of the light that the first exposure gets: 0.6 for a beamsplitter
        of 60:40.  `photons` and `maximum` are those of an even split, so that
        the ratio redistributes light and loses none.
    offset : float, or one for each exposure
        What the camera adds to every pixel.
    seed : int
        Of the noise: the same seed, the same pair.

    Returns
    -------
    first, second : (..., Y, X) float32 arrays
        Photons plus offset.  Gaussian noise makes some pixels negative: nothing is
        cut off.

    Raises
    ------
    ValueError
        If the truth is negative somewhere, dark everywhere or not finite, or a
        parameter is out of its range.

    See Also
    --------
    expected_photons : What the two would be without noise, to compare with.

    Notes
    -----
    The paper's text contradicts itself in three places.  Implemented is the
    reading that is physics:

    - Its Eq. (1) adds the scene to the Poisson number, :math:`S + P\{...\}`:
      a part of the light would have no noise.  Here the scene enters once.
    - :math:`\mu^2` is a variance in the text and a standard deviation in
      Table 1.  Here it is a variance.
    - :math:`p` is the mean in Eq. (1), but "100 photons/pixel" comes with
      brightest pixels of :math:`\lambda = 3` in Table 1, which is
      ``maximum=3`` here; 500 and 5000 go with 14 and 139.  :math:`\mu^2` is
      0.1 of that maximum.  So its first case is
      ``simulate_pair(truth, maximum=3, gaussian_variance=0.3)``.

    Examples
    --------
    >>> truth = np.tile([1.0, 3.0], (128, 64))
    >>> first, second = simulate_pair(truth, photons=100, read_noise=2)
    >>> [round(float(first[:, column::2].mean())) for column in (0, 1)]
    [50, 150]
    >>> difference = first - second  # each pixel has a variance of photons + 2²
    >>> round(float(difference[:, ::2].var() / 2))
    54

    A beamsplitter of 60:40 before a camera with an offset of 100:

    >>> first, second = simulate_pair(truth, photons=20, ratio=0.6, offset=100)
    >>> round(float(first.mean())), round(float(second.mean()))
    (124, 116)
    """
    if not 0 < ratio < 1:
        raise ValueError(f"The splitting ratio must lie between 0 and 1, not at {ratio}.")
    deviation = _read_noise(gaussian_variance, read_noise)
    scene = _scaled(truth, photons, maximum)
    shares = (2 * ratio, 2 * (1 - ratio))
    offsets = np.broadcast_to(np.asarray(offset, np.float64), 2)
    rngs = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    first, second = (
        exposure(scene * share, rng, read_noise=deviation, offset=float(added))
        for share, added, rng in zip(shares, offsets, rngs, strict=True)
    )
    return first, second


def expected_photons(
    truth: ArrayLike, *, photons: float | None = None, maximum: float | None = None
) -> NDArray[np.float32]:
    """Scale a scene to the photons that `simulate_pair` expects from it: its noise-free image.

    Parameters
    ----------
    truth : (..., Y, X) array
        The scene without noise, in any unit, not negative.
    photons, maximum : float, optional
        As in `simulate_pair`: mean of the scene, or its brightest pixel.

    Returns
    -------
    (..., Y, X) float32 array
        Photons per pixel, of an exposure that gets half of the light.

    Raises
    ------
    ValueError
        As `simulate_pair`.

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
    """Draw one exposure of a scene whose photons are known.

    Parameters
    ----------
    photons : array
        To expect in each pixel.
    rng : numpy.random.Generator
        Source of chance.
    read_noise : float
        Standard deviation of the Gaussian noise, photons.
    offset : float
        What the camera adds to every pixel.

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
    """Return the standard deviation of the Gaussian noise, whichever way it was given."""
    if gaussian_variance is not None and read_noise is not None:
        raise ValueError("Give the Gaussian noise by its variance or by read_noise, not by both.")
    given = gaussian_variance if gaussian_variance is not None else (read_noise or 0.0)
    if not (given >= 0 and math.isfinite(given)):
        raise ValueError(f"The Gaussian noise must be zero or more, not {given}.")
    return math.sqrt(given) if gaussian_variance is not None else given


def _scaled(
    truth: ArrayLike, photons: float | None, maximum: float | None
) -> NDArray[np.floating[Any]]:
    """Check a scene and return it in photons."""
    scene = np.asarray(as_image(truth, "the truth"))
    if scene.dtype.kind not in "biuf":
        raise ValueError(f"The truth has dtype {scene.dtype}, which is no intensity per pixel.")
    if scene.size == 0:
        raise ValueError(f"The truth is empty: its shape is {scene.shape}.")
    if scene.dtype != np.float32:
        scene = scene.astype(np.float64)
    if not np.isfinite(scene).all():
        raise ValueError("The truth has NaN or infinite pixels: fill them in first.")
    if scene.min() < 0:
        raise ValueError(
            f"The truth is negative ({scene.min():.3g}) somewhere, and light cannot be: "
            "subtract its minimum, or cut it off at zero."
        )
    if photons is not None and maximum is not None:
        raise ValueError("Give the light by photons (the mean) or by maximum, not by both.")
    light = photons if photons is not None else maximum
    if light is None:
        return scene
    if not (light > 0 and math.isfinite(light)):
        raise ValueError(f"The photons per pixel must be a positive number, not {light}.")
    reference = float(scene.mean(dtype=np.float64) if photons is not None else scene.max())
    if reference == 0:
        raise ValueError("The truth is dark everywhere: no number of photons can be spread on it.")
    return scene * (light / reference)
