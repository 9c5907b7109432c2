"""Small trained network and pair with known truth, shared by all tests."""

import pytest

from napari_lowdose import Noise2Noise, Noise2NoiseModel
from tests.noise2noise.known_pair import KnownPair, known_pair


@pytest.fixture(scope="session")
def pair() -> KnownPair:
    return known_pair()


@pytest.fixture(scope="session")
def quick() -> Noise2Noise:
    """Engine for small images: 40 steps in about a second."""
    return Noise2Noise(
        preset="fast", device="cpu", crop_size=64, batch_size=2, epochs=40, fallback=False
    )


@pytest.fixture(scope="session")
def model(pair: KnownPair, quick: Noise2Noise) -> Noise2NoiseModel:
    return quick.train(pair.first, pair.second)
