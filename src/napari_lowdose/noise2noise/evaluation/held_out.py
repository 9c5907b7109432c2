"""Which tiles training never sees: a fair sample of the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["held_out_tiles"]


def held_out_tiles(
    first: NDArray[Any], second: NDArray[Any], side: int, share: float = 0.1, seed: int = 0
) -> list[tuple[int, int, int]]:
    """Choose the tiles to hold out.

    A tenth of an image taken blindly may miss most of what is hard in it: in
    a field with few cells, the cells.  So the tiles are sorted by their contrast
    and cut into as many classes as tiles are wanted, one of each is drawn.
    That keeps the estimated gain unbiased, and its scatter smaller than the
    interval says.

    Parameters
    ----------
    first, second : (P, Y, X) or (Y, X) arrays
        The exposures, the second in the units of the first.
    side : int
        Of a tile, pixels; the tiles lie on a grid from the corner.
    share : float
        Of the tiles to hold out.
    seed : int
        Of the draw.

    Returns
    -------
    list of (frame, y, x)
        Frame and upper left corner of each tile, in order.  Frame is 0 for a single
        frame.  At least 3, where the image has as many as 6 tiles.

    Raises
    ------
    ValueError
        If a frame is smaller than a tile.

    Examples
    --------
    >>> import numpy as np
    >>> first, second = np.random.default_rng(0).normal(size=(2, 512, 512))
    >>> corners = held_out_tiles(first, second, side=32)
    >>> len(corners), all(y % 32 == x % 32 == 0 for _, y, x in corners)
    (26, True)
    """
    height, width = (length // side for length in first.shape[-2:])
    if not height * width:
        raise ValueError(f"exposures of shape {first.shape} hold no tile of {side} pixels.")
    contrast = []
    frame_shape = (-1, *first.shape[-2:])
    for one, two in zip(first.reshape(frame_shape), second.reshape(frame_shape), strict=True):
        both = np.add(one, two, dtype=np.float64)
        tiles = both[: height * side, : width * side].reshape(height, side, width, side)
        contrast.append(tiles.var(axis=(1, 3)))
    ranked = np.argsort(np.ravel(contrast), kind="stable")
    n = max(round(share * ranked.size), min(3, ranked.size // 2))
    rng = np.random.default_rng(seed)
    chosen = sorted(int(rng.choice(alike)) for alike in np.array_split(ranked, n)) if n else []
    found = []
    for index in chosen:
        frame, tile = divmod(index, height * width)
        row, column = divmod(tile, width)
        found.append((frame, row * side, column * side))
    return found
