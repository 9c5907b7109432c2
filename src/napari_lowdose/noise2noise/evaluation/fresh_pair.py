"""Gain of any method on a pair of exposures that no training has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from napari_lowdose.noise2noise.evaluation.gain_interval import (
    GainInterval,
    cut_tiles,
    gain_interval,
    scene_spectrum,
)
from napari_lowdose.noise2noise.gain_matching import match_gain
from napari_lowdose.noise2noise.training_data import held_out_side
from napari_lowdose.noise2noise.valid_pixels import valid_pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FreshPair:
    """Two exposures of one scene, to compare methods that have seen neither.

    Differences between methods are known much better than the gain of each, because the noise of
    the pair is the same for all.

    Parameters
    ----------
    first, second : (Y, X) array
        The exposures, of at least 32 x 32 pixels.
    shift : (float, float)
        Shift of the second exposure against the first, (dy, dx), at most 1 pixel.
    use : "both" or "first"
        Whether the gain is that of the mean of both results, or of the first alone.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> rng = np.random.default_rng(2)
    >>> scene = 50 + 30 * np.sin(np.arange(256) / 9) * np.ones((256, 1))
    >>> first, second = rng.poisson(scene), rng.poisson(scene)
    >>> pair = FreshPair(first, second, use="first")
    >>> smooth = [gaussian_filter(image.astype(float), 2) for image in (first, second)]
    >>> gain = 10 * np.log10(np.mean((first - scene) ** 2) / np.mean((smooth[0] - scene) ** 2))
    >>> print(f"{gain:.1f} dB, estimated {pair.gain(*smooth)}")
    15.7 dB, estimated 14.9 to 16.1 dB
    """

    def __init__(
        self,
        first: NDArray[Any],
        second: NDArray[Any],
        shift: tuple[float, float] = (0.0, 0.0),
        use: Literal["both", "first"] = "both",
    ) -> None:
        valid = valid_pixels(first, second)
        self._area, self._shift, self._use = valid.area, shift, use
        one, other = valid.frames
        self._match = match_gain(one, other)
        other = self._match.to_first(other)
        self._side = held_out_side(one.shape)
        self._spectrum = scene_spectrum(one, other, self._side)
        self._tiles = self._moved(one), cut_tiles(other, self._side)

    def gain(self, r1: NDArray[Any], r2: NDArray[Any]) -> GainInterval:
        """Estimate the PSNR gain of a method.

        Parameters
        ----------
        r1, r2 : (Y, X) array
            Its results for the first and for the second exposure, in the units of each.  Each must
            depend on its own exposure only.

        Returns
        -------
        GainInterval
        """
        one = self._moved(r1[self._area])
        other = cut_tiles(self._match.to_first(r2[self._area]), self._side)
        found = gain_interval(one, other, *self._tiles, self._spectrum, use=self._use)
        if not any(self._shift):
            return found
        from napari_lowdose.noise2noise.spline_shift import noise_left

        return found.over_unshifted(noise_left(self._shift))

    def _moved(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Return the tiles of the first exposure, or of its result, on the grid of the second."""
        if any(self._shift):
            from napari_lowdose.noise2noise.spline_shift import shifted  # loads torch

            image = shifted(image, self._shift)
        return cut_tiles(image, self._side)
