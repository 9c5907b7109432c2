"""Low-dose pairs of randomly drawn fluorescent cell nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_lowdose.pairs.noise_model import expected_photons, simulate_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXEL_SIZE = 0.325
"""Pixel size of the scene, µm: a 6.5 µm pixel and a 20x objective."""

RADIUS = (13.0, 23.0)  # range of the radii of nuclei, pixels: diameters of 8 to 15 µm
PSF = 1.3  # standard deviation of the point spread function, pixels
OUT_OF_FOCUS = 6.0  # likewise for nuclei far from the focal plane


def nuclei_pair(
    photons: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return two low-dose exposures of fluorescent nuclei, with and without noise.

    The noise is Poisson noise and a read noise of one electron, as in an sCMOS camera.

    Parameters
    ----------
    photons : float
        Expected photons per pixel in each exposure, averaged over the image.  The brightest
        nuclei have about ten times as many.
    seed : int
        Seed of the noise.  The nuclei do not depend on it.

    Returns
    -------
    first, second, truth : (512, 512) float32 arrays
        Photons per pixel.  Values of the noisy images may be negative.

    Raises
    ------
    ValueError
        If `photons` is not positive.

    Examples
    --------
    >>> first, second, truth = nuclei_pair(photons=2)
    >>> round(float(first.mean()), 1), round(float(truth.mean()), 1)
    (2.0, 2.0)
    """
    scene = nuclei((512, 512))
    first, second = simulate_pair(scene, photons=photons, read_noise=1.0, seed=seed)
    return first, second, expected_photons(scene, photons=photons)


def nuclei(shape: tuple[int, int], seed: int = 5) -> NDArray[np.float64]:
    """Draw a noise-free wide-field image of fluorescent nuclei.

    Some nuclei touch, divide or are out of focus.  Their brightness depends on their DNA content
    (one or two sets), and scattered light forms a haze.

    Parameters
    ----------
    shape : (int, int)
        Image shape, pixels.
    seed : int
        Seed of the scene.

    Returns
    -------
    (Y, X) float64 array
        A typical nucleus is about 1, the background about 0.05.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    chromatin = 0.13 * _grain(rng, shape, 1.4) + 0.10 * _grain(rng, shape, 4.5)
    focal, far = np.zeros(shape), np.zeros(shape)
    for nucleus in _scattered(rng, shape):
        _draw(far if rng.random() < 0.12 else focal, nucleus, rng)
    sharp = gaussian_filter(focal * np.exp(chromatin), PSF)
    blurred = 0.8 * gaussian_filter(far, OUT_OF_FOCUS)
    light = sharp + blurred
    y, x = (np.linspace(-1, 1, n) for n in shape)
    illumination = 1 - 0.12 * ((y[:, None] - 0.2) ** 2 + (x - 0.1) ** 2)
    cytoplasm = 0.035 + 0.012 * _grain(rng, shape, 30)
    haze = 0.14 * gaussian_filter(light, 28) + np.clip(cytoplasm, 0.01, None)
    return cast("NDArray[np.float64]", (light + haze) * illumination)


@dataclass(frozen=True)
class Nucleus:
    """Position and radius (pixels) and brightness of a nucleus; condensed if it divides."""

    y: float
    x: float
    radius: float
    brightness: float
    dividing: bool


def _scattered(rng: np.random.Generator, shape: tuple[int, int]) -> list[Nucleus]:
    """Place nuclei at random, half of them beside another one, almost without overlap."""
    placed: list[Nucleus] = []
    wanted = round(0.34 * shape[0] * shape[1] / (np.pi * np.mean(RADIUS) ** 2))
    for _ in range(40 * wanted):
        radius = float(np.clip(rng.normal(np.mean(RADIUS), 3), *RADIUS))
        y, x = rng.uniform(-10, np.array(shape) + 10)
        if placed and rng.random() < 0.5:
            beside = placed[rng.integers(len(placed))]
            away = rng.uniform(0.95, 1.1) * (radius + beside.radius)
            angle = rng.uniform(0, 2 * np.pi)
            y, x = beside.y + away * np.sin(angle), beside.x + away * np.cos(angle)
        if all(np.hypot(y - n.y, x - n.x) > 0.94 * (radius + n.radius) for n in placed):
            dna = 2 if rng.random() < 0.2 else 1
            brightness = dna ** (1 / 2) * rng.lognormal(0, 0.25)
            placed.append(Nucleus(y, x, radius, brightness, dividing=rng.random() < 0.04))
        if len(placed) == wanted:
            break
    return placed


def _draw(image: NDArray[np.float64], nucleus: Nucleus, rng: np.random.Generator) -> None:
    """Add a nucleus to an image: an irregular, flat-topped ellipse with dark nucleoli."""
    half = int(1.7 * nucleus.radius)
    top, left = int(nucleus.y) - half, int(nucleus.x) - half
    rows = slice(max(top, 0), max(min(top + 2 * half, image.shape[0]), 0))
    columns = slice(max(left, 0), max(min(left + 2 * half, image.shape[1]), 0))
    y = (np.arange(rows.start, rows.stop) - nucleus.y)[:, None] / nucleus.radius
    x = (np.arange(columns.start, columns.stop) - nucleus.x) / nucleus.radius
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.25)
    brightness = nucleus.brightness
    if nucleus.dividing:  # the plate of chromosomes, seen from the side
        stretch, brightness = rng.uniform(1.6, 1.85), 2.0 * nucleus.brightness
        y, x = 2.2 * y, 2.2 * x
    along = (np.cos(turn) * x + np.sin(turn) * y) / stretch
    across = (np.cos(turn) * y - np.sin(turn) * x) * stretch
    angle = np.arctan2(across, along)
    rim = 1 + sum(
        rng.normal(0, 0.09 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        for order in (2, 3, 4)
    )
    height = np.clip(1 - (np.hypot(along, across) / rim) ** 2, 0, None) ** 0.4
    if not nucleus.dividing:
        for _ in range(rng.integers(1, 5)):
            spot = rng.normal(0, 0.33, 2)
            size = rng.uniform(0.09, 0.19)
            nucleolus = np.exp(-0.5 * ((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / size**2)
            height = height * (1 - rng.uniform(0.25, 0.55) * nucleolus)
    image[rows, columns] += brightness * height


def _grain(rng: np.random.Generator, shape: tuple[int, int], size: float) -> NDArray[np.float64]:
    """Return Gaussian noise of unit variance, smooth over `size` pixels."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.standard_normal(shape), size, mode="wrap")
    return cast("NDArray[np.float64]", field / field.std())
