"""Synthetic light-microscopy scenes: nuclei, filaments, puncta and cells.

The scenes are drawn, not simulated physically.  They give the classifier textures, curved edges
and points under a known PSF, on backgrounds as in real microscopes.  Every scene is a float32
image (Y, X) from 0 to 1, blurred by a Gaussian PSF whose standard deviation is given in pixels.

Examples
--------
>>> import numpy as np
>>> scene = puncta(np.random.default_rng(0), (64, 96), psf_sigma=2.0)
>>> scene.shape, scene.dtype
((64, 96), dtype('float32'))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int]


def nuclei(
    rng: np.random.Generator,
    shape: Shape = (384, 384),
    *,
    psf_sigma: float = 2.0,
    background: float = 0.1,
) -> NDArray[np.float32]:
    """Draw stained nuclei: irregular, textured ellipses, some of them overlapping.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    shape : (int, int)
        Height and width of the image, pixels.
    psf_sigma : float
        Standard deviation of the Gaussian PSF, pixels; the size of the nuclei scales with it.
    background : float
        Height of the uneven background, relative to the maximum.

    Returns
    -------
    (Y, X) float32 array
        0 to 1.
    """
    radius = 8 + 7 * psf_sigma
    image = np.zeros(shape)
    for centre in _scattered(rng, shape, spacing=2.3 * radius, jitter=0.45):
        inside, _ = _blob(rng, shape, centre, radius * rng.uniform(0.75, 1.2), edge=0.06)
        grains = 1 + 0.35 * _texture(rng, shape, psf_sigma)
        grains += 0.25 * _texture(rng, shape, radius / 4)
        image += inside * np.clip(grains, 0.2, None) * rng.uniform(0.4, 1.0)
    return _finish(rng, image, psf_sigma, background)


def filaments(
    rng: np.random.Generator,
    shape: Shape = (384, 384),
    *,
    psf_sigma: float = 1.5,
    background: float = 0.05,
) -> NDArray[np.float32]:
    """Draw microtubule-like filaments: curved, crossing, some branching.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    shape : (int, int)
        Height and width of the image, pixels.
    psf_sigma : float
        Standard deviation of the Gaussian PSF, pixels.
    background : float
        Height of the uneven background, relative to the maximum.

    Returns
    -------
    (Y, X) float32 array
        0 to 1.
    """
    image = np.zeros(shape)
    size = np.hypot(*shape)
    number = int(28 * (1.5 / psf_sigma) ** 0.5 * size / 543)
    organiser = rng.uniform(0.2, 0.8, 2) * shape
    for _ in range(number):
        start = organiser + rng.normal(0, 0.04 * size, 2)
        path = _walk(rng, start, rng.uniform(0, 2 * np.pi), int(rng.uniform(0.4, 1.1) * size))
        strength = rng.uniform(0.5, 1.0)
        _draw(image, path, strength)
        if rng.random() < 0.35:
            turn = rng.integers(len(path) // 4, len(path) // 2)
            step = path[turn + 1] - path[turn]
            angle = np.arctan2(step[0], step[1]) + rng.choice([-1, 1]) * rng.uniform(0.3, 0.7)
            _draw(image, _walk(rng, path[turn], angle, len(path) // 2), strength)
    speckle = 1 + 0.3 * _texture(rng, shape, psf_sigma)  # uneven labelling along a filament
    return _finish(rng, image * np.clip(speckle, 0.1, None), psf_sigma, background)


def puncta(
    rng: np.random.Generator,
    shape: Shape = (384, 384),
    *,
    psf_sigma: float = 1.6,
    background: float = 0.1,
) -> NDArray[np.float32]:
    """Draw diffraction-limited spots of many brightnesses, single and in clusters.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    shape : (int, int)
        Height and width of the image, pixels.
    psf_sigma : float
        Standard deviation of the Gaussian PSF and thus of the spots, pixels.
    background : float
        Height of the diffuse background, relative to the maximum.

    Returns
    -------
    (Y, X) float32 array
        0 to 1.
    """
    image = np.zeros(shape)
    area = shape[0] * shape[1]
    singles = rng.uniform(0, 1, (max(8, int(area / (35 * psf_sigma**2 * np.pi * 2))), 2)) * shape
    hearts = rng.uniform(0, 1, (6, 2)) * shape
    clusters = np.vstack([h + rng.normal(0, 7 * psf_sigma, (14, 2)) for h in hearts])
    spots = np.vstack([singles, clusters])
    _deposit(image, spots, rng.lognormal(0, 0.45, len(spots)))
    return _finish(rng, image, psf_sigma, background)


def cells(
    rng: np.random.Generator,
    shape: Shape = (384, 384),
    *,
    psf_sigma: float = 1.8,
    background: float = 0.1,
) -> NDArray[np.float32]:
    """Draw cells: bright membranes, dim textured cytoplasm, dark nuclei, ring-like vesicles.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    shape : (int, int)
        Height and width of the image, pixels.
    psf_sigma : float
        Standard deviation of the Gaussian PSF, pixels.
    background : float
        Height of the uneven background, relative to the maximum.

    Returns
    -------
    (Y, X) float32 array
        0 to 1.
    """
    radius = 26 + 14 * psf_sigma
    image = np.zeros(shape)
    for centre in _scattered(rng, shape, spacing=1.9 * radius, jitter=0.2):
        inside, distance = _blob(rng, shape, centre, radius * rng.uniform(0.8, 1.0), edge=0.03)
        membrane = np.exp(-0.5 * (distance / 1.3) ** 2)
        heart = centre + rng.normal(0, 0.12 * radius, 2)
        nucleus, _ = _blob(rng, shape, heart, 0.4 * radius, edge=0.08)
        cytoplasm = np.clip(1 + 0.4 * _texture(rng, shape, 2 * psf_sigma), 0.1, None)
        image = np.maximum(image, membrane * rng.uniform(0.7, 1.0))
        image += 0.25 * inside * cytoplasm * (1 - 0.75 * nucleus)
        for _ in range(rng.integers(3, 8)):
            away = rng.uniform(0.5, 0.8) * radius
            angle = rng.uniform(0, 2 * np.pi)
            spot = centre + away * np.array([np.sin(angle), np.cos(angle)])
            _, rim = _blob(rng, shape, spot, rng.uniform(2, 4) * psf_sigma, edge=0.1, wobble=0.03)
            image += 0.5 * np.exp(-0.5 * (rim / 1.0) ** 2)
    return _finish(rng, image, psf_sigma, background)


def _finish(
    rng: np.random.Generator, image: NDArray[np.float64], psf_sigma: float, background: float
) -> NDArray[np.float32]:
    """Blur by the PSF, add an uneven background and scale to a maximum of 1."""
    image = gaussian_filter(image, psf_sigma, mode="reflect")
    image /= image.max()
    haze = _texture(rng, image.shape, min(image.shape) / 5)
    haze = (haze - haze.min()) / np.ptp(haze)
    row, column = np.indices(image.shape) / np.array(image.shape)[:, None, None] - 0.5
    shading = 1 - 0.5 * (row**2 + column**2)
    image = (image + background * (0.4 + 0.6 * haze)) * shading
    return cast("NDArray[np.float32]", (image / image.max()).astype(np.float32))


def _texture(rng: np.random.Generator, shape: Shape, grain: float) -> NDArray[np.float64]:
    """Return Gaussian noise of unit variance, smoothed over `grain` pixels."""
    field = gaussian_filter(rng.normal(size=shape), grain, mode="wrap")
    return cast("NDArray[np.float64]", field / field.std())


def _scattered(
    rng: np.random.Generator, shape: Shape, spacing: float, jitter: float
) -> NDArray[np.float64]:
    """Return points (n, 2) on a jittered hexagonal grid that also covers the border."""
    rows = np.arange(-0.2 * spacing, shape[0] + spacing, spacing * 0.87)
    points = [
        (y, x)
        for i, y in enumerate(rows)
        for x in np.arange(-0.2 * spacing + (i % 2) * spacing / 2, shape[1] + spacing, spacing)
    ]
    return np.array(points) + rng.uniform(-jitter, jitter, (len(points), 2)) * spacing


def _blob(
    rng: np.random.Generator,
    shape: Shape,
    centre: NDArray[np.float64],
    radius: float,
    *,
    edge: float,
    wobble: float = 0.08,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an irregular ellipse as a soft mask, and the distance from its rim in pixels."""
    row, column = np.indices(shape)
    y, x = row - centre[0], column - centre[1]
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(0.85, 1.15)
    along = (np.cos(turn) * x + np.sin(turn) * y) * stretch
    across = (-np.sin(turn) * x + np.cos(turn) * y) / stretch
    angle = np.arctan2(across, along)
    rim = np.ones(shape)
    for order in (2, 3, 4):
        rim += wobble / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(along, across) - radius * rim
    return 1 / (1 + np.exp(np.clip(distance / (edge * radius), -50, 50))), distance


def _walk(
    rng: np.random.Generator, start: NDArray[np.float64], heading: float, steps: int
) -> NDArray[np.float64]:
    """Return a smooth path (n, 2) of unit steps whose curvature drifts slowly."""
    bend = gaussian_filter(rng.normal(size=steps), 25)
    bend *= rng.uniform(0.004, 0.02) / max(bend.std(), 1e-9)
    angle = heading + np.cumsum(bend)
    return start + np.cumsum(np.stack([np.sin(angle), np.cos(angle)], 1), axis=0)


def _draw(image: NDArray[np.float64], path: NDArray[np.float64], strength: float) -> None:
    """Add a thin line along a path, spread over neighbouring pixels."""
    fine = np.stack(
        [map_coordinates(path[:, k], [np.arange(0, len(path) - 1, 0.5)], order=1) for k in (0, 1)],
        axis=1,
    )
    _deposit(image, fine, np.full(len(fine), strength / 2))


def _deposit(
    image: NDArray[np.float64], points: NDArray[np.float64], weights: NDArray[np.float64]
) -> None:
    """Add point sources (n, 2), distributed bilinearly so that their centres of mass are exact."""
    corner = np.floor(points).astype(int)
    part = points - corner
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = corner[:, 0] + dy, corner[:, 1] + dx
            share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
            seen = (y >= 0) & (x >= 0) & (y < image.shape[0]) & (x < image.shape[1])
            np.add.at(image, (y[seen], x[seen]), (weights * share)[seen])
