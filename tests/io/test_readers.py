"""Reading of any image format, by its content or through napari reader plugins."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from npe2 import DynamicPlugin
from PIL import Image

from napari_lowdose.io.readers import images_in, read_image
from napari_lowdose.io.tiff import read_tiff, write_tiff

FORMATS = Path(__file__).parents[3] / "shared" / "data" / "formats"
rosettasciio = pytest.mark.skipif(
    not FORMATS.is_dir() or importlib.util.find_spec("napari_rosettasciio") is None,
    reason="../shared/data or the plugin napari-rosettasciio is missing",
)
COUNTS = np.arange(12 * 10, dtype=np.uint16).reshape(12, 10)


@pytest.fixture
def plugin(tmp_path):
    """Return a function that installs a plugin whose reader returns the given layers."""
    path = tmp_path / "image.lowdosetest"
    path.write_bytes(b"x")
    with DynamicPlugin("lowdose-test-reader") as dynamic:

        def install(*layers):
            @dynamic.contribute.reader(filename_patterns=["*.lowdosetest"])
            def get_reader(path):
                def read(path):
                    if layers and isinstance(layers[0], Exception):
                        raise layers[0]
                    return list(layers)

                return read

            return path

        yield install


def test_image_with_units(plugin, tmp_path):
    path = plugin((COUNTS, {"scale": (0.5, 0.25), "units": ("nm", "nm")}, "image"))
    image = read_image(path)
    assert (image.axes, image.pixel_size, image.unit) == ("YX", (0.5, 0.25), "nm")
    write_tiff(tmp_path / "out.tif", np.asarray(image.pixels, np.float32), image, record={"a": 1})
    result = read_tiff(tmp_path / "out.tif")
    assert (result.flavour, result.unit) == ("imagej", "nm")
    assert result.pixel_size == pytest.approx((0.5, 0.25), rel=1e-9)
    np.testing.assert_array_equal(result.pixels, COUNTS)


@pytest.mark.parametrize(
    ("given", "symbol"), [("nanometer", "nm"), ("um", "µm"), ("\u212b", "Å"), ("Angstrom", "Å")]
)
@pytest.mark.parametrize("name", ["out.tif", "out.ome.tif"])
def test_any_spelling_of_a_unit_comes_through(plugin, tmp_path, given, symbol, name):
    """Layers of napari have units of pint, which are written as words."""
    image = read_image(plugin((COUNTS, {"scale": (0.5, 0.25), "units": (given, given)}, "image")))
    write_tiff(tmp_path / name, np.asarray(image.pixels, np.float32), image)
    result = read_tiff(tmp_path / name)
    assert result.pixel_size == pytest.approx((0.5, 0.25)) and result.unit == symbol


def test_units_in_rosettasciio_metadata(plugin):
    axes = [{"units": "s"}, {"units": "µm"}, {"units": "µm"}]
    options = {"scale": (1, 0.06, 0.06), "metadata": {"axes": axes}}
    image = read_image(plugin((np.stack([COUNTS] * 3), options, "image")))
    assert (image.axes, image.pixel_size, image.unit) == ("TYX", (0.06, 0.06), "µm")


@pytest.mark.parametrize("options", [{}, {"scale": (2, 2)}, {"scale": (2, 2), "units": "pixel"}])
def test_scale_without_unit_is_not_a_pixel_size(plugin, options):
    image = read_image(plugin((COUNTS, options, "image")))
    assert image.pixel_size is image.unit is None


def test_labels_layer_is_read_as_image(plugin):
    assert read_image(plugin((COUNTS, {}, "labels"))).pixels.shape == (12, 10)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([(COUNTS.astype(np.complex64), {}, "image")], "complex"),
        ([(COUNTS, {"metadata": {"data": COUNTS * 1j}}, "image")] * 2, "complex"),
        ([(COUNTS, {}, "image")] * 2, "2 images"),
        ([(np.zeros((12, 10, 3), np.uint8), {}, "image")], "RGB"),
        ([(np.zeros((12, 10, 3), np.float32), {"rgb": True}, "image")], "RGB"),
        ([(np.zeros(12), {}, "image")], "two to five axes"),
        ([(np.zeros((2, 2)), {}, "points")], "no image"),
        ([RuntimeError("broken")], "could read this file"),
    ],
)
def test_anything_but_one_greyscale_image_is_refused(plugin, layers, message):
    with pytest.raises(ValueError, match=message):
        read_image(plugin(*layers))


def test_message_without_plugin_agrees_with_documentation(tmp_path):
    path = tmp_path / "image.unknownformat"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"\.unknownformat files") as refused:
        read_image(path)
    documentation = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    commands = [
        line.partition("#")[0].strip()
        for line in documentation.splitlines()
        if line.startswith("pip ")
    ]
    assert len(commands) == 2
    assert all(command in str(refused.value) for command in commands)


def test_missing_file_of_any_format(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "image.dm3")


def test_tiff_does_not_load_npe2(tmp_path):
    path = tmp_path / "image.TIFF"
    tifffile.imwrite(path, COUNTS)
    code = (
        "import sys; from napari_lowdose.io.readers import read_image\n"
        f"assert read_image({str(path)!r}).pixels.shape == (12, 10)\n"
        "print([m for m in ('npe2', 'napari', 'torch', 'qtpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- detection by content


@pytest.mark.parametrize("name", ["scan.dat", "scan", "scan.TIF", "scan.btf", "Aufnahme 1 µm.tiff"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_under_any_name(tmp_path, name, bigtiff):
    tifffile.imwrite(tmp_path / name, COUNTS, bigtiff=bigtiff)
    np.testing.assert_array_equal(read_image(tmp_path / name).pixels, COUNTS)


@pytest.mark.parametrize("name", ["image.png", "image.tif", "image"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_under_any_name(tmp_path, name, dtype):
    Image.fromarray(COUNTS.astype(dtype)).save(tmp_path / name, format="PNG")
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(image.pixels, COUNTS.astype(dtype))
    write_tiff(tmp_path / "out.tif", image.pixels, image)
    np.testing.assert_array_equal(read_tiff(tmp_path / "out.tif").pixels, COUNTS.astype(dtype))


def test_png_palettes_grey_and_colour(tmp_path):
    picture = Image.fromarray(COUNTS.astype(np.uint8), mode="P")
    picture.putpalette(np.repeat(np.arange(256)[::-1], 3).astype(np.uint8).tobytes())
    picture.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png").pixels, 255 - COUNTS)
    Image.fromarray(np.zeros((12, 10, 3), np.uint8)).save(tmp_path / "colour.tif", format="PNG")
    with pytest.raises(ValueError, match="colour"):
        read_image(tmp_path / "colour.tif")


@pytest.mark.parametrize(
    "content", [b"", b"Time\tIntensity\n", b"\x89PNG\r\n\x1a\nbroken", b"II*\0"]
)
def test_invalid_file_named_tif_raises_one_sentence(tmp_path, content):
    path = tmp_path / "notes.tif"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a TIFF|cannot be read|damaged"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".dm3", ".dm4", ".emd", ".ser", ".mrc", ".png", ".gif", ""])
def test_random_bytes_raise_one_sentence(tmp_path, suffix):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(ValueError) as refused:
        read_image(path)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on Windows")
def test_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(ValueError, match="not a regular file"):
        read_image(tmp_path / "pipe.tif")
    assert images_in(tmp_path) == []


def test_folder_needs_zarr_and_images_in_lists_images(tmp_path):
    with pytest.raises(ValueError, match="folder without an image"):
        read_image(tmp_path)
    zarr.create_array(tmp_path / "a.zarr", data=COUNTS)
    zarr.create_array(tmp_path / "b", data=COUNTS)
    for name in ("a.zarr", "b"):
        np.testing.assert_array_equal(read_image(tmp_path / name).pixels, COUNTS)
    for name in ("c.tif", "d.dat", ".hidden.tif"):
        tifffile.imwrite(tmp_path / name, COUNTS)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "more").mkdir()
    assert [path.name for path in images_in(tmp_path)] == ["a.zarr", "b", "c.tif", "d.dat"]


def test_pattern_without_match(tmp_path):
    with pytest.raises(FileNotFoundError, match="No file matches"):
        read_image(tmp_path / "*.tif")


@pytest.mark.parametrize(
    "options",
    [
        {"scale": ("a", "b"), "units": "nm"},
        {"scale": (np.nan, 1), "units": "nm"},
        {"scale": (np.inf, 1), "units": "nm"},
        {"scale": (0, 1), "units": "nm"},
        {"scale": 3, "units": "nm"},
        {"scale": (1, 1), "units": []},
        {"scale": (1, 1), "metadata": {"axes": 5}},
        {"scale": (1, 1), "metadata": 5},
    ],
)
def test_invalid_scale_is_not_a_pixel_size(plugin, options):
    image = read_image(plugin((COUNTS.tolist(), options, "image")))
    assert image.pixel_size is image.unit is None
    np.testing.assert_array_equal(image.pixels, COUNTS)


@rosettasciio
@pytest.mark.parametrize(
    ("name", "shape", "size", "unit"),
    [
        ("mos2_se_haadf.dm3", (1024, 1024), 0.0126953, "nm"),
        ("stem_small.dm3", (68, 68), 0.2485, "nm"),
        ("stack.dm3", (3, 2, 16), 0.05998, "µm"),
        ("velox_tem_stack.emd", (2, 3, 3), 8.1729, "pm"),
        ("tem_preview_64x64x5_1.ser", (5, 64, 64), 6.2818, "nm"),
    ],
)
def test_microscope_formats(tmp_path, name, shape, size, unit):
    image = read_image(FORMATS / name)
    assert (image.pixels.shape, image.unit) == (shape, unit)
    write_tiff(tmp_path / "out.tif", np.asarray(image.pixels, np.float32), image)
    result = read_tiff(tmp_path / "out.tif")
    assert (result.pixels.shape, result.unit) == (shape, unit)
    assert result.pixel_size == pytest.approx((size, size), rel=1e-3)


@rosettasciio
def test_complex_dm4_is_refused():
    with pytest.raises(ValueError, match="complex numbers"):
        read_image(FORMATS / "tiny.dm4")
