"""Movies of chloroplasts streaming along the walls of plant cells, in transmitted light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXEL_SIZE = 0.274
"""Pixel size, µm: a 2.74 µm pixel and a 10x objective, as in the pair paper."""

FRAMES_PER_SECOND = 24.0
"""Frame rate, as in the pair paper."""

CELL = (78.0, 176.0)  # height and width of a cell, pixels: 21 by 48 µm
CORNER = 24.0  # radius of the cell corners, pixels
TILT = 0.14  # angle between the rows of cells and the image rows, radians
SPEED = 0.85  # speed of the stream, pixels per frame: 5.6 µm/s
SIZE = 6.2  # radius of a chloroplast, pixels
STAMP = 12  # half width of the box around a chloroplast, pixels
LANES = (12.0, 26.0)  # distances of the lanes from the wall, pixels
SPACING = (15.0, 34.0)  # mean distance of chloroplasts in each lane, pixels


def flowing_chloroplasts(
    n_frames: int, shape: tuple[int, int], seed: int = 3
) -> NDArray[np.float32]:
    """Draw cells with streaming chloroplasts, without noise.

    The cells are rectangles with rounded corners.  In each cell the chloroplasts move along the
    wall in one direction, at slightly different speeds; some do not move.

    Parameters
    ----------
    n_frames : int
        Length of the movie.
    shape : (int, int)
        Frame shape, pixels.
    seed : int
        Seed of the scene.

    Returns
    -------
    (n_frames, Y, X) float32 array
        Transmission, about 1 where there is no object.
    """
    rng = np.random.default_rng(seed)
    walls = _walls(rng, shape)
    streams = []
    for centre in _cells(shape):
        speed = SPEED * rng.choice([-1, 1])
        for lane, spacing in zip(LANES, SPACING, strict=True):
            streams.append(_Stream.draw(rng, centre, speed, lane, spacing))
    movie = np.empty((n_frames, *shape), np.float32)
    for frame in range(n_frames):
        places = np.concatenate([stream.places(frame) for stream in streams], axis=1)
        movie[frame] = np.exp(-walls - _absorbed(places, shape))
    return movie


def _turned(y: NDArray[np.float64], x: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Rotate coordinates by an angle; returns an array (2, ...)."""
    return np.stack((np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y))


def _cells(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the centres of the cells (n, 2) in the coordinates of the tilted rows."""
    reach = int(np.hypot(*shape) / min(CELL)) + 2
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    centres = np.stack((rows * CELL[0], (columns + 0.5 * (rows % 2)) * CELL[1]), axis=1)
    y, x = _turned(centres[:, 0], centres[:, 1], -TILT)
    near = (np.abs(y) < shape[0] / 2 + CELL[0]) & (np.abs(x) < shape[1] / 2 + 0.6 * CELL[1])
    return cast("NDArray[np.float64]", centres[near])


def _walls(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the absorbance of the cells without their chloroplasts."""
    from scipy.ndimage import gaussian_filter

    y, x = np.indices(shape) - (np.array(shape) / 2)[:, None, None]
    warp = gaussian_filter(rng.standard_normal((2, *shape)), (0, 22, 22), mode="wrap")
    y, x = _turned(y, x, TILT) + 1.6 * warp / warp.std()
    row = np.round(y / CELL[0])
    y = y - row * CELL[0]
    x = (x - 0.5 * (row % 2) * CELL[1] + CELL[1] / 2) % CELL[1] - CELL[1] / 2
    # Signed distance from the outline of a rounded box, negative inside
    from_core = [np.abs(c) - (size / 2 - CORNER) for c, size in zip((y, x), CELL, strict=True)]
    outside = np.hypot(*(np.clip(c, 0, None) for c in from_core))
    distance = outside + np.clip(np.maximum(*from_core), None, 0) - CORNER
    wall = 0.5 * np.exp(-0.5 * ((distance + 2.2) / 1.4) ** 2)  # the edge refracts light away
    wall -= 0.16 * np.exp(-0.5 * ((distance + 6.0) / 1.6) ** 2)  # and brightens a line beside it
    between = 0.12 / (1 + np.exp(-np.clip(distance, -30, 30)))
    grain = gaussian_filter(rng.standard_normal(shape), 2.2, mode="wrap")
    cytoplasm = 0.025 * grain / grain.std()
    thickness = 0.05 * ((y / CELL[0]) ** 2 + (x / CELL[1]) ** 2)
    absorbed = wall + between + cytoplasm + thickness
    return cast("NDArray[np.float32]", absorbed.astype(np.float32))


@dataclass(frozen=True)
class _Stream:
    """Chloroplasts that circulate in one lane of one cell."""

    loop: NDArray[np.float64]  # (points, 3): y, x and the arc length
    start: NDArray[np.float64]
    speeds: NDArray[np.float64]
    looks: NDArray[np.float64]  # (4, n): radius, elongation, angle to the stream, absorbance

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        centre: NDArray[np.float64],
        speed: float,
        lane: float,
        spacing: float,
    ) -> _Stream:
        """Draw the chloroplasts of a lane, which is given by its distance from the wall."""
        loop = _loop(centre, lane)
        length = loop[-1, 2]
        number = int(length / spacing)
        start = (np.arange(number) + rng.uniform(-0.25, 0.25, number)) * length / number
        speeds = speed * rng.uniform(0.85, 1.15) * rng.normal(1, 0.06, number)
        speeds *= rng.random(number) > 0.06  # the others do not move
        looks = np.stack(
            (
                SIZE * rng.uniform(0.8, 1.1, number),
                rng.uniform(1.0, 1.35, number),
                rng.normal(0, 0.4, number),
                rng.uniform(0.32, 0.6, number),
            )
        )
        return cls(loop, start + rng.uniform(0, length), speeds, looks)

    def places(self, frame: int) -> NDArray[np.float64]:
        """Return position, heading, radius, elongation and absorbance (6, n) in a frame.

        Positions are relative to the centre of the image.
        """
        *line, along = self.loop.T
        position = (self.start + self.speeds * frame) % along[-1]
        y, x = (np.interp(position, along, c) for c in line)
        ahead = (position + 1) % along[-1]
        dy, dx = (np.interp(ahead, along, c) - now for c, now in zip(line, (y, x), strict=True))
        (y, x), (dy, dx) = _turned(y, x, -TILT), _turned(dy, dx, -TILT)
        return np.stack((y, x, np.arctan2(dy, dx) + self.looks[2], *self.looks[[0, 1, 3]]))


def _loop(centre: NDArray[np.float64], lane: float) -> NDArray[np.float64]:
    """Return a closed path at a distance from the wall: y, x and arc length (points, 3)."""
    half_y, half_x = CELL[0] / 2 - lane, CELL[1] / 2 - lane
    corner = max(CORNER - lane, 0.8 * half_y)
    angle = np.linspace(0, 2 * np.pi, 200)
    y = corner * np.sin(angle) + np.sign(np.sin(angle)) * (half_y - corner)
    x = corner * np.cos(angle) + np.sign(np.cos(angle)) * (half_x - corner)
    y, x = np.append(y, y[0]) + centre[0], np.append(x, x[0]) + centre[1]
    length = np.append(0, np.cumsum(np.hypot(np.diff(y), np.diff(x))))
    return np.stack((y, x, length), axis=1)


def _absorbed(places: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the absorbance of chloroplasts: a dark disc, a darker rim and a bright halo."""
    middle = np.array(shape)[:, None] / 2
    inside = (np.abs(places[:2]) < middle + STAMP).all(axis=0)
    y, x, heading, radius, stretch, strength = places[:, inside].astype(np.float32)
    y, x = y + np.float32(middle[0]), x + np.float32(middle[1])
    top, left = np.floor(y).astype(int) - STAMP, np.floor(x).astype(int) - STAMP
    box = np.arange(2 * STAMP + 1)
    rows, columns = top[:, None] + box, left[:, None] + box
    dy = (rows - y[:, None]).astype(np.float32)[:, :, None]
    dx = (columns - x[:, None]).astype(np.float32)[:, None, :]
    cos, sin = ((f(heading) / radius)[:, None, None] for f in (np.cos, np.sin))
    stretch = stretch[:, None, None]
    along, across = (cos * dx + sin * dy) / stretch, (cos * dy - sin * dx) * stretch
    stamp = strength[:, None, None] * _PROFILE[_index(np.hypot(along, across))]
    # Chloroplasts at the edge are drawn partly into a border, which is cropped afterwards.
    border = 2 * STAMP
    height, width = shape[0] + 2 * border, shape[1] + 2 * border
    pixel = (rows + border)[:, :, None] * width + (columns + border)[:, None, :]
    canvas = np.bincount(pixel.ravel(), stamp.ravel(), height * width).reshape(height, width)
    return canvas[border:-border, border:-border].astype(np.float32)


def _index(radius: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the index in `_PROFILE` of a distance from the centre, in radii."""
    return np.minimum(radius * _FINENESS, len(_PROFILE) - 1).astype(np.intp)


def _profile(radius: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the absorbance at a distance from the centre, in radii; almost 0 beyond 1.8."""
    disc = 1 / (1 + np.exp((radius - 1) / 0.09))
    rim = 0.55 * np.exp(-0.5 * ((radius - 0.93) / 0.14) ** 2)
    halo = 0.42 * np.exp(-0.5 * ((radius - 1.32) / 0.15) ** 2)
    return cast("NDArray[np.float32]", (0.75 * disc + rim - halo).astype(np.float32))


_FINENESS = 500  # entries per radius, for an error of less than 0.5 % in a pixel
_PROFILE = _profile(np.arange(0, 2, 1 / _FINENESS))
_PROFILE[-1] = 0  # all larger distances
