"""Estimation of the noise of an image from the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy

from napari_lowdose.blas import on_one_blas_thread
from napari_lowdose.engine import rescale_progress, run_to_end
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
from napari_lowdose.io.arrays import as_image
from napari_lowdose.reucid.classifier import choose, load_weights, utility
from napari_lowdose.reucid.eigenpatches import decompose
from napari_lowdose.reucid.kernel import convolve, kernel
from napari_lowdose.reucid.noise_checks import noise_is_correlated
from napari_lowdose.reucid.patch_stacks import largest_patch
from napari_lowdose.reucid.prepared import Prepared, prepare
from napari_lowdose.reucid.psf_width import psf_width_of_image
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

N_COMPONENTS = 25  # rank of the pilot, as the default of the engine
N_BINS = 20  # points of the noise curve
LEAST = 100  # minimum number of pixels of a point
DARKEST = 1.0  # percentile of the levels that is taken for the darkest one
PEDESTAL = 0.5  # minimum of a pedestal, relative to the darkest level
NEGATIVE = 0.05  # minimum fraction of the range below 0 of an image without its offset
ROUNDS = 6  # of the weighted fit; it has converged after four
SATURATED = 1e-3  # minimum fraction of saturated pixels
SATURATION_STEP = 3  # minimum ratio of their number to that of the pixels one grey level below
STRAIGHT = 0.25  # maximum median deviation of the noise curve from its line, relative
SIGNIFICANT = 4.0  # minimum slope of the noise curve, in standard errors


@dataclass(frozen=True, eq=False)
class NoiseEstimate(PoissonGaussian):
    """Noise of an image, with the curve from which it was estimated.

    Attributes
    ----------
    gain, offset, read_noise : float
        See `PoissonGaussian`.
    levels : (k,) float64 array
        Intensity of the pixels of each bin, grey levels.
    variances : (k,) float64 array
        Noise variance of these pixels, grey levels squared.  Plot it against `levels` beside
        ``estimate.variance(levels)``.
    notes : tuple of str
        Limits of the estimate.  Empty if the noise is Poisson-Gaussian.
    """

    levels: NDArray[np.float64]
    variances: NDArray[np.float64]
    notes: tuple[str, ...] = ()


class Pilot(NamedTuple):
    """An image that is denoised with a single stack of random patches of the PSF width.

    Attributes
    ----------
    image : (m, n) float32 array
    eigenpatches : (k, p, p) float32 array
        Kept eigenpatches.
    """

    image: Image
    eigenpatches: Image


def estimate_noise(image: Any, *, offset: float | None = None) -> NoiseEstimate:
    r"""Estimate gain, offset and read noise of a single image.

    REUCID with patches of the PSF width is a convolution with a known kernel :math:`K`.  Its
    residual has the variance :math:`\|\delta - K\|^2` times that of the noise.  The variance of
    the noise is fitted with a straight line against the denoised intensity.  Noise in both is
    corrected for.

    Parameters
    ----------
    image : (Y, X) array
        One frame with finite pixels, any real dtype.  Outliers, saturated pixels, an info bar and
        the offsets of rows and columns are ignored.
    offset : float, optional
        Grey level of zero electrons or photons, from a dark frame.  A single image determines the
        line, ``variance = gain * (level - offset) + read_noise ** 2``, but not how its height
        divides into offset and read noise.  By default the offset is 0, or the darkest level of
        the image if the line would be negative at 0, as with the pedestal of a camera.

    Returns
    -------
    NoiseEstimate
        With gain 0, plain additive noise, if the noise is not Poisson-Gaussian: it does not grow
        with the intensity, not linearly, or is correlated between neighbouring pixels.  A note
        and a warning say why.

    Raises
    ------
    ValueError
        If the image is not a single frame, is constant, or cannot be denoised.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> fringes = 50 + 40 * np.cos(np.arange(256) / 3)
    >>> image = 2 * rng.poisson(fringes, (256, 256)) + 100 + rng.normal(0, 3, (256, 256))
    >>> noise = estimate_noise(image, offset=100)
    >>> print(f"gain {noise.gain:.0f}")
    gain 2
    """
    frame = as_image(image)
    check_image(frame)
    if frame.ndim != 2:
        raise ValueError(
            f"The noise is estimated from one frame, but the shape is {tuple(frame.shape)}: "
            "select a frame, for example image[0]."
        )
    steps = on_one_blas_thread(noise_of(prepare(np.asarray(frame)), offset=offset))
    estimate = run_to_end(steps)
    for note in estimate.notes:
        warn(note, stacklevel=2)
    return estimate


def noise_of(
    prepared: Prepared,
    *,
    offset: float | None = None,
    pilot: Pilot | None = None,
    correlated: bool | None = None,
) -> Generator[float, None, NoiseEstimate]:
    """Estimate the noise of a prepared frame; see `estimate_noise`.

    Parameters
    ----------
    prepared : Prepared
    offset : float, optional
    pilot : Pilot, optional
        Pilot of `prepared`, if it is known.
    correlated : bool, optional
        Whether the noise of neighbouring pixels is correlated, if it is known.

    Yields
    ------
    float
        Fraction of the work that is done.
    """
    image = prepared.image
    if pilot is None:
        pilot = yield from rescale_progress(pilot_of(image), 0.0, 0.9)
    p = pilot.eigenpatches.shape[-1]
    k = kernel(pilot.eigenpatches)
    remainder = -k  # delta - K
    remainder[p - 1, p - 1] += 1

    # In the middle every pixel is covered by all p * p patches, and the filter is K.
    inside = tuple(slice(p - 1, n - p + 1) for n in image.shape)
    residual = (image - pilot.image)[inside].astype(np.float64)
    residual -= residual.mean(axis=1, keepdims=True)
    residual -= residual.mean(axis=0, keepdims=True)
    squares = residual**2 / np.sum(remainder**2) * prepared.scale**2
    level = pilot.image[inside].astype(np.float64) * prepared.scale + prepared.offset
    yield 0.91
    sound = _sound_pixels(prepared)[inside]
    curve = _NoiseLine(
        level[sound],
        scipy.ndimage.gaussian_filter(level, p / 3)[sound],
        squares[sound],
        attenuation=float(np.sum(k**2)),
        skewness=float(np.sum(remainder**2 * k) / np.sum(remainder**2)),
        offset=offset,
    )
    if correlated is None:
        correlated = noise_is_correlated(image)
    return (yield from rescale_progress(curve.estimate(correlated=correlated), 0.92, 1.0))


def pilot_of(image: Image) -> Generator[float, None, Pilot]:
    """Denoise an image with a single stack of random patches of the PSF width.

    Parameters
    ----------
    image : (m, n) float32 array
        Image without its mean.

    Yields
    ------
    float
        Fraction of the work that is done.
    """
    p = min(psf_width_of_image(image), largest_patch(image.shape))
    yield 0.1
    everywhere = np.ones([n - p + 1 for n in image.shape], bool)  # a single stack
    svd = decompose(image, everywhere, p, N_COMPONENTS)
    values, eigenpatches, floor = yield from rescale_progress(svd, 0.1, 0.6)
    useful = choose(utility(eigenpatches, values, floor, load_weights("remove")))
    eigenpatches = eigenpatches[useful]
    denoised = yield from rescale_progress(convolve(image, eigenpatches), 0.6, 1.0)
    return Pilot(denoised, eigenpatches)


class _NoiseLine:
    """Straight line through the squared residuals against the level, both of them noisy."""

    def __init__(
        self,
        level: NDArray[np.float64],
        smooth: NDArray[np.float64],
        squares: NDArray[np.float64],
        *,
        attenuation: float,
        skewness: float,
        offset: float | None,
    ) -> None:
        self.level, self.smooth, self.squares = level, smooth, squares
        self.attenuation, self.skewness = attenuation, skewness
        self.offset = offset
        self.darkest, self.brightest = np.percentile(smooth, [DARKEST, 100 - DARKEST]).tolist()

    def fit(self) -> Generator[float, None, tuple[float, float, float]]:
        """Return slope, intercept, and the standard error of the slope; yields the progress."""
        mean = float(self.squares.mean())
        weights, read = np.ones_like(self.level), 0.0
        for number in range(ROUNDS):
            yield number / ROUNDS
            share = weights / weights.sum()
            level, square = float(share @ self.level), float(share @ self.squares)
            spread = float(share @ (self.level - level) ** 2)
            # The level has noise of its own, which flattens the line (errors in variables).  The
            # third moment of Poisson noise correlates it with the squares, which steepens it.
            spread += square * (self.skewness * max(0.0, 1 - read / square) - self.attenuation)
            products = (self.level - level) * (self.squares - square)
            slope = float(share @ products) / spread
            intercept = square - slope * level
            _, read = self.split(slope, intercept)
            # Weights from a smoother level, whose noise hardly correlates with the squares.
            weights = 1 / np.maximum(slope * self.smooth + intercept, 0.1 * mean)
        error = float(np.sqrt(np.sum((share * products) ** 2))) / spread
        return slope, intercept, error

    def split(self, slope: float, intercept: float) -> tuple[float, float]:
        """Divide the height of the line into the offset and the variance of the read noise."""
        offset = self.offset
        if offset is None:
            # The offset of a detector without read noise: the line is zero there.
            pedestal = max(-intercept / slope, 0.0) if slope > 0 else 0.0
            if self.darkest < -NEGATIVE * (self.brightest - self.darkest):
                offset = self.darkest
            elif pedestal > PEDESTAL * self.darkest:
                offset = max(self.darkest, pedestal)
            else:
                offset = pedestal
        return offset, max(intercept + slope * offset, 0.0)

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean level and the mean square of bins of equal range of the level."""
        # Bins of the smoother level: those of the level itself would sort by its noise.
        edges = np.linspace(self.darkest, self.brightest, N_BINS + 1)[1:-1]
        bins = np.searchsorted(edges, self.smooth)
        n = np.bincount(bins, minlength=N_BINS)
        sums = (np.bincount(bins, x, minlength=N_BINS) for x in (self.level, self.squares))
        filled = n >= LEAST
        if not filled.any():
            filled = n > 0
        level, square = (total[filled] / n[filled] for total in sums)
        return level, square

    def estimate(self, *, correlated: bool) -> Generator[float, None, NoiseEstimate]:
        """Return the estimate; yields the progress."""
        slope, intercept, error = yield from rescale_progress(self.fit(), 0.0, 0.9)
        yield 0.9
        levels, variances = self.curve()
        expected = np.maximum(slope * levels + intercept, 0.1 * self.squares.mean())
        bent = float(np.median(np.abs(variances / expected - 1))) > STRAIGHT
        grows = slope > SIGNIFICANT * error
        notes = []
        if correlated:
            notes.append(
                "The noise is correlated between neighbouring pixels, so its strength is only a "
                "lower limit: use the image as it was recorded, not resampled or smoothed."
            )
        if grows and bent:
            notes.append(
                "The noise does not grow linearly with the intensity, as that of electrons and "
                "photons does (a stretched or compressed image?): it is treated as additive noise."
            )
        if bent or not grows:
            slope, offset, read = 0.0, self.offset or 0.0, float(self.squares.mean())
        else:
            offset, read = self.split(slope, intercept)
        return NoiseEstimate(slope, offset, float(np.sqrt(read)), levels, variances, tuple(notes))


def _sound_pixels(prepared: Prepared) -> NDArray[np.bool_]:
    """Return a mask of pixels that are neither outliers nor saturated, nor beside such pixels."""
    pixels = prepared.mended
    excluded = prepared.outliers.copy()
    # A detector that saturates has far more pixels at its maximum than just below it.
    at_maximum = pixels == pixels.max()
    below = pixels[~at_maximum].max()
    n_below = int(np.count_nonzero(pixels == below))
    if np.count_nonzero(at_maximum) > max(SATURATED * pixels.size, SATURATION_STEP * n_below):
        excluded |= at_maximum
    if not excluded.any():
        return ~excluded
    sound: NDArray[np.bool_] = ~scipy.ndimage.binary_dilation(excluded, iterations=2)
    return sound if np.count_nonzero(sound) > pixels.size / 2 else np.ones_like(excluded)
