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
    "noise2noise": Noise2Noise(epochs=4, preset="fast", device="cpu", fallback=False),
    "noise2noise first": Noise2Noise(
        epochs=4, preset="fast", device="cpu", use="first", fallback=False
    ),
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
        15.963,
        [0.4803, 0.5772, 0.5242, 0.4652],
        [0.6245, 0.4057, 0.9980, 0.8823, 0.4666, 0.6488],
    ),
    "noise2noise first": (
        13.711,
        [0.4843, 0.6324, 0.5362, 0.5150],
        [0.6115, 0.4072, 1.1025, 0.9818, 0.5114, 0.8820],
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
