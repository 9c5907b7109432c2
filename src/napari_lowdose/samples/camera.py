"""Frames of a camera that looks at fluorescent nuclei, for as long as somebody asks for them."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import numpy as np

from .nuclei import nuclei

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RATE = 20.0  # frames per second: to draw faster would load the processor
SIDE = 512  # of a frame, pixels
RANGE = 128  # of the stage, pixels
STANDS, MOVES = 10.0, 2.0  # seconds
CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))  # to which the stage moves in turn, in units of `RANGE`


def camera_frames(
    rate: float | None = RATE, photons: float = 1.0, seed: int = 0
) -> Iterator[NDArray[np.uint16]]:
    """Yield frames of fluorescent nuclei without end, as a photon-counting camera takes them.

    The stage stands still for 10 seconds, and then moves to another place within 2 seconds.

    Parameters
    ----------
    rate : float or None
        Frames per second.  None: as fast as they are read, while the stage moves as at 20.
    photons : float
        Expected photons per pixel, averaged over the scene.
    seed : int
        Seed of the noise.  The nuclei do not depend on it.

    Yields
    ------
    (512, 512) uint16 array
        Photons per pixel.

    Examples
    --------
    >>> frames = camera_frames(rate=None)
    >>> first, second = next(frames), next(frames)
    >>> first.shape, first.dtype, bool((first != second).any())
    ((512, 512), dtype('uint16'), True)
    """
    scene = nuclei((SIDE + RANGE,) * 2)
    scene *= photons / scene.mean()
    rng = np.random.default_rng(seed)
    due = time.perf_counter()
    for number in itertools.count():
        y, x = stage_position(number / (rate or RATE))
        frame = rng.poisson(scene[y : y + SIDE, x : x + SIDE]).astype(np.uint16)
        if rate is not None:
            time.sleep(max(due - time.perf_counter(), 0.0))
            due = max(due, time.perf_counter()) + 1 / rate  # a late frame is not caught up with
        yield frame


def stage_position(seconds: float) -> tuple[int, int]:
    """Return the first row and column that the camera sees.

    Examples
    --------
    >>> [stage_position(seconds) for seconds in (0, 9, 11, 12, 24)]
    [(0, 0), (0, 0), (0, 64), (0, 128), (128, 128)]
    """
    n, within = divmod(seconds, STANDS + MOVES)
    moved = max(within - STANDS, 0.0) / MOVES
    start, end = (np.array(CORNERS[(int(n) + k) % len(CORNERS)]) for k in (0, 1))
    y, x = np.rint(RANGE * (start + moved * (end - start))).astype(int)
    return int(y), int(x)
