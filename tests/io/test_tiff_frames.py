"""The pixels of a TIFF are read unchanged, or the frame that cannot be read is named."""

import logging
import random
import warnings

import numpy as np
import pytest
import tifffile

from napari_lowdose.io.tiff import read_tiff, write_tiff

NOISE = np.random.default_rng(0).poisson(50, (4, 24, 20)).astype(np.uint16)
GREY = np.tile((np.arange(256) * 257).astype(np.uint16), (3, 1))
KINDS = {
    "imagej": {"imagej": True},
    "ome": {"ome": True, "metadata": {"axes": "TYX"}},
    "plain": {"metadata": None},
    "zlib": {"metadata": None, "compression": "zlib", "rowsperstrip": 8},
    "lzw": {"compression": "lzw", "rowsperstrip": 8},
    "zstd": {"compression": "zstd", "tile": (16, 16)},
    "big": {"bigtiff": True, "byteorder": ">"},
}


def tiff(path, pixels=NOISE, **options):
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack"} | options)
    return path


# ------------------------------------------------------------------------- compression


@pytest.mark.parametrize("codec", ["lzw", "zstd", "packbits", "zlib", "lzma", "png"])
def test_compressed_without_loss(tmp_path, codec):
    path = tiff(tmp_path / "in.tif", compression=codec)
    np.testing.assert_array_equal(read_tiff(path).pixels, NOISE)


def test_jpeg(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    path = tiff(tmp_path / "in.tif", smooth, compression="jpeg")
    assert np.abs(read_tiff(path).pixels - smooth.astype(float)).max() < 10


def test_missing_codec_message_names_the_package(tmp_path, monkeypatch):
    def decode(_):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    path = tiff(tmp_path / "in.tif", compression="lzw")
    monkeypatch.setattr(tifffile.TiffPage, "decode", property(decode))
    with pytest.raises(ValueError, match="pip install imagecodecs"):
        read_tiff(path)


def test_undecodable_frame_is_named(tmp_path):
    path = tiff(tmp_path / "in.tif", compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        start = file.pages[2].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start + 20 : start + 60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="frame 3 of 4 of this TIFF cannot be decoded"):
        read_tiff(path)


def test_pixels_beyond_memory_are_refused_before_reading(tmp_path, monkeypatch):
    path = tiff(tmp_path / "in.tif", compression="zlib")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": 100}))
    with pytest.raises(ValueError, match="memory"):
        read_tiff(path)


# ------------------------------------------------------------- missing and truncated


@pytest.mark.parametrize("kind", KINDS)
def test_file_truncated_anywhere_is_refused_or_complete(tmp_path, kind):
    path = tiff(tmp_path / "in.tif", **KINDS[kind])
    content = path.read_bytes()
    for length in range(1, len(content), 101):
        path.write_bytes(content[:length])
        try:
            pixels = read_tiff(path).pixels
        except ValueError as error:
            assert "TIFF" in str(error) and "\n" not in str(error)
        else:  # only data after the pixels are missing
            np.testing.assert_array_equal(pixels, NOISE)


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_raise_only_one_sentence(tmp_path, kind):
    content = tiff(tmp_path / "in.tif", **KINDS[kind]).read_bytes()
    flips = random.Random(0)
    path = tmp_path / "flipped.tif"
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(flips.choice((1, 2, 4))):
            damaged[flips.randrange(min(900, len(content)))] = flips.randrange(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                read_tiff(path)
            except (ValueError, OSError) as error:
                assert str(error) and "\n" not in str(error)


@pytest.mark.parametrize("options", [{"imagej": True}, {"metadata": {"axes": "TYX"}}])
def test_missing_frames_of_a_single_page_stack_are_named(tmp_path, options):
    path = tiff(tmp_path / "in.tif", truncate=True, **options)  # as ImageJ writes large stacks
    with tifffile.TiffFile(path) as file:
        start = file.pages.first.dataoffsets[0]
        assert len(file.pages) == 1
    path.write_bytes(path.read_bytes()[: start + 2 * NOISE[0].nbytes + 5])
    with pytest.raises(ValueError, match=r"cut off: .* frames 3 to 4 of 4"):
        read_tiff(path)


def test_truncation_is_found_with_logging_disabled(tmp_path):
    path = tiff(tmp_path / "in.tif", metadata=None)
    with tifffile.TiffFile(path) as file:
        last = file.pages[3].offset
    path.write_bytes(path.read_bytes()[:last])
    logging.disable(logging.CRITICAL)
    try:
        with pytest.raises(ValueError, match="cut off: the frames from frame 4 on"):
            read_tiff(path)
    finally:
        logging.disable(logging.NOTSET)


def aborted(path, pages, sizes):
    """Write `pages` frames, and a description that lists more."""
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="20" SizeY="24" '
        + " ".join(f'Size{axis}="{size}"' for axis, size in zip("CZT", sizes, strict=True))
        + "><TiffData/></Pixels></Image></OME>"
    )
    return tiff(path, NOISE[:pages], description=xml.encode(), metadata=None)


def test_complete_frames_of_an_aborted_acquisition_are_read(tmp_path):
    path = aborted(tmp_path / "in.ome.tif", 4, (1, 1, 10))
    with pytest.warns(UserWarning, match="lacks frames 5 to 10 of 10"):
        image = read_tiff(path)
    np.testing.assert_array_equal(image.pixels, NOISE)
    assert image.axes == "TYX"
    write_tiff(tmp_path / "out.tif", image.pixels, image)
    np.testing.assert_array_equal(read_tiff(tmp_path / "out.tif").pixels, NOISE)


def test_incomplete_time_point_is_left_out(tmp_path):
    path = aborted(tmp_path / "in.ome.tif", 3, (2, 1, 2))
    with pytest.warns(UserWarning, match="lacks frame 4 of 4"):
        image = read_tiff(path)
    assert image.axes == "CYX"  # both channels of the first time point
    np.testing.assert_array_equal(image.pixels, NOISE[:2])


def test_gap_within_a_stack_is_refused(tmp_path):
    tiff(tmp_path / "in.tif", metadata=None)
    with tifffile.TiffFile(tmp_path / "in.tif", mode="r+b") as file:
        file.pages[1].tags["StripByteCounts"].overwrite(0)
    with pytest.raises(ValueError, match="lacks frame 2 of 4"):
        read_tiff(tmp_path / "in.tif")


def test_circular_pages_are_refused(tmp_path):
    path = tiff(tmp_path / "in.tif", metadata=None)
    with tifffile.TiffFile(path) as file:
        offsets = [page.offset for page in file.pages]
        n_tags = len(file.pages[3].tags)
    content = bytearray(path.read_bytes())
    end = offsets[3] + 2 + 12 * n_tags
    content[end : end + 4] = offsets[1].to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="circle"):
        read_tiff(path)


# ---------------------------------------------------------------------------- palettes


@pytest.mark.parametrize("palette", [GREY, GREY // 257, GREY // 257 * 256])
def test_grey_palette_is_read_as_grey(tmp_path, palette):
    pixels = NOISE[0].astype(np.uint8)
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, pixels, photometric="palette", colormap=palette.astype(np.uint16))
    np.testing.assert_array_equal(read_tiff(path).pixels, pixels)


def test_reversed_grey_palette_is_applied(tmp_path):
    pixels = NOISE[0].astype(np.uint8)
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, pixels, photometric="palette", colormap=GREY[:, ::-1])
    with pytest.warns(UserWarning, match="grey palette"):
        image = read_tiff(path)
    np.testing.assert_array_equal(image.pixels, 255 - pixels)


def test_palette_with_one_colour_is_refused(tmp_path):
    palette = GREY.copy()
    palette[0, 200] = 0
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, NOISE[0].astype(np.uint8), photometric="palette", colormap=palette)
    with pytest.raises(ValueError, match="colour"):
        read_tiff(path)
