"""What a camera sees behind a beamsplitter: two views of one scene on one sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_lowdose.pairs.noise_model import expected_photons, exposure

from .chloroplasts import flowing_chloroplasts
from .nuclei import nuclei

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 24  # pixels of scene around a view, out of which a shift brings in what it needs

Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Beamsplitter:
    """A beamsplitter that sends two views of a scene side by side onto one sensor.

    Attributes
    ----------
    shift : (float, float)
        Displacement (dy, dx) of the scene in the second view relative to the
        first, pixels, at most 12: what lies at (y, x) in the first lies at
        (y + dy, x + dx) in the second.
    ratio : float
        Share of the light that goes to the first view: 0.6 for 60:40.
    gap, margin : int
        Pixels without light between the views, and around them.
    offset : float
        What the camera adds to every pixel.
    read_noise : float
        Standard deviation of the camera's Gaussian noise, photons.

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

    def __post_init__(self) -> None:
        """Check the values."""
        if max(map(abs, self.shift)) > EDGE / 2:
            raise ValueError(
                f"The shift {self.shift} is more than the {EDGE / 2:g} pixels that this simulation "
                "can show."
            )
        if not 0 < self.ratio < 1:
            raise ValueError(f"The splitting ratio must lie between 0 and 1, not at {self.ratio}.")

    def regions(self, shape: tuple[int, ...]) -> tuple[Region, Region]:
        """Return where the two views of a shape (Y, X) lie: (y0, y1, x0, x1) each."""
        height, width = shape[-2:]
        top, left = self.margin, self.margin
        beside = left + width + self.gap
        return (
            (top, top + height, left, left + width),
            (top, top + height, beside, beside + width),
        )

    def project(self, scene: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the photons that reach each pixel of the sensor.

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
        second = displaced(scene, self.shift)[..., EDGE:-EDGE, EDGE:-EDGE]
        height = first.shape[-2] + 2 * self.margin
        width = 2 * first.shape[-1] + self.gap + 2 * self.margin
        sensor = np.zeros((*first.shape[:-2], height, width), np.float32)
        shares = 2 * self.ratio, 2 * (1 - self.ratio)
        for (y0, y1, x0, x1), view, share in zip(
            self.regions(first.shape), (first, second), shares, strict=True
        ):
            sensor[..., y0:y1, x0:x1] = share * view
        return sensor

    def record(
        self, scene: NDArray[np.float32], seed: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
        """Return what the camera reads out, and the same without noise; `scene` as in project."""
        truth = self.project(scene)
        noisy = np.empty(truth.shape, np.uint16)
        rng = np.random.default_rng(seed)
        for frame in np.ndindex(truth.shape[:-2]):  # quicker than all at once
            counts = exposure(truth[frame], rng, read_noise=self.read_noise, offset=self.offset)
            noisy[frame] = np.clip(np.rint(counts), 0, 65535)
        truth += np.float32(self.offset)
        return noisy, truth


def beamsplitter_frame(
    photons: float = 10.0, splitter: Beamsplitter | None = None, seed: int = 0
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return a camera frame with two views of fluorescent nuclei, and the same without noise.

    The views differ by a shift with a fraction of a pixel and in brightness (60:40).

    Parameters
    ----------
    photons : float
        To expect per pixel, the mean over both views.
    splitter : Beamsplitter, optional
        The optics and the camera; by default ``Beamsplitter()``.
    seed : int
        Of the noise: the same seed, the same frame.

    Returns
    -------
    frame : (344, 688) uint16 array
        Grey levels of the camera: photons plus offset.
    truth : (344, 688) float32 array
        The same without noise.

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
    """Return a camera movie with two views of streaming chloroplasts, and the same without noise.

    As in the pair paper, section 4.3: chloroplasts in the cells of a water plant,
    in transmitted light, at `FRAMES_PER_SECOND`.

    Parameters
    ----------
    n_frames : int
        Length of the movie.
    photons : float
        To expect per pixel, the mean over both views.
    splitter : Beamsplitter, optional
        The optics and the camera; by default ``Beamsplitter()``.
        Its `shift` is the true one, the same in all frames.
    seed : int
        Of the noise: the same seed, the same movie.

    Returns
    -------
    movie : (n_frames, 216, 432) uint16 array
        Grey levels of the camera: photons plus offset.
    truth : (n_frames, 216, 432) float32 array
        The same without noise.

    Examples
    --------
    >>> movie, truth = beamsplitter_movie(n_frames=2)
    >>> movie.shape, Beamsplitter().shift
    ((2, 216, 432), (1.3, -2.6))
    """
    scene = flowing_chloroplasts(n_frames, (192 + 2 * EDGE, 192 + 2 * EDGE))
    return (splitter or Beamsplitter()).record(expected_photons(scene, photons=photons), seed)


def displaced(scene: NDArray[np.float32], shift: tuple[float, float]) -> NDArray[np.float32]:
    """Displace a noise-free, sharp-edge-free scene by a fraction of a pixel, exactly.

    By the Fourier shift theorem.  The outer `EDGE` / 2 pixels are faded to the
    mean, so that opposite borders meet; they are not to be used.

    Parameters
    ----------
    scene : (..., Y, X) array
    shift : (float, float)
        (dy, dx), pixels: what lies at (y, x) comes to lie at (y + dy, x + dx).

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
    """Return 1 inside, and a rise from 0 over the first and last `EDGE` / 2 pixels."""
    from_border = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    rise = np.clip(from_border / (EDGE / 2), 0, 1)
    return ((1 - np.cos(np.pi * rise)) / 2).astype(np.float32)
