"""Metadata of a TIFF are kept in the TIFF of the result."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_lowdose.io import tiff_flavours
from napari_lowdose.io.tiff import read_tiff, write_tiff

DATA = Path(__file__).parents[3] / "shared" / "data"
STACK = np.arange(2 * 3 * 24 * 20, dtype=np.uint16).reshape(2, 3, 24, 20)
RECORD = {"engine": "Reucid", "parameters": {"seed": 0}, "note": "µ"}


def through(path, *, record=RECORD, gain=2.0):
    """Read a file, write it as a result, and return input, output and output path."""
    image = read_tiff(path)
    out = path.with_name("out.tif")
    write_tiff(out, np.asarray(image.pixels, np.float32) * gain, image, record=record)
    return image, read_tiff(out), out


def assert_alike(image, result, gain=2.0):
    assert result.axes == image.axes
    assert result.pixel_size == image.pixel_size
    assert result.unit == image.unit
    assert result.flavour == image.flavour
    assert result.pixels.dtype == np.float32
    np.testing.assert_array_equal(result.pixels, np.asarray(image.pixels, np.float32) * gain)


# --------------------------------------------------------------------------- ImageJ


def test_imagej_hyperstack(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(
        path,
        STACK,
        imagej=True,
        resolution=((64, 5), (1000000, 126953)),
        metadata={
            "axes": "TZYX",
            "unit": "\\u00B5m",
            "spacing": 0.5,
            "finterval": 2.0,
            "mode": "composite",
            "Info": "Microscope: Titan é",
            "Labels": list("abcdef"),
            "ROI": b"Iout",
            "Overlays": [b"Iout1", b"Iout2"],
        },
    )
    image, result, out = through(path)
    assert_alike(image, result)
    assert (image.axes, image.unit) == ("TZYX", "µm")
    assert image.pixel_size == pytest.approx((0.126953, 0.078125))
    with tifffile.TiffFile(out) as file:  # as ImageJ reads it
        assert file.is_imagej
        kept = file.imagej_metadata
        assert (kept["slices"], kept["frames"], kept["hyperstack"]) == (3, 2, True)
        assert (kept["spacing"], kept["finterval"], kept["mode"]) == (0.5, 2.0, "composite")
        assert kept["unit"] == "\\u00B5m"
        assert kept["Labels"] == list("abcdef")
        assert (kept["ROI"], kept["Overlays"]) == (b"Iout", [b"Iout1", b"Iout2"])
        assert kept["Info"].startswith("Microscope: Titan é\nnapari-lowdose: {")
        assert file.pages.first.tags["XResolution"].value == (64, 5)
        assert file.pages.first.tags["YResolution"].value == (1000000, 126953)


@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "CYX", "TCYX", "TZCYX"])
def test_imagej_axes(tmp_path, axes):
    path = tmp_path / "in.tif"
    shape = (*(2, 3, 4)[: len(axes) - 2], 24, 20)
    tifffile.imwrite(path, np.zeros(shape, np.uint8), imagej=True, metadata={"axes": axes})
    image, result, _ = through(path)
    assert_alike(image, result)
    assert result.axes == axes
    assert result.pixel_size is result.unit is None


def test_imagej_lookup_table_and_big_endian(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(
        path,
        STACK[0, 0].astype(np.uint8),
        imagej=True,
        byteorder=">",
        photometric="palette",
        colormap=np.zeros((3, 256), np.uint16),
    )
    image, result, _ = through(path)
    assert_alike(image, result)


def test_imagej_above_four_gigabytes_with_a_lowered_limit(tmp_path, monkeypatch):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TZYX"})
    monkeypatch.setattr(tiff_flavours, "IMAGEJ_LIMIT", 1000)
    image, result, out = through(path)
    assert_alike(image, result)
    with tifffile.TiffFile(out) as file:
        assert len(file.pages) == 1  # as ImageJ itself writes such files


# ----------------------------------------------------------------------------- OME


def test_ome(tmp_path):
    path = tmp_path / "in.ome.tif"
    tifffile.imwrite(
        path,
        STACK,
        ome=True,
        metadata={
            "axes": "TCYX",
            "PhysicalSizeX": 0.1,
            "PhysicalSizeXUnit": "Å",
            "PhysicalSizeY": 0.2,
            "PhysicalSizeYUnit": "Å",
            "TimeIncrement": 0.5,
            "TimeIncrementUnit": "s",
            "Name": "WS2",
            "Description": "a <b> & é",
            "Channel": {"Name": ["HAADF", "BF", "ABF"], "Color": [-1, -2, -3]},
        },
    )
    image, result, out = through(path)
    assert_alike(image, result)
    assert (image.axes, image.pixel_size, image.unit) == ("TCYX", (0.2, 0.1), "Å")
    with tifffile.TiffFile(out) as file:
        assert file.is_ome
        (found,) = (tifffile.xml2dict(file.ome_metadata)["OME"]["Image"],)
    assert found["Name"] == "WS2"
    assert found["Description"].startswith("a <b> & é\nnapari-lowdose: {")
    pixels = found["Pixels"]
    assert pixels["Type"] == "float"
    assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == (0.5, "s")
    assert [c["Name"] for c in pixels["Channel"]] == ["HAADF", "BF", "ABF"]
    assert [c["Color"] for c in pixels["Channel"]] == [-1, -2, -3]


def test_ome_without_a_pixel_size_and_with_a_pyramid(tmp_path):
    path = tmp_path / "in.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(STACK[0, 0], subifds=1, metadata={"axes": "YX"})
        writer.write(STACK[0, 0, ::2, ::2], subfiletype=1)
    image, result, _ = through(path)
    assert_alike(image, result)
    assert image.pixel_size is None


def test_axes_without_a_name_in_ome(tmp_path):
    path = tmp_path / "in.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "TQYX"})
    image, result, _ = through(path)
    assert_alike(image, result)


# ---------------------------------------------------------------------------- plain


def test_plain_with_resolution_and_description(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(
        path,
        STACK[0, 0],
        description="taken on Monday, 20 µm".encode(),
        metadata=None,
        resolution=((5000, 1), (2500, 1)),
        resolutionunit="CENTIMETER",
    )
    image, result, out = through(path)
    assert_alike(image, result)
    assert (image.pixel_size, image.unit) == ((1 / 2500, 1 / 5000), "cm")
    with tifffile.TiffFile(out) as file:
        assert not file.is_imagej and not file.is_ome
        assert file.pages.first.description == "taken on Monday, 20 µm"
        assert file.pages.first.tags["XResolution"].value == (5000, 1)
        assert file.pages.first.tags["ResolutionUnit"].value == 3


@pytest.mark.parametrize("metadata", [None, {"axes": "TZYX", "operator": "A"}])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_plain_stack(tmp_path, metadata, compression):
    path = tmp_path / "in.tif"
    tifffile.imwrite(
        path, STACK, photometric="minisblack", metadata=metadata, compression=compression
    )
    image, result, out = through(path)
    assert_alike(image, result)
    if metadata:
        with tifffile.TiffFile(out) as file:
            assert file.shaped_metadata[0]["operator"] == "A"


@pytest.mark.parametrize("last", [3, 4])
def test_narrow_grey_image_is_not_written_as_rgb(tmp_path, last):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.ones((3, 24, last), np.uint8), photometric="minisblack")
    assert_alike(*through(path)[:2])


def test_inverted_display_is_kept(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, STACK[0, 0], photometric="miniswhite", metadata=None)
    image, result, out = through(path)
    assert_alike(image, result)
    with tifffile.TiffFile(out) as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE


# -------------------------------------------------------------------------- records


@pytest.mark.parametrize("kind", [{"imagej": True}, {"ome": True}, {}])
def test_records_accumulate(tmp_path, kind):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, STACK[0, 0], **kind)
    image = read_tiff(path)
    assert image.history == ()
    first, second = {"engine": "Reucid", "seed": 1}, {"engine": "Reucid", "text": "two\nlines µ"}
    write_tiff(tmp_path / "a.tif", image.pixels, image, record=first)
    once = read_tiff(tmp_path / "a.tif")
    write_tiff(tmp_path / "b.tif", once.pixels, once, record=second)
    assert read_tiff(tmp_path / "b.tif").history == (first, second)


def test_other_lines_in_imagej_info_are_kept(tmp_path):
    path = tmp_path / "in.tif"
    info = "a: 1\nnapari-lowdose: not ours\nb: 2"
    tifffile.imwrite(path, STACK[0, 0], imagej=True, metadata={"Info": info})
    _, result, out = through(path)
    with tifffile.TiffFile(out) as file:
        written = file.imagej_metadata["Info"]
    assert written == f"{info}\nnapari-lowdose: {json.dumps(RECORD)}"
    assert result.history == (RECORD,)


def test_nothing_is_added_without_a_record(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, STACK[0, 0], imagej=True)
    _, result, out = through(path, record=None)
    assert result.history == ()
    with tifffile.TiffFile(out) as file:
        assert "Info" not in file.imagej_metadata


# ------------------------------------------------------------------ no data loss


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TZYX"})
    return read_tiff(path)


def test_existing_file_is_replaced_only_with_overwrite(tmp_path, image):
    out = tmp_path / "out.tif"
    out.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="exists already"):
        write_tiff(out, image.pixels, image)
    assert out.read_bytes() == b"precious"
    write_tiff(out, image.pixels, image, overwrite=True)
    np.testing.assert_array_equal(read_tiff(out).pixels, STACK)


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_input_is_never_replaced(tmp_path, image, link):
    path = image.source
    if link is not None:
        path = tmp_path / "link.tif"
        link(image.source, path)
    before = image.source.read_bytes()
    with pytest.raises(ValueError, match="would replace the input"):
        write_tiff(path, image.pixels, image, overwrite=True)
    assert image.source.read_bytes() == before


def test_full_disk_leaves_nothing_behind(tmp_path, image, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_tiff(tmp_path / "out.tif", image.pixels, image)
    assert list(tmp_path.iterdir()) == [image.source]


def test_wrong_shape_and_folder_are_refused(tmp_path, image):
    with pytest.raises(ValueError, match=r"\(2, 3, 24\)"):
        write_tiff(tmp_path / "out.tif", np.zeros((2, 3, 24)), image)
    with pytest.raises(ValueError, match="is a folder"):
        write_tiff(tmp_path, image.pixels, image, overwrite=True)


def test_uncompressed_stacks_are_memory_mapped(image):
    assert isinstance(image.pixels, np.memmap)
    assert not image.pixels.flags.writeable


# -------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "options",
    [{"photometric": "rgb"}, {"photometric": "rgb", "compression": "zlib"}, {"imagej": True}],
)
def test_rgb_is_refused(tmp_path, options):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.zeros((24, 20, 3), np.uint8), **options)
    with pytest.raises(ValueError, match="colour"):
        read_tiff(path)


def test_indexed_colours_are_refused(tmp_path):
    path = tmp_path / "in.tif"
    colormap = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, np.eye(24, dtype=np.uint8), photometric="palette", colormap=colormap)
    with pytest.raises(ValueError, match="colour"):
        read_tiff(path)


def test_several_images_are_refused(tmp_path):
    path = tmp_path / "in.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((24, 20)))
        writer.write(np.zeros((10, 10)))
    with pytest.raises(ValueError, match="2 separate images"):
        read_tiff(path)


@pytest.mark.parametrize("content", [b"", b"hello world", b"II*\0", b"II*\0\xff\xff\0\0"])
def test_not_a_tiff(tmp_path, content):
    path = tmp_path / "in.tif"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="TIFF"):
        read_tiff(path)


def test_missing_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_tiff(tmp_path / "in.tif")
    with pytest.raises(OSError):
        read_tiff(tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.95, 0.999])
@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True},
        {"metadata": None},
        {"metadata": None, "compression": "zlib"},
        {"metadata": None, "tile": (16, 16)},
        {"ome": True},
    ],
)
def test_truncated_file_is_refused(tmp_path, options, share):
    path = tmp_path / "in.tif"
    noise = np.random.default_rng(0).integers(0, 999, (6, 48, 40)).astype(np.uint16)
    tifffile.imwrite(path, noise, photometric="minisblack", **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    try:
        image = read_tiff(path)
    except ValueError as error:
        assert "TIFF" in str(error)
    else:  # only data after the pixels are missing
        np.testing.assert_array_equal(np.squeeze(image.pixels), noise)


# ------------------------------------------------------------------------ real data


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is missing")
@pytest.mark.parametrize(
    ("name", "axes", "size", "unit"),
    [
        ("real_stem/sto_haadf_512.tif", "YX", 0.100127, "angstrom"),
        ("repeats/tem_thon_8x512x256.tif", "TYX", 0.135355, "nm"),
        ("dualview/smfret_3view_20x256x256.tif", "TYX", None, None),
    ],
)
def test_real_files(tmp_path, name, axes, size, unit):
    image = read_tiff(DATA / name)
    out = tmp_path / "out.tif"
    write_tiff(out, np.asarray(image.pixels, np.float32), image, record=RECORD)
    result = read_tiff(out)
    assert_alike(image, result, gain=1.0)
    assert (result.axes, result.unit) == (axes, unit)
    assert result.pixel_size == (size and pytest.approx((size, size), rel=1e-5))
    with tifffile.TiffFile(DATA / name) as a, tifffile.TiffFile(out) as b:
        tags = [file.pages.first.tags["XResolution"].value for file in (a, b)]
        assert tags[0] == tags[1]
        added = {"Info", "napari-lowdose"}
        assert a.imagej_metadata == {k: v for k, v in b.imagej_metadata.items() if k not in added}
