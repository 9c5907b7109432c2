"""Simulated camera frames of a beamsplitter: two views of one scene on one sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_lowdose.pairs.noise_model import expected_photons, exposure
from napari_lowdose.pairs.view_map import ViewMap

from .chloroplasts import flowing_chloroplasts
from .nuclei import nuclei

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 24  # margin of the scene around a view, pixels, for shifted views without empty borders

Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Beamsplitter:
    """A beamsplitter with two views of a scene side by side on one sensor.

    Attributes
    ----------
    shift : (float, float)
        Displacement (dy, dx) of the scene in the second view relative to the
        first, pixels, at most 12: (y, x) in the first view corresponds to
        (y + dy, x + dx) in the second.
    ratio : float
        Fraction of the light in the first view: 0.6 for 60:40.
    gap, margin : int
        Dark pixels between the views and around them.
    offset : float
        Offset of the camera, grey levels.
    read_noise : float
        Standard deviation of the camera's Gaussian noise, photons.
    rotation : float
        Rotation of the second view about its centre, counter-clockwise as displayed, degrees.
    magnification : float
        Magnification of the second view.

    Examples
    --------
    >>> splitter = Beamsplitter(gap=24, margin=12)
    >>> splitter.regions((320, 320))  # y0, y1, x0, x1
    ((12, 332, 12, 332), (12, 332, 356, 676))
    """

    shift: tuple[float, float] = (1.3, -2.6)
    ratio: float = 0.6
    gap: int = 24
    margin: int = 12
    offset: float = 100.0
    read_noise: float = 1.5
    rotation: float = 0.0
    magnification: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        if max(map(abs, self.shift)) > EDGE / 2:
            raise ValueError(
                f"The shift {self.shift} is more than the {EDGE / 2:g} pixels that this simulation "
                "can show."
            )
        if not 0 < self.ratio < 1:
            raise ValueError(f"The splitting ratio must be between 0 and 1, not {self.ratio}.")

    def regions(self, shape: tuple[int, ...]) -> tuple[Region, Region]:
        """Return the regions (y0, y1, x0, x1) of two views of a shape (Y, X)."""
        height, width = shape[-2:]
        top, left = self.margin, self.margin
        beside = left + width + self.gap
        return (
            (top, top + height, left, left + width),
            (top, top + height, beside, beside + width),
        )

    def project(self, scene: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the expected photons in each pixel of the sensor.

        Parameters
        ----------
        scene : (..., Y, X) array
            Photons per pixel at an even split, `EDGE` pixels larger on each side
            than a view.

        Returns
        -------
        (..., Y, X) float32 array
        """
        first = scene[..., EDGE:-EDGE, EDGE:-EDGE]
        second = displaced(self._turned(scene), self.shift)[..., EDGE:-EDGE, EDGE:-EDGE]
        height = first.shape[-2] + 2 * self.margin
        width = 2 * first.shape[-1] + self.gap + 2 * self.margin
        sensor = np.zeros((*first.shape[:-2], height, width), np.float32)
        shares = 2 * self.ratio, 2 * (1 - self.ratio)
        for (y0, y1, x0, x1), view, share in zip(
            self.regions(first.shape), (first, second), shares, strict=True
        ):
            sensor[..., y0:y1, x0:x1] = share * view
        return sensor

    def _turned(self, scene: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rotate and magnify a smooth, noise-free scene about its centre."""
        if self.rotation == 0 and self.magnification == 1:
            return scene
        linear = self.view_map(scene.shape).linear
        centre = (np.array(scene.shape[-2:]) - 1) / 2
        fixed = ViewMap.of(linear, centre - linear @ centre)
        return fixed.inverse.resample(scene, order=5)

    def view_map(self, shape: tuple[int, ...]) -> ViewMap:
        """Return the map from a first view of a shape (Y, X) to the second."""
        turn = np.radians(self.rotation)
        linear = self.magnification * np.array(
            [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        )
        centre = (np.array(shape[-2:]) - 1) / 2
        return ViewMap.of(linear, centre + self.shift - linear @ centre)

    def record(
        self, scene: NDArray[np.float32], seed: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
        """Return the camera frames with and without noise; `scene` as for `project`."""
        truth = self.project(scene)
        noisy = np.empty(truth.shape, np.uint16)
        rng = np.random.default_rng(seed)
        for frame in np.ndindex(truth.shape[:-2]):  # faster than all at once
            counts = exposure(truth[frame], rng, read_noise=self.read_noise, offset=self.offset)
            noisy[frame] = np.clip(np.rint(counts), 0, 65535)
        truth += np.float32(self.offset)
        return noisy, truth


def beamsplitter_frame(
    photons: float = 10.0, splitter: Beamsplitter | None = None, seed: int = 0
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return a camera frame with two views of fluorescent nuclei, with and without noise.

    The views differ by a subpixel shift and in brightness (60:40).

    Parameters
    ----------
    photons : float
        Expected photons per pixel, averaged over both views.
    splitter : Beamsplitter, optional
        The optics and the camera; by default ``Beamsplitter()``.
    seed : int
        Seed of the noise.

    Returns
    -------
    frame : (344, 688) uint16 array
        Grey levels of the camera: photons plus offset.
    truth : (344, 688) float32 array
        The noise-free image.

    Examples
    --------
    >>> frame, truth = beamsplitter_frame()
    >>> first, second = Beamsplitter().regions((320, 320))
    >>> [round(float((truth[y0:y1, x0:x1] - 100).mean())) for y0, y1, x0, x1 in (first, second)]
    [13, 9]
    """
    scene = nuclei((320 + 2 * EDGE, 320 + 2 * EDGE), seed=11)
    return (splitter or Beamsplitter()).record(expected_photons(scene, photons=photons), seed)


def beamsplitter_movie(
    n_frames: int = 48,
    photons: float = 12.0,
    splitter: Beamsplitter | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return a camera movie with two views of streaming chloroplasts, with and without noise.

    Chloroplasts in the cells of a water plant in transmitted light, at `FRAMES_PER_SECOND`, as in
    section 4.3 of the pair paper.

    Parameters
    ----------
    n_frames : int
        Length of the movie.
    photons : float
        Expected photons per pixel, averaged over both views.
    splitter : Beamsplitter, optional
        The optics and the camera; by default ``Beamsplitter()``.
        The true shift is its `shift` in all frames.
    seed : int
        Seed of the noise.

    Returns
    -------
    movie : (n_frames, 216, 432) uint16 array
        Grey levels of the camera: photons plus offset.
    truth : (n_frames, 216, 432) float32 array
        The noise-free image.

    Examples
    --------
    >>> movie, truth = beamsplitter_movie(n_frames=2)
    >>> movie.shape, Beamsplitter().shift
    ((2, 216, 432), (1.3, -2.6))
    """
    scene = flowing_chloroplasts(n_frames, (192 + 2 * EDGE, 192 + 2 * EDGE))
    return (splitter or Beamsplitter()).record(expected_photons(scene, photons=photons), seed)


def displaced(scene: NDArray[np.float32], shift: tuple[float, float]) -> NDArray[np.float32]:
    """Shift a smooth, noise-free scene by a subpixel distance, with the Fourier shift theorem.

    The outer `EDGE` / 2 pixels fade to the mean, because the Fourier transform is periodic; crop
    them from the result.

    Parameters
    ----------
    scene : (..., Y, X) array
    shift : (float, float)
        (dy, dx), pixels: (y, x) moves to (y + dy, x + dx).

    Returns
    -------
    (..., Y, X) float32 array
    """
    from scipy.fft import irfft2, rfft2

    height, width = scene.shape[-2:]
    level = scene.mean(axis=(-2, -1), keepdims=True)
    faded = level + (scene - level) * (_fade(height)[:, None] * _fade(width))
    turns = np.fft.fftfreq(height)[:, None] * shift[0] + np.fft.rfftfreq(width) * shift[1]
    phase = np.exp(-2j * np.pi * turns).astype(np.complex64)
    return cast(
        "NDArray[np.float32]",
        irfft2(rfft2(faded.astype(np.float32)) * phase, s=(height, width)).astype(np.float32),
    )


def _fade(length: int) -> NDArray[np.float32]:
    """Return weights of 1 that fall to 0 over the first and last `EDGE` / 2 pixels."""
    from_border = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    rise = np.clip(from_border / (EDGE / 2), 0, 1)
    return ((1 - np.cos(np.pi * rise)) / 2).astype(np.float32)
