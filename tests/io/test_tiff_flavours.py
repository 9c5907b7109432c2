"""A result is written in a flavour of TIFF that can hold it."""

import warnings

import numpy as np
import pytest
import tifffile

from napari_lowdose.io.tiff import ImageFile, read_tiff, write_tiff
from napari_lowdose.io.tiff_flavours import output_format

STACK = np.arange(3 * 24 * 20, dtype=np.uint16).reshape(3, 24, 20)
RECORD = {"engine": "Reucid"}


def written(path, like):
    write_tiff(path, np.asarray(like.pixels), like, record=RECORD)
    return read_tiff(path)


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack", "resolution": (5, 10), "resolutionunit": "CENTIMETER",
         "metadata": None, "description": "R&D 20 µm".encode()},
        {"imagej": True, "resolution": (5, 10),
         "metadata": {"unit": "nm", "axes": "ZYX", "Info": "R&D"}},
    ],
    ids=["plain", "imagej"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["out.ome.tif", "out.OME.TIFF", "out.ome.btf"])
def test_ome_name_selects_ome_tiff(tmp_path, options, name):
    tifffile.imwrite(tmp_path / "in.tif", STACK, **options)
    image = read_tiff(tmp_path / "in.tif")
    result = written(tmp_path / name, image)
    assert result.flavour == "ome" and set(result.axes) <= set("TZCYX")
    assert result.pixel_size == pytest.approx(image.pixel_size)
    assert (result.unit, result.history) == (image.unit, (RECORD,))
    np.testing.assert_array_equal(result.pixels, STACK)
    with tifffile.TiffFile(tmp_path / name) as file:
        assert file.is_ome and file.is_bigtiff == name.endswith(".btf")
        assert "R&amp;D" in file.ome_metadata


@pytest.mark.parametrize(
    ("axes", "flavour"),
    [("TYX", "imagej"), ("-YX", "imagej"), ("---YX", "imagej"), ("ZTYX", "ome"), ("CZYX", "ome"),
     ("ABCDYX", "plain")],
)  # fmt: skip
def test_axes_select_a_flavour_that_holds_them(tmp_path, axes, flavour):
    pixels = np.arange(2 ** (len(axes) + 6), dtype=np.float32)
    pixels = pixels.reshape((2,) * (len(axes) - 2) + (16, 16))
    image = ImageFile(
        pixels=pixels,
        axes=axes,
        pixel_size=(0.1, 0.2),
        unit="nm",
        flavour="imagej",
        source=tmp_path / "in.zarr",
        options={"resolution": (5, 10), "metadata": {"axes": axes, "unit": "nm"}},
    )
    result = written(tmp_path / "out.tif", image)
    assert (result.flavour, result.history) == (flavour, (RECORD,))
    np.testing.assert_array_equal(result.pixels, pixels)
    if flavour != "plain":
        assert result.pixel_size == pytest.approx((0.1, 0.2)) and result.unit == "nm"
    assert bool(output_format(tmp_path / "out.tif", image).note) == (flavour != "imagej")


def test_ome_name_with_unsuitable_axes_is_refused_before_writing(tmp_path):
    tifffile.imwrite(
        tmp_path / "in.tif", STACK.reshape(1, 3, 1, 1, 1, 1, 1, 24, 20), photometric="minisblack",
        metadata={"axes": "abcdefgYX"},
    )  # fmt: skip
    image = read_tiff(tmp_path / "in.tif")
    with pytest.raises(ValueError, match="cannot hold the axes"):
        output_format(tmp_path / "out.ome.tif", image)


@pytest.mark.parametrize(
    "description",
    [
        '{"shape": [3, 24, 20], "axes": "TYX", "napari-lowdose": 5}',
        '{"shape": [3, 24, 20], "axes": "TYX", "napari-lowdose": ["a", 4, null]}',
        '{"shape": [3, 24, 20], "axes": 5}',
        '{"shape": "none"}',
        '{"shape": [3, 24, 20], "name": {"a": NaN}, "truncated": "x"}',
        '{"shape": [1, 24, 20]}',
        "ImageJ=1.53\nimages=3\nframes=-3\n",
        "ImageJ=1.53\nimages=3\nframes=3\nunit=\nspacing=nan\nmin=x\n",
        "ImageJ=1.53\nimages=99999999999\nframes=99999999999\n",
    ],
)
def test_invalid_descriptions_do_not_prevent_reading(tmp_path, description):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata=None, description=description)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        image = read_tiff(path)
        np.testing.assert_array_equal(image.pixels, STACK)
        assert image.history == ()
        assert written(tmp_path / "out.tif", image).history == (RECORD,)


@pytest.mark.parametrize("resolution", [(0, 1), (1, 0)])
def test_zero_resolution_is_not_a_pixel_size(tmp_path, resolution):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, STACK[0], resolution=(5, 5), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["XResolution"].overwrite(resolution)
    assert read_tiff(path).pixel_size is None
