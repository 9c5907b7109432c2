"""Every public function takes arrays of any library, and refuses the rest in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import napari_lowdose as lowdose
from napari_lowdose import Noise2Noise, Reucid, metrics, samples
from napari_lowdose.reucid.psf_width import psf_width

ENGINE = Reucid(patch_size=7)
NOISE = lowdose.PoissonGaussian(gain=1, offset=5, read_noise=2)
SITE = (39, 70)  # an atom


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    first, second, _ = samples.stem_pair()
    return first[:96, :96] + 5, second[:96, :96] + 5  # nowhere negative, as light is


def tensor(pixels: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(np.asarray(pixels).astype(np.float32))


def on_disk(pixels: np.ndarray) -> Any:
    import zarr

    return zarr.array(pixels)


def values(result: Any) -> list[np.ndarray]:
    """Return the arrays of a result."""
    results = result if isinstance(result, tuple) else (result,)
    return [np.asarray(r) for r in results if hasattr(r, "shape") and hasattr(r, "dtype")]


DOORS: dict[str, Callable[[Any, Any], Any]] = {
    "denoise": lambda first, second: lowdose.denoise(first, ENGINE),
    "denoise_steps": lambda first, second: [*lowdose.denoise_steps(first, ENGINE)][-1].image,
    "Run": lambda first, second: [*lowdose.Run(first, ENGINE)][-1].image,
    "evidence": lambda first, second: lowdose.evidence(first, second, NOISE).residual,
    "survival": lambda first, second: (
        lowdose.survival(first, ENGINE, SITE, -1, n=2, noise=NOISE).shares
    ),
    "psf_width": lambda first, second: np.array(psf_width(first)),
    "psnr": lambda first, second: np.array(metrics.psnr(first, second, data_range=40)),
    "frc": lambda first, second: metrics.frc(first, second).correlation,
    "register_pair": lambda first, second: lowdose.register_pair(first, second),
    "register_stack": lambda first, second: lowdose.register_stack([first, second]),
    "simulate_pair": lambda first, second: lowdose.simulate_pair(first, photons=20),
}


@pytest.mark.parametrize("wrap", [np.ndarray.tolist, tensor, on_disk])
@pytest.mark.parametrize("name", DOORS)
def test_every_door_takes_every_array(
    name: str, wrap: Callable[[np.ndarray], Any], pair: tuple[np.ndarray, np.ndarray]
) -> None:
    if name == "register_stack" and wrap is not np.ndarray.tolist:
        pytest.skip("one array of all frames")
    expected = values(DOORS[name](*pair))
    found = values(DOORS[name](*(wrap(exposure) for exposure in pair)))
    assert found and len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("wrap", [np.ndarray.tolist, tensor])
def test_a_camera_frame_is_split_whatever_array_it_is(wrap: Callable[[np.ndarray], Any]) -> None:
    frame, _ = samples.beamsplitter_frame()
    *views, layout = lowdose.split_frame(frame)
    *same, _ = lowdose.split_frame(wrap(frame), layout)
    for one, other in zip(same, views, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrong", [None, "image.tif", 3, ENGINE, {"a": 1}])
@pytest.mark.parametrize("name", [name for name in DOORS if name != "register_stack"])
def test_every_door_refuses_what_is_no_image(name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"give|read its pixels|comes first") as caught:
        DOORS[name](wrong, wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((Reucid,), "the engine is the class Reucid: write Reucid()."),
        (("ws2.safetensors",), "Noise2NoiseModel.load(path)"),
        ((None,), "the engine is None: use Reucid()"),
        ((np.zeros((32, 32)), Noise2Noise()), "denoise((first, second), Noise2Noise())"),
        ((np.zeros((32, 32)),), "denoise((first, second), Noise2Noise())"),
    ],
)
def test_a_wrong_engine_gets_the_call_to_write(arguments: tuple[Any, ...], sentence: str) -> None:
    image = np.random.default_rng(0).poisson(9, (32, 32))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        lowdose.denoise(image, *arguments)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        next(lowdose.denoise_steps(image, *arguments))


def test_complex_and_masked_images_have_no_metric() -> None:
    image = np.ones((8, 8))
    with pytest.raises(ValueError, match="test has complex numbers"):
        metrics.psnr(image, image * 1j, data_range=1)
    masked = np.ma.masked_array(image, mask=image > 0)
    with pytest.raises(ValueError, match="truth has masked pixels"):
        metrics.ssim(masked, image, data_range=1)


def test_a_frame_of_infinity_is_not_called_constant() -> None:
    fringes = 20 + 15 * np.cos(np.arange(32) / 2)
    movie = np.random.default_rng(0).poisson(fringes, (3, 32, 32)).astype(np.float32)
    movie[1] = np.inf
    with pytest.raises(ValueError, match="frame 2 of 3: 1024 of 1024 pixels are NaN or infinite"):
        lowdose.denoise(movie, ENGINE)


def test_keep_may_be_an_array_of_no_dimension() -> None:
    assert Reucid(keep=np.array(3)).keep == 3
