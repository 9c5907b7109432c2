"""Whether the second exposure is mirrored, rotated, or its contrast reversed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.pairs.integer_shift import binned, overlap_correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Views = NDArray[np.float32]

COMPARED = 256  # px a side, at most
STRONGER = 1.3  # times: that much better must another orientation agree
REVERSED = 1.15  # times, likewise: the dark between the columns of a lattice is fainter than they
SURELY = 10.0  # times the typical correlation by chance, where nothing else is known
FRAMES = 4
# How the second exposure looks: quarter turns counter-clockwise, and then mirrored or not.
ORIENTATIONS = {
    (0, True): "mirrored left to right",
    (2, True): "mirrored top to bottom",
    (2, False): "rotated by 180 degrees",
    (1, True): "transposed (rows and columns exchanged)",
    (3, True): "transposed and rotated by 180 degrees",
    (1, False): "rotated by 90 degrees counter-clockwise",
    (3, False): "rotated by 90 degrees clockwise",
}


def contrast_reversed(first: Views, second: Views) -> bool:
    """Return whether the second exposure agrees better with the first if it is inverted.

    Parameters
    ----------
    first, second : (T, Y, X) array
        Of one shape, with something in common beyond doubt.

    Returns
    -------
    bool
    """
    by = -(-max(first.shape[-2:]) // COMPARED)
    some = slice(None, None, max(1, -(-len(first) // FRAMES)))
    return _is_reversed(overlap_correlation(binned(first[some], by), binned(second[some], by)))


def _is_reversed(surface: NDArray[np.float64]) -> bool:
    return bool(-surface.min() > REVERSED * surface.max())


def looks(first: Views, second: Views) -> str | None:
    """Return how the second exposure must be turned back, in words, or None if it is as the first.

    Parameters
    ----------
    first, second : (T, Y, X) array
        Of one shape, or that with rows and columns exchanged.

    Returns
    -------
    str or None
        "mirrored left to right", "rotated by 90 degrees clockwise", "reversed in contrast", ...

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    >>> looks(scene, scene[:, :, ::-1])
    'mirrored left to right'
    >>> looks(scene, scene) is None
    True
    """
    by = -(-max(first.shape[-2:]) // COMPARED)
    some = slice(None, None, max(1, -(-len(first) // FRAMES)))
    one, other = binned(first[some], by), binned(second[some], by)
    side = min(one.shape[-2:])
    best, words = 0.0, None
    if one.shape == other.shape:
        surface = overlap_correlation(one, other)
        best = STRONGER * float(surface.max())
        if _is_reversed(surface) and -surface.min() > _by_chance(surface):
            best, words = max(best, -float(surface.min())), "reversed in contrast"
    square, turned = one[:, :side, :side], other[:, :side, :side]
    for (quarters, mirrored), name in ORIENTATIONS.items():
        if quarters % 2 == 0 and one.shape != other.shape:
            continue
        back = turned if quarters % 2 else other
        back = np.rot90(back[:, :, ::-1] if mirrored else back, -quarters, (1, 2))
        surface = overlap_correlation(square if quarters % 2 else one, np.ascontiguousarray(back))
        if surface.max() > max(best, _by_chance(surface)):
            best, words = float(surface.max()), name
    return words


def _by_chance(surface: NDArray[np.float64]) -> float:
    return SURELY * float(np.median(np.abs(surface)))
