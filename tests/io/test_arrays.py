"""Conversion of arrays of other libraries, and messages for anything that is not an image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_lowdose import Noise2Noise, Reucid
from napari_lowdose.io.arrays import as_image

PIXELS = np.arange(12.0).reshape(3, 4)


def torch_tensor(pixels: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(pixels.copy()).requires_grad_()


def half_precision(pixels: np.ndarray) -> Any:
    torch = pytest.importorskip("torch")
    return torch.from_numpy(pixels).to(torch.bfloat16)


def data_frame(pixels: np.ndarray) -> Any:
    return pytest.importorskip("pandas").DataFrame(pixels)


def data_array(pixels: np.ndarray) -> Any:
    return pytest.importorskip("xarray").DataArray(pixels, dims=("y", "x"))


def quantity(pixels: np.ndarray) -> Any:
    return pytest.importorskip("pint").Quantity(pixels, "count")


def pil_image(pixels: np.ndarray) -> Any:
    return pytest.importorskip("PIL.Image").fromarray(pixels.astype(np.uint8))


def sparse_counts(pixels: np.ndarray) -> Any:
    import scipy

    return scipy.sparse.csr_array(pixels)


def without_masked_pixels(pixels: np.ndarray) -> Any:
    return np.ma.masked_less(pixels, -1)


@pytest.mark.parametrize(
    "wrap",
    [
        np.ndarray.tolist,
        torch_tensor,
        half_precision,
        data_frame,
        data_array,
        quantity,
        pil_image,
        sparse_counts,
        np.asmatrix,
        without_masked_pixels,
    ],
)
def test_arrays_in_memory_become_numpy(wrap: Any) -> None:
    image = as_image(wrap(PIXELS))
    assert type(image) is np.ndarray
    np.testing.assert_array_equal(image, PIXELS)


def test_lazy_arrays_stay_lazy() -> None:
    import dask.array as da
    import zarr

    lazy = da.from_array(PIXELS, chunks=(1, 4))
    assert as_image(lazy) is lazy
    on_disk = zarr.array(PIXELS)
    assert as_image(on_disk) is on_disk


def test_numpy_array_is_not_copied() -> None:
    assert np.shares_memory(as_image(PIXELS[::-1]), PIXELS)


def masked_dask() -> Any:
    import dask.array as da

    return da.from_array(np.ma.masked_less(PIXELS, 3), chunks=-1)


def zarr_group() -> Any:
    import zarr

    return zarr.group()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "is None: give an array"),
        ("image.tif", "is a path: read its pixels first"),
        (Path("image.tif"), "is a path: read its pixels first"),
        (3.5, "is the number 3.5"),
        (np.ndarray, "is the class ndarray"),
        (Reucid(), "the image comes first, then the engine"),
        (iter([PIXELS]), "np.stack(list(frames))"),
        ({"image": PIXELS}, "give one of its arrays"),
        ([[1, 2], [3]], "all rows and frames need the same length"),
        (np.ma.masked_less(PIXELS, 3), "has masked pixels"),
        (masked_dask(), "has masked pixels"),
        (zarr_group(), "is a zarr group: give one of its arrays"),
    ],
)
def test_invalid_input_raises_one_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        as_image(given, "the first exposure")
    assert str(caught.value).startswith("the first exposure ")
    assert "\n" not in str(caught.value)


def test_engine_as_image_is_refused() -> None:
    with pytest.raises(ValueError, match="is an engine, Noise2Noise"):
        as_image(Noise2Noise())
