"""Places where structure was taken away: tiles whose residual has more contrast than noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy

from napari_lowdose.inspection.noise_contrast import NoiseContrast, impulse, spikes
from napari_lowdose.inspection.residual import FALSE_ALARMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.inspection.residual import Residual

FINE = 7  # PSF width of the fine scale, pixels: sharp edges are narrower than the PSF is estimated
TILE = 32  # pixels, at least
TILE_WIDTHS = 4  # PSF widths
MOST_PLACES = 12
FILLED = 0.6  # minimum share of a box that is significant; otherwise it is divided
COHERENT = 0.5  # mean coherence of the structure tensor along edges; that of spots is below
SMALLEST = 16  # pixels; in a smaller box noise has a direction, too
MARGIN = 0.5  # PSF widths around a single place


Kind = Literal["edges", "structure", "invented", "pixel"]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Place:
    """A place where the residual is not noise.

    Attributes
    ----------
    box : (int, int, int, int)
        y0, y1, x0, x1, pixels.
    kind : {"edges", "structure", "invented", "pixel"}
        Edges or other structure was taken away; the result has structure that the raw image
        contradicts; or a single pixel, narrower than any structure, was removed.
    share : float
        Fraction of the amplitude of the structure that was taken away, 0 to 1.
    excess : float
        Mean square of the contrast of the residual, relative to that of noise.
    """

    box: Box
    kind: Kind
    share: float
    excess: float


@dataclass(frozen=True, eq=False)
class Places:
    """Places where the residual is not noise; see `removed_places`.

    Attributes
    ----------
    places : tuple of Place
        The strongest first, at most 12.
    n_removed, n_invented, n_pixels : int
        Number of all places where structure was taken away, where the result has structure that
        the raw image contradicts, and of single pixels.
    n_tested : int
        Number of tiles.
    correlation : (m, n) float64 array
        Correlation of the contrast of the residual with that of the result in each tile, at the
        scale of the PSF.
    """

    places: tuple[Place, ...]
    n_removed: int
    n_invented: int
    n_pixels: int
    n_tested: int
    correlation: NDArray[np.float64]

    @property
    def removed(self) -> tuple[Place, ...]:
        """The places where structure was taken away."""
        return tuple(place for place in self.places if place.kind in ("edges", "structure"))


def removed_places(residual: Residual, level: float = 1.0) -> Places:
    r"""Find the places where structure was taken away.

    The residual, in standard deviations of the noise, is filtered to the contrast :math:`z` of
    sites to their surroundings, at the scale of the PSF and at a fine one, such that noise has the
    variance 1.  Its square is averaged over tiles of at least 32 pixels and four times the width
    of a site.  For noise, the mean times :math:`\nu` is distributed as :math:`\chi^2_\nu` with
    :math:`\nu = A / (\sum \rho^2 + \kappa / 2)` degrees of freedom, for the area :math:`A` of a
    tile, the autocorrelation :math:`\rho` of the contrast of white noise, and the excess kurtosis
    :math:`\kappa` of a pixel.  Tiles that are improbable at a level of 0.3 % for *all* tiles of an
    image are significant.

    Noise that is left in the result correlates its residual with it, but takes contrast from the
    residual.  It can never look like structure that was removed.

    Parameters
    ----------
    residual : Residual
    level : float
        Variance of the noise relative to its model; less than 1 counts as 1.

    Returns
    -------
    Places
    """
    width = residual.psf_width
    widths = sorted({FINE, max(FINE, width)})
    significant = np.zeros(residual.valid.shape, bool)
    n_tested = 0
    contrasts: list[NoiseContrast] = []
    sticking_out = spikes(residual.normalised)
    for each in widths:
        contrast = NoiseContrast.of(residual, each, sticking_out)
        tiles = _Tiles(residual.valid.shape, max(TILE, TILE_WIDTHS * each))
        freedom = tiles.areas / (impulse(each).correlated + residual.kurtosis / 2)
        excess = tiles.means(contrast.removed**2)
        chance = scipy.stats.chi2.sf(excess * freedom / max(level, 1.0), freedom)
        found = chance * chance.size * len(widths) < FALSE_ALARMS
        # A large tile says nothing more where small ones tell the place.
        significant |= tiles.as_pixels(found & (tiles.means(significant) == 0))
        n_tested += chance.size
        contrasts.append(contrast)
    kept = contrast.raw - contrast.removed
    squares = tiles.means(kept**2) * tiles.means(contrast.removed**2)
    correlation = tiles.means(kept * contrast.removed) / np.sqrt(np.maximum(squares, 1e-12))

    margin = round(MARGIN * width)
    invented = [
        Place(box, "invented", 0.0, _excess(contrasts, box)[0])
        for box in _boxes(residual.unsupported, margin)
    ]
    removed = [_place(box, contrasts) for box in _boxes(significant, 0)]
    pixels = []
    for box in _boxes(residual.removed & ~significant, margin):
        if _has_spike(box, sticking_out):
            pixels.append(Place(box, "pixel", 1.0, 1.0))
        else:
            removed.append(_place(box, contrasts))
    places = [
        place
        for kind in ([*removed, *invented], pixels)
        for place in sorted(kind, key=lambda place: -place.excess * _area(place.box))
    ]
    return Places(
        tuple(places[:MOST_PLACES]),
        len(removed),
        len(invented),
        len(pixels),
        n_tested,
        correlation,
    )


class _Tiles:
    """Tiles of an image, all of about the same size."""

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        self._ends = [np.linspace(0, n, max(1, n // size) + 1).astype(np.intp) for n in shape]
        self.areas = np.outer(*map(np.diff, self._ends))

    def means(self, image: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean of each tile."""
        sums = np.asarray(image, np.float64)
        for axis, ends in enumerate(self._ends):
            sums = np.add.reduceat(sums, ends[:-1], axis=axis)
        return np.asarray(sums / self.areas)

    def as_pixels(self, tiles: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of the pixels of some tiles."""
        for axis, ends in enumerate(self._ends):
            tiles = tiles.repeat(np.diff(ends), axis=axis)
        return tiles


def _boxes(mask: NDArray[np.bool_], margin: int) -> Iterator[Box]:
    """Yield the boxes around the connected regions of a mask; sparse ones are divided."""
    if not mask.any():  # labels of a large image take a while
        return
    labels, _ = scipy.ndimage.label(mask, np.ones((3, 3)))
    height, width = mask.shape
    for number, (rows, columns) in enumerate(scipy.ndimage.find_objects(labels), start=1):
        todo = [(rows.start, rows.stop, columns.start, columns.stop)]
        while todo:
            y0, y1, x0, x1 = todo.pop()
            inside = labels[y0:y1, x0:x1] == number
            if not inside.any():
                continue
            (own,) = scipy.ndimage.find_objects(
                inside.astype(np.uint8)
            )  # without empty rows and columns
            y0, y1 = y0 + own[0].start, y0 + own[0].stop
            x0, x1 = x0 + own[1].start, x0 + own[1].stop
            if inside[own].mean() < FILLED and max(y1 - y0, x1 - x0) > 2 * TILE:
                y, x = (y0 + y1) // 2, (x0 + x1) // 2
                tall = y1 - y0 > x1 - x0
                halves = ((y0, y, x0, x1), (y, y1, x0, x1)) if tall else (
                    (y0, y1, x0, x), (y0, y1, x, x1))  # fmt: skip
                todo += halves
                continue
            yield (
                max(0, y0 - margin), min(height, y1 + margin),
                max(0, x0 - margin), min(width, x1 + margin),
            )  # fmt: skip


def _place(box: Box, contrasts: list[NoiseContrast]) -> Place:
    # At the scale at which it stands out most
    contrast = max(contrasts, key=lambda each: _excess([each], box))
    excess, share = _excess([contrast], box)
    y0, y1, x0, x1 = box
    raw, removed = (image[y0:y1, x0:x1] for image in contrast)
    of_edges = min(raw.shape) >= SMALLEST and _coherence(raw, removed) > COHERENT
    kind: Kind = "edges" if of_edges else "structure"
    return Place(box, kind, share, excess)


def _excess(contrasts: list[NoiseContrast], box: Box) -> tuple[float, float]:
    """Return the mean square of the residual, and the fraction of the amplitude that it is."""
    y0, y1, x0, x1 = box
    found = []
    for contrast in contrasts:
        removed, raw = (
            float(np.mean(np.square(image[y0:y1, x0:x1], dtype=np.float64))) for image in contrast
        )
        share = np.sqrt(np.clip((removed - 1) / max(raw - 1, 1e-6), 0, 1))
        found.append((removed, float(share)))
    return max(found)


def _has_spike(box: Box, at: NDArray[np.intp]) -> bool:
    y0, y1, x0, x1 = box
    y, x = at.T
    return bool(np.any((y >= y0) & (y < y1) & (x >= x0) & (x < x1)))


def _coherence(image: NDArray[np.floating], weight: NDArray[np.floating]) -> float:
    """Return the mean coherence of the structure tensor, 0 for spots and 1 for straight edges."""
    dy, dx = np.gradient(image.astype(np.float64))
    yy, xx, xy = (
        scipy.ndimage.gaussian_filter(product, 3.0) for product in (dy * dy, dx * dx, dy * dx)
    )
    total = yy + xx
    coherence = np.sqrt((yy - xx) ** 2 + 4 * xy**2) / np.maximum(total, 1e-12)
    weights = total * scipy.ndimage.gaussian_filter(np.square(weight, dtype=np.float64), 3.0)
    return float(np.average(coherence, weights=np.maximum(weights, 1e-12)))


def _area(box: Box) -> int:
    return (box[1] - box[0]) * (box[3] - box[2])
