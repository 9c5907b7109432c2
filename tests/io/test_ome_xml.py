"""Bad metadata of an OME-TIFF never prevent reading its pixels, nor select the wrong ones."""

import numpy as np
import pytest
import tifffile

from napari_lowdose.io.ome_xml import UnusableError, limit_to_file, parse
from napari_lowdose.io.tiff import read_tiff, write_tiff

NOISE = np.random.default_rng(0).poisson(50, (3, 24, 20)).astype(np.uint16)
SPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def xml(*images, root=""):
    return f"<OME {SPACE} {root}>{''.join(images)}</OME>"


def image(planes="<TiffData/>", name="a", number=0, pixels="", c=1, t=3):
    return (
        f'<Image ID="Image:{number}" Name="{name}"><Pixels ID="Pixels:{number}" {pixels} '
        f'DimensionOrder="XYCZT" Type="uint16" SizeX="20" SizeY="24" SizeC="{c}" SizeZ="1" '
        f'SizeT="{t}">{planes}</Pixels></Image>'
    )


def plane(file, ifd, t=0, c=0, uuid=None):
    return (
        f'<TiffData IFD="{ifd}" FirstT="{t}" FirstC="{c}" PlaneCount="1">'
        f'<UUID FileName="{file}">{uuid or f"urn:uuid:{file}"}</UUID></TiffData>'
    )


def ome_tiff(path, description, pixels=NOISE):
    text = description if isinstance(description, bytes) else description.encode()
    tifffile.imwrite(path, pixels, description=text, metadata=None, photometric="minisblack")
    return path


# ------------------------------------------------------------------------ not well-formed


@pytest.mark.parametrize("name", ["R&D", "R&D &amp; more &mu;", "a\x01b"])
def test_repairable_xml_is_used(tmp_path, name):
    path = ome_tiff(tmp_path / "in.ome.tif", xml(image(name=name)))
    found = read_tiff(path)
    assert (found.flavour, found.axes) == ("ome", "TYX")
    np.testing.assert_array_equal(found.pixels, NOISE)
    write_tiff(tmp_path / "out.ome.tif", found.pixels, found, record={"engine": "Reucid"})
    result = read_tiff(tmp_path / "out.ome.tif")
    assert (result.flavour, result.history) == ("ome", ({"engine": "Reucid"},))


BOMB = (
    "<!DOCTYPE bomb [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{k} '{f'&a{k - 1};' * 10}'>" for k in range(1, 10))
    + "]>"
)


@pytest.mark.parametrize(
    "text",
    [
        xml(image(name='broken" <')),
        xml(image()).replace("</Pixels>", ""),
        BOMB + xml(image(name="&a9;")),
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hosts">]>' + xml(image(name="&f;")),
        xml("<a>" * 3000 + "</a>" * 3000),
        xml(image(t="many")),
        xml(image(t=-3)),
        xml(image(t="")),
        xml(image(t=10**9)),
        xml(image('<TiffData IFD="0" PlaneCount="99999999999"/>')),
        xml(image("<TiffData/>", t=1)),  # would lose two frames
        xml(image('<TiffData IFD="1"/>')),
        xml(image(plane("other.tif", 0) + plane("another.tif", 1))),
    ],
    ids=["quote", "unclosed", "bomb", "entity", "deep", "text", "negative", "empty", "huge",
         "planes", "fewer", "one", "others"],
)  # fmt: skip
def test_unusable_xml_is_ignored_with_a_warning(tmp_path, text):
    path = ome_tiff(tmp_path / "in.ome.tif", text)
    with pytest.warns(UserWarning, match="metadata of this TIFF are ignored"):
        found = read_tiff(path)
    assert found.flavour == "plain"
    np.testing.assert_array_equal(found.pixels, NOISE)
    write_tiff(tmp_path / "out.tif", found.pixels, found)
    np.testing.assert_array_equal(read_tiff(tmp_path / "out.tif").pixels, NOISE)


def test_entity_bomb_is_not_expanded():
    with pytest.raises(UnusableError, match="entities"):
        parse(BOMB + "<OME>&a9;</OME>")


@pytest.mark.parametrize("size", ["0,325", "", "-1.6E9", "0", "NaN", "INF", "1 µm"])
@pytest.mark.parametrize("axis", "XY")
def test_invalid_pixel_size_is_unknown(tmp_path, size, axis):
    other = "Y" if axis == "X" else "X"
    sizes = f'PhysicalSize{axis}="{size}" PhysicalSize{other}="0.1"'
    path = ome_tiff(tmp_path / "in.ome.tif", xml(image(pixels=sizes)))
    with pytest.warns(UserWarning, match=f"PhysicalSize{axis} .* is not a length"):
        found = read_tiff(path)
    assert found.pixel_size is found.unit is None
    np.testing.assert_array_equal(found.pixels, NOISE)
    write_tiff(tmp_path / "out.ome.tif", found.pixels, found)
    assert read_tiff(tmp_path / "out.ome.tif").pixel_size is None


# ------------------------------------------------------------------------ sets of files


def positions(folder, root=True):
    """Write a set of two files, one per position; each lists both positions."""
    listed = [
        image("".join(plane(f"a_{k}.ome.tif", t, t=t) for t in range(3)), f"p{k}", k)
        for k in range(2)
    ]
    for k in range(2):
        own = f'UUID="urn:uuid:a_{k}.ome.tif"' if root else ""
        ome_tiff(folder / f"a_{k}.ome.tif", xml(*listed, root=own), NOISE + k)
    return [folder / f"a_{k}.ome.tif" for k in range(2)]


@pytest.mark.parametrize("root", [True, False])
def test_each_position_is_read_from_its_own_file(tmp_path, root):
    for k, path in enumerate(positions(tmp_path, root)):
        found = read_tiff(path)
        np.testing.assert_array_equal(found.pixels, NOISE + k)
        assert (found.axes, found.options["metadata"]["Name"]) == ("TYX", f"p{k}")


def test_renamed_position_without_the_other_files(tmp_path):
    first, second = positions(tmp_path)
    first.unlink()
    second.rename(tmp_path / "renamed.tif")
    np.testing.assert_array_equal(read_tiff(tmp_path / "renamed.tif").pixels, NOISE + 1)


def test_renamed_single_file(tmp_path):
    planes = "".join(plane("as it was.ome.tif", t, t=t) for t in range(3))
    found = read_tiff(ome_tiff(tmp_path / "new.ome.tif", xml(image(planes))))
    assert (found.flavour, found.axes) == ("ome", "TYX")
    np.testing.assert_array_equal(found.pixels, NOISE)


def test_each_channel_is_read_from_its_own_file(tmp_path):
    planes = "".join(plane(f"c{c}.ome.tif", t, t=t, c=c) for c in range(2) for t in range(3))
    channels = '<Channel ID="Channel:0:0" Name="red"/><Channel ID="Channel:0:1" Name="green"/>'
    for c in range(2):
        ome_tiff(tmp_path / f"c{c}.ome.tif", xml(image(channels + planes, c=2)), NOISE + c)
    for c, name in enumerate(("red", "green")):
        found = read_tiff(tmp_path / f"c{c}.ome.tif")
        np.testing.assert_array_equal(found.pixels, NOISE + c)
        assert found.axes == "TYX"
        assert found.options["metadata"]["Channel"] == {"Name": [name]}


def test_two_images_in_one_file_are_refused(tmp_path):
    text = xml(image('<TiffData IFD="0"/>', t=1), image('<TiffData IFD="1"/>', number=1, t=1))
    path = ome_tiff(tmp_path / "in.ome.tif", text, NOISE[:2])
    with pytest.raises(ValueError, match="2 separate images"):
        read_tiff(path)


def test_planes_that_do_not_form_a_stack_are_refused():
    planes = plane("a.tif", 0, t=0, c=0) + plane("a.tif", 1, t=1, c=1) + plane("b.tif", 0, t=0, c=1)
    with pytest.raises(UnusableError, match="part of a stack"):
        limit_to_file(xml(image(planes, c=2, t=2)), "a.tif")
