"""A network stores its pixel size and warns if that of an image differs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pint
import pytest

from napari_lowdose import Noise2Noise, Noise2NoiseModel
from napari_lowdose.noise2noise import pixel_size_warning
from tests.noise2noise.known_pair import KnownPair


@pytest.fixture(scope="module")
def trained(model: Noise2NoiseModel) -> Noise2NoiseModel:
    return replace(model, pixel_size=(0.1, 0.1), pixel_unit="nm")


@pytest.mark.parametrize(
    ("pixel_size", "unit"),
    [
        ((0.1, 0.1), "nm"),
        (0.1, "nm"),
        (0.12, "nm"),
        (1, "Å"),
        (1, "\N{ANGSTROM SIGN}"),
        (1, "angstrom"),
        (1.0, "Angstroms"),
        (1e-4, "um"),
        (1e-4, "µm"),
        (1e-4, "\N{GREEK SMALL LETTER MU}m"),
        (1e-4, "\\u00B5m"),
        (1e-4, "microns"),
        (np.float32(1e-4), "micrometer"),
        (1e-7, "millimetres"),
        ((-0.1, 0.1), "nanometer"),
        (np.array([0.1, 0.1]), pint.Unit("nm")),
        (100, pint.Unit("pm")),
        (1e-10, "m"),
    ],
)
def test_the_same_pixel_size_in_any_unit(
    trained: Noise2NoiseModel, pixel_size: object, unit: object
) -> None:
    assert pixel_size_warning(trained, pixel_size, unit) is None


@pytest.mark.parametrize(
    ("pixel_size", "unit", "told"),
    [
        (0.4, "nm", "0.4 nm"),
        (0.125, "nm", "0.125 nm"),
        (0.08, "nm", "0.08 nm"),
        (4, "Å", "0.4 nm"),
        (0.1, "µm", "100 nm"),
        (0.1, pint.Unit("micrometer"), "100 nm"),
        ((0.1, 0.4), "nm", "0.1 x 0.4 nm"),
    ],
)
def test_different_pixel_size_gives_a_warning(
    trained: Noise2NoiseModel, pixel_size: object, unit: object, told: str
) -> None:
    sentence = pixel_size_warning(trained, pixel_size, unit)
    assert sentence is not None
    assert f"trained at a pixel size of 0.1 nm, and this image has {told}:" in sentence


@pytest.mark.parametrize(
    ("pixel_size", "unit"),
    [
        (None, "nm"),
        (0.4, None),
        (1, "pixel"),
        (0.4, "s"),
        (0, "nm"),
        ("much", "nm"),
        (9, "inch"),
        (0.4, "1/nm"),
    ],
)
def test_no_warning_for_unknown_pixel_size(
    trained: Noise2NoiseModel, pixel_size: object, unit: object
) -> None:
    assert pixel_size_warning(trained, pixel_size, unit) is None


def test_network_without_pixel_size(model: Noise2NoiseModel) -> None:
    assert model.pixel_size is None
    sentence = pixel_size_warning(model, (0.4, 0.4), pint.Unit("nm"))
    assert "this image has a pixel size of 0.4 nanometer, but the one that" in str(sentence)
    assert pixel_size_warning(model, (1.0, 1.0), "pixel") is None
    assert pixel_size_warning(model, None, None) is None


def test_unknown_unit_is_compared_with_itself(model: Noise2NoiseModel) -> None:
    reciprocal = replace(model, pixel_size=0.1, pixel_unit="1/nm")
    assert pixel_size_warning(reciprocal, 0.1, "1/nm") is None
    assert "0.3 1/nm" in str(pixel_size_warning(reciprocal, 0.3, "1/nm"))


def test_pixel_size_is_stored_with_the_network(
    pair: KnownPair, quick: Noise2Noise, tmp_path: Path
) -> None:
    engine = replace(quick, epochs=1, pixel_size=np.float32(0.25), pixel_unit=pint.Unit("angstrom"))
    network = engine.train(pair.first, pair.second)
    network.save(tmp_path / "network.safetensors")
    network = Noise2NoiseModel.load(tmp_path / "network.safetensors")
    assert network.pixel_size == (0.25, 0.25)
    assert network.pixel_unit == "angstrom"
    assert network.record["parameters"]["pixel_size"] == [0.25, 0.25]
    # Trained further on images that do not say theirs
    again = replace(quick, epochs=1, start=network).train(pair.first, pair.second)
    assert (again.pixel_size, again.pixel_unit) == ((0.25, 0.25), "angstrom")
    other = replace(quick, epochs=1, start=network, pixel_size=0.1, pixel_unit="nm")
    with pytest.warns(UserWarning, match="trained at a pixel size of 0.25 angstrom"):
        other.train(pair.first, pair.second)


@pytest.mark.parametrize("wrong", [0, float("nan"), (1, 2, 3), "0.1", True, (), (1, None)])
def test_invalid_pixel_size(wrong: object) -> None:
    with pytest.raises(ValueError, match="pixel_size must be a positive number, or"):
        Noise2Noise(pixel_size=wrong, pixel_unit="nm")  # type: ignore[arg-type]
