"""Fraction of a known change of one site that survives denoising."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.blas import on_one_blas_thread
from napari_lowdose.engine import Step, report, rescale_steps, run_to_end, seconds_left
from napari_lowdose.evidence import checked_frame, valid_pixels
from napari_lowdose.image_or_pair import check_engine
from napari_lowdose.imaging.planted_change import VISIBLE, PlantedSite, Sites
from napari_lowdose.imaging.poisson_gaussian import checked_noise
from napari_lowdose.io.arrays import as_image
from napari_lowdose.parameters import is_finite, whole_number
from napari_lowdose.reucid.noise_estimate import NoiseEstimate, noise_of
from napari_lowdose.reucid.prepared import prepare
from napari_lowdose.reucid.psf_width import psf_width as estimate_psf_width
from napari_lowdose.run import Run
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

NOISE = 0.1  # approximate fraction of the work spent on the noise of the image


@dataclass(frozen=True, eq=False)
class Survival:
    """Fraction of a planted contrast that survives denoising; see `survival`.

    Attributes
    ----------
    share : float
        Mean fraction that survives: 1 if the change is kept, 0 if it is lost.
    error : float
        Standard error of `share`; NaN for a single draw.
    shares : (k, n) float64 array
        Fraction for each site and draw.
    planted : (k,) float64 array
        Planted change of the centre of each site, grey levels.  Negative if it is dimmed.
    visibility : (k,) float64 array
        Planted contrast in standard errors of the noise.  Below 3 it can hardly be distinguished
        from noise in the raw image, so no method can promise to keep it.
    noise : PoissonGaussian
        Noise of the image.
    """

    share: float
    error: float
    shares: NDArray[np.float64]
    planted: NDArray[np.float64]
    visibility: NDArray[np.float64]
    noise: PoissonGaussian

    @property
    def notes(self) -> tuple[str, ...]:
        """Limits of the measurement, sentences; empty if there are none."""
        notes = self.noise.notes if isinstance(self.noise, NoiseEstimate) else ()
        weakest = float(np.abs(self.visibility).min())
        if weakest >= VISIBLE:
            return notes
        return (
            *notes,
            f"the planted contrast is {weakest:.1f} standard errors of the noise, so it can hardly "
            "be seen in the raw image: no method can promise to keep it.",
        )

    def __str__(self) -> str:
        """Return the result in one sentence."""
        error = "" if math.isnan(self.error) else f" ± {self.error:.2f}"
        n = len(self.shares)
        return (
            f"{self.share:.2f}{error} of the planted contrast survives "
            f"({np.abs(self.visibility).mean():.1f} standard errors of the noise in the image"
            f"{f'; mean of {n} sites' if n > 1 else ''})"
        )


def survival(
    image: Any,
    engine: Engine,
    at: Sequence[float] | ArrayLike,
    contrast: float = -0.5,
    n: int = 5,
    noise: PoissonGaussian | None = None,
    seed: int = 0,
    *,
    psf_width: int | None = None,
) -> Survival:
    r"""Dim or brighten a site of an image, and measure how much of the change is left.

    A spot :math:`\Delta` as wide as the PSF is planted into the raw image, with the noise that
    belongs to it, and the image is denoised with and without it.  With the contrast :math:`C` of
    the site to its surroundings (`napari_lowdose.imaging.local_contrast.LocalContrast`) the
    surviving fraction is

    .. math:: \frac{C[D(y + \Delta)] - C[D(y)]}{C[\Delta]}

    where :math:`D` is the engine.

    Parameters
    ----------
    image : (Y, X) array
        Raw image with finite pixels, any real dtype.
    engine : Engine
        Method for a single image, or a trained network.
    at : (2,) or (k, 2) array
        Position (y, x) of the site, pixels, or of several sites.  Each is changed by itself.
    contrast : float
        Change, as a fraction of the contrast of the site to its surroundings: -1 removes the
        site, -0.5 halves it, 0.5 adds half of it.
    n : int
        Number of noise draws for each site.
    noise : PoissonGaussian, optional
        Noise of `image`; by default that of `estimate_noise`.
    seed : int
        Seed of the noise draws.
    psf_width : int, optional
        Width of the spot, pixels; by default that of `image`.

    Returns
    -------
    Survival

    Raises
    ------
    ValueError
        If the image cannot be denoised, the site is outside of it or does not stand out of the
        noise, or if the engine takes a pair.

    Warns
    -----
    UserWarning
        If the planted contrast is below 3 standard errors of the noise.

    Notes
    -----
    To dim a pixel, its electrons are thinned: their number is drawn given the grey level and the
    read noise, each of them is removed with the same probability, and the read noise stays.  To
    brighten it, electrons are added.  Both give exactly the Poisson-Gaussian noise of the changed
    specimen.  Additive noise (a gain of 0) does not change.

    The noise of the image itself is the same in all draws.  For an error that includes it, give
    several sites of the same kind.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import PoissonGaussian, Reucid
    >>> y, x = np.mgrid[:96, :96]
    >>> truth = 20 + 200 * np.exp(-((y % 16 - 8) ** 2 + (x % 16 - 8) ** 2) / 8)
    >>> image = np.random.default_rng(0).poisson(truth)
    >>> noise = PoissonGaussian(gain=1, offset=0, read_noise=0)
    >>> kept = survival(image, Reucid(patch_size="psf"), at=(40, 56), noise=noise)
    >>> bool(kept.share > 0.9)
    True
    """
    found = run_to_end(
        survival_steps(image, engine, at, contrast, n, noise, seed, psf_width=psf_width)
    )
    for note in found.notes:
        warn(note, stacklevel=2)
    return found


def survival_steps(
    image: Any,
    engine: Engine,
    at: Sequence[float] | ArrayLike,
    contrast: float = -0.5,
    n: int = 5,
    noise: PoissonGaussian | None = None,
    seed: int = 0,
    *,
    psf_width: int | None = None,
) -> Generator[Step, None, Survival]:
    """Measure step by step, as `survival`; stop iterating to cancel.

    Parameters
    ----------
    image, engine, at, contrast, n, noise, seed, psf_width
        See `survival`.

    Yields
    ------
    Step

    Returns
    -------
    Survival
    """
    test = SurvivalTest(image, engine, contrast, n, noise, seed, psf_width=psf_width)
    yield from test.measure(at)
    return test.result


class SurvivalTest:
    """Measures the survival at some sites, and later at more of them; see `survival`.

    The noise is estimated, and the unchanged image denoised, only once.

    Parameters
    ----------
    image, engine, contrast, n, noise, seed, psf_width
        See `survival`.

    Attributes
    ----------
    sites : list of (float, float)
        Positions (y, x) of the sites measured so far.
    psf_width : int or None
        Width of the spot, pixels; None until it is estimated.

    Raises
    ------
    ValueError
        If the image cannot be denoised, a parameter is out of range, or the engine takes a pair.
    """

    def __init__(
        self,
        image: Any,
        engine: Engine,
        contrast: float = -0.5,
        n: int = 5,
        noise: PoissonGaussian | None = None,
        seed: int = 0,
        *,
        psf_width: int | None = None,
    ) -> None:
        check_engine(engine)
        if engine.takes == "pair":
            raise ValueError(
                f"{type(engine).__name__} takes a pair: train it first, and give the trained "
                "network."
            )
        self._image = checked_frame(image, "the image")
        self._recorded = np.asarray(as_image(image))  # the dtype tells saturated pixels
        if not is_finite(contrast) or contrast == 0 or contrast < -1:
            raise ValueError(
                "contrast is a fraction from -1 (removes the site) upward and not 0, not "
                f"{contrast!r}."
            )
        self._engine, self._contrast = engine, float(contrast)
        self._n = whole_number("n, the number of noise draws,", n, 1)
        self._seed = whole_number("seed", seed, 0)
        self._noise = checked_noise(noise)
        self.psf_width = None if psf_width is None else whole_number("psf_width", psf_width, 1)
        self._all_sites: Sites | None = None
        self._before: NDArray[Any] | None = None
        self.sites: list[tuple[float, float]] = []
        self._planted: list[PlantedSite] = []
        self._shares: list[list[float]] = []

    @property
    def result(self) -> Survival:
        """The survival at all sites measured so far, at least one."""
        assert self._noise is not None  # known after the first site
        shares = np.array(self._shares)
        # Draws at one site share the noise of the image, so that sites are the independent samples.
        samples = shares.mean(axis=1) if len(shares) > 1 else shares[0]
        error = math.nan
        if len(samples) > 1:
            error = float(samples.std(ddof=1) / math.sqrt(len(samples)))
        return Survival(
            float(shares.mean()),
            error,
            shares,
            np.array([each.planted for each in self._planted]),
            np.array([each.visibility for each in self._planted]),
            self._noise,
        )

    def find_site(self, position: Sequence[float]) -> Generator[Step, None, tuple[int, int]]:
        """Return the pixel near a position that stands out most, for example near a click.

        Parameters
        ----------
        position : (float, float)
            (y, x), pixels.  The pixel found is at most a quarter of the PSF width away.

        Yields
        ------
        Step

        Raises
        ------
        ValueError
            If the position is outside of the image.
        """
        (inside,) = checked_sites(position, self._image.shape)
        sites = yield from self._prepare()
        return sites.find(inside)

    def measure(self, at: Sequence[float] | ArrayLike) -> Generator[Step, None, None]:
        """Measure the survival at one or more sites.

        Parameters
        ----------
        at : (2,) or (k, 2) array
            Positions (y, x), pixels.

        Yields
        ------
        Step

        Raises
        ------
        ValueError
            If a site is outside of the image or does not stand out of the noise.
        """
        begun = time.perf_counter()
        for step in self._measure(checked_sites(at, self._image.shape)):
            left = seconds_left(begun, step.fraction, 1 - step.fraction)
            yield replace(step, seconds_left=left)

    def _measure(self, positions: NDArray[np.float64]) -> Iterator[Step]:
        share = 0.0 if self._all_sites is not None else NOISE
        sites = yield from rescale_steps(self._prepare(), 0.0, share)
        # All of them first: a site that is refused should cost no time.
        planted = [sites.plant(position, self._contrast) for position in positions]
        parts = self._n * len(planted) + (self._before is None)
        bounds = iter(np.linspace(share, 1.0, parts + 1).tolist())
        start = next(bounds)
        if self._before is None:
            end = next(bounds)
            self._before = yield from self._denoise(self._image, "without the change", start, end)
            start = end
        for position, each in zip(positions, planted, strict=True):
            number, shares = len(self.sites), []
            for draw in range(self._n):
                changed = each.draw(self._image, np.random.default_rng([self._seed, number, draw]))
                name, end = f"site {number + 1}, draw {draw + 1} of {self._n}", next(bounds)
                after = yield from self._denoise(changed, name, start, end)
                shares.append(each.share(self._before, after))
                start = end
            self.sites.append((float(position[0]), float(position[1])))
            self._planted.append(each)
            self._shares.append(shares)

    def _prepare(self) -> Generator[Step, None, Sites]:
        """Estimate the noise and the PSF width, if they are not known."""
        if self._all_sites is None:
            if self._noise is None:
                estimate = on_one_blas_thread(noise_of(prepare(self._recorded)))
                self._noise = yield from report(estimate, 0.0, 0.8, "noise")
            yield Step(fraction=0.8, message="PSF width")
            self.psf_width = self.psf_width or estimate_psf_width(self._image)
            yield Step(fraction=0.9, message="level of the image")
            valid = valid_pixels(self._image)
            self._all_sites = Sites(self._image, valid, self._noise, self.psf_width)
            yield Step(fraction=1.0, message="level of the image")
        return self._all_sites

    def _denoise(
        self, image: NDArray[Any], name: str, start: float, end: float
    ) -> Generator[Step, None, NDArray[np.float32]]:
        run = Run(image, self._engine)
        for step in run:
            yield Step(fraction=start + (end - start) * step.fraction, message=name)
        return np.asarray(run.image)


def checked_sites(at: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return sites as a (k, 2) array; raise a ValueError if one of them is outside of the image.

    Parameters
    ----------
    at : (2,) or (k, 2) array
        Positions (y, x), pixels.
    shape : (int, int)
        Of the image.
    """
    try:
        sites = np.atleast_2d(np.asarray(at, np.float64))
    except (TypeError, ValueError):
        sites = np.empty((0, 0))
    if sites.ndim != 2 or sites.shape[1] != 2 or not len(sites):
        raise ValueError(f"at is a position (y, x), or several of them, not {at!r}.")
    for y, x in sites:
        if not (0 <= y <= shape[0] - 1 and 0 <= x <= shape[1] - 1):  # also refuses NaN
            raise ValueError(
                f"The site at y={y:g}, x={x:g} is outside of the image of {shape[0]} x "
                f"{shape[1]} pixels."
            )
    return sites
