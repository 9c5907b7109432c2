"""Plant a change of one site, such as an atom, into an image, with the noise that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.imaging.local_contrast import LocalContrast, contrast_reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

SPOT = 4.5  # PSF widths per standard deviation of a spot, see `psf_width`
REACH = 4.0  # radius of the planted spot, standard deviations
NEAR = 4.0  # PSF widths per radius of a spot, as it is seen
VISIBLE = 3.0  # minimum contrast of a site, standard errors
ROUNDING = 0.2  # minimum error of the grey levels, electrons: they may be rounded

Window = tuple[slice, slice]
Position = tuple[int, int]


class Sites:
    """Finds and changes sites of an image that stand out of their surroundings.

    Only the surroundings of a site are computed, which is fast in large images, too.

    Parameters
    ----------
    image : (Y, X) float64 array
        Raw image.
    valid : (Y, X) bool array
        Pixels to use, see `LocalContrast`.
    noise : PoissonGaussian
    psf_width : int
        Pixels.
    """

    def __init__(
        self,
        image: NDArray[Any],
        valid: NDArray[np.bool_],
        noise: PoissonGaussian,
        psf_width: int,
    ) -> None:
        self._image, self._valid, self._noise, self._width = image, valid, noise, psf_width
        self._level = _level(image, noise, psf_width)

    def find(self, position: Sequence[float]) -> Position:
        """Return the pixel near a position that stands out most of its surroundings.

        Parameters
        ----------
        position : (float, float)
            (y, x) inside the image, for example of a click on a spot.  The pixel found is at most
            the radius of a spot away.
        """
        centre = _nearest_pixel(position)
        radius = self._width / NEAR
        window, (y, x) = self._around(centre, int(radius))
        contrast = LocalContrast(self._valid[window], self._width)(self._image[window])
        rows, columns = np.ogrid[: contrast.shape[0], : contrast.shape[1]]
        near = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        strongest = np.argmax(np.where(near, np.abs(contrast), -1))
        row, column = np.unravel_index(strongest, contrast.shape)
        return centre[0] + int(row) - y, centre[1] + int(column) - x

    def plant(self, site: Sequence[float], contrast: float) -> PlantedSite:
        """Change a site.

        Parameters
        ----------
        site : (float, float)
            Position (y, x) inside the image.
        contrast : float
            Change, as a fraction of the contrast of the site.

        Raises
        ------
        ValueError
            If the site does not stand out of the noise.
        """
        pixel = _nearest_pixel(site)
        window, at = self._around(pixel)
        image, level = self._image[window], self._level[window]
        local = LocalContrast(self._valid[window], self._width)
        found = float(local(image)[at])
        error = float(local.standard_error(self._noise, level)[at])
        significance = abs(found) / error if error > 0 else 0.0
        if significance < VISIBLE:
            raise ValueError(
                f"The site at y={site[0]:g}, x={site[1]:g} stands out of its surroundings by "
                f"{significance:.1f} standard errors of the noise only: choose one with at least "
                f"{VISIBLE:g}."
            )
        inside = at[0] + site[0] - pixel[0], at[1] + site[1] - pixel[1]
        spot = _spot(image.shape, inside, self._width / SPOT)
        change = Change(image, contrast * found / local(spot)[at] * spot, level, self._noise)
        return PlantedSite(window, at, local, change, error)

    def _around(self, pixel: Position, margin: int = 0) -> tuple[Window, Position]:
        """Return the window that decides the contrast of a pixel, and the pixel in this window."""
        far = contrast_reach(self._width) + margin
        rows, columns = (slice(max(at - far, 0), at + far + 1) for at in pixel)
        return (rows, columns), (pixel[0] - rows.start, pixel[1] - columns.start)


@dataclass(frozen=True, eq=False)
class PlantedSite:
    """A changed site of an image.

    Attributes
    ----------
    window : (slice, slice)
        Surroundings of the site.
    at : (int, int)
        Site in the window.
    local : LocalContrast
        Of the window.
    change : Change
        Of the window.
    error : float
        Standard error of the contrast of the site.
    """

    window: Window
    at: Position
    local: LocalContrast
    change: Change
    error: float

    @property
    def planted(self) -> float:
        """Change of the site, grey levels."""
        return float(self.change.expected[self.at])

    @property
    def visibility(self) -> float:
        """Planted contrast in standard errors."""
        return self._contrast / self.error

    @property
    def _contrast(self) -> float:
        return float(self.local(self.change.expected)[self.at])

    def draw(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the image with the changed site, and new noise of the change."""
        changed = np.array(image, np.float64)
        changed[self.window] = self.change.draw(rng)
        return changed

    def share(self, before: NDArray[Any], after: NDArray[Any]) -> float:
        """Return the fraction of the planted contrast by which two images differ."""
        difference = self.local(after[self.window]) - self.local(before[self.window])
        return float(difference[self.at]) / self._contrast


class Change:
    """Change of the expected intensity of an image, with the noise that belongs to it.

    Parameters
    ----------
    image : (Y, X) array
    change : (Y, X) array
        Change of the expected intensity, grey levels.
    level : (Y, X) array
        Expected intensity before.  A pixel cannot be dimmed below the offset.
    noise : PoissonGaussian

    Attributes
    ----------
    expected : (Y, X) float64 array
        Mean of `draw` minus the image.  Where it is dimmed, it is proportional to the electrons
        that the pixel has, not to those of `level`, which is only an estimate.
    """

    def __init__(
        self, image: NDArray[Any], change: NDArray[Any], level: NDArray[Any], noise: PoissonGaussian
    ) -> None:
        self._image, self._noise = np.asarray(image, np.float64), noise
        self.expected = np.array(change, np.float64)
        if noise.gain == 0:
            return
        self._darker, self._brighter = change < 0, change > 0
        electrons = np.maximum(level[self._darker] - noise.offset, 0) / noise.gain
        removed = -change[self._darker] / noise.gain
        tiny = np.finfo(float).tiny
        self._removed_share = np.clip(removed / np.maximum(electrons, tiny), 0, 1)
        self._numbers, self._cumulative = self._posterior(electrons)
        probabilities = np.diff(self._cumulative, axis=1, prepend=0)
        mean = np.sum(self._numbers * probabilities, axis=1)
        self.expected[self._darker] = -noise.gain * self._removed_share * mean

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the changed image, with new noise of the change.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        (Y, X) float64 array
        """
        gain = self._noise.gain
        if gain == 0:
            return self._image + self.expected
        image = self._image.copy()
        image[self._brighter] += gain * rng.poisson(self.expected[self._brighter] / gain)
        quantile = rng.random((len(self._numbers), 1))
        chosen = np.argmax(self._cumulative >= quantile, axis=1)
        electrons = np.take_along_axis(self._numbers, chosen[:, np.newaxis], axis=1)[:, 0]
        image[self._darker] -= gain * rng.binomial(electrons, self._removed_share)
        return image

    def _posterior(
        self, expected: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the distribution of the number of electrons of each pixel that is dimmed.

        It is given by the expected number and by the grey level, with its read noise.
        """
        counts = (self._image[self._darker] - self._noise.offset) / self._noise.gain
        read = max(self._noise.read_noise / self._noise.gain, ROUNDING)
        if not counts.size:
            return np.zeros((0, 1), np.int64), np.ones((0, 1))
        # The number is between grey level and expectation, or a few standard deviations beyond.
        low, high = np.minimum(counts, expected), np.maximum(counts, expected)
        reach = 8 * np.sqrt(np.maximum(high, 0) + 1)
        first = np.maximum(np.floor(low - reach), 0).astype(np.int64)
        width = int(np.ceil(np.max(np.maximum(high + reach, 0) - first))) + 1
        numbers = first[:, np.newaxis] + np.arange(width)
        mean = np.maximum(expected, 1e-9)[:, np.newaxis]
        log = scipy.stats.poisson.logpmf(numbers, mean)
        log -= 0.5 * ((counts[:, np.newaxis] - numbers) / read) ** 2
        probabilities = np.exp(log - log.max(axis=1, keepdims=True))
        cumulative = np.cumsum(probabilities, axis=1)
        cumulative /= cumulative[:, -1:]
        return numbers, cumulative


def _nearest_pixel(position: Sequence[float]) -> Position:
    y, x = position
    return round(y), round(x)


def _level(image: NDArray[Any], noise: PoissonGaussian, width: int) -> NDArray[np.float64]:
    """Return the expected intensity: Gaussian means, sharpened so that spots keep their height."""
    sigma = max(1.0, width / 9)
    blurred = scipy.ndimage.gaussian_filter(image, sigma)
    level = 2 * blurred - scipy.ndimage.gaussian_filter(blurred, sigma)
    return np.asarray(np.maximum(level, noise.offset) if noise.gain > 0 else level)


def _spot(shape: tuple[int, ...], site: Sequence[float], sigma: float) -> NDArray[np.float64]:
    """Return a Gaussian spot of height 1."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    squared = ((y - site[0]) ** 2 + (x - site[1]) ** 2) / sigma**2
    return np.where(squared < REACH**2, np.exp(-0.5 * squared), 0.0)
