"""Small pair with known truth."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes import lattice
from napari_lowdose import simulate_pair

Image = NDArray[np.float64]
SIDE = 96


class KnownPair(NamedTuple):
    """A pair and its noise-free truth."""

    truth: Image
    first: NDArray[np.float32]
    second: NDArray[np.float32]

    def gain(self, result: NDArray[np.float32]) -> float:
        """Gain in PSNR over the first exposure, dB."""
        before, after = (np.mean((image - self.truth) ** 2) for image in (self.first, result))
        return float(10 * np.log10(before / after))


def known_pair(side: int = SIDE, seed: int = 0, offset: float = 0.0) -> KnownPair:
    """Simulate a pair of a lattice with 5 to 25 electrons per pixel."""
    truth = 5 + 20 * lattice(2.0, 12.0, (side, side))
    first, second = simulate_pair(truth, read_noise=1, offset=offset, seed=seed)
    return KnownPair(truth + offset, first, second)
