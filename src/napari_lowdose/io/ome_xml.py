"""Parsing OME-XML of a TIFF safely, repairing it, and limiting it to the planes in one file.

Bad metadata must never prevent reading the pixels, and never select the wrong ones.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MAX_PLANES = 2**22  # planes per image; metadata that declare more are damaged
_LEADING_AXES = "TZC"
_SIZE = re.compile(r"\d{1,9}")


class UnusableError(ValueError):
    """OME-XML that cannot be used; the message gives the reason."""


def parse(text: str) -> ElementTree.Element:
    """Parse OME-XML after repairing stray ampersands and control characters.

    Parameters
    ----------
    text : str
        OME-XML.

    Returns
    -------
    xml.etree.ElementTree.Element
        The root element.

    Raises
    ------
    UnusableError
        If the text is not XML or declares entities.  Nested entities can expand until the memory
        is full (an entity bomb), and OME-XML needs none.

    Examples
    --------
    >>> parse('<OME><Image Name="R&D"/></OME>')[0].get("Name")
    'R&D'
    """
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise UnusableError("it declares entities")
    for attempt in (text, _repair(text)):
        try:
            return ElementTree.fromstring(attempt)
        except (ElementTree.ParseError, ValueError) as error:
            reason = error
    raise UnusableError(f"it is not well-formed: {reason}")


def limit_to_file(text: str, name: str) -> str:
    """Limit OME-XML to the planes in one file of a set.

    If each position or channel of an acquisition has its own file, every file lists the planes of
    all files.

    Parameters
    ----------
    text : str
        OME-XML.
    name : str
        Name of the file that contains the OME-XML.

    Returns
    -------
    str
        OME-XML.

    Raises
    ------
    UnusableError
        If the OME-XML cannot be parsed, has invalid sizes, or does not describe this file.
    """
    try:
        root = parse(text)
        _limit_images(root, name)
        return ElementTree.tostring(root, encoding="unicode")
    except RecursionError:
        raise UnusableError("it is nested too deeply") from None


def _limit_images(root: ElementTree.Element, name: str) -> None:
    images = root.findall("{*}Image")
    planes = {image: image.findall("{*}Pixels/{*}TiffData") for image in images}
    every = [data for each in planes.values() for data in each]
    is_in_file = _planes_of_file(root, every, name)
    found = False
    for image in images:
        kept = [data for data in planes[image] if is_in_file(data)]
        pixels = image.find("{*}Pixels")
        if pixels is None or (planes[image] and not kept):
            root.remove(image)
            continue
        found = True
        sizes = _sizes(pixels)
        _check_planes(kept, math.prod(sizes.values()))
        if len(kept) < len(planes[image]):
            _limit_pixels(pixels, sizes, kept)
        # tifffile would look for the file under its original name, which may have changed
        for data in kept:
            for uuid in data.findall("{*}UUID"):
                data.remove(uuid)
    if images and not found:
        raise UnusableError("it describes other files")


def positive_length(text: str | None) -> float | None:
    """Convert a length in metadata to a number.

    Parameters
    ----------
    text : str or None

    Returns
    -------
    float or None
        None unless the length is a number, finite and positive.

    Examples
    --------
    >>> positive_length("0.325"), positive_length("0,325"), positive_length("-1.6E9")
    (0.325, None, None)
    """
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _repair(text: str) -> str:
    """Remove characters that XML forbids, and escape ampersands that start no entity."""
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "", text)
    return re.sub(r"&(?!(?:#\d+|#x[0-9A-Fa-f]+|amp|lt|gt|quot|apos);)", "&amp;", text)


def _planes_of_file(
    root: ElementTree.Element, every: list[ElementTree.Element], name: str
) -> Callable[[ElementTree.Element], bool]:
    """Return a function that tells whether a TiffData element describes planes of this file."""
    listed = [uuid for data in every if (uuid := data.find("{*}UUID")) is not None]
    names_by_uuid: dict[str, set[str]] = {}
    for uuid in listed:
        names_by_uuid.setdefault((uuid.text or "").strip(), set()).add(_file_name(uuid))
    own = (root.get("UUID") or "").strip()
    # The identifier comes first, because it survives renaming; it must belong to one file only.
    by_uuid = len(names_by_uuid.get(own, ())) == 1
    names = set().union(*names_by_uuid.values())
    only_file = len(names) <= 1  # then it is this file, which may have been renamed
    if not by_uuid and not only_file and name.lower() not in names:
        raise UnusableError("it describes other files")

    def is_in_file(data: ElementTree.Element) -> bool:
        uuid = data.find("{*}UUID")
        if uuid is None:
            return True
        if by_uuid:
            return (uuid.text or "").strip() == own
        return only_file or _file_name(uuid) == name.lower()

    return is_in_file


def _file_name(uuid: ElementTree.Element) -> str:
    return re.split(r"[/\\]", uuid.get("FileName") or "")[-1].lower()


def _sizes(pixels: ElementTree.Element) -> dict[str, int]:
    """Return the sizes of T, Z and C in the order of the planes, slowest axis first."""
    order = pixels.get("DimensionOrder") or "XYCZT"
    if sorted(order) != sorted("XYCZT") or order[:2] != "XY":
        raise UnusableError(f"its dimension order is {order!r:.20}")
    pixels.set("DimensionOrder", order)
    for axis in "XY":
        _integer(pixels, f"Size{axis}", 1)
    sizes = {axis: _integer(pixels, f"Size{axis}", 1) for axis in reversed(order[2:])}
    if math.prod(sizes.values()) > _MAX_PLANES:
        raise UnusableError("its sizes are impossible")
    return sizes


def _check_planes(kept: Iterable[ElementTree.Element], n_planes: int) -> None:
    """Raise if indices or counts are impossible; tifffile does not check them."""
    for data in kept:
        for attribute in ("IFD", "PlaneCount", "NumPlanes", *(f"First{a}" for a in _LEADING_AXES)):
            if attribute in data.attrib and _integer(data, attribute, 0) > _MAX_PLANES:
                raise UnusableError(f"its {attribute} is impossible")
        count = data.get("PlaneCount", data.get("NumPlanes"))
        if count is not None and int(count) > n_planes:
            raise UnusableError("it lists more planes than there can be")


def _integer(element: ElementTree.Element, attribute: str, minimum: int) -> int:
    text = (element.get(attribute) or "").strip()
    if not _SIZE.fullmatch(text) or int(text) < minimum:
        raise UnusableError(f"its {attribute} is {text!r:.20}")
    return int(text)


def _limit_pixels(
    pixels: ElementTree.Element, sizes: dict[str, int], kept_planes: list[ElementTree.Element]
) -> None:
    """Reduce an image that is spread over several files to the part in this file."""
    shape = tuple(sizes.values())
    pages: dict[int, int] = {}  # plane of the image -> page of the file
    for data in kept_planes:
        first = [int(data.get(f"First{axis}", 0)) for axis in sizes]
        if any(index >= size for index, size in zip(first, shape, strict=True)):
            raise UnusableError("it lists planes outside the image")
        start = int(np.ravel_multi_index(first, shape))
        count = int(data.get("PlaneCount", data.get("NumPlanes", 1)))
        page = int(data.get("IFD", 0))
        pages |= {start + k: page + k for k in range(count)}
    if not pages or max(pages) >= math.prod(shape):
        raise UnusableError("it lists planes outside the image")
    along = np.unravel_index(sorted(pages), shape)
    kept = {axis: np.unique(index) for axis, index in zip(sizes, along, strict=True)}
    # The planes must fill a box of T, Z and C, or they are not an array
    if math.prod(map(len, kept.values())) != len(pages):
        raise UnusableError("the planes in this file are only part of a stack")
    for axis, indices in kept.items():
        pixels.set(f"Size{axis}", str(len(indices)))
    channels = pixels.findall("{*}Channel")
    for number, channel in enumerate(channels):
        if len(channels) == sizes["C"] and number not in kept["C"]:
            pixels.remove(channel)
    for data in pixels.findall("{*}TiffData"):
        pixels.remove(data)
    namespace = pixels.tag.removesuffix("Pixels")
    for plane, page in sorted(pages.items()):
        index = np.unravel_index(plane, shape)
        data = ElementTree.SubElement(pixels, f"{namespace}TiffData")
        data.attrib = {"IFD": str(page), "PlaneCount": "1"}
        for axis, position in zip(sizes, index, strict=True):
            data.set(f"First{axis}", str(int(np.searchsorted(kept[axis], position))))
