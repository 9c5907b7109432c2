"""Numeric baselines: a rebuilt engine returns what it returned before.

The numbers were printed by ``python tests/test_baselines.py``.  A change of the method changes
them, and is the only reason to print them again.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from skimage.measure import block_reduce

from napari_lowdose import Noise2Noise, Reucid, denoise
from napari_lowdose.engine import Engine
from napari_lowdose.samples import stem_pair

SIDE = 96
ENGINES: dict[str, Engine] = {
    "reucid": Reucid(patch_size=9, n_stacks=2),
    "reucid auto": Reucid(),
    "noise2noise": Noise2Noise(epochs=4, preset="fast", device="cpu"),
    "noise2noise first": Noise2Noise(epochs=4, preset="fast", device="cpu", use="first"),
}
# PSNR gain in dB, then the means of 24 x 24 blocks along the diagonal, then pixels along it.
# Training adds rounding errors up in an order that depends on the CPU, hence its tolerance.
BASELINES: dict[str, tuple[float, list[float], list[float]]] = {
    "reucid": (
        15.211,
        [0.5005, 0.6191, 0.5362, 0.5199],
        [0.4799, 0.3819, 1.2645, 0.9935, 0.4541, 0.7667],
    ),
    "reucid auto": (
        15.056,
        [0.4918, 0.6230, 0.5371, 0.5205],
        [0.5597, 0.4072, 1.3193, 0.9752, 0.4577, 0.7309],
    ),
    "noise2noise": (
        15.976,
        [0.4801, 0.5773, 0.5241, 0.4650],
        [0.6249, 0.4051, 1.0001, 0.8840, 0.4657, 0.6488],
    ),
    "noise2noise first": (
        13.739,
        [0.4849, 0.6319, 0.5363, 0.5154],
        [0.6111, 0.4084, 1.0997, 0.9794, 0.5115, 0.8794],
    ),
}


def baseline(name: str) -> tuple[float, list[float], list[float]]:
    first, second, truth = (image[:SIDE, :SIDE] for image in stem_pair())
    engine = ENGINES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = denoise((first, second) if engine.takes == "pair" else first, engine)
    gain = 10 * np.log10(np.mean((first - truth) ** 2) / np.mean((result - truth) ** 2))
    blocks = block_reduce(result, (24, 24), np.mean).diagonal()
    return float(gain), blocks.tolist(), result.diagonal()[5::17].tolist()


@pytest.mark.parametrize("name", ENGINES)
def test_the_result_is_that_of_the_baseline(name: str) -> None:
    gain, blocks, pixels = baseline(name)
    known_gain, known_blocks, known_pixels = BASELINES[name]
    tolerance = 0.01 if name.startswith("noise2noise") else 0.001
    assert_allclose(gain, known_gain, atol=10 * tolerance)
    assert_allclose(blocks, known_blocks, atol=tolerance)
    assert_allclose(pixels, known_pixels, atol=5 * tolerance)


if __name__ == "__main__":
    for name in ENGINES:
        gain, blocks, pixels = baseline(name)
        print(f'    "{name}": (\n        {gain:.3f},')
        for numbers in (blocks, pixels):
            print(f"        [{', '.join(f'{number:.4f}' for number in numbers)}],")
        print("    ),")
